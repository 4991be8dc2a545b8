//! How a case stands to its budget.

use super::{CaseReport, Row, count};
use crate::case::{Budget, CacheLoad, Per, Unit};
use crate::contestant::{BARE_PINGORA, FARMGATE, FARMGATE_OFF, NGINX, NGINX_OFF, VARNISH};
use crate::measure::Spread;

impl CaseReport {
    /// The lines that say how Farmgate stands to the yardsticks. `Err` where it is over the budget, where one of them
    /// lost something, where a yardstick of the budget was not measured, and where the origin was asked too often.
    pub(crate) fn verdicts(&self, budget: &Budget) -> Vec<Result<String, String>> {
        let Some(farmgate) = self.row(FARMGATE) else {
            return vec![Err(self.not_measured(FARMGATE))];
        };
        let ratios = [
            (BARE_PINGORA, budget.ratio_to_bare_pingora),
            (NGINX, budget.ratio_to_nginx),
            (VARNISH, budget.ratio_to_varnish),
        ]
        .into_iter()
        // One that is neither here nor in the budget has no line.
        .filter(|(name, limit)| limit.is_some() || self.row(name).is_some())
        .map(|(name, limit)| self.verdict(farmgate, name, limit, budget.losses));
        let fetches = budget.origin_fetches.into_iter();
        let fetches = fetches.flat_map(|limit| self.fetches(farmgate, limit));
        let first_byte = budget.first_byte_after_head_ms.into_iter();
        let first_byte = first_byte.map(|limit| self.first_byte(farmgate, limit));
        let engines = self.engines.as_ref();
        let engines = engines.and_then(|engines| engines.verdict(budget));
        let growth = budget.resident_growth_mib.into_iter();
        let growth = growth.flat_map(|limit| self.resident_growth(farmgate, limit));
        engines
            .into_iter()
            .chain(ratios)
            .chain(self.added())
            .chain(fetches)
            .chain(first_byte)
            .chain(growth)
            .collect()
    }

    /// What the firewall adds to a proxied request, where contestants without it were measured too. For the record: the
    /// budget is about the whole request.
    fn added(&self) -> Option<Result<String, String>> {
        let added = |with: &str, without: &str| {
            let pairs = self.row(with)?.rounds.iter();
            let pairs = pairs.zip(&self.row(without)?.rounds);
            let added = pairs.map(|(one, other)| one.cpu_us_per_request - other.cpu_us_per_request);
            Some(Spread::of(added)?.median)
        };
        let farmgate = added(FARMGATE, FARMGATE_OFF)?;
        let nginx = added(NGINX, NGINX_OFF)
            .map_or("not measured".to_owned(), |added| format!("{added:.1} us"));
        let case = &self.case;
        Some(Ok(format!(
            "{case}: the firewall adds {farmgate:.1} us to a request through farmgate, to nginx's {nginx}, no budget"
        )))
    }

    /// Whether another Farmgate of the case takes much more memory.
    fn resident_growth(&self, farmgate: &Row, limit_mib: f64) -> Vec<Result<String, String>> {
        let own = |row: &&Row| row.name.starts_with(FARMGATE) && row.name != FARMGATE;
        let of_row = |row: &Row| {
            let (Some(mib), Some(least)) = (row.resident_mib, farmgate.resident_mib) else {
                return Err(self.not_measured(row.name));
            };
            let line = format!(
                "{}: {} takes {:.1} MiB more than {FARMGATE}'s {least:.1}, budget {limit_mib}",
                self.case,
                row.name,
                mib - least
            );
            if mib - least > limit_mib {
                Err(format!("{line}: over budget"))
            } else {
                Ok(format!("{line}: within"))
            }
        };
        let mut lines: Vec<_> = self.rows.iter().filter(own).map(of_row).collect();
        if lines.is_empty() {
            lines.push(Err(self.not_measured("a farmgate of more routes")));
        }
        lines
    }

    /// Whether the origin was asked too often. A rival is held to it where it would have done other work than the
    /// case's: where clients come in groups the figure itself is what is compared.
    fn fetches(&self, farmgate: &Row, limit: f64) -> Vec<Result<String, String>> {
        let by = match self.per() {
            Some(Per::Group) => "group",
            Some(Per::Request) | None => "request",
        };
        let of_row = |row: &Row| {
            let (case, name) = (&self.case, row.name);
            let Some(fetches) = row.origin_fetches() else {
                return Some(Err(self.not_measured(name)));
            };
            let line = format!(
                "{case}: {name} asked the origin {} times per {by}, budget {limit}",
                count(fetches)
            );
            match (fetches > limit, name == FARMGATE) {
                (true, true) => Some(Err(format!("{line}: over budget"))),
                (true, false) if self.per() == Some(Per::Request) => {
                    Some(Err(format!("{line}: not comparable")))
                }
                (true, false) => None,
                (false, true) => Some(Ok(format!("{line}: within"))),
                (false, false) => None,
            }
        };
        let rivals = self.rows.iter().filter(|row| row.name != FARMGATE);
        std::iter::once(farmgate)
            .chain(rivals)
            .filter_map(of_row)
            .collect()
    }

    /// Whether clients in groups waited too long after the origin's head.
    fn first_byte(&self, farmgate: &Row, limit_ms: f64) -> Result<String, String> {
        let p99 = farmgate
            .spread(|round| round.run.p99_us as f64 / 1000.0)
            .ok_or_else(|| self.not_measured(FARMGATE))?;
        let head_ms = self.cache.as_ref().map_or(0, CacheLoad::head_ms);
        let after_ms = p99.median - head_ms as f64;
        let line = format!(
            "{}: farmgate's first byte came {after_ms:.1} ms after the origin's head (p99), budget {limit_ms}",
            self.case
        );
        if after_ms > limit_ms {
            Err(format!("{line}: over budget"))
        } else {
            Ok(format!("{line}: within"))
        }
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
