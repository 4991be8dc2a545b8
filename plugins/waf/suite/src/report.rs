//! The count: stages passed per group and overall, with and without overrides.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::judge::{Evidence, faults};
use crate::load::Stage;
use crate::overrides::{On, Overrides};

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Group: passed without overrides, with them, of all.
    groups: BTreeMap<String, [usize; 3]>,
    /// Stages that fail with overrides: the id and what is wrong.
    pub failed: Vec<(String, String)>,
    /// Stages that only pass by an override.
    pub overridden: Vec<String>,
    /// Stages that the server in front refused, as the test expects.
    pub refused: Vec<(String, String)>,
    /// Overrides that are for no stage, not needed, or do not hold.
    pub faults: Vec<String>,
}

impl Report {
    /// Judges what was seen, stage by stage.
    ///
    /// # Errors
    /// A regex of a test that is none.
    pub fn of<'a>(
        seen: impl IntoIterator<Item = (&'a Stage, Evidence)>,
        overrides: &Overrides,
        on: On,
    ) -> Result<Self, String> {
        let mut report = Self::default();
        let mut unused: BTreeMap<&str, _> = overrides
            .on(on)
            .map(|entry| (entry.id.as_str(), &entry.verdict))
            .collect();
        for (stage, evidence) in seen {
            let count = report.groups.entry(stage.group.clone()).or_default();
            count[2] += 1;
            let wrong =
                faults(&stage.output, &evidence).map_err(|e| format!("{}: {e}", stage.id))?;
            let instead = unused.remove(stage.id.as_str());
            if wrong.is_empty() {
                count[0] += 1;
                count[1] += 1;
                if let Some(reason) = evidence.refused {
                    report.refused.push((stage.id.clone(), reason));
                }
                if instead.is_some() {
                    report
                        .faults
                        .push(format!("the override of {} is not needed", stage.id));
                }
                continue;
            }
            let Some(verdict) = instead else {
                report.failed.push((stage.id.clone(), wrong.join("; ")));
                continue;
            };
            let still = faults(verdict, &evidence).map_err(|e| format!("{}: {e}", stage.id))?;
            if still.is_empty() {
                count[1] += 1;
                report.overridden.push(stage.id.clone());
            } else {
                report.failed.push((stage.id.clone(), still.join("; ")));
            }
        }
        for id in unused.keys() {
            report
                .faults
                .push(format!("the override of {id} is for no stage"));
        }
        Ok(report)
    }

    /// Passed without overrides, with them, of all.
    pub fn total(&self) -> [usize; 3] {
        self.groups.values().fold([0; 3], |sum, group| {
            [sum[0] + group[0], sum[1] + group[1], sum[2] + group[2]]
        })
    }

    /// Why the run is no success: nothing when every stage passes with the overrides, every override is
    /// needed, and at least 99.5 % pass without any.
    pub fn verdict(&self) -> Result<(), String> {
        let [plain, _, all] = self.total();
        let mut wrong = self.faults.clone();
        wrong.extend(self.failed.iter().map(|(id, why)| format!("{id}: {why}")));
        if all == 0 {
            wrong.push("there is no stage".into());
        }
        if plain * 1000 < all * 995 {
            wrong.push(format!(
                "{plain} of {all} pass without overrides: less than 99.5 %"
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// For people.
    pub fn text(&self, title: &str) -> String {
        let mut out = format!("{title}\n");
        let mut line = |name: &str, [plain, with, all]: [usize; 3]| {
            let _ = writeln!(
                out,
                "  {name:<44} {all:>5} stages  {:>6.2} % without overrides  {:>6.2} % with",
                percent(plain, all),
                percent(with, all)
            );
        };
        for (name, count) in &self.groups {
            line(name, *count);
        }
        line("all", self.total());
        for (id, reason) in &self.refused {
            let _ = writeln!(out, "  refused as expected: {id}: {reason}");
        }
        for id in &self.overridden {
            let _ = writeln!(out, "  passes by its override: {id}");
        }
        for (id, why) in &self.failed {
            let _ = writeln!(out, "  FAILS: {id}: {why}");
        }
        for fault in &self.faults {
            let _ = writeln!(out, "  WRONG: {fault}");
        }
        out
    }
}

#[allow(clippy::cast_precision_loss)]
fn percent(part: usize, all: usize) -> f64 {
    if all == 0 {
        0.0
    } else {
        100.0 * part as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::judge::Evidence;
    use crate::load::Stage;
    use crate::overrides::{On, Override, Overrides};
    use crate::schema::Output;

    fn stage(id: &str) -> Stage {
        Stage {
            id: id.into(),
            rule: 1,
            file: "a/b.yaml".into(),
            group: "a".into(),
            request: Vec::new(),
            output: Output {
                status: Some(400),
                ..Output::default()
            },
        }
    }

    fn run(statuses: &[(&str, u16)], ids: &[&str]) -> Report {
        let stages: Vec<(Stage, Evidence)> = statuses
            .iter()
            .map(|(id, status)| {
                (
                    stage(id),
                    Evidence {
                        status: Some(*status),
                        ..Evidence::default()
                    },
                )
            })
            .collect();
        let entries = ids.iter().map(|id| Override {
            id: (*id).into(),
            on: On::Both,
            verdict: Output {
                status: Some(200),
                ..Output::default()
            },
            reason: String::new(),
        });
        let overrides = Overrides {
            entries: entries.collect(),
        };
        let seen = stages.iter().map(|(stage, seen)| (stage, seen.clone()));
        Report::of(seen, &overrides, On::Engine).unwrap()
    }

    #[test]
    fn overrides_must_be_needed_and_hold() {
        let report = run(&[("1-1", 400), ("1-2", 200)], &["1-2"]);
        assert_eq!(report.total(), [1, 2, 2]);
        assert!(report.verdict().unwrap_err().contains("99.5"));
        assert!(run(&[("1-1", 400)], &[]).verdict().is_ok());
        assert!(
            run(&[("1-1", 400)], &["1-1"])
                .verdict()
                .unwrap_err()
                .contains("not needed")
        );
        assert!(
            run(&[("1-1", 400)], &["1-9"])
                .verdict()
                .unwrap_err()
                .contains("no stage")
        );
        assert!(
            run(&[("1-1", 500)], &["1-1"])
                .verdict()
                .unwrap_err()
                .contains("500")
        );
        assert!(run(&[], &[]).verdict().is_err());
    }
}
