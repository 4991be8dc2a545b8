//! What a benign request costs, in process and on one thread: `cargo run --release -p farmgate-waf
//! --example measure -- CRS_FOLDER [WORD]`. With a word, only lines that begin with it are measured. Once
//! with values that are new in each request, once with the same request again and again.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use farmgate_waf::plan::{Plan, PlanOptions, RuleSet};
use farmgate_waf::seclang::{DiskFiles, EngineMode, Source};
use farmgate_waf::transaction::{Connection, Limits, Transaction, Verdict};

/// The load cases whose requests are measured; what the peers take for them says `./dev bench waf`.
const CASES: [&str; 3] = ["waf_get", "waf_json", "waf_form"];

struct Request {
    name: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// With a number of its own in its values.
    fn numbered(&self, number: usize) -> Self {
        let numbered = |text: &str| text.replace("00000000", &format!("{number:08}"));
        let body = self
            .body
            .as_ref()
            .and_then(|body| std::str::from_utf8(body).ok());
        Self {
            name: self.name,
            target: numbered(&self.target),
            fields: self
                .fields
                .iter()
                .map(|(name, value)| (name.clone(), numbered(value)))
                .collect(),
            body: body.map(|body| numbered(body).into_bytes()),
        }
    }

    /// That of a case of the folder `load-tests/cases`.
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../load-tests/cases")
            .join(name);
        let text = std::fs::read_to_string(folder.join("load.toml")).expect("a load.toml");
        let load: toml::Table = text.parse().expect("a load.toml");
        let word = |name: &str| load.get(name).and_then(toml::Value::as_str);
        let lines = load.get("headers").and_then(toml::Value::as_array);
        let lines = lines.into_iter().flatten().filter_map(toml::Value::as_str);
        let mut fields = vec![("Host".to_owned(), word("host").expect("a host").to_owned())];
        fields.extend(lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header line");
            (name.to_owned(), value.to_owned())
        }));
        let body = word("body").map(|file| std::fs::read(folder.join(file)).expect("a body"));
        if let Some(body) = &body {
            fields.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        Self {
            name,
            target: word("target").expect("a target").to_owned(),
            fields,
            body,
        }
    }
}

#[inline(never)]
fn judge(plan: &Arc<Plan>, request: &Request) -> (u64, bool) {
    let address = "127.0.0.1".parse().expect("an address");
    let connection = Connection {
        client: address,
        client_port: 4000,
        server: address,
        server_port: 80,
        server_name: b"shop.example.com",
    };
    let mut transaction = Transaction::new(
        plan,
        EngineMode::On,
        Limits::default(),
        "0123456789abcdef",
        &connection,
    );
    let mut fields = request
        .fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let head = transaction.request_head(
        request
            .body
            .as_ref()
            .map_or(b"GET".as_slice(), |_| b"POST".as_slice()),
        request.target.as_bytes(),
        b"HTTP/1.1",
        &mut fields,
    );
    let body = transaction.request_body(&[request.body.as_deref().unwrap_or_default()], false);
    let answer: [(&[u8], &[u8]); 2] = [
        (b"Content-Type", b"text/plain"),
        (b"Content-Length", b"1024"),
    ];
    transaction.response_head(200, b"HTTP/1.1", &mut answer.iter().copied());
    transaction.response_piece(&[b'x'; 1024]);
    transaction.response_end();
    transaction.finish();
    (
        transaction.work(),
        head == Verdict::Continue && body == Verdict::Continue,
    )
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .expect("the folder of the Core Rule Set");
    let wanted = std::env::args().nth(2).unwrap_or_default();
    let files = DiskFiles {
        root: folder.into(),
    };
    let sources =
        ["crs-setup.conf.example", "rules/*.conf"].map(|pattern| Source::Pattern(pattern.into()));
    let begin = Instant::now();
    let (rules, _) = RuleSet::load(&sources, &files).expect("rules that load");
    println!(
        "loaded in {:?}, {} KiB of automata",
        begin.elapsed(),
        rules.memory() / 1024
    );
    let requests = CASES.map(Request::read);
    for paranoia in [1, 2, 4] {
        let options = PlanOptions {
            paranoia: Some(paranoia),
            ..PlanOptions::default()
        };
        for (kind, plan) in [
            ("plan", Plan::compile(&rules, &options).0),
            ("naive", Plan::naive(&rules, &options).0),
        ] {
            for (request, values) in requests
                .iter()
                .flat_map(|request| [(request, "new"), (request, "same")])
            {
                let title = format!("paranoia {paranoia} {kind:5} {:8} {values:4}", request.name);
                if !title.starts_with(&wanted) {
                    continue;
                }
                let count = if values == "new" { 2000 } else { 1 };
                let all: Vec<Request> = (0..count).map(|number| request.numbered(number)).collect();
                let mut next = all.iter().cycle();
                let mut best = f64::MAX;
                let (mut work, mut passed) = (0, true);
                for _ in 0..7 {
                    let count = 300;
                    let begin = Instant::now();
                    for request in next.by_ref().take(count) {
                        (work, passed) = judge(&plan, request);
                    }
                    best = best.min(begin.elapsed().as_secs_f64() * 1e6 / count as f64);
                }
                println!(
                    "{title} {best:8.1} us  {work:7} units  {} bytes{}",
                    request.body.as_ref().map_or(0, Vec::len),
                    if passed { "" } else { "  REFUSED" }
                );
            }
        }
    }
}
