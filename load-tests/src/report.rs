//! The result: a table for people, JSON for records, a verdict for the exit code.

mod verdict;

use serde::Serialize;
use serde_json::json;

use crate::case::{CacheLoad, Case, Per, Unit};
use crate::contestant::{BARE_PINGORA, Contestant, FARMGATE, FARMGATE_OFF, NGINX, VARNISH};
use crate::engines::EnginesReport;
use crate::generator::Run;
use crate::machine::Machine;
use crate::measure::Spread;

/// One run of one contestant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// User and system time of the contestant's processes, per answered request or finished handshake.
    pub(crate) cpu_us_per_request: f64,
    /// Share of its core that it used, 0 to 1.
    pub(crate) core_busy: f64,
    /// Requests that went wrong in the warm-up before it.
    pub(crate) warm_up_losses: u64,
    /// Requests at the origin per request or per group of clients; only where there is a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin_fetches: Option<f64>,
    /// What the generator saw.
    pub(crate) run: Run,
}

/// All runs of one contestant in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The contestant.
    pub(crate) name: &'static str,
    version: String,
    /// What it did not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    /// Its rounds, in order.
    pub(crate) rounds: Vec<Measured>,
    /// Memory of its processes after the last round; only where there is a firewall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resident_mib: Option<f64>,
}

impl Row {
    /// A row of `case` without rounds yet.
    pub(crate) fn new(contestant: &Contestant, case: &Case) -> Self {
        let is_cache = case.load.cache.is_some();
        Self {
            name: contestant.name(),
            version: contestant.version.clone(),
            note: contestant.cache_note().filter(|_| is_cache),
            rounds: Vec::new(),
            resident_mib: None,
        }
    }

    fn spread(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(figure))
    }

    fn losses(&self) -> u64 {
        let of = |round: &Measured| round.run.losses() + round.warm_up_losses;
        self.rounds.iter().map(of).sum()
    }

    /// Requests at the origin in the round that had most of them. None where they are not counted.
    fn origin_fetches(&self) -> Option<f64> {
        let counts = self.rounds.iter().filter_map(|round| round.origin_fetches);
        counts.reduce(f64::max)
    }
}

/// What came out of one case.
#[derive(Clone, Debug)]
pub(crate) struct CaseReport {
    case: String,
    unit: Unit,
    generator: String,
    /// The ratios of the table.
    yardsticks: [&'static str; 2],
    cache: Option<CacheLoad>,
    has_waf: bool,
    rows: Vec<Row>,
    /// The firewalls without a proxy.
    engines: Option<EnginesReport>,
}

impl CaseReport {
    /// The report of `case`, which was loaded by `generator`.
    pub(crate) fn new(
        case: &Case,
        generator: &str,
        rows: Vec<Row>,
        engines: Option<EnginesReport>,
    ) -> Self {
        let is_off = |row: &Row| row.name == FARMGATE_OFF;
        Self {
            case: case.name.clone(),
            unit: case.load.unit(),
            generator: generator.to_owned(),
            yardsticks: match case.load.cache {
                Some(_) => [NGINX, VARNISH],
                None if rows.iter().any(is_off) => [FARMGATE_OFF, NGINX],
                None if case.load.waf.is_some() => [FARMGATE, NGINX],
                None => [BARE_PINGORA, NGINX],
            },
            cache: case.load.cache.clone(),
            has_waf: case.load.waf.is_some(),
            rows,
            engines,
        }
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// CPU per request of one row divided by that of the row `yardstick`, round by round:
    /// what slows the machine for a while slows both.
    fn ratio(&self, row: &Row, yardstick: &str) -> Option<Spread> {
        let yardstick = self.row(yardstick)?;
        let pairs = row.rounds.iter().zip(&yardstick.rounds);
        Spread::of(pairs.map(|(one, other)| one.cpu_us_per_request / other.cpu_us_per_request))
    }

    /// What requests at the origin are counted by. None where they are not.
    fn per(&self) -> Option<Per> {
        self.cache.as_ref().map(CacheLoad::per)
    }

    /// The table: medians over the rounds; the spread is (most - least) / median.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![self.headings()];
        lines.extend(self.rows.iter().map(|row| self.line(row)));
        let mut table = match &self.engines {
            Some(engines) => engines.table() + "\n",
            None => String::new(),
        };
        table.push_str(&aligned(&lines));
        for row in &self.rows {
            table.push_str(&format!("  {}: {}", row.name, row.version));
            if let Some(note) = row.note {
                table.push_str(&format!("; {note}"));
            }
            table.push('\n');
        }
        table.push_str(&format!("  load: {}\n", self.generator));
        table
    }

    fn headings(&self) -> Vec<String> {
        let unit = match self.unit {
            Unit::Request => "req",
            Unit::Handshake => "hs",
        };
        // Where clients wait for each other's answer, what counts is when it begins.
        let first = match self.per() {
            Some(Per::Group) => "first byte ",
            _ => "",
        };
        let mut headings = vec![
            self.case.clone(),
            format!("CPU us/{unit}"),
            "spread".to_owned(),
            format!("{unit}/s"),
            format!("{first}p50 us"),
            format!("{first}p99 us"),
            "core".to_owned(),
            "losses".to_owned(),
        ];
        match self.per() {
            Some(Per::Group) => headings.push("fetches/group".to_owned()),
            Some(Per::Request) => headings.push("fetches/req".to_owned()),
            None => {}
        }
        if self.has_waf {
            headings.push("RSS MiB".to_owned());
        }
        let short = |name: &&str| format!("/{}", name.trim_start_matches("bare-"));
        headings.extend(self.yardsticks.iter().map(short));
        headings
    }

    fn line(&self, row: &Row) -> Vec<String> {
        let median = |figure: fn(&Measured) -> f64, digits: usize| {
            row.spread(figure)
                .map_or("-".into(), |spread| format!("{:.digits$}", spread.median))
        };
        let spread = row.spread(|round| round.cpu_us_per_request);
        let mut line = vec![
            row.name.to_owned(),
            median(|round| round.cpu_us_per_request, 2),
            spread.map_or("-".into(), |spread| {
                format!("{:.1} %", spread.width_percent())
            }),
            median(|round| round.run.rate(), 0),
            median(|round| round.run.p50_us as f64, 0),
            median(|round| round.run.p99_us as f64, 0),
            median(|round| round.core_busy * 100.0, 0) + " %",
            row.losses().to_string(),
        ];
        if self.per().is_some() {
            line.push(row.origin_fetches().map_or("-".into(), count));
        }
        if self.has_waf {
            let resident = row.resident_mib.map(|mib| format!("{mib:.1}"));
            line.push(resident.unwrap_or_else(|| "-".to_owned()));
        }
        for yardstick in self.yardsticks {
            let ratio = self.ratio(row, yardstick);
            line.push(ratio.map_or("-".into(), |spread| format!("{:.3}", spread.median)));
        }
        line
    }
}

/// Few fetches are not none.
fn count(fetches: f64) -> String {
    if fetches > 0.0 && fetches < 0.001 {
        "<0.001".to_owned()
    } else {
        format!("{fetches:.3}")
    }
}

/// Columns as wide as their widest cell, the first to the left, the others to the right.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let mut widths = vec![0; columns];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    let mut table = String::new();
    for line in lines {
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            if at == 0 {
                table.push_str(&format!("{cell:<width$}"));
            } else {
                table.push_str(&format!("  {cell:>width$}"));
            }
        }
        table.push('\n');
    }
    table
}

/// Everything as JSON: the machine, and every round of every contestant.
pub(crate) fn json(machine: &Machine, seconds: u64, reports: &[CaseReport]) -> String {
    let ratios = |report: &CaseReport| {
        let row = |row: &Row| {
            let median = |yardstick| report.ratio(row, yardstick).map(|spread| spread.median);
            json!({
                "name": row.name,
                "to_bare_pingora": median(BARE_PINGORA),
                "to_nginx": median(NGINX),
                "to_varnish": median(VARNISH),
            })
        };
        report.rows.iter().map(row).collect::<Vec<_>>()
    };
    let case = |report: &CaseReport| {
        json!({
            "case": report.case,
            "generator": report.generator,
            "rows": report.rows,
            "ratios": ratios(report),
            "in_process": report.engines,
        })
    };
    let cases: Vec<_> = reports.iter().map(case).collect();
    let value = json!({
        "machine": machine,
        "seconds_per_round": seconds,
        "cases": cases,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
