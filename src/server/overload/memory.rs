//! How much memory the process may use.

use std::path::Path;

use super::Usage;
use super::cgroup::{Groups, number};

/// What the process may use at most, in bytes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    limit: Option<f64>,
}

impl Memory {
    /// Reads the limits again.
    pub(super) fn refresh(&mut self) {
        let groups = Groups::find("memory");
        let group = groups.least(|folder| limit(folder, groups.is_v2));
        let machine = machine();
        // A limit above all there is (version 1 says 2^63 for none) is none.
        self.limit = Some(group.map_or(machine, |group| group.min(machine)));
    }

    /// `resident` in bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes beyond 2^53 do not matter"
    )]
    pub(super) fn read(&self, resident: u64) -> Option<Usage> {
        Some(Usage {
            used: resident as f64,
            of: self.limit?,
        })
    }
}

/// In version 2 the process is killed above memory.max, and slowed until it stands still above memory.high.
pub(super) fn limit(folder: &Path, is_v2: bool) -> Option<f64> {
    let files: &[&str] = match is_v2 {
        true => &["memory.max", "memory.high"],
        false => &["memory.limit_in_bytes"],
    };
    let limits = files.iter().filter_map(|file| number(folder, file));
    limits.reduce(f64::min)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes beyond 2^53 do not matter"
)]
fn machine() -> f64 {
    let info = rustix::system::sysinfo();
    // The field's type differs between machines.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let total = info.totalram as u64;
    total as f64 * f64::from(info.mem_unit)
}

/// A line of `/proc/self/status` in kB, as bytes.
pub(super) fn parse_kib(value: &str) -> Option<u64> {
    let number = value.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}
