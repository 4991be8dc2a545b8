//! How busy the CPUs are with this process.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Usage;
use super::cgroup::{Groups, number, parse_number};

/// Over less than this a clock's step would be all there is.
const LEAST: Duration = Duration::from_millis(20);

/// The meter: what the process had used at the last look.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    last: Option<(Instant, Duration)>,
    /// By the control groups, in CPUs.
    quota: Option<f64>,
}

impl Cpu {
    /// Reads the limits again.
    pub(super) fn refresh(&mut self) {
        let groups = Groups::find("cpu");
        self.quota = groups.least(|folder| quota(folder, groups.is_v2));
    }

    /// CPUs busy since the last call; `allowed`: by the affinity. None at the first call.
    pub(super) fn read(&mut self, now: Instant, allowed: Option<u32>) -> Option<Usage> {
        let used = used();
        let (at, before) = self.last.replace((now, used))?;
        let past = now.duration_since(at);
        if past < LEAST {
            return None;
        }
        let limits = allowed.map(f64::from).into_iter().chain(self.quota);
        Some(Usage {
            used: used.saturating_sub(before).as_secs_f64() / past.as_secs_f64(),
            of: limits.reduce(f64::min)?,
        })
    }
}

/// Of all threads since the start of the process (clock_gettime(2)).
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

pub(super) fn quota(folder: &Path, is_v2: bool) -> Option<f64> {
    if is_v2 {
        return parse_max(&std::fs::read_to_string(folder.join("cpu.max")).ok()?);
    }
    cpus(
        number(folder, "cpu.cfs_quota_us")?,
        number(folder, "cpu.cfs_period_us")?,
    )
}

/// `cpu.max`: "max 100000" or "50000 100000", quota and period in microseconds.
pub(super) fn parse_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cpus(parse_number(quota)?, parse_number(period)?)
}

/// Version 1 says -1 for none.
pub(super) fn cpus(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// CPUs in a list like "0-3,8,10-11", of `/proc/self/status`.
pub(super) fn count_list(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}
