//! What the engines took, as a table and against the budget.

use serde::Serialize;

use super::{FARMGATE, Judged, MODSECURITY};
use crate::case::Budget;
use crate::measure::Spread;
use crate::report::aligned;

/// The level of paranoia that budgets are about.
const BUDGET_LEVEL: u8 = 1;

/// All turns of one engine at one level of paranoia.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EngineRow {
    pub(super) name: &'static str,
    paranoia: u8,
    version: String,
    /// Turns so far, warm-ups too.
    #[serde(skip)]
    pub(super) turns: usize,
    pub(super) rounds: Vec<Judged>,
}

impl EngineRow {
    pub(super) fn new(name: &'static str, paranoia: u8, version: &str) -> Self {
        Self {
            name,
            paranoia,
            version: version.to_owned(),
            turns: 0,
            rounds: Vec::new(),
        }
    }

    fn cpu_us(&self) -> impl Iterator<Item = f64> {
        let per_request = |judged: &Judged| judged.cpu_us as f64 / judged.requests as f64;
        self.rounds.iter().map(per_request)
    }

    fn refused(&self) -> bool {
        self.rounds.iter().any(|judged| judged.refused)
    }
}

/// What came out of one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EnginesReport {
    #[serde(skip)]
    case: String,
    rows: Vec<EngineRow>,
}

impl EnginesReport {
    pub(super) fn new(case: &str, rows: Vec<EngineRow>) -> Self {
        Self {
            case: case.to_owned(),
            rows,
        }
    }

    /// CPU per request divided by the rival's at the same level, round by round.
    fn ratio(&self, row: &EngineRow) -> Option<f64> {
        let is_rival =
            |other: &&EngineRow| other.name == MODSECURITY && other.paranoia == row.paranoia;
        let rival = self.rows.iter().find(is_rival)?;
        let pairs = row.cpu_us().zip(rival.cpu_us());
        Some(Spread::of(pairs.map(|(one, other)| one / other))?.median)
    }

    /// Medians over the rounds; the spread is (most - least) / median.
    pub(crate) fn table(&self) -> String {
        let headings = [
            &format!("{} in process", self.case),
            "CPU us/req",
            "spread",
            "judged",
            "/libmodsecurity",
        ];
        let mut lines = vec![headings.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let spread = Spread::of(row.cpu_us());
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            lines.push(vec![
                format!("{}, paranoia {}", row.version, row.paranoia),
                or_dash(spread.map(|spread| format!("{:.1}", spread.median))),
                or_dash(spread.map(|spread| format!("{:.1} %", spread.width_percent()))),
                if row.refused() { "refused" } else { "passed" }.to_owned(),
                or_dash(self.ratio(row).map(|ratio| format!("{ratio:.3}"))),
            ]);
        }
        aligned(&lines)
    }

    /// How Farmgate's engine stands to the budget; none where the case has none for it. `Err` where it is over it, and
    /// where either engine refused what is benign.
    pub(crate) fn verdict(&self, budget: &Budget) -> Option<Result<String, String>> {
        let limit = budget.engine_us?;
        let case = &self.case;
        let mut at_level = self.rows.iter().filter(|row| row.paranoia == BUDGET_LEVEL);
        if let Some(row) = at_level.clone().find(|row| row.refused()) {
            return Some(Err(format!(
                "{case}: {} refused a benign request, not comparable",
                row.name
            )));
        }
        let own = at_level.find(|row| row.name == FARMGATE);
        let figures = own.and_then(|row| Some((Spread::of(row.cpu_us())?.median, self.ratio(row))));
        let Some((cpu_us, ratio)) = figures else {
            return Some(Err(format!(
                "{case}: budget not checked, {FARMGATE} was not measured (--no-budget?)"
            )));
        };
        let beside = ratio.map_or_else(
            || format!("{MODSECURITY} was not measured"),
            |ratio| format!("{ratio:.3} x {MODSECURITY}"),
        );
        let line = format!(
            "{case}: {FARMGATE} takes {cpu_us:.1} us in process ({beside}), budget {limit:.0}"
        );
        Some(if cpu_us > limit {
            Err(format!("{line}: over budget"))
        } else {
            Ok(format!("{line}: within"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, paranoia: u8, cpu_us: &[u64]) -> EngineRow {
        let mut row = EngineRow::new(name, paranoia, &format!("{name} 1"));
        row.rounds = cpu_us
            .iter()
            .map(|cpu_us| Judged {
                requests: 10,
                cpu_us: *cpu_us,
                refused: false,
            })
            .collect();
        row
    }

    fn report() -> EnginesReport {
        let rows = vec![
            row(FARMGATE, 1, &[500, 250, 550]),
            row(MODSECURITY, 1, &[20_000, 10_000, 20_000]),
            row(FARMGATE, 4, &[900, 900, 900]),
        ];
        EnginesReport::new("waf_x", rows)
    }

    fn verdict(report: &EnginesReport, engine_us: f64) -> Result<String, String> {
        let text = format!("losses = 0\nengine_us = {engine_us:?}\n");
        let budget: Budget = toml::from_str(&text).unwrap();
        report.verdict(&budget).unwrap()
    }

    #[test]
    fn the_table_compares_at_the_same_level() {
        let table = report().table();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("farmgate-waf 1, paranoia 1"));
        assert!(lines[1].contains(" 50.0 ") && lines[1].ends_with("0.025"));
        assert!(
            lines[2].ends_with("1.000") && lines[3].ends_with('-'),
            "{table}"
        );
    }

    #[test]
    fn the_verdict_is_about_level_1() {
        let within = verdict(&report(), 60.0).unwrap();
        assert!(within.contains("50.0 us in process (0.025 x libmodsecurity), budget 60: within"));
        assert!(
            verdict(&report(), 49.0)
                .unwrap_err()
                .contains("over budget")
        );
        let budget = toml::from_str("losses = 0\n").unwrap();
        assert!(report().verdict(&budget).is_none());
    }

    #[test]
    fn who_refuses_is_not_comparable() {
        let mut refusing = report();
        refusing.rows[2].rounds[0].refused = true;
        assert!(verdict(&refusing, 60.0).is_ok(), "another level");
        assert!(refusing.table().contains("refused"));
        refusing.rows[1].rounds[0].refused = true;
        let error = verdict(&refusing, 60.0).unwrap_err();
        assert!(error.contains("libmodsecurity refused"), "{error}");
    }

    #[test]
    fn a_missing_rival_is_said() {
        let mut alone = report();
        alone.rows.remove(1);
        assert!(
            verdict(&alone, 60.0)
                .unwrap()
                .contains("libmodsecurity was not measured")
        );
        alone.rows.remove(0);
        assert!(verdict(&alone, 60.0).unwrap_err().contains("not measured"));
    }
}
