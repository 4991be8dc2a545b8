//! What operators use: explain and learn.

use super::{ENGINE_ON, RULES, audit, config, node, write_rules};
use crate::harness::cli::{farmgate, farmgate_async};

#[test]
fn explain_shows_rules_and_scores_offline() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("run")).expect("the run folder");
    write_rules(folder.path(), RULES);
    let path = folder.path().join("farmgate.toml");
    let text = config(ENGINE_ON);
    let text = text
        .replace("@web", "127.0.0.1:0")
        .replace("@origin", "127.0.0.1:9");
    std::fs::write(&path, text).expect("write");
    let path = path.to_str().expect("a path");
    let ask = |more: &[&str]| {
        farmgate(&[&["explain", "--config", path], more].concat())
            .expect(0)
            .out
    };
    let told = ask(&["http://a.test/x?a=points&b=evil-arg"]);
    assert!(
        told.contains("refused by rule 2; inbound score 0"),
        "{told}"
    );
    let told = ask(&["http://a.test/x?a=points"]);
    assert!(told.contains("passes; inbound score 5"), "{told}");
    assert!(
        told.contains("rule 3 phase 2 ARGS:a = points: Points"),
        "{told}"
    );
    let told = ask(&[
        "-X",
        "POST",
        "-H",
        "content-type: application/json",
        "-d",
        "{\"a\":\"evil-arg\"}",
        "http://a.test/",
    ]);
    assert!(told.contains("refused by rule 2"), "{told}");
    assert!(
        !folder.path().join("run/waf.log").exists(),
        "asking writes nothing"
    );
}

#[tokio::test]
async fn explain_knows_a_request_by_its_id() {
    let (node, _demo) = node(ENGINE_ON).await;
    let refused = node.get("/?q=evil-arg").await.json();
    let id = refused["request_id"].as_str().expect("an id").to_owned();
    node.log.of("/?q=evil-arg").await;
    let told = node.run(&["explain", &id]).await.expect(0).out;
    assert!(
        told.contains("waf: blocked, inbound score 0, outbound score 0, rules 2"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_learned_stops_the_false_positive() {
    let (mut node, _demo) = node("engine = \"detection_only\"").await;
    for id in [1, 2, 3] {
        node.get(&format!("/notes/{id}?text=evil-arg")).await;
    }
    node.get("/search?q=evil-arg").await;
    audit(&node, 4).await;
    let log = node.folder().join("run/waf.log");
    let log = log.to_str().expect("a path");
    let learned = farmgate_async(&["waf", "learn", log, "--most", "1"])
        .await
        .expect(0)
        .out;
    assert!(learned.contains("3 requests of 1 clients"), "{learned}");
    assert!(learned.contains("paths = [\"/notes/{id}\"]"), "{learned}");
    // It is TOML for the plugin's table as it stands.
    node.reload(&config(&format!("{ENGINE_ON}\n{learned}")))
        .await;
    assert_eq!(node.get("/notes/9?text=evil-arg").await.status, 200);
    assert_eq!(node.get("/notes/9?other=evil-arg").await.status, 406);
    assert_eq!(node.get("/search?q=evil-arg").await.status, 406);
    farmgate_async(&["waf", "learn", "/nonexistent"])
        .await
        .expect(1);
}
