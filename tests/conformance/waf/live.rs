//! A node with rules, the suite's origin behind it, and what its audit log says of each request.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farmgate_waf_suite::judge::{Evidence, Found};
use farmgate_waf_suite::origin;
use serde_json::Value;

use crate::harness::{Client, Node, Origin, Setup, eventually};

/// Copies the header that names a request into the log, so that its line is found. It stands before all
/// rules, so that it is never among those left out.
const MARKER: &str = "SecRule REQUEST_HEADERS:X-CRS-Test \"@rx ^.+$\" \"id:999999,phase:1,pass,log,auditlog,t:none,msg:'%{MATCHED_VAR}'\"\n";

/// The marker's id.
const MARKER_ID: u64 = 999_999;

/// Requests on the way at the same time.
const AT_ONCE: usize = 4;

/// The longest that a response may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running node.
pub(super) struct Live {
    node: Node,
    // Ends with the node.
    _origin: Origin,
}

impl Live {
    /// With the rules of a folder, which is `rules/` for the node: patterns below it, and settings as text
    /// that stands behind the first of them.
    pub(super) async fn start(
        folder: &Path,
        patterns: &[&str],
        settings: &str,
        engine: &str,
    ) -> Self {
        let origin = Origin::start(|mut peer| async move {
            while let Some(seen) = peer.request().await {
                let method = seen
                    .line
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .as_bytes()
                    .to_vec();
                let answer = origin::answer(&method, seen.target().as_bytes(), &seen.body);
                let mut head = format!("HTTP/1.1 {} Told\r\n", answer.status);
                for (name, value) in &answer.fields {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
                let body = if method == b"HEAD" {
                    Vec::new()
                } else {
                    answer.body
                };
                peer.send([head.into_bytes(), body].concat()).await;
            }
        })
        .await;
        let setup = Setup::new().with("origin", origin.address());
        let at = setup.folder();
        std::os::unix::fs::symlink(folder, at.join("rules")).expect("a link to the rules");
        std::fs::write(at.join("marker.conf"), MARKER).expect("the marker");
        std::fs::write(at.join("settings.conf"), settings).expect("the settings");
        let mut rules = vec!["marker.conf".to_owned()];
        for (place, pattern) in patterns.iter().enumerate() {
            rules.push(format!("rules/{pattern}"));
            if place == 0 {
                rules.push("settings.conf".into());
            }
        }
        let config = format!(
            r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "origin"
endpoints = ["@origin"]

[[route]]
name = "all"
listeners = ["web"]
plugins = ["waf"]
upstream = "origin"

[[plugin]]
name = "waf"
kind = "waf"
{engine}
rules = {rules:?}
cpu_budget = "10s"
audit_log = "run/waf.log"
# Tests look at what matched, words of secrets included.
redact = {{ defaults = false }}
"#
        );
        Self {
            node: setup.start(&config).await,
            _origin: origin,
        }
    }

    /// Sends every request and gives what became of it, in order.
    pub(super) async fn ask(&self, requests: &[(String, Vec<u8>)]) -> Vec<Evidence> {
        let address = self.node.at("web");
        let requests: Arc<Vec<Vec<u8>>> = Arc::new(
            requests
                .iter()
                .map(|(id, bytes)| marked(bytes, id))
                .collect(),
        );
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|worker| {
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    let mut statuses = Vec::new();
                    for bytes in requests.iter().skip(worker).step_by(AT_ONCE) {
                        let mut client = Client::connect(address).await;
                        client.send(bytes).await;
                        let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
                        let method = String::from_utf8_lossy(method).into_owned();
                        let response = client.response_to(&method);
                        // A request whose body never comes whole has no response in time.
                        let response = tokio::time::timeout(PATIENCE, response).await;
                        statuses.push(response.ok().flatten().map(|response| response.status));
                    }
                    statuses
                })
            })
            .collect();
        let mut statuses = vec![None; requests.len()];
        for (worker, task) in workers.into_iter().enumerate() {
            let told = task.await.expect("a worker that does not panic");
            for (turn, status) in told.into_iter().enumerate() {
                statuses[worker + turn * AT_ONCE] = status;
            }
        }
        statuses
            .into_iter()
            .map(|status| Evidence {
                status,
                ..Evidence::default()
            })
            .collect()
    }

    /// Adds to each evidence what the audit log has of its request. A request that was answered with an
    /// error and has no line was refused before any rule saw it; every other one must have a line.
    pub(super) async fn logged(&self, requests: &[(String, Vec<u8>)], seen: &mut [Evidence]) {
        let wanted: Vec<&str> = requests
            .iter()
            .zip(seen.iter())
            .filter(|(_, evidence)| evidence.status.is_some_and(|status| status < 400))
            .map(|((id, _), _)| id.as_str())
            .collect();
        let lines = eventually("a line in the audit log for every request", || async {
            let lines = self.lines();
            wanted
                .iter()
                .all(|id| lines.contains_key(*id))
                .then_some(lines)
        })
        .await;
        for ((id, _), evidence) in requests.iter().zip(seen) {
            match lines.get(id) {
                Some(found) => evidence.found.clone_from(found),
                None => evidence.refused = Some("by the listener".into()),
            }
        }
    }

    /// The audit log: request to matches.
    fn lines(&self) -> BTreeMap<String, Vec<Found>> {
        let text = std::fs::read_to_string(self.node.folder().join("run/waf.log"));
        let mut lines = BTreeMap::new();
        // A last line without end is still being written.
        for line in text
            .unwrap_or_default()
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let rules = line["rules"].as_array().expect("rules").iter();
            let (marker, rules): (Vec<_>, Vec<_>) =
                rules.partition(|rule| rule["id"].as_u64() == Some(MARKER_ID));
            let id = marker
                .first()
                .and_then(|rule| rule["msg"].as_str())
                .expect("the marker's line");
            assert!(
                line.get("left_out").is_none(),
                "{id}: matches were left out"
            );
            lines.insert(id.to_owned(), rules.into_iter().map(found).collect());
        }
        lines
    }
}

/// A match of the log in the form that tests look at.
fn found(rule: &Value) -> Found {
    let word = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
    let (id, msg, data, variable, value) = (
        &rule["id"],
        word("msg"),
        word("data"),
        word("variable"),
        word("value"),
    );
    let line = format!(
        "[id \"{id}\"] [msg \"{msg}\"] [data \"{data}\"] against variable `{variable}' (Value: `{value}')"
    );
    Found {
        rule: id.as_u64().expect("an id"),
        line: line.into_bytes(),
    }
}

/// The request with the header that names it, behind its first line.
fn marked(bytes: &[u8], id: &str) -> Vec<u8> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |at| at + 1);
    let (line, rest) = bytes.split_at(end);
    [line, format!("X-CRS-Test: {id}\r\n").as_bytes(), rest].concat()
}
