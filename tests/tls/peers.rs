//! Clients that others wrote.

use std::process::Stdio;
use std::time::Duration;

use super::serving;
use crate::harness::Node;
use crate::harness::authority::Authority;

/// How long `testssl` may take: it makes several hundred connections.
const SCAN: Duration = Duration::from_secs(240);

/// Runs a program to its end; what it wrote to standard output.
async fn run(program: &str, arguments: &[&str], limit: Duration) -> String {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} took longer than {limit:?}"));
    let output =
        output.unwrap_or_else(|error| panic!("{program} (./dev test installs it): {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {out}\n{err}"
    );
    out
}

fn trusted(authority: &Authority, node: &Node) -> String {
    let path = authority.write(node.folder(), "root.pem");
    path.to_str().expect("a UTF-8 path").to_owned()
}

#[tokio::test]
async fn curl_speaks_all_versions() {
    let (authority, node) = serving("").await;
    let root = trusted(&authority, &node);
    let to = format!("::{}", node.at("web"));
    for (http, version, expected) in [
        ("--http2", "--tlsv1.3", "2 200 hello"),
        ("--http1.1", "--tlsv1.3", "1.1 200 hello"),
        ("--http2", "--tls-max=1.2", "2 200 hello"),
        ("--http1.1", "--tls-max=1.2", "1.1 200 hello"),
    ] {
        let version: Vec<&str> = version.split('=').collect();
        let mut arguments = vec!["-s", "--cacert", &root, "--connect-to", &to, http];
        arguments.extend(version);
        arguments.extend(["-w", "%{http_version} %{http_code} ", "-o", "-"]);
        arguments.push("https://www.example.test/");
        let out = run("curl", &arguments, crate::harness::SOON).await;
        let (version, body) = expected.rsplit_once(' ').expect("two parts");
        assert_eq!(out.trim(), format!("{body}{version}"), "{arguments:?}");
    }
}

#[tokio::test]
async fn h2load_gets_every_answer() {
    let (_authority, node) = serving("default = \"www.example.test\"").await;
    let url = format!("https://{}/", node.at("web"));
    let host = ["-H", ":authority: www.example.test"];
    let load = ["-n", "2000", "-c", "10", "-m", "20", "-t", "1"];
    let out = run(
        "h2load",
        &[&host[..], &load, &[&url]].concat(),
        crate::harness::SOON,
    )
    .await;
    assert!(
        out.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{out}"
    );
    assert!(out.contains("status codes: 2000 2xx"), "{out}");
    assert!(out.contains("Application protocol: h2"), "{out}");
}

/// What testssl.sh finds worth fixing. Of what it says by itself: SSL 2 to TLS 1.1, null, anonymous, export, 3DES, RC4
/// and CBC ciphers, forward secrecy, renegotiation, and the named attacks from Heartbleed to Lucky 13.
async fn scan(policy: &str) -> Vec<serde_json::Value> {
    let (_authority, node) = serving(&format!(
        "policy = \"{policy}\"\ndefault = \"www.example.test\""
    ))
    .await;
    let report = node.folder().join("testssl.json");
    let address = node.at("web").to_string();
    let report_path = report.to_str().expect("a UTF-8 path");
    let quiet = [
        "--quiet",
        "--warnings",
        "batch",
        "--color",
        "0",
        "--ip",
        "one",
    ];
    let what = [
        "-p",
        "-s",
        "-f",
        "-P",
        "-U",
        "--jsonfile",
        report_path,
        &address,
    ];
    run("testssl", &[&quiet[..], &what].concat(), SCAN).await;
    let text = std::fs::read_to_string(&report).expect("the report");
    let found: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    assert!(found.len() > 40, "{text}");
    found
}

fn is_fine(policy: &str, found: &[serde_json::Value]) {
    let wrong: Vec<_> = found
        .iter()
        .filter(|one| {
            let severity = one["severity"].as_str().unwrap_or_default();
            !matches!(severity, "OK" | "INFO")
                // About the scanner's own openssl, not about us.
                && one["id"] != "engine_problem"
        })
        .collect();
    assert!(wrong.is_empty(), "{policy}: {wrong:#?}");
    let says = |id: &str| {
        let one = found.iter().find(|one| one["id"] == id);
        one.and_then(|one| one["finding"].as_str())
            .unwrap_or_default()
    };
    for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert!(
            says(old).starts_with("not offered"),
            "{policy} {old}: {}",
            says(old)
        );
    }
    let tls12 = says("TLS1_2").starts_with("offered");
    assert_eq!(tls12, policy == "intermediate", "{}", says("TLS1_2"));
    assert!(says("TLS1_3").starts_with("offered"), "{}", says("TLS1_3"));
}

#[tokio::test]
async fn testssl_finds_nothing_weak_in_intermediate() {
    is_fine("intermediate", &scan("intermediate").await);
}

#[tokio::test]
async fn testssl_finds_nothing_weak_in_modern() {
    is_fine("modern", &scan("modern").await);
}
