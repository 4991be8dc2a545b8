//! `when` on plugins, evaluated where requests pass.

use crate::harness::authority::Authority;
use crate::harness::tls::TlsClient;
use crate::harness::{Node, Origin, Setup};

const CONDITIONS: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "strict"
kind = "respond"
status = 418

[[plugin]]
name = "lenient"
kind = "respond"
status = 418
fail = "open"

[[route]]
name = "strict"
paths = ["/strict"]
plugins = [{ plugin = "strict", when = 'int(request.headers["x-n"]) > 1' }]
upstream = "app"

[[route]]
name = "lenient"
paths = ["/lenient"]
plugins = [{ plugin = "lenient", when = 'int(request.headers["x-n"]) > 1' }]
upstream = "app"

[[route]]
name = "tagged"
paths = ["/choice"]
plugins = [{ plugin = "strict", when = 'size(request.query["q"]) > 3 ? request.query["q"].startsWith("long") : "x-n" in request.headers' }]
upstream = "app"
"#;

#[tokio::test]
async fn what_has_no_answer_follows_fail() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONDITIONS).await;
    let mut client = node.client().await;
    for (target, fields, status) in [
        ("/strict", "X-N: 5\r\n", 418),
        ("/strict", "X-N: 1\r\n", 200),
        ("/strict?none", "", 500),
        ("/strict?odd", "X-N: five\r\n", 500),
        ("/lenient", "X-N: 5\r\n", 418),
        ("/lenient", "X-N: 1\r\n", 200),
        ("/lenient?none", "", 200),
        ("/lenient", "X-N: 99999999999999999999\r\n", 200),
        ("/choice?q=longer", "", 418),
        ("/choice?q=other", "X-N: 1\r\n", 200),
        ("/choice?q=x", "X-N: 1\r\n", 418),
        ("/choice", "", 200),
    ] {
        let response = client.get_with(target, fields).await;
        assert_eq!(response.status, status, "{target} {fields}");
    }
    assert_eq!(node.log.of("/strict?none").await["reason"], "plugin_error");
    for (plugin, errors) in [("strict", 2.0), ("lenient", 2.0)] {
        let labels = [("plugin", plugin), ("kind", "error")];
        node.metric_is("farmgate_plugin_errors_total", &labels, errors)
            .await;
    }
    assert!(
        !node.errors().contains("five"),
        "no value of a request in an event"
    );
}

#[tokio::test]
async fn tls_is_known() {
    let origin = Origin::answering("ok").await;
    let root = Authority::new("root");
    let setup = Setup::new().with("origin", origin.address());
    root.simple(&["a.test"]).write(setup.folder(), "www");
    let config = r#"
[[tls]]
name = "www"
certificates = [{ cert = "www.pem", key = "www.key" }]

[[listener]]
name = "web"
address = "@web"
tls = "www"

[[listener]]
name = "clear"
address = "@clear"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "it"
kind = "respond"
status = 418

[[route]]
name = "any"
plugins = [{ plugin = "it", when = 'has(tls.version) && tls.version == "TLSv1.3" && tls.sni == "a.test"' }]
upstream = "app"
"#;
    let node = setup.start(config).await;
    // However the client writes the name.
    for name in ["a.test", "A.Test"] {
        let client = TlsClient::new(&root, name).believing_all();
        let mut client = client.http1(node.at("web")).await;
        assert_eq!(client.get("/").await.status, 418, "{name}");
    }
    let mut client = crate::harness::Client::connect(node.at("clear")).await;
    assert_eq!(client.get("/").await.status, 200);
}
