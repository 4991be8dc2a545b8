//! CPU time and memory of processes, and the statistics of rounds.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Clock ticks per second in /proc/PID/stat: 100 for user space on every Linux platform that runs this.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time that the process and its descendants have used, to 10 ms.
/// Threads that have ended count; child processes that have ended do not.
pub(crate) fn cpu_time(root: u32) -> Result<Duration, String> {
    let ticks = tree_sum(&processes(root)?, root, &|_, stat| stat.ticks);
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Memory in RAM (RSS) of the process and its descendants, in MiB. What several of them share counts for each.
pub(crate) fn resident_mib(root: u32) -> Result<f64, String> {
    let kib = tree_sum(&processes(root)?, root, &|id, _| {
        let status = fs::read_to_string(format!("/proc/{id}/status"));
        status
            .ok()
            .and_then(|text| resident_kib(&text))
            .unwrap_or(0)
    });
    Ok(kib as f64 / 1024.0)
}

/// The line of /proc/PID/status, `VmRSS:   51200 kB`. None for what has no memory of its own any more.
fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// All processes; `root` is one of them.
fn processes(root: u32) -> Result<HashMap<u32, Stat>, String> {
    let mut table = HashMap::new();
    let entries = fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
    for entry in entries.flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end between the listing and the reading.
        if let Ok(line) = fs::read_to_string(entry.path().join("stat"))
            && let Some(stat) = Stat::parse(&line)
        {
            table.insert(id, stat);
        }
    }
    if !table.contains_key(&root) {
        return Err(format!("process {root} is gone"));
    }
    Ok(table)
}

fn tree_sum(table: &HashMap<u32, Stat>, root: u32, figure: &dyn Fn(u32, &Stat) -> u64) -> u64 {
    let own = table.get(&root).map_or(0, |stat| figure(root, stat));
    let children = table.iter().filter(|(_, stat)| stat.parent == root);
    own + children
        .map(|(child, _)| tree_sum(table, *child, figure))
        .sum::<u64>()
}

/// What is needed of a line of /proc/PID/stat (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The command's name stands in parentheses and may hold spaces and parentheses itself.
        let (_, fields) = line.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let user: u64 = fields.nth(9)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            parent,
            ticks: user + system,
        })
    }
}

/// Middle and width of a row of figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) least: f64,
    /// The largest.
    pub(crate) most: f64,
}

impl Spread {
    /// None without figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self {
            median: (lower + upper) / 2.0,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }

    /// Distance from the smallest to the largest as a share of the median, in percent.
    pub(crate) fn width_percent(self) -> f64 {
        (self.most - self.least) / self.median * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_a_hostile_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 500 0 0 0 120 35 9 9 20 0 1 0 100 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 155));
        assert_eq!(Stat::parse("42 (short) S 7"), None);
    }

    #[test]
    fn sums_a_process_and_its_descendants() {
        let stat = |parent, ticks| Stat { parent, ticks };
        let rows = [
            (1, stat(0, 1000)),
            (2, stat(1, 1)),
            (3, stat(2, 10)),
            (4, stat(3, 100)),
        ];
        let table = rows.into_iter().collect();
        assert_eq!(tree_sum(&table, 2, &|_, stat| stat.ticks), 111);
        assert_eq!(tree_sum(&table, 2, &|id, _| u64::from(id)), 9);
    }

    #[test]
    fn knows_its_own_time() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert!(cpu_time(u32::MAX).is_err());
    }

    #[test]
    fn knows_its_own_memory() {
        assert!(resident_mib(std::process::id()).unwrap() > 1.0);
        assert!(resident_mib(u32::MAX).is_err());
        assert_eq!(resident_kib("Name:\ta\nVmRSS:\t    7720 kB\n"), Some(7720));
        assert_eq!(resident_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn spreads_odd_and_even_rows() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.most), (2.0, 1.0, 3.0));
        assert_eq!(odd.width_percent(), 100.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }
}
