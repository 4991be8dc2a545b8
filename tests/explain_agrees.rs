//! What `explain` says offline is what a node does: random requests, decided by both.
//!
//! Each route answers with its own name, so that the served decision is in the response. The routes of
//! the second test have upstreams, and the access log says which one was taken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use farmgate::compile::world::DryWorld;
use farmgate::compile::{Compiled, compile};
use farmgate::config::load::load;
use farmgate::server::explain::{Question, explain};
use farmgate_plugin_api::decode::Diagnostics;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::harness::{Client, Origin, Setup};

/// Requests that are compared, over all tasks.
const REQUESTS: usize = 100_000;
const TASKS: usize = 4;
/// Sent before the first of them is read.
const BATCH: usize = 50;

/// A small generator of numbers that looks random and is the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[(self.next() % of.len() as u64) as usize]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

const HOSTS: &[&str] = &[
    "a.test",
    "b.test",
    "www.a.test",
    "x.y.a.test",
    "A.TEST:80",
    "other",
    "a.test.",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/b/7",
    "/b/7/c",
    "//a//b",
    "/a/%62",
    "/a/./b",
    "/a/x/../b",
    "/a%2Fb",
    "/c/d/e/f",
    "/%7e",
];

/// Routes in all combinations of hosts, paths and conditions that come up.
fn routes(dice: &mut Dice, target: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for n in 0..40 {
        let name = format!("r{n}");
        let _ = write!(text, "[[route]]\nname = \"{name}\"\n");
        if !dice.one_in(3) {
            let host = dice.pick(&["a.test", "b.test", "*.a.test", "*.test", "www.a.test"]);
            let _ = writeln!(text, "hosts = [\"{host}\"]");
        }
        if !dice.one_in(4) {
            let path = dice.pick(&[
                "/a",
                "/a/*",
                "/a/b",
                "/a/{x}",
                "/{x}/b",
                "/b/{id}/*",
                "/*",
                "/{a}/{b}/{c}",
                "/a/b/*",
                "/~",
            ]);
            let _ = writeln!(text, "paths = [\"{path}\"]");
        }
        if dice.one_in(4) {
            let _ = writeln!(
                text,
                "methods = [\"{}\"]",
                dice.pick(&["GET", "POST", "PUT"])
            );
        }
        if dice.one_in(4) {
            let value = dice.pick(&["\"1\"", "{ regex = \"[0-9]+\" }", "{ present = true }"]);
            let _ = writeln!(text, "headers = {{ \"x-t\" = {value} }}");
        }
        if dice.one_in(5) {
            let _ = writeln!(
                text,
                "query = {{ \"q\" = {} }}",
                dice.pick(&["\"1\"", "{ present = true }"])
            );
        }
        if dice.one_in(6) {
            let _ = writeln!(text, "cookies = {{ \"c\" = \"1\" }}");
        }
        if dice.one_in(6) {
            let _ = writeln!(text, "sources = [\"10.0.0.0/8\"]");
        }
        let _ = writeln!(text, "{}", target(&name));
    }
    text
}

/// A request: its bytes, and the question for `explain`.
fn request(dice: &mut Dice, mark: &str) -> (String, Question) {
    let method = dice.pick(&["GET", "GET", "POST", "PUT", "DELETE"]);
    let mut target = dice.pick(PATHS).to_owned();
    target += dice.pick(&["", "?q=1", "?q=2", "?q", "?x=1&q=%31", "?"]);
    if !mark.is_empty() {
        target += if target.contains('?') { "&" } else { "?" };
        target += mark;
    }
    let mut fields = vec![("host", dice.pick(HOSTS).to_owned())];
    if dice.one_in(2) {
        fields.push(("x-t", dice.pick(&["1", "22", "x", ""]).to_owned()));
    }
    if dice.one_in(3) {
        fields.push((
            "cookie",
            dice.pick(&["c=1", "a=b; c=1", "c=2", "c"]).to_owned(),
        ));
    }
    if dice.one_in(3) {
        fields.push((
            "x-forwarded-for",
            dice.pick(&["10.1.2.3", "11.1.2.3", "10.1.2.3, 9.9.9.9"])
                .to_owned(),
        ));
    }
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let _ = write!(text, "{name}: {value}\r\n");
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(&value).expect("a value"),
        );
    }
    let question = Question {
        tls: false,
        listener: None,
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        target,
        headers,
        client: [127, 0, 0, 1].into(),
        client_sans: Vec::new(),
        consumer: None,
        body: Vec::new(),
    };
    (text + "\r\n", question)
}

fn compiled(path: &Path) -> Compiled {
    let loaded = load(&[path.to_owned()], &|_| None).expect("a configuration that loads");
    let mut diagnostics = Diagnostics::new();
    let compiled = compile(
        &loaded.config,
        &DryWorld::new(&loaded.config),
        &mut diagnostics,
    );
    compiled.expect("a configuration that compiles")
}

const LISTENER: &str = "[[listener]]\nname = \"web\"\naddress = \"@web\"\ntrusted_proxies = [\"127.0.0.0/8\"]\nlimits = { connections = 100 }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_requests_are_served_as_explained() {
    let mut dice = Dice(1);
    let answer = |name: &str| format!("plugins = [{{ kind = \"respond\", body = \"{name}\" }}]");
    let config = format!("{LISTENER}{}", routes(&mut dice, answer));
    const QUIET: &str = "[server]\nthreads = 1\ncontrol = \"run/control.sock\"\ndrain = { idle_grace = \"50ms\", deadline = \"2s\" }\n[admin]\naddress = \"@admin\"\n";
    let node = Setup::new().preamble(QUIET).start(&config).await;
    let compiled = std::sync::Arc::new(compiled(node.config()));
    let web = node.at("web");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let compiled = std::sync::Arc::clone(&compiled);
            tokio::spawn(async move {
                let mut dice = Dice(task as u64 + 100);
                let mut client = Client::connect(web).await;
                let mut routes = BTreeMap::<String, usize>::new();
                for _ in 0..REQUESTS / TASKS / BATCH {
                    let batch: Vec<_> = (0..BATCH).map(|_| request(&mut dice, "")).collect();
                    let bytes: String = batch.iter().map(|(text, _)| text.as_str()).collect();
                    client.send(bytes).await;
                    for (text, question) in &batch {
                        let served = client.response().await.expect("a response");
                        let decision = explain(&compiled.snapshot, question).expect("a decision");
                        let route = decision["route"].as_str();
                        match served.status {
                            200 => assert_eq!(route, Some(served.text().as_str()), "{text}"),
                            404 => assert_eq!(route, None, "{text}"),
                            other => panic!("{other}: {text}"),
                        }
                        *routes
                            .entry(route.unwrap_or("none").to_owned())
                            .or_default() += 1;
                    }
                }
                routes
            })
        })
        .collect();
    let mut reached = BTreeMap::<String, usize>::new();
    for task in tasks {
        for (route, count) in task.await.expect("a task") {
            *reached.entry(route).or_default() += count;
        }
    }
    assert!(
        reached.len() >= 15,
        "the requests reach many routes: {reached:?}"
    );
}

#[tokio::test]
async fn the_access_log_names_the_route_and_upstream_that_were_explained() {
    let origin = Origin::answering("ok").await;
    let mut dice = Dice(2);
    let to = |name: &str| {
        format!(
            "upstream = \"up-{name}\"\n[[upstream]]\nname = \"up-{name}\"\nendpoints = [\"@origin\"]"
        )
    };
    let config = format!("{LISTENER}{}", routes(&mut dice, to));
    let node = Setup::new()
        .with("origin", origin.address())
        .start(&config)
        .await;
    let compiled = compiled(node.config());
    let mut client = node.client().await;
    let mut questions = Vec::new();
    for n in 0..2000 {
        let (text, question) = request(&mut dice, &format!("n={n}"));
        client.ask(&text).await;
        questions.push(question);
    }
    let log = &node.log;
    let last = questions.last().expect("a question").target.clone();
    tokio::time::timeout(Duration::from_secs(20), log.of(&last))
        .await
        .expect("the log");
    let lines: BTreeMap<String, serde_json::Value> = log
        .lines()
        .into_iter()
        .map(|line| (line["path"].as_str().unwrap_or_default().to_owned(), line))
        .collect();
    for question in &questions {
        let decision = explain(&compiled.snapshot, question).expect("a decision");
        let line = &lines[&question.target];
        assert_eq!(line["route"], decision["route"], "{question:?}");
        assert_eq!(
            line["upstream"], decision["upstream"]["name"],
            "{question:?}"
        );
        assert_eq!(line["client"], decision["client"], "{question:?}");
        assert_eq!(line["host"], decision["host"], "{question:?}");
    }
}
