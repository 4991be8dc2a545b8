//! Where and when a result was measured.

use std::fs;
use std::path::Path;
use std::thread;

use serde::Serialize;

use crate::process::first_line;

/// What makes figures comparable, or not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Time of the measurement, UTC, ISO 8601.
    pub(crate) date: String,
    /// Model of the processor.
    pub(crate) cpu: String,
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Processes that wanted to run before the bench began (load average of a minute).
    pub(crate) load: f64,
    /// Commit of the sources, with `+` when they were changed since.
    pub(crate) commit: String,
}

impl Machine {
    /// Asks the system; `sources` is a folder in the repository. What cannot be learned is "unknown".
    pub(crate) fn describe(sources: &Path) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: first_line(Path::new("date"), &["-u", "+%Y-%m-%dT%H:%M:%SZ"])
                .unwrap_or_else(unknown),
            cpu: cpu_model(&cpuinfo).unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: Some(kernel.trim().to_owned())
                .filter(|kernel| !kernel.is_empty())
                .unwrap_or_else(unknown),
            load: load(&loadavg).unwrap_or(0.0),
            commit: commit(sources).unwrap_or_else(unknown),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_ascii_whitespace().next()?.parse().ok()
}

fn commit(sources: &Path) -> Option<String> {
    let git = Path::new("git");
    let folder = sources.to_str()?;
    let id = first_line(git, &["-C", folder, "rev-parse", "--short=12", "HEAD"])?;
    // On failure git's own message comes back; an id is hexadecimal.
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let changed = first_line(git, &["-C", folder, "status", "--porcelain", "-uno"]).is_some();
    Some(if changed { format!("{id}+") } else { id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_system_s_files() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.5GHz\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Some CPU @ 2.5GHz"));
        assert_eq!(cpu_model(""), None);
        assert_eq!(load("3.20 3.55 2.16 1/2 3\n"), Some(3.2));
    }

    #[test]
    fn a_folder_outside_a_repository_has_no_commit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(commit(folder.path()), None);
    }
}
