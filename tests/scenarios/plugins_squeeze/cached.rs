//! On a route with a cache the plugin's words say what the cache keeps, and nothing is compressed per hit.

use super::{decoded, page};
use crate::harness::{Node, Origin, eventually};

const CONFIG: &str = r#"
[cache]
memory = "64MiB"
[[cache_policy]]
name = "all"
ttl = { default = "10m" }
compress = { after = 1 }
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[plugin]]
name = "squeeze"
kind = "compression"
encodings = ["gzip"]
types = ["text/x-farm"]
[[route]]
name = "any"
plugins = ["squeeze"]
upstream = "app"
cache = "all"
"#;

#[tokio::test]
async fn hits_are_compressed_once_and_by_the_cache() {
    let origin = Origin::start(|mut peer| async move {
        while let Some(seen) = peer.request().await {
            let fields = match seen.target() {
                "/farm" => "Content-Type: text/x-farm\r\n",
                "/private" => "Content-Type: text/x-farm\r\nCache-Control: private\r\n",
                _ => "Content-Type: text/html\r\n",
            };
            peer.answer(200, fields, &page()).await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = node.client().await;
    let accepts = "Accept-Encoding: zstd, br, gzip\r\n";
    // The first fills the cache and is plain.
    let first = client.get_with("/farm", accepts).await;
    assert_eq!(first.header("content-encoding"), None);
    assert_eq!(first.header("vary"), Some("Accept-Encoding"));
    let kept = eventually("a compressed form", || async {
        let mut client = node.client().await;
        let response = client.get_with("/farm", accepts).await;
        response
            .header("content-encoding")
            .is_some()
            .then_some(response)
    })
    .await;
    // Of the three only what the plugin names.
    assert_eq!(kept.header("content-encoding"), Some("gzip"));
    assert!(decoded("gzip", &kept.body) == page().as_bytes());
    assert!(kept.header("cache-status").unwrap().contains("hit"));
    // A type that the plugin does not name stays plain, where the cache alone would compress it.
    for _ in 0..5 {
        let plain = client.get_with("/html", accepts).await;
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), None);
    }
    let responses = "farmgate_plugin_compression_gzip_responses_total";
    assert_eq!(node.metric(responses, &[]).await, 0.0);
    assert_eq!(origin.seen().len(), 2);
    // What is not stored is compressed on its way.
    for _ in 0..2 {
        let passed = client.get_with("/private", accepts).await;
        assert_eq!(passed.header("content-encoding"), Some("gzip"));
        assert!(decoded("gzip", &passed.body) == page().as_bytes());
    }
    assert_eq!(node.metric(responses, &[]).await, 2.0);
}
