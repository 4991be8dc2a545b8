//! The result: a table for people, JSON for records, a verdict for the exit code.

use serde::Serialize;
use serde_json::json;

use crate::case::{Budget, Case, Unit};
use crate::contestant::{BARE_PINGORA, Contestant, FARMGATE, NGINX};
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
    /// What the generator saw.
    pub(crate) run: Run,
}

/// All runs of one contestant in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The contestant.
    pub(crate) name: &'static str,
    version: String,
    /// Its rounds, in order.
    pub(crate) rounds: Vec<Measured>,
}

impl Row {
    /// A row without rounds yet.
    pub(crate) fn new(contestant: &Contestant) -> Self {
        Self {
            name: contestant.name(),
            version: contestant.version.clone(),
            rounds: Vec::new(),
        }
    }

    fn spread(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(figure))
    }

    fn losses(&self) -> u64 {
        let of = |round: &Measured| round.run.losses() + round.warm_up_losses;
        self.rounds.iter().map(of).sum()
    }
}

/// What came out of one case.
#[derive(Clone, Debug)]
pub(crate) struct CaseReport {
    case: String,
    unit: Unit,
    generator: String,
    rows: Vec<Row>,
}

impl CaseReport {
    /// The report of `case`, which was loaded by `generator`.
    pub(crate) fn new(case: &Case, generator: &str, rows: Vec<Row>) -> Self {
        Self {
            case: case.name.clone(),
            unit: case.load.unit(),
            generator: generator.to_owned(),
            rows,
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

    /// The table: medians over the rounds; the spread is (most - least) / median.
    pub(crate) fn table(&self) -> String {
        let unit = match self.unit {
            Unit::Request => "req",
            Unit::Handshake => "hs",
        };
        let mut lines = vec![
            [
                &self.case,
                &format!("CPU us/{unit}"),
                "spread",
                &format!("{unit}/s"),
                "p50 us",
                "p99 us",
                "core",
                "losses",
                "/pingora",
                "/nginx",
            ]
            .map(str::to_owned),
        ];
        for row in &self.rows {
            let median = |figure: fn(&Measured) -> f64, digits: usize| {
                row.spread(figure)
                    .map_or("-".into(), |spread| format!("{:.digits$}", spread.median))
            };
            let ratio = |yardstick| {
                self.ratio(row, yardstick)
                    .map_or("-".into(), |spread| format!("{:.3}", spread.median))
            };
            let spread = row.spread(|round| round.cpu_us_per_request);
            lines.push([
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
                ratio(BARE_PINGORA),
                ratio(NGINX),
            ]);
        }
        let mut table = aligned(&lines);
        for row in &self.rows {
            table.push_str(&format!("  {}: {}\n", row.name, row.version));
        }
        table.push_str(&format!("  load: {}\n", self.generator));
        table
    }

    /// The lines that say how Farmgate stands to bare Pingora and to nginx. `Err` where it is over the budget, where
    /// one of the two lost something, and where a yardstick of the budget was not measured.
    pub(crate) fn verdicts(&self, budget: &Budget) -> Vec<Result<String, String>> {
        let Some(farmgate) = self.row(FARMGATE) else {
            return vec![Err(self.not_measured(FARMGATE))];
        };
        [
            (BARE_PINGORA, budget.ratio_to_bare_pingora),
            (NGINX, budget.ratio_to_nginx),
        ]
        .into_iter()
        // One that is neither here nor in the budget has no line.
        .filter(|(name, limit)| limit.is_some() || self.row(name).is_some())
        .map(|(name, limit)| self.verdict(farmgate, name, limit, budget.losses))
        .collect()
    }

    fn not_measured(&self, name: &str) -> String {
        format!(
            "{}: budget not checked, {name} was not measured (--no-budget?)",
            self.case
        )
    }

    fn verdict(
        &self,
        farmgate: &Row,
        yardstick: &str,
        limit: Option<f64>,
        most: u64,
    ) -> Result<String, String> {
        let case = &self.case;
        let missing = || self.not_measured(yardstick);
        let other = self.row(yardstick).ok_or_else(missing)?;
        // A yardstick that loses requests does less work per answer and measures nothing.
        for row in [farmgate, other] {
            let (name, losses) = (row.name, row.losses());
            if losses > most {
                let units = match self.unit {
                    Unit::Request => "requests",
                    Unit::Handshake => "handshakes",
                };
                return Err(format!(
                    "{case}: {name} lost {losses} {units}, budget {most}"
                ));
            }
        }
        let ratio = self.ratio(farmgate, yardstick).ok_or_else(missing)?.median;
        let mut line = format!("{case}: farmgate is {ratio:.3} x {yardstick}");
        if self.unit == Unit::Handshake {
            let per_second = |row: &Row| {
                row.spread(|round| round.cpu_us_per_request)
                    .map_or(0.0, |spread| 1e6 / spread.median)
            };
            let (own, others) = (per_second(farmgate), per_second(other));
            line.push_str(&format!(
                " ({own:.0} handshakes per CPU second, {others:.0})"
            ));
        }
        match limit {
            None => Ok(format!("{line}, no budget")),
            Some(limit) if ratio > limit => Err(format!("{line}, budget {limit:.3}: over budget")),
            Some(limit) => Ok(format!("{line}, budget {limit:.3}: within")),
        }
    }
}

/// Columns as wide as their widest cell, the first to the left, the others to the right.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    let mut table = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
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
