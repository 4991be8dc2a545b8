//! Child processes: found, pinned to a core, and gone with all of theirs when we are gone.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::interrupt;

/// Finds a program: by the environment variable `variable`, else by `name` in PATH and the sbin folders.
/// A variable that is set must name an existing file.
pub(crate) fn find(variable: &str, name: &str) -> Result<Option<PathBuf>, String> {
    if let Some(given) = env::var_os(variable).filter(|given| !given.is_empty()) {
        let path = PathBuf::from(given);
        if path.is_file() {
            return Ok(Some(path));
        }
        // A bare name is allowed too: it is looked up like any other.
        return match path.to_str().and_then(in_path) {
            Some(found) => Ok(Some(found)),
            None => Err(format!(
                "${variable} names {}: no such file",
                path.display()
            )),
        };
    }
    Ok(in_path(name))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers live in sbin, which an ordinary user's path leaves out.
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The first line a program prints when asked, on either output. None when it cannot be run.
pub(crate) fn first_line(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(str::to_owned)
}

/// A loopback port nobody listens on now. Another process could take it before it is used:
/// the start of what wanted it then fails and says so.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

/// Ends a process group when its input ends. It is one of the group, so the number cannot be another's meanwhile.
const KEEPER: &str = r#"read -r line; kill -s KILL -- "-$1""#;

/// A process of ours and those that it starts: killed when this is dropped, and when we die without dropping.
pub(crate) struct Process {
    child: Child,
    /// Holds the reading end of a pipe of ours.
    keeper: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `program` pinned to `core`; both its outputs go to `log`.
    /// Must be called from a thread that lives to the end: the child dies with it.
    pub(crate) fn start<I, A>(
        name: &str,
        program: &Path,
        arguments: I,
        core: usize,
        log: PathBuf,
    ) -> Result<Self, String>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        Self::spawn(name, program, arguments, core, log, Stdio::null())
    }

    /// The same for a program that can be told something.
    pub(crate) fn start_listening<I, A>(
        name: &str,
        program: &Path,
        arguments: I,
        core: usize,
        log: PathBuf,
    ) -> Result<Self, String>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        Self::spawn(name, program, arguments, core, log, Stdio::piped())
    }

    fn spawn<I, A>(
        name: &str,
        program: &Path,
        arguments: I,
        core: usize,
        log: PathBuf,
        input: Stdio,
    ) -> Result<Self, String>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let failed = |error: std::io::Error| format!("{name}: {error}");
        let output = File::create(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        // Both wrappers replace themselves, so the process id is the program's own.
        let mut child = Command::new("setpriv")
            .process_group(0)
            .args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{name}: setpriv and taskset of util-linux: {error}"))?;
        let group = child.id();
        let keeper = i32::try_from(group)
            .map_err(std::io::Error::other)
            .and_then(|leader| {
                Command::new("sh")
                    .process_group(leader)
                    .args(["-c", KEEPER, "sh", &group.to_string()])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            });
        let keeper = match keeper {
            Ok(keeper) => keeper,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name}: sh: {error}"));
            }
        };
        Ok(Self {
            child,
            keeper,
            name: name.to_owned(),
            log,
        })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the process has ended, with the end of what it printed.
    pub(crate) fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Gives a line to one that listens.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), String> {
        let told = match &mut self.child.stdin {
            Some(input) => writeln!(input, "{line}"),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        told.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Waits for a line of its output, counted from 0.
    pub(crate) fn line(&mut self, at: usize, limit: Duration) -> Result<String, String> {
        let deadline = Instant::now() + limit;
        loop {
            let printed = fs::read_to_string(&self.log);
            let printed = printed.map_err(|error| format!("{}: {error}", self.name))?;
            // The last one may still be growing.
            let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().nth(at) {
                return Ok(line.to_owned());
            }
            self.check_alive()?;
            if Instant::now() > deadline {
                return Err(format!("{} said nothing within {limit:?}", self.name));
            }
            interrupt::pause()?;
        }
    }

    /// Waits for the process to end well and gives back what it printed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String, String> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => break,
                Ok(Some(status)) => return Err(self.ended(status)),
                Ok(None) if Instant::now() > deadline => {
                    return Err(format!("{} did not end in {limit:?}", self.name));
                }
                Ok(None) => interrupt::pause()?,
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
        fs::read_to_string(&self.log).map_err(|error| format!("{}: {error}", self.name))
    }

    fn ended(&self, status: ExitStatus) -> String {
        let printed = fs::read(&self.log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let mut last: Vec<&str> = printed.lines().rev().take(5).collect();
        last.reverse();
        format!("{} ended ({status}): {}", self.name, last.join(" | "))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let shell = Path::new("/bin/sh");
        let process = Process::start("shell", shell, ["-c", script], 0, log)?;
        process.finish(Duration::from_secs(20))
    }

    #[test]
    fn gives_back_what_was_printed_or_why_it_ended() {
        assert_eq!(run("echo out; echo err >&2").unwrap(), "out\nerr\n");
        let error = run("echo no such thing; exit 3").unwrap_err();
        assert!(error.contains("3") && error.contains("no such thing"));
    }

    #[test]
    fn one_that_listens_answers_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let shell = Path::new("/bin/sh");
        let script = "echo ready; while read -r word; do echo \"got $word\"; done; echo end";
        let mut process = Process::start_listening("shell", shell, ["-c", script], 0, log).unwrap();
        let limit = Duration::from_secs(20);
        assert_eq!(process.line(0, limit).unwrap(), "ready");
        for (at, word) in [(1, "one"), (2, "two")] {
            process.tell(word).unwrap();
            assert_eq!(process.line(at, limit).unwrap(), format!("got {word}"));
        }
        assert!(process.line(3, Duration::ZERO).is_err());
        assert!(process.finish(limit).unwrap().ends_with("end\n"));
    }

    #[test]
    fn dropping_ends_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let sleep = Path::new("/bin/sleep");
        let mut process = Process::start("sleep", sleep, ["1000"], 0, log).unwrap();
        process.check_alive().unwrap();
        let entry = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }

    #[test]
    fn dropping_ends_what_the_process_started() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let shell = Path::new("/bin/sh");
        let script = "sleep 1000 & echo $!; wait";
        let process = Process::start("shell", shell, ["-c", script], 0, log.clone()).unwrap();
        let started = until(|| {
            let printed = fs::read_to_string(&log).unwrap();
            printed.strip_suffix('\n').map(str::to_owned)
        });
        let entry = PathBuf::from(format!("/proc/{started}/cmdline"));
        assert!(fs::read_to_string(&entry).unwrap().contains("sleep"));
        drop(process);
        // It is init's now, which may take a moment to bury it; a dead one has no command line.
        until(|| {
            let gone = fs::read_to_string(&entry).is_ok_and(|line| !line.is_empty());
            (!gone).then_some(())
        });
    }

    /// Polls for 20 seconds.
    fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(Instant::now() < deadline);
            interrupt::pause().unwrap();
        }
    }

    #[test]
    fn finds_programs_by_name() {
        assert!(find("FARMGATE_LOAD_UNSET", "sh").unwrap().is_some());
        assert!(
            find("FARMGATE_LOAD_UNSET", "no-such-program")
                .unwrap()
                .is_none()
        );
    }
}
