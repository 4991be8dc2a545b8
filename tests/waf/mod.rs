//! The firewall, with the real node and real sockets.

mod bodies;
mod contract;
mod memory;
mod response;
mod rules;
mod tools;
mod trailers;

use std::path::Path;

use serde_json::Value;

use crate::harness::{Demo, Node, Setup, eventually};

/// Rules by id: 1 a word in the target, 2 a word in an argument, 3 scores and 4 refuses by them, 5 a
/// field of the answer, 6 a word in its body, 7 bodies that cannot be read, 8 strict multipart.
pub(super) const RULES: &str = r#"
SecRule REQUEST_URI_RAW "@contains evil-path" "id:1,phase:1,deny,status:403,log,msg:'Path',tag:'one'"
SecRule ARGS "@contains evil-arg" "id:2,phase:2,deny,status:406,log,msg:'Argument',tag:'two'"
SecRule ARGS "@contains points" "id:3,phase:2,pass,log,msg:'Points',setvar:tx.blocking_inbound_anomaly_score=+5"
SecRule TX:blocking_inbound_anomaly_score "@ge 10" "id:4,phase:2,deny,log,msg:'Score'"
SecRule RESPONSE_HEADERS:x-leak "@rx ." "id:5,phase:3,deny,status:500,log,msg:'Leak'"
SecRule RESPONSE_BODY "@contains evil-body" "id:6,phase:4,deny,status:403,log,msg:'Body'"
SecRule REQBODY_ERROR "!@eq 0" "id:7,phase:2,deny,status:400,log,msg:'Unreadable'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:8,phase:2,deny,status:400,log,msg:'Multipart'"
"#;

pub(super) const ENGINE_ON: &str = "engine = \"on\"";

/// A configuration with the plugin `waf`, of these words, on the routes `editor` (below /edit/) and
/// `shop`.
pub(super) fn config(words: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "editor"
paths = ["/edit/*"]
plugins = ["waf"]
upstream = "app"

[[route]]
name = "shop"
plugins = ["waf"]
upstream = "app"

[[plugin]]
name = "waf"
kind = "waf"
rules = ["rules/*.conf"]
audit_log = "run/waf.log"
{words}
"#
    )
}

/// Rules beside the configuration.
pub(super) fn write_rules(folder: &Path, rules: &str) {
    let rules_folder = folder.join("rules");
    std::fs::create_dir_all(&rules_folder).expect("the rules folder");
    std::fs::write(rules_folder.join("own.conf"), rules).expect("write the rules");
}

/// A node with the plugin before this origin.
pub(super) async fn before(origin: std::net::SocketAddr, words: &str) -> Node {
    let setup = Setup::new().with("origin", origin);
    write_rules(setup.folder(), RULES);
    setup.start(&config(words)).await
}

/// A node with the plugin before the demo origin.
pub(super) async fn node(words: &str) -> (Node, Demo) {
    let demo = Demo::start().await;
    (before(demo.address(), words).await, demo)
}

/// The lines of the audit log, once there are so many.
pub(super) async fn audit(node: &Node, count: usize) -> Vec<Value> {
    let path = node.folder().join("run/waf.log");
    eventually(&format!("{count} lines of the audit log"), || async {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn a_refusal_tells_its_id_and_nothing_else() {
    let (node, _demo) = node(ENGINE_ON).await;
    assert_eq!(node.get("/echo?q=fine").await.status, 200);
    for (target, status) in [
        ("/evil-path", 403),
        ("/?q=evil-arg", 406),
        ("/?a=points&b=points", 403),
        ("/?a=points", 200),
    ] {
        let response = node.get(target).await;
        assert_eq!(response.status, status, "{target}");
        if status == 200 {
            continue;
        }
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        let problem = response.json();
        assert_eq!(problem["detail"], "waf_blocked");
        let line = node.log.of(target).await;
        assert_eq!(problem["request_id"], line["request_id"]);
        assert!(!response.text().contains("rule") && !response.text().contains("evil"));
    }
    let lines = audit(&node, 4).await;
    assert_eq!(lines.len(), 4, "a request without a match has no line");
    assert_eq!(lines[0]["rules"][0]["id"], 1);
    assert_eq!(lines[0]["verdict"], "blocked");
    assert_eq!(lines[3]["verdict"], "passed");
    assert_eq!(lines[3]["scores"]["inbound"], 5);
    let name = "farmgate_plugin_waf_requests_total";
    assert_eq!(
        node.metric(name, &[("plugin", "waf"), ("verdict", "blocked")])
            .await,
        3.0
    );
    let name = "farmgate_plugin_waf_matches_total";
    assert_eq!(node.metric(name, &[("rule", "3")]).await, 3.0);
    let name = "farmgate_plugin_waf_inbound_score_count";
    assert_eq!(node.metric(name, &[]).await, 2.0);
}

#[tokio::test]
async fn detection_only_reports_and_off_does_nothing() {
    let (mut node, _demo) = node("engine = \"detection_only\"").await;
    assert_eq!(node.get("/evil-path?q=evil-arg").await.status, 200);
    let lines = audit(&node, 1).await;
    assert_eq!(
        (&lines[0]["verdict"], &lines[0]["status"]),
        (&"would_block".into(), &200.into())
    );
    assert_eq!(lines[0]["rules"].as_array().map(Vec::len), Some(2));
    node.reload(&config("engine = \"off\"")).await;
    assert_eq!(node.get("/evil-path?q=evil-arg").await.status, 200);
    node.reload(&config(ENGINE_ON)).await;
    assert_eq!(node.get("/evil-path").await.status, 403);
    assert_eq!(
        audit(&node, 2).await.len(),
        2,
        "nothing was written while it was off"
    );
}

#[tokio::test]
async fn exclusions_hold_on_paths_and_routes() {
    let (node, _demo) = node(
        "engine = \"on\"\nexclude = [\
         { rule = 2, target = \"ARGS:text\", paths = [\"/notes/{id}\"] },\
         { tag = \"two\", routes = [\"editor\"] }]",
    )
    .await;
    for (target, status) in [
        ("/notes/7?text=evil-arg", 200),
        ("/notes/7?other=evil-arg", 406),
        ("/notes/7/8?text=evil-arg", 406),
        ("/edit/7?q=evil-arg", 200),
        ("/edit/evil-path", 403),
    ] {
        assert_eq!(node.get(target).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn secrets_stay_out_of_the_audit_log() {
    let (node, _demo) = node(ENGINE_ON).await;
    node.get("/?password=evil-arg-hush1").await;
    let mut client = node.client().await;
    client.post("/?q=x", "").await;
    let form = "user=a&api_token=evil-arg-hush2";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(client.ask(&request).await.status, 406);
    let lines = audit(&node, 2).await;
    let text = std::fs::read_to_string(node.folder().join("run/waf.log")).expect("the log");
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(lines[0]["query"], "password=*");
    assert_eq!(lines[1]["rules"][0]["variable"], "ARGS:api_token");
    assert_eq!(lines[1]["rules"][0]["value"], "***");
}

#[tokio::test]
async fn http2_is_judged_by_the_same_rules() {
    let (node, _demo) = node(ENGINE_ON).await;
    let mut http2 = crate::harness::http2::Http2::connect(node.at("web")).await;
    assert_eq!(http2.get("/echo").await.head.status(), 200);
    assert_eq!(http2.get("/?q=evil-arg").await.head.status(), 406);
    let request = http2.request("POST", "/echo");
    let (head, body) = request.into_parts();
    let mut request = http::Request::from_parts(head, body);
    request.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    let sent = [
        bytes::Bytes::from_static(b"{\"a\":[\"evil-"),
        bytes::Bytes::from_static(b"arg\"]}"),
    ];
    let answer = http2.ask(request, &sent, None).await.expect("an answer");
    assert_eq!(answer.head.status(), 406);
}
