//! What the log is told: when shedding begins, comes to another class, and ends.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Load, Resource};

/// Between two lines at least. A change within it is told after it, if it still holds.
const BETWEEN: Duration = Duration::from_secs(10);

/// How far shedding goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Nothing,
    Bulk,
    Default,
    Critical,
}

/// Remembers what the log knows.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    said: Stage,
    said_at: Option<Instant>,
    began: Option<Instant>,
    last: Stage,
    /// Changes since the last line.
    unsaid: u32,
}

impl Announcer {
    /// The line to write now, if any.
    pub(super) fn look(&mut self, load: &Load, now: Instant) -> Option<String> {
        let stage = Stage::of(load);
        if stage != self.last {
            self.last = stage;
            self.unsaid = self.unsaid.saturating_add(1);
            if stage > Stage::Nothing {
                self.began.get_or_insert(now);
            }
        }
        let recently = |at: Instant| now.duration_since(at) < BETWEEN;
        if self.unsaid == 0 || self.said_at.is_some_and(recently) {
            return None;
        }
        // Back where the log believes it to be: short turns still leave a line, with their number.
        let line = self.line(load, stage, now);
        if stage == Stage::Nothing {
            self.began = None;
        }
        self.said = stage;
        self.said_at = Some(now);
        self.unsaid = 0;
        Some(line)
    }

    fn line(&self, load: &Load, stage: Stage, now: Instant) -> String {
        let percent = |share: u8| u32::from(share) * 100 / 255;
        let [critical, default, bulk] = load.shedding.map(percent);
        let shares = format!("bulk {bulk} %, default {default} %, critical {critical} %");
        let mut line = match (stage, self.said) {
            (Stage::Nothing, _) => {
                let since = self
                    .began
                    .map_or(Duration::ZERO, |at| now.duration_since(at));
                format!(
                    "overload is over after {:.1} s: nothing is shed any more",
                    since.as_secs_f64()
                )
            }
            (_, Stage::Nothing) => {
                let why = load.hot.map_or("load", Resource::word);
                format!("overload by {why}: requests are shed: {shares}")
            }
            _ => {
                let why = load.hot.map_or("load", Resource::word);
                format!("overload by {why} goes on: {shares}")
            }
        };
        if self.unsaid > 1 {
            // Writing to a string cannot fail.
            let _ = write!(line, " ({} changes since the last line)", self.unsaid);
        }
        line.push_str("; ");
        line.push_str(&figures(load));
        line
    }
}

impl Stage {
    fn of(load: &Load) -> Self {
        let [critical, default, bulk] = load.shedding.map(|share| share > 0);
        match (critical, default, bulk) {
            (true, _, _) => Self::Critical,
            (_, true, _) => Self::Default,
            (_, _, true) => Self::Bulk,
            (false, false, false) => Self::Nothing,
        }
    }
}

/// All readings and their limits in one line.
fn figures(load: &Load) -> String {
    let mut parts = Vec::new();
    let limit = |limit: Option<f32>| match limit {
        Some(limit) => format!("limit {:.0} %", limit * 100.0),
        None => "no limit".to_owned(),
    };
    if let Some(cpu) = load.cpu {
        parts.push(format!(
            "cpu {:.1} % of {:.1} CPUs ({})",
            cpu.value.share() * 100.0,
            cpu.value.of,
            limit(cpu.limit)
        ));
    }
    if let Some(memory) = load.memory {
        parts.push(format!(
            "memory {:.1} % of {:.0} MiB ({})",
            memory.value.share() * 100.0,
            memory.value.of / f64::from(1 << 20),
            limit(memory.limit)
        ));
    }
    if let Some(files) = load.open_files {
        parts.push(format!(
            "open files {:.0} of {:.0} ({})",
            files.value.used,
            files.value.of,
            limit(files.limit)
        ));
    }
    if let Some(lag) = load.loop_lag {
        let limit = lag.limit.map_or("no limit".to_owned(), |limit| {
            format!("limit {} ms", limit.as_millis())
        });
        parts.push(format!(
            "loop lag {} ms, worst {} ms ({limit})",
            lag.value.mean.as_millis(),
            lag.value.worst.as_millis()
        ));
    }
    parts.join(", ")
}
