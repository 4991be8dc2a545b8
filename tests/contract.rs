//! The contract's spine.toml: it loads, runs as it stands, and does what its comments say. Its plugins.toml loads.

use std::net::SocketAddr;
use std::path::Path;

use crate::harness::cli::{check, command};
use crate::harness::client::Response;
use crate::harness::{Client, Origin, eventually};

/// The contract's own file, in a folder of its own with the files it names.
fn unpack() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/spine.toml");
    let path = folder.path().join("spine.toml");
    std::fs::copy(source, &path).expect("copy the contract");
    std::fs::create_dir(folder.path().join("run")).expect("the run folder");
    (folder, path)
}

#[test]
fn the_spine_loads() {
    let (_folder, path) = unpack();
    let ran = check(&path).expect(0);
    for line in ran.out.lines() {
        let known = line.contains("E-LIMIT-001") || line.starts_with("ok:");
        assert!(known || !line.contains("warning"), "{}", ran.out);
    }
}

/// The contract's plugins.toml and the lists it names. The words of the users' passwords do not matter, only their form.
fn unpack_plugins(folder: &Path) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/plugins.toml");
    let path = folder.join("plugins.toml");
    std::fs::copy(source, &path).expect("copy the contract");
    let lists = folder.join("lists");
    std::fs::create_dir(&lists).expect("the folder of lists");
    let addresses = "# known for nothing good\n192.0.2.0/24\n2001:db8:bad::/48\n198.51.100.7\n";
    std::fs::write(lists.join("bad-ips.txt"), addresses).expect("write");
    let users = concat!(
        "ops:$2b$10$abcdefghijklmnopqrstuuA7VqE/TkYs/Pr/HxYLDkZD95PC3f5ya\n",
        "ann:$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc\n",
    );
    std::fs::write(lists.join("htpasswd"), users).expect("write");
    path
}

/// Alone and beside the spine. A kind that this build does not have yet is the one thing it may lack: it is told as such
/// and nothing else is.
#[test]
fn the_plugins_load() {
    let (folder, spine) = unpack();
    let path = unpack_plugins(folder.path());
    let kinds: Vec<&str> = farmgate_plugins::kinds()
        .iter()
        .map(|kind| kind.name())
        .collect();
    let text = std::fs::read_to_string(&path).expect("the contract");
    let missing = text
        .lines()
        .filter_map(|line| line.strip_prefix("kind = \"")?.split('"').next())
        .filter(|kind| !kinds.contains(kind))
        .count();
    for more in [None, Some(&spine)] {
        let paths = std::iter::once(&path).chain(more);
        let output = command()
            .arg("check")
            .args(paths.flat_map(|path| [Path::new("--config"), path]))
            .output()
            .expect("run the binary");
        let said = String::from_utf8_lossy(&output.stdout);
        if missing == 0 {
            assert_eq!(output.status.code(), Some(0), "{said}");
        } else {
            let errors = said
                .lines()
                .filter(|line| line.contains(": E-") && !line.contains("warning"));
            let (later, other): (Vec<&str>, Vec<&str>) =
                errors.partition(|line| line.contains("is not in this build"));
            assert_eq!((later.len(), other.len()), (missing, 0), "{said}");
        }
    }
}

#[test]
fn it_loads_beside_a_file_that_adds_to_it() {
    let (folder, path) = unpack();
    let more = folder.path().join("more.toml");
    let route = "[[route]]\nname = \"more\"\npaths = [\"/more\"]\nplugins = [\"tag\"]\nupstream = \"tenant-a\"\n";
    std::fs::write(&more, route).expect("write");
    let output = command()
        .args(["check", "--config"])
        .arg(folder.path())
        .output()
        .expect("run the binary");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    std::fs::write(&more, "[server]\nthreads = 1\n").expect("write");
    let output = command()
        .arg("check")
        .args([Path::new("--config"), &path, Path::new("--config"), &more])
        .output()
        .expect("run the binary");
    assert_eq!(output.status.code(), Some(78));
}

const WEB: &str = "127.0.0.1:19180";
const ADMIN: &str = "127.0.0.1:19190";
const ENDPOINTS: [&str; 3] = ["127.0.0.1:19001", "127.0.0.1:19002", "127.0.0.1:19003"];

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

async fn ask(request: &str) -> Response {
    Client::connect(address(WEB)).await.ask(request).await
}

async fn get(host: &str, target: &str, fields: &str) -> Response {
    ask(&format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    ))
    .await
}

/// The file's ports are fixed, so one test does it all.
#[tokio::test]
async fn the_spine_does_what_it_says() {
    for taken in ENDPOINTS.iter().chain(&[WEB, ADMIN]) {
        if std::net::TcpListener::bind(taken).is_err() {
            eprintln!("{taken} is in use on this machine: the contract cannot be run as it stands");
            return;
        }
    }
    let [app, second, tenant] = ENDPOINTS;
    let serve = |body: &'static str| {
        move |mut peer: crate::harness::Peer| async move {
            while peer.request().await.is_some() {
                peer.answer(200, "Server: secret/1\r\n", body).await;
            }
        }
    };
    let app = Origin::start_at(address(app), serve("app")).await;
    let second = Origin::start_at(address(second), serve("app")).await;
    let tenant = Origin::start_at(address(tenant), serve("tenant-a")).await;
    let (folder, path) = unpack();
    let child = command().arg("run").arg("--config").arg(&path).spawn();
    let _running = Running(child.expect("start the node"));
    eventually("the node", || async {
        tokio::net::TcpStream::connect(WEB).await.ok()
    })
    .await;

    // health_path is answered before routing.
    assert_eq!(get("any", "/farmgate/ready", "").await.status, 200);
    // `default` takes what no other route does, with the plugin `tag`.
    let response = get("x.test", "/any", "X-Internal-Token: t\r\n").await;
    assert_eq!((response.status, response.text()), (200, "app".to_owned()));
    assert_eq!(response.header("x-served-by"), Some("farmgate"));
    assert_eq!(response.header("server"), None);
    let seen = if app.seen().is_empty() {
        second.last()
    } else {
        app.last()
    };
    assert_eq!(seen.header("x-farm"), Some("1"));
    assert_eq!(seen.header("x-internal-token"), None);
    assert_eq!(seen.header("host"), Some("x.test"), "host = keep");
    // `api`: host, path, method and header together; the prefix goes.
    let tenant_a = "X-Tenant: a\r\nX-User: ann\r\n";
    let response = get("api.example.test", "/v1/items?x=1", tenant_a).await;
    assert_eq!(response.text(), "tenant-a");
    assert_eq!(tenant.last().target(), "/items?x=1");
    assert_eq!(
        get("a.b.api.example.test", "/v1/items", tenant_a)
            .await
            .text(),
        "tenant-a"
    );
    assert_eq!(
        get("api.example.test", "/v1/items", "X-Tenant: b\r\n")
            .await
            .text(),
        "app"
    );
    let patch = format!("PATCH /v1/x HTTP/1.1\r\nHost: api.example.test\r\n{tenant_a}\r\n");
    assert_eq!(ask(&patch).await.text(), "app");
    // `old`: a redirect that keeps the query.
    let response = get("x.test", "/old/a/b?c=d", "").await;
    assert_eq!(response.status, 308);
    let to = "https://www.example.test/new/a/b?c=d";
    assert_eq!(response.header("location"), Some(to));
    // `split`: a cookie keeps a user on a side.
    let response = get("x.test", "/checkout/cart", "").await;
    let cookie = response.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.starts_with("exp=")
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Lax")
    );
    let pair = cookie.split(';').next().expect("the pair").to_owned();
    for _ in 0..5 {
        let again = get("x.test", "/checkout/cart", &format!("Cookie: {pair}\r\n")).await;
        assert_eq!(again.text(), response.text());
    }
    // `edge-limit`: a burst of 20 for one user. Two were spent above.
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(get("api.example.test", "/v1/items", tenant_a).await.status);
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        18,
        "{statuses:?}"
    );
    let denied = get("api.example.test", "/v1/items", tenant_a).await;
    assert_eq!(denied.status, 429);
    assert!(denied.header("retry-after").is_some());
    let bob = "X-Tenant: a\r\nX-User: bob\r\n";
    assert_eq!(get("api.example.test", "/v1/items", bob).await.status, 200);
    // body_bytes: the route narrows 100 MiB to 10 MiB.
    let large = format!(
        "POST /v1/x HTTP/1.1\r\nHost: api.example.test\r\n{bob}Content-Length: 10485761\r\n\r\n"
    );
    assert_eq!(ask(&large).await.status, 413);
    // The admin address, the control socket, the log and the state folder are where the file says.
    assert_eq!(
        Client::connect(address(ADMIN))
            .await
            .get("/readyz")
            .await
            .status,
        200
    );
    let control = folder.path().join("run/control.sock");
    assert!(control.exists());
    let log = crate::harness::log::Log::at(&folder.path().join("run/access.log"));
    let line = log.of("/v1/items?x=1").await;
    assert_eq!(
        (&line["route"], &line["upstream"]),
        (&"api".into(), &"tenant-a".into())
    );
    assert!(folder.path().join("run/state").is_dir());
    let id = line["request_id"].as_str().expect("an id");
    let control = control.to_str().expect("a path");
    let ran = crate::harness::cli::farmgate_async(&["explain", "--control", control, id]).await;
    assert!(ran.expect(0).out.contains("tenant-a"));
    // h2c with prior knowledge, on the same address.
    let mut http2 = crate::harness::http2::Http2::connect(address(WEB)).await;
    assert_eq!(http2.get("/any").await.head.status(), 200);
    // proxy_protocol = "optional", from a trusted address.
    let mut client = Client::connect(address(WEB)).await;
    client
        .send(crate::harness::proxy_header::v1("203.0.113.9", "192.0.2.1"))
        .await;
    assert_eq!(client.get("/proxied").await.status, 200);
    assert_eq!(log.of("/proxied").await["client"], "203.0.113.9");
}
