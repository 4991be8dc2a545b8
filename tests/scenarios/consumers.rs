//! Who a plugin of the listener found: routes, log fields, fields towards the origin; and what of its credentials is
//! never shown.

use crate::harness::cli::{command, farmgate_async};
use crate::harness::{Node, Origin, Setup};

/// The plugin of tests takes the field `x-who` for the consumer's name, and says that `mykey` is a credential.
const CONSUMERS: &str = r#"
[[listener]]
name = "web"
address = "@web"
plugins = [{ kind = "probe", consumer = "x-who", plan = "gold", tags = ["beta", "eu"], credential_query = "mykey" }]

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "tell"
kind = "headers"
request = { set = { "x-consumer" = "{consumer}", "x-plan" = "{consumer.plan}" } }

[[route]]
name = "acme"
consumer = ["acme", "umbrella"]
plugins = ["tell"]
upstream = "app"

[[route]]
name = "beta"
paths = ["/beta"]
consumer_tags = ["alpha", "beta"]
upstream = "app"

[[route]]
name = "silver"
paths = ["/plan"]
consumer_plan = ["silver"]
upstream = "app"

[[route]]
name = "gold"
paths = ["/plan"]
consumer_plan = ["gold"]
upstream = "app"

[[route]]
name = "any"
plugins = ["tell"]
upstream = "app"
"#;

async fn node() -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new()
        .with("origin", origin.address())
        .env("FARMGATE_TEST_PLUGINS", "1");
    (setup.start(CONSUMERS).await, origin)
}

#[tokio::test]
async fn routes_match_on_the_consumer_and_tell_the_origin() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    for (target, who, route) in [
        ("/a1", "X-Who: acme\r\n", "acme"),
        ("/a2", "X-Who: umbrella\r\n", "acme"),
        ("/a3", "X-Who: ben\r\n", "any"),
        ("/a4", "", "any"),
        ("/beta", "X-Who: ben\r\n", "beta"),
        ("/beta?nobody", "", "any"),
        ("/plan", "X-Who: ben\r\n", "gold"),
        ("/plan?nobody", "", "any"),
    ] {
        assert_eq!(client.get_with(target, who).await.status, 200);
        assert_eq!(node.log.of(target).await["route"], route, "{target}");
    }
    let line = node.log.of("/a1").await;
    assert_eq!(
        (&line["consumer"], &line["plan"]),
        (&"acme".into(), &"gold".into())
    );
    assert_eq!(line["tags"], serde_json::json!(["beta", "eu"]));
    let line = node.log.of("/a4").await;
    assert!(
        line.get("consumer").is_none() && line.get("plan").is_none() && line.get("tags").is_none()
    );
    let seen = origin.seen();
    let told = |target: &str, name: &str| {
        let one = seen
            .iter()
            .find(|one| one.target() == target)
            .expect("seen");
        one.header(name).map(str::to_owned)
    };
    assert_eq!(told("/a1", "x-consumer").as_deref(), Some("acme"));
    assert_eq!(told("/a1", "x-plan").as_deref(), Some("gold"));
    assert_eq!(
        told("/a4", "x-consumer").as_deref(),
        Some(""),
        "nobody is no spoofed one"
    );
}

#[tokio::test]
async fn explain_knows_consumers_offline_and_of_what_was_served() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    client.get_with("/served", "X-Who: acme\r\n").await;
    let line = node.log.of("/served").await;
    let id = line["request_id"].as_str().expect("an id");
    let ran = node.run(&["explain", id, "--json"]).await.expect(0);
    let decision = &ran.json()["decision"];
    let won = decision["candidates"].as_array().expect("candidates");
    let won = won.iter().find(|one| one["outcome"] == "won");
    assert_eq!(won.expect("a winner")["route"], "acme", "{decision}");
    // Offline, with a kind that every build has.
    let text = std::fs::read_to_string(node.config()).expect("the configuration");
    let probe = text
        .find("plugins = [{ kind = \"probe\"")
        .expect("the probe");
    let end = probe + text[probe..].find('\n').expect("its end");
    let text = format!("{}{}", &text[..probe], &text[end..]);
    let path = node.folder().join("offline.toml");
    std::fs::write(&path, text).expect("write");
    let path = path.to_str().expect("a path");
    for (arguments, route) in [
        (&["--consumer", "acme"][..], "acme"),
        (&["--consumer", "ben", "--plan", "silver"], "silver"),
        (&["--consumer", "ben", "--tag", "x"], "any"),
        (&[], "any"),
    ] {
        let all = [
            &["explain", "--json", "--config", path],
            arguments,
            &["http://a.test/plan"],
        ]
        .concat();
        let ran = farmgate_async(&all).await.expect(0);
        assert_eq!(ran.json()["route"], route, "{arguments:?}");
    }
}

#[tokio::test]
async fn credentials_of_plugins_are_never_shown() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    let fields = "Referer: https://b.test/?q=1&MyKey=geheim\r\n";
    let target = "/x?mykey=geheim&a=1&%6Dykey=geheim&mykeys=shown";
    assert_eq!(client.get_with(target, fields).await.status, 200);
    let shown = "/x?mykey=REDACTED&a=1&%6Dykey=REDACTED&mykeys=shown";
    let line = node.log.of(shown).await;
    assert_eq!(line["referer"], "https://b.test/?q=1&MyKey=REDACTED");
    let id = line["request_id"].as_str().expect("an id");
    let told = node.run(&["explain", id]).await.expect(0).text();
    assert!(
        told.contains("mykeys=shown") && !told.contains("geheim"),
        "{told}"
    );
    assert!(!node.errors().contains("geheim"));
    // A list that would log such a field is a mistake, as for the fields that everybody knows.
    let log =
        "access_log = { path = \"run/access.log\", request_headers = [\"x-tenant\", \"X-Who\"] }";
    let text = std::fs::read_to_string(node.config()).expect("the configuration");
    let text = text.replace(
        "access_log = { path = \"run/access.log\", format = \"json\" }",
        log,
    );
    let path = node.folder().join("logs.toml");
    std::fs::write(&path, text).expect("write");
    let output = command()
        .args(["check", "--config"])
        .arg(&path)
        .env("FARMGATE_TEST_PLUGINS", "1")
        .output()
        .expect("run the binary");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("E-LOG-001 x-who carries credentials of a plugin"),
        "{said}"
    );
}
