//! Farmgate's engine without a proxy: judges a case's request again and again, on one thread. `modsecurity.c` is the same
//! for libmodsecurity, and answers in the same words; it repeats one request, since that library keeps nothing of it.

use std::io::{BufRead, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use farmgate_waf::plan::{Plan, PlanOptions, RuleSet};
use farmgate_waf::seclang::{DiskFiles, EngineMode, Problem, Source};
use farmgate_waf::transaction::{Connection, Limits, Transaction, Verdict};
use rustix::time::{ClockId, clock_gettime};

use crate::case::{Load, numbered};
use crate::engines::Judged;

/// Body of the answer: that of the origin.
const ANSWER: [u8; 1024] = [b'x'; 1024];
/// A batch of requests is at least so long, where requests are cheap: reading the clock costs too.
const BATCH: Duration = Duration::from_millis(1);
/// Requests that are made beforehand where each has a number of its own, and judged in turn: their values are many
/// times as many as the engine remembers.
const NUMBERED: u32 = 4096;

/// What `judge` is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JudgeOptions {
    /// Folder with rules/ and crs-setup.conf.example
    #[arg(long)]
    rules: PathBuf,
    /// The case's load.toml
    #[arg(long)]
    load: PathBuf,
    /// Level of paranoia
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: u8,
}

/// Says READY once the rules are compiled, then reads milliseconds, one number a line, judges for so much CPU time and
/// says what came out as `RESULT` and a line of JSON; until its input ends.
pub(crate) fn run(options: &JudgeOptions) -> Result<ExitCode, String> {
    let load = Load::read(&options.load)?;
    let requests = Request::all(&load)?;
    let plan = plan(options)?;
    let mut out = std::io::stdout();
    let failed = |error: std::io::Error| error.to_string();
    writeln!(out, "READY farmgate-waf {}", env!("CARGO_PKG_VERSION")).map_err(failed)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(failed)?;
        let millis = line
            .trim()
            .parse()
            .map_err(|_| format!("`{line}` is no number of milliseconds"))?;
        let judged = judge_for(&plan, &requests, Duration::from_millis(millis));
        let line = serde_json::to_string(&judged).map_err(|error| error.to_string())?;
        writeln!(out, "RESULT {line}").map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(options: &JudgeOptions) -> Result<Arc<Plan>, String> {
    let files = DiskFiles {
        root: options.rules.clone(),
    };
    let sources =
        ["crs-setup.conf.example", "rules/*.conf"].map(|pattern| Source::Pattern(pattern.into()));
    let (rules, _) = RuleSet::load(&sources, &files).map_err(|problems| said(&problems))?;
    let options = PlanOptions {
        paranoia: Some(options.paranoia),
        ..PlanOptions::default()
    };
    Ok(Plan::compile(&rules, &options).0)
}

fn said(problems: &[Problem]) -> String {
    let messages: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    messages.join("; ")
}

/// The case's request, in the parts that an engine is told.
struct Request {
    method: &'static str,
    target: Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// One, or as many as differ by their number.
    fn all(load: &Load) -> Result<Vec<Self>, String> {
        let one = Self::new(load)?;
        if !load.numbered {
            return Ok(vec![one]);
        }
        Ok((0..NUMBERED).map(|number| one.with(number)).collect())
    }

    fn new(load: &Load) -> Result<Self, String> {
        let mut fields = vec![("Host".to_owned(), load.host.as_bytes().to_vec())];
        for line in &load.headers {
            let (name, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("load.toml: `{line}` is no header line"))?;
            fields.push((name.to_owned(), value.into()));
        }
        if load.body.is_some() {
            let length = load.content.len().to_string();
            fields.push(("Content-Length".to_owned(), length.into()));
        }
        Ok(Self {
            method: load.method(),
            target: load.target.clone().into(),
            fields,
            body: load.content.to_vec(),
        })
    }

    fn with(&self, number: u32) -> Self {
        let fields = self.fields.iter();
        Self {
            method: self.method,
            target: numbered(&self.target, number),
            fields: fields
                .map(|(name, value)| (name.clone(), numbered(value, number)))
                .collect(),
            body: numbered(&self.body, number),
        }
    }
}

fn judge_for(plan: &Arc<Plan>, requests: &[Request], limit: Duration) -> Judged {
    let begin = cpu();
    let (mut judged, mut batch, mut refused) = (0, 1, false);
    let mut next = requests.iter().cycle();
    loop {
        let before = cpu();
        for request in next.by_ref().take(batch) {
            refused |= judge(plan, request) != Verdict::Continue;
        }
        judged += batch as u64;
        let now = cpu();
        let spent = now.saturating_sub(begin);
        if spent >= limit {
            return Judged {
                requests: judged,
                cpu_us: u64::try_from(spent.as_micros()).unwrap_or(u64::MAX),
                refused,
            };
        }
        if now.saturating_sub(before) < BATCH {
            batch *= 2;
        }
    }
}

/// CPU time of this process.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// All phases; what is refused goes to the last one.
fn judge(plan: &Arc<Plan>, request: &Request) -> Verdict {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let connection = Connection {
        client: address,
        client_port: 4000,
        server: address,
        server_port: 80,
        server_name: b"www.example.test",
    };
    let (id, limits) = ("0123456789abcdef", Limits::default());
    let mut transaction = Transaction::new(plan, EngineMode::On, limits, id, &connection);
    let verdict = phases(&mut transaction, request);
    transaction.finish();
    verdict
}

fn phases(transaction: &mut Transaction, request: &Request) -> Verdict {
    let mut fields = request
        .fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_slice()));
    let verdict = transaction.request_head(
        request.method.as_bytes(),
        &request.target,
        b"HTTP/1.1",
        &mut fields,
    );
    if verdict != Verdict::Continue {
        return verdict;
    }
    if !request.body.is_empty() && transaction.wants_body() {
        transaction.request_piece(&request.body);
    }
    let verdict = transaction.request_end(false);
    if verdict != Verdict::Continue {
        return verdict;
    }
    let answer: [(&[u8], &[u8]); 2] = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"1024"),
    ];
    let verdict = transaction.response_head(200, b"HTTP/1.1", &mut answer.into_iter());
    if verdict != Verdict::Continue {
        return verdict;
    }
    if transaction.wants_response_body() {
        transaction.response_piece(&ANSWER);
    }
    transaction.response_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use farmgate_waf::seclang::MapFiles;

    fn plan(rules: &str) -> Arc<Plan> {
        let source = Source::Text {
            name: "rules".into(),
            text: rules.into(),
        };
        let (rules, _) = RuleSet::load(&[source], &MapFiles::default()).unwrap();
        Plan::compile(&rules, &PlanOptions::default()).0
    }

    fn request(body: &str) -> Request {
        let text = "target = \"/?q=a\"\nhost = \"a.test\"\nheaders = [\"content-type: application/json\"]\n\
                    connections = 1\nresponse_bytes = 1\n";
        let mut load: Load = toml::from_str(text).unwrap();
        load.body = Some("body".into());
        load.content = body.to_owned().into();
        Request::new(&load).unwrap()
    }

    #[test]
    fn every_phase_is_judged() {
        for rule in [
            "SecRule ARGS:q \"@streq a\" \"id:1,phase:1,deny\"",
            "SecRule ARGS:json.n \"@streq 5\" \"id:1,phase:2,deny\"",
            "SecRule RESPONSE_STATUS \"@eq 200\" \"id:1,phase:3,deny\"",
            "SecRule RESPONSE_BODY \"@contains xxx\" \"id:1,phase:4,deny\"",
        ] {
            let limit = Duration::from_millis(2);
            let requests = [request("{\"n\":5}")];
            let judged = judge_for(&plan(rule), &requests, limit);
            assert!(judged.refused, "{rule}");
            assert!(judged.requests > 0 && judged.cpu_us >= 2000);
            let other = rule.replace("streq ", "streq not ").replace("xxx", "y");
            let other = other.replace("200", "500");
            assert!(!judge_for(&plan(&other), &requests, limit).refused);
        }
    }
}
