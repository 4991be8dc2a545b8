//! What a benign request costs, in process and on one thread: `cargo run --release -p farmgate-waf
//! --example measure -- CRS_FOLDER [WORD]`. With a word, only lines that begin with it are measured.

use std::sync::Arc;
use std::time::Instant;

use farmgate_waf::plan::{Plan, PlanOptions, RuleSet};
use farmgate_waf::seclang::{DiskFiles, EngineMode, Source};
use farmgate_waf::transaction::{Connection, Limits, Transaction, Verdict};

const HEADERS: [(&str, &str); 11] = [
    ("Host", "shop.example.com"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://shop.example.com/catalogue/shoes"),
    ("Connection", "keep-alive"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    (
        "Cookie",
        "session=4f1c6a0b9d2e4c7f8a31; theme=dark; _ga=GA1.2.1234567890.1700000000; consent=yes",
    ),
];

const WORDS: [&str; 16] = [
    "delivery",
    "to the second floor",
    "please ring twice",
    "blue",
    "size 42",
    "thank you very much",
    "order",
    "Anna Lindqvist",
    "green tea",
    "it arrived on Monday",
    "invoice",
    "gift for a friend",
    "42.50",
    "2026-11-22",
    "anna@example.com",
    "between 5 and 10",
];

struct Request {
    name: &'static str,
    method: &'static str,
    target: String,
    content_type: Option<&'static str>,
    body: String,
}

fn requests() -> [Request; 3] {
    let word = |i: usize| WORDS[i % WORDS.len()];
    let mut json = String::from("{\"order\":{\"id\":10017,\"items\":[");
    for i in 0..24 {
        let comma = if i == 0 { "" } else { "," };
        json += &format!(
            "{comma}{{\"sku\":\"A-{i:04}\",\"name\":\"{}\",\"count\":{},\"price\":{}.5}}",
            word(i),
            i % 4,
            i * 3
        );
    }
    json += "],\"note\":\"please call before delivery\"}}";
    let form: Vec<String> = (0..132)
        .map(|i| {
            let text: Vec<String> = (0..8)
                .map(|j| word(i * 3 + j).replace(' ', "+").replace('@', "%40"))
                .collect();
            format!("field_{i}={}", text.join("+"))
        })
        .collect();
    [
        Request {
            name: "GET",
            method: "GET",
            target: "/catalogue/shoes?colour=blue&size=42&sort=price&page=2".into(),
            content_type: None,
            body: String::new(),
        },
        Request {
            name: "JSON",
            method: "POST",
            target: "/api/orders".into(),
            content_type: Some("application/json"),
            body: json,
        },
        Request {
            name: "form",
            method: "POST",
            target: "/checkout".into(),
            content_type: Some("application/x-www-form-urlencoded"),
            body: form.join("&"),
        },
    ]
}

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
    let length = request.body.len().to_string();
    let mut fields: Vec<(&[u8], &[u8])> = HEADERS
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    if let Some(content_type) = request.content_type {
        fields.push((b"Content-Type", content_type.as_bytes()));
        fields.push((b"Content-Length", length.as_bytes()));
    }
    let head = transaction.request_head(
        request.method.as_bytes(),
        request.target.as_bytes(),
        b"HTTP/1.1",
        &mut fields.iter().copied(),
    );
    let body = transaction.request_body(&[request.body.as_bytes()], false);
    let answer: [(&[u8], &[u8]); 2] = [
        (b"Content-Type", b"application/octet-stream"),
        (b"Content-Length", b"1024"),
    ];
    transaction.response_head(200, b"HTTP/1.1", &mut answer.iter().copied());
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
    for paranoia in [1, 2, 4] {
        let options = PlanOptions {
            paranoia: Some(paranoia),
            ..PlanOptions::default()
        };
        for (kind, plan) in [
            ("plan", Plan::compile(&rules, &options).0),
            ("naive", Plan::naive(&rules, &options).0),
        ] {
            for request in requests() {
                let title = format!("paranoia {paranoia} {kind:5} {:4}", request.name);
                if !title.starts_with(&wanted) {
                    continue;
                }
                let mut best = f64::MAX;
                let (mut work, mut passed) = (0, true);
                for _ in 0..7 {
                    let count = 300;
                    let begin = Instant::now();
                    for _ in 0..count {
                        (work, passed) = judge(&plan, &request);
                    }
                    best = best.min(begin.elapsed().as_secs_f64() * 1e6 / f64::from(count));
                }
                println!(
                    "{title} {best:8.1} us  {work:7} units  {} bytes{}",
                    request.body.len(),
                    if passed { "" } else { "  REFUSED" }
                );
            }
        }
    }
}
