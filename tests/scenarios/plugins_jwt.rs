//! The plugin `jwt` with a real identity provider (oidc-provider from npm): its tokens, its death, its return with other
//! keys; and with servers that only say they are one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Client, Node, Origin, Setup, free_address};

/// Longest installation and start of the provider: the first time it comes over the network.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running oidc-provider. Its keys stand in a folder and outlive it.
struct Provider {
    child: Child,
    address: SocketAddr,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    /// Starts it with these keys (`KID:ALG`), of which the first signs; none where there is no node.
    async fn start(address: SocketAddr, folder: &Path, keys: &[&str]) -> Option<Self> {
        let found = Command::new("node").arg("--version").output();
        if !found.is_ok_and(|out| out.status.success()) {
            eprintln!("node is not installed: nothing to test");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // Beside what cargo builds, where it is found the next time.
        let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc");
        let mut child = Command::new(root.join("tests/scenarios/oidc/run"))
            .arg(modules)
            .arg(address.to_string())
            .arg(folder)
            .args(keys)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("start the provider");
        let end = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            let ended = child.try_wait().expect("the provider's state");
            assert!(ended.is_none(), "the provider ended with {ended:?}");
            assert!(Instant::now() < end, "the provider never serves");
            // tidy: waits for a condition
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { child, address })
    }

    /// A token of the client credentials grant.
    async fn token(&self) -> String {
        let body = "grant_type=client_credentials&client_id=robot&client_secret=only-for-tests&scope=orders";
        let mut client = Client::connect(self.address).await;
        let response = client
            .ask(&format!(
                "POST /token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.address,
                body.len()
            ))
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        let token = response.json()["access_token"].clone();
        token.as_str().expect("a token").to_owned()
    }
}

/// A node before which one has to show a token of `@idp`; `jwks` are the words about its keys.
fn config(top: &str, jwks: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "who"
kind = "jwt"
from = ["header:authorization", "query:token"]
claims_to_headers = {{ "sub" = "x-auth-user", "tenant" = "x-auth-tenant" }}
scopes = ["orders"]
{top}
[[plugin.providers]]
issuer = "http://@idp"
audiences = ["api"]
types = ["at+jwt"]
algorithms = ["RS256", "ES256"]
jwks = {{ {jwks} }}

[[route]]
name = "open"
paths = ["/open/*"]
upstream = "app"

[[route]]
name = "any"
plugins = ["who"]
upstream = "app"
"#
    )
}

async fn get(node: &Node, token: &str) -> u16 {
    let mut client = node.client().await;
    let fields = format!("Authorization: Bearer {token}\r\n");
    client.get_with("/", &fields).await.status
}

const DOWN: &str = "farmgate_plugin_jwt_providers_down";
const AGE: &str = "farmgate_plugin_jwt_keys_age_seconds";
const FETCHES: &str = "farmgate_plugin_jwt_fetches_total";

#[tokio::test]
async fn plugins_jwt_lets_in_who_the_provider_knows() {
    let (idp, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let Some(provider) = Provider::start(idp, folder.path(), &["one:RS256"]).await else {
        return;
    };
    let origin = Origin::answering("ok").await;
    let setup = Setup::new()
        .with("origin", origin.address())
        .with("idp", idp);
    let node = setup
        .start(&config("", "discovery = true, refresh = '1h'"))
        .await;
    let token = provider.token().await;
    let mut client = node.client().await;
    // What the client says of itself is worth nothing, on routes without the plugin, too.
    let spoofed = "X-Auth-User: root\r\nX-Auth-Tenant: all\r\n";
    assert_eq!(client.get_with("/open/", spoofed).await.status, 200);
    assert_eq!(origin.last().header("x-auth-user"), None);
    let refused = client.get_with("/", spoofed).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"api\"")
    );
    assert_eq!(refused.json()["status"], 401);
    assert_eq!(origin.seen().len(), 1);
    for _ in 0..2 {
        let fields = format!("{spoofed}Authorization: Bearer {token}\r\n");
        assert_eq!(client.get_with("/a", &fields).await.status, 200);
        let seen = origin.last();
        assert_eq!(seen.header("x-auth-user"), Some("robot"));
        assert_eq!(seen.header("x-auth-tenant"), Some("acme"));
        assert_eq!(seen.header("authorization"), None);
    }
    assert_eq!(
        node.metric("farmgate_plugin_jwt_verified_total", &[]).await,
        1.0
    );
    assert_eq!(
        node.metric("farmgate_plugin_jwt_cache_hits_total", &[])
            .await,
        1.0
    );
    // In the query it does not reach the origin either.
    let response = client.get(&format!("/b?x=1&token={token}")).await;
    assert_eq!((response.status, origin.last().target()), (200, "/b?x=1"));
    // A signature that was touched.
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{message}.{first}{}", &signature[1..]);
    assert_eq!(get(&node, &forged).await, 401);
    let reason = [("reason", "signature")];
    node.metric_is("farmgate_plugin_jwt_refused_total", &reason, 1.0)
        .await;
}

#[tokio::test]
async fn plugins_jwt_goes_on_without_the_provider() {
    let (idp, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let keys = ["one:RS256", "two:ES256"];
    let Some(provider) = Provider::start(idp, folder.path(), &keys).await else {
        return;
    };
    let origin = Origin::answering("ok").await;
    let setup = Setup::new()
        .with("origin", origin.address())
        .with("idp", idp);
    let words = "url = 'http://@idp/jwks', refresh = '1s', stale = '1h'";
    let mut node = setup.start(&config("", words)).await;
    let (seen, fresh, late) = (
        provider.token().await,
        provider.token().await,
        provider.token().await,
    );
    assert_eq!(get(&node, &seen).await, 200);
    drop(provider);
    node.metric_is(DOWN, &[], 1.0).await;
    // One that was seen, and one whose signature must be verified now.
    assert_eq!(
        (get(&node, &seen).await, get(&node, &fresh).await),
        (200, 200)
    );
    crate::harness::eventually("keys that grow old", || async {
        (node.metric(AGE, &[]).await >= 2.0).then_some(())
    })
    .await;
    // A new process has its keys from the disk, and their age.
    node.stop().await;
    node.spawn();
    node.ready().await;
    assert_eq!(
        (get(&node, &late).await, get(&node, &seen).await),
        (200, 200)
    );
    node.metric_is(DOWN, &[], 1.0).await;
    assert!(node.metric(AGE, &[]).await >= 2.0);
    assert_eq!(
        node.metric("farmgate_plugin_jwt_state_errors_total", &[])
            .await,
        0.0
    );
    // The provider comes back.
    let back = Provider::start(idp, folder.path(), &keys)
        .await
        .expect("node");
    assert_eq!(get(&node, &back.token().await).await, 200);
    node.metric_is(DOWN, &[], 0.0).await;
}

#[tokio::test]
async fn plugins_jwt_refuses_nobody_while_keys_rotate() {
    let (idp, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let Some(provider) = Provider::start(idp, folder.path(), &["old:RS256"]).await else {
        return;
    };
    let origin = Origin::answering("ok").await;
    let setup = Setup::new()
        .with("origin", origin.address())
        .with("idp", idp);
    let words = "url = 'http://@idp/jwks', refresh = '1h', refetch = '1s'";
    let node = setup.start(&config("wait = '5s'", words)).await;
    let old = provider.token().await;
    assert_eq!(get(&node, &old).await, 200);
    drop(provider);
    let provider = Provider::start(idp, folder.path(), &["new:ES256", "old:RS256"]).await;
    let provider = provider.expect("node");
    let before = node.metric(FETCHES, &[]).await;
    // Many at once: all wait for one fetch.
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(provider.token().await);
    }
    let asked: Vec<_> = tokens.iter().map(|token| get(&node, token)).collect();
    let said = futures_util::future::join_all(asked).await;
    assert_eq!(said, [200; 20]);
    assert_eq!(get(&node, &old).await, 200);
    node.metric_is(FETCHES, &[], before + 1.0).await;
}

/// A document that is no answer: what a provider in trouble says.
async fn liar(bytes: &'static [u8], ends: bool) -> Origin {
    Origin::start(move |mut peer| async move {
        if peer.request().await.is_some() {
            peer.send(bytes).await;
            if !ends {
                peer.gone().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn plugins_jwt_survives_providers_that_lie() {
    // Looks like a token of the provider; nobody ever signed it.
    let claims = |idp: SocketAddr| {
        let encode =
            |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
        let head = encode("{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"x\"}");
        let body = encode(&format!(
            "{{\"iss\":\"http://{idp}\",\"aud\":\"api\",\"exp\":4102444800}}"
        ));
        format!("{head}.{body}.{}", encode("no signature"))
    };
    let large: &'static [u8] = {
        let mut all = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n".to_vec();
        all.resize(all.len() + 10_485_760, b'[');
        all.leak()
    };
    for (name, bytes, ends, result) in [
        ("large", large, true, "transport"),
        ("silent", &b""[..], false, "transport"),
        (
            "half",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"keys\":[",
            true,
            "transport",
        ),
        (
            "slow",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"keys\":[",
            false,
            "transport",
        ),
        (
            "page",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            true,
            "document",
        ),
        (
            "moved",
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
            true,
            "status",
        ),
        ("noise", b"\x16\x03\x01\x02\x00\x01", true, "transport"),
    ] {
        let idp = liar(bytes, ends).await;
        let origin = Origin::answering("ok").await;
        let setup = Setup::new()
            .with("origin", origin.address())
            .with("idp", idp.address());
        let words = "url = 'http://@idp/jwks', timeout = '300ms'";
        let node = setup.start(&config("", words)).await;
        let begun = Instant::now();
        assert_eq!(get(&node, &claims(idp.address())).await, 500, "{name}");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{name}: {:?}",
            begun.elapsed()
        );
        assert!(
            node.metric(FETCHES, &[("result", result)]).await >= 1.0,
            "{name}"
        );
        assert_eq!(get(&node, "a.b.c").await, 401, "{name}");
        assert!(origin.seen().is_empty(), "{name}");
        assert!(node.resident_bytes() < 200 << 20, "{name}");
    }
}

#[tokio::test]
async fn plugins_jwt_fails_open_only_when_told_so() {
    let origin = Origin::answering("ok").await;
    let idp = free_address();
    let setup = Setup::new()
        .with("origin", origin.address())
        .with("idp", idp);
    let words = "url = 'http://@idp/jwks'";
    let node = setup.start(&config("fail = 'open'", words)).await;
    let mut client = node.client().await;
    let token = {
        let encode =
            |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
        let claims = format!("{{\"iss\":\"http://{idp}\",\"sub\":\"x\"}}");
        format!("{}.{}.AA", encode("{\"alg\":\"RS256\"}"), encode(&claims))
    };
    let fields = format!("Authorization: Bearer {token}\r\nX-Auth-User: root\r\n");
    assert_eq!(client.get_with("/", &fields).await.status, 200);
    let seen = origin.last();
    assert_eq!(
        (seen.header("x-auth-user"), seen.header("authorization")),
        (None, None)
    );
    assert!(
        node.metric("farmgate_plugin_jwt_unavailable_total", &[])
            .await
            >= 1.0
    );
    // What needs no keys to be wrong is refused all the same.
    assert_eq!(get(&node, "x").await, 401);
    assert_eq!(client.get("/").await.status, 401);
}
