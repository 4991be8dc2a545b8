//! Whether what was seen is what was expected.

use regex::bytes::Regex;

use crate::schema::Output;

/// A rule's match, as a subject shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: u64,
    /// Its line in the log, or what amounts to one: `[id "942100"] [msg "..."] [data "..."] ...`.
    pub line: Vec<u8>,
}

/// What became of a stage.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The status; none when no response came.
    pub status: Option<u16>,
    /// Why the server in front refused before any rule saw the request; it answered `status`.
    pub refused: Option<String>,
    /// Matches in order.
    pub found: Vec<Found>,
}

impl Evidence {
    /// True if the rule matched.
    pub fn has(&self, rule: u64) -> bool {
        self.found.iter().any(|found| found.rule == rule)
    }
}

/// Rules about how a request is written: a refusal by the server in front says the same.
fn is_protocol(rule: u64) -> bool {
    (920_000..921_000).contains(&rule) || (200_000..200_010).contains(&rule)
}

/// What is not as expected; nothing when the stage passes.
///
/// # Errors
/// A regex that is none.
pub fn faults(expected: &Output, seen: &Evidence) -> Result<Vec<String>, String> {
    if let Some(reason) = &seen.refused {
        return Ok(refusal_faults(expected, seen, reason));
    }
    let mut faults = Vec::new();
    if expected.expect_error == Some(true) && seen.status.is_some() {
        faults.push(format!("answered {:?} instead of an error", seen.status));
    }
    if let Some(status) = expected.status
        && seen.status != Some(status)
    {
        faults.push(format!("status {} instead of {status}", word(seen.status)));
    }
    for rule in &expected.log.expect_ids {
        if !seen.has(*rule) {
            faults.push(format!("{rule} did not match"));
        }
    }
    for rule in &expected.log.no_expect_ids {
        if seen.has(*rule) {
            faults.push(format!("{rule} matched"));
        }
    }
    if expected.isolated == Some(true)
        && let Some(other) = seen
            .found
            .iter()
            .find(|found| !expected.log.expect_ids.contains(&found.rule))
    {
        faults.push(format!("{} matched as well", other.rule));
    }
    let wanted = [&expected.log.match_regex, &expected.log_contains];
    for pattern in wanted.into_iter().flatten() {
        if !is_logged(pattern, seen)? {
            faults.push(format!("no line matches /{pattern}/"));
        }
    }
    let unwanted = [&expected.log.no_match_regex, &expected.no_log_contains];
    for pattern in unwanted.into_iter().flatten() {
        if is_logged(pattern, seen)? {
            faults.push(format!("a line matches /{pattern}/"));
        }
    }
    Ok(faults)
}

fn refusal_faults(expected: &Output, seen: &Evidence, reason: &str) -> Vec<String> {
    let wants_refusal = expected.expect_error == Some(true)
        || expected.status.is_some_and(|status| status >= 400)
        || expected
            .log
            .expect_ids
            .iter()
            .any(|rule| is_protocol(*rule));
    if wants_refusal {
        return Vec::new();
    }
    vec![format!(
        "refused with {} before the rules: {reason}",
        word(seen.status)
    )]
}

fn is_logged(pattern: &str, seen: &Evidence) -> Result<bool, String> {
    let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
    Ok(seen.found.iter().any(|found| regex.is_match(&found.line)))
}

fn word(status: Option<u16>) -> String {
    status.map_or_else(|| "none".into(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Found, faults};
    use crate::schema::{Log, Output};

    fn seen(rules: &[u64]) -> Evidence {
        let found = rules.iter().map(|rule| Found {
            rule: *rule,
            line: format!("[id \"{rule}\"] [data \"\u{e9}\"]").into_bytes(),
        });
        Evidence {
            status: Some(200),
            refused: None,
            found: found.collect(),
        }
    }

    fn wants(log: Log) -> Output {
        Output {
            log,
            ..Output::default()
        }
    }

    #[test]
    fn everything_written_must_hold() {
        let log = Log {
            expect_ids: vec![1, 2],
            no_expect_ids: vec![3],
            match_regex: Some("id \"1\"".into()),
            no_match_regex: Some("id \"4\"".into()),
        };
        let output = wants(log);
        assert_eq!(
            faults(&output, &seen(&[2, 1])).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(faults(&output, &seen(&[1])).unwrap(), ["2 did not match"]);
        assert_eq!(faults(&output, &seen(&[1, 2, 3])).unwrap(), ["3 matched"]);
        assert_eq!(faults(&output, &seen(&[1, 2, 4])).unwrap().len(), 1);
        assert_eq!(faults(&output, &seen(&[])).unwrap().len(), 3);
        let isolated = Output {
            isolated: Some(true),
            ..wants(Log {
                expect_ids: vec![1],
                ..Log::default()
            })
        };
        assert_eq!(
            faults(&isolated, &seen(&[1, 9])).unwrap(),
            ["9 matched as well"]
        );
        let status = Output {
            status: Some(400),
            ..Output::default()
        };
        assert_eq!(
            faults(&status, &seen(&[])).unwrap(),
            ["status 200 instead of 400"]
        );
    }

    #[test]
    fn a_refusal_passes_only_where_one_is_wanted() {
        let refused = Evidence {
            status: Some(400),
            refused: Some("x".into()),
            found: Vec::new(),
        };
        let status = |status| Output {
            status,
            ..Output::default()
        };
        assert!(faults(&status(Some(400)), &refused).unwrap().is_empty());
        assert_eq!(faults(&status(Some(200)), &refused).unwrap().len(), 1);
        assert_eq!(faults(&status(None), &refused).unwrap().len(), 1);
        let ids = |rule| {
            wants(Log {
                expect_ids: vec![rule],
                ..Log::default()
            })
        };
        assert!(faults(&ids(920_430), &refused).unwrap().is_empty());
        assert_eq!(faults(&ids(942_100), &refused).unwrap().len(), 1);
    }
}
