//! Figures that are read at a scrape: the process from /proc, and the series budget itself.
//!
//! The process metrics carry the names that every Prometheus client library uses (`process_*`), so that
//! existing dashboards and alerts fit.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::cell::{counter_sample, family, gauge_sample};
use super::declare::{self, Declared};
use super::family::SeriesBudget;

/// Clock ticks a second in /proc/self/stat: USER_HZ, 100 on every Linux that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

fn desc(declared: &Declared) -> prometheus::Result<Desc> {
    Desc::new(
        declared.name.to_string(),
        declared.help.to_string(),
        Vec::new(),
        HashMap::new(),
    )
}

/// Reads the process figures.
pub(super) struct ProcessCollector {
    cpu: Desc,
    rss: Desc,
    fds: Desc,
    max_fds: Desc,
    start: Desc,
}

/// What /proc/self/stat says.
#[derive(Debug, PartialEq)]
pub(super) struct Stat {
    pub(super) cpu_seconds: f64,
    pub(super) start_after_boot_seconds: f64,
}

/// Reads fields 14, 15 and 22 of a stat line, proc(5). The command's name may hold spaces and brackets.
pub(super) fn parse_stat(line: &str) -> Option<Stat> {
    let (_, after_name) = line.rsplit_once(')')?;
    // The first field after the name is number 3.
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
        start_after_boot_seconds: field(22)? as f64 / TICKS_PER_SECOND,
    })
}

/// The number after `key` on the line that starts with it.
pub(super) fn number_after(text: &str, key: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(ProcessCollector {
            cpu: desc(&declare::PROCESS_CPU)?,
            rss: desc(&declare::PROCESS_RSS)?,
            fds: desc(&declare::PROCESS_FDS)?,
            max_fds: desc(&declare::PROCESS_MAX_FDS)?,
            start: desc(&declare::PROCESS_START)?,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.cpu, &self.rss, &self.fds, &self.max_fds, &self.start]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut out = Vec::with_capacity(5);
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let gauge = |desc: &Desc, value: f64| {
            family(desc, MetricType::GAUGE, vec![gauge_sample(&[], value)])
        };
        if let Some(stat) = parse_stat(&read("/proc/self/stat")) {
            out.push(family(
                &self.cpu,
                MetricType::COUNTER,
                vec![counter_sample(&[], stat.cpu_seconds)],
            ));
            if let Some(boot) = number_after(&read("/proc/stat"), "btime ") {
                out.push(gauge(&self.start, boot + stat.start_after_boot_seconds));
            }
        }
        if let Some(kib) = number_after(&read("/proc/self/status"), "VmRSS:") {
            out.push(gauge(&self.rss, kib * 1024.0));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            out.push(gauge(&self.fds, entries.count().saturating_sub(1) as f64));
        }
        if let Some(limit) = number_after(&read("/proc/self/limits"), "Max open files") {
            out.push(gauge(&self.max_fds, limit));
        }
        out
    }
}

/// Exports the budget's own state; never charged to it.
pub(super) struct BudgetCollector {
    budget: Arc<SeriesBudget>,
    series: Desc,
    folded: Desc,
}

impl BudgetCollector {
    pub(super) fn new(budget: Arc<SeriesBudget>) -> prometheus::Result<Self> {
        Ok(BudgetCollector {
            budget,
            series: desc(&declare::METRIC_SERIES)?,
            folded: desc(&declare::METRIC_SERIES_FOLDED)?,
        })
    }
}

impl Collector for BudgetCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.series, &self.folded]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![
            family(
                &self.series,
                MetricType::GAUGE,
                vec![gauge_sample(&[], self.budget.used() as f64)],
            ),
            family(
                &self.folded,
                MetricType::COUNTER,
                vec![counter_sample(&[], self.budget.folded() as f64)],
            ),
        ]
    }
}
