//! Rules: changed while the node serves, shared, checked; and what a request may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ENGINE_ON, RULES, config, node, write_rules};
use crate::harness::cli::check;
use crate::harness::node::joined;
use crate::harness::{Client, eventually};

#[tokio::test]
async fn rules_change_under_load_and_bad_ones_do_not_count() {
    let (node, _demo) = node(ENGINE_ON).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (node.at("web"), Arc::clone(&stop));
    let load = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(client.get("/echo?q=fine").await.status, 200);
            count += 1;
        }
        count
    });
    assert_eq!(node.get("/evil-path").await.status, 403);
    write_rules(node.folder(), &RULES.replace("status:403", "status:410"));
    eventually("the new rules", || async {
        (node.get("/evil-path").await.status == 410).then_some(())
    })
    .await;
    write_rules(
        node.folder(),
        "SecRule ARGS \"@nonsense x\" \"id:1,phase:1,pass\"\n",
    );
    node.metric_is("farmgate_plugin_waf_file_errors_total", &[], 1.0)
        .await;
    assert_eq!(
        node.get("/evil-path").await.status,
        410,
        "the last good rules stay"
    );
    assert!(node.errors().contains("own.conf:1"), "{}", node.errors());
    // A file more, found by the pattern.
    write_rules(node.folder(), RULES);
    let more = "SecRule ARGS \"@contains another\" \"id:100,phase:2,deny,status:418,log\"\n";
    std::fs::write(node.folder().join("rules/more.conf"), more).expect("write");
    eventually("the new file", || async {
        (node.get("/?q=another").await.status == 418).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(joined(load).await > 0);
}

#[test]
fn check_reports_every_problem_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("run")).expect("the run folder");
    let path = folder.path().join("farmgate.toml");
    let text =
        config("engine = \"on\"\nparanoia = 9\nexclude = [{ rule = 1, target = \"ARG:x\" }]");
    let text = text
        .replace("@web", "127.0.0.1:0")
        .replace("@origin", "127.0.0.1:9");
    std::fs::write(&path, &text).expect("write");
    let ran = check(&path).expect(78);
    assert!(
        ran.out.contains("paranoia level") && ran.out.contains("is no target"),
        "{}",
        ran.out
    );
    let text = text.replace("paranoia = 9", "").replace("ARG:x", "ARGS:x");
    std::fs::write(&path, &text).expect("write");
    let ran = check(&path).expect(78);
    assert!(ran.out.contains("finds no file"), "{}", ran.out);
    write_rules(
        folder.path(),
        "# Two mistakes.\nSecNonsense On\nSecRule NOTHING \"@rx a\" \"id:2,phase:2,pass\"\n",
    );
    let ran = check(&path).expect(78);
    for place in ["own.conf:2:", "own.conf:3:"] {
        assert!(ran.out.contains(place), "{place}: {}", ran.out);
    }
    write_rules(
        folder.path(),
        "\nSecRule ARGS \"@rx (\" \"id:1,phase:2,pass\"\n",
    );
    let ran = check(&path).expect(78);
    assert!(ran.out.contains("own.conf:2:"), "{}", ran.out);
    write_rules(folder.path(), RULES);
    check(&path).expect(0);
}

/// Rules without a literal to look for first: each reads all of every argument.
fn costly() -> String {
    (1..=300)
        .map(|id| {
            format!("SecRule ARGS \"@rx [^a-z]{{{id}}}\" \"id:{id},phase:2,pass,nolog,t:none\"\n")
        })
        .collect()
}

#[tokio::test]
async fn a_budget_blocks_or_passes() {
    for (words, expected) in [("block", 503), ("pass", 200)] {
        let words = format!("{ENGINE_ON}\ncpu_budget = \"1ms\"\nover_budget = \"{words}\"");
        let demo = crate::harness::Demo::start().await;
        let setup = crate::harness::Setup::new().with("origin", demo.address());
        write_rules(setup.folder(), &costly());
        let node = setup.start(&config(&words)).await;
        let body = format!("a={}", "ab".repeat(60_000));
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = node.client().await.ask(&request).await;
        assert_eq!(response.status, expected);
        node.metric_is("farmgate_plugin_waf_over_budget_total", &[], 1.0)
            .await;
        assert_eq!(node.get("/echo").await.status, 200);
    }
}
