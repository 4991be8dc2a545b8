//! The contract's tls.toml: it loads, runs as it stands, and does what its comments say.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::pebble::Pebble;
use crate::harness::authority::{Authority, Issued, Wanted};
use crate::harness::cli::{check, command};
use crate::harness::tls::{TlsClient, TlsStream, shown};
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Client, Demo, eventually};

const EDGE: &str = "127.0.0.1:19443";
const PARTNERS: &str = "127.0.0.1:19444";
const AUTO: &str = "127.0.0.1:19446";
const PLAIN: &str = "127.0.0.1:5002";
const ENDPOINT: &str = "127.0.0.1:19445";
const DIRECTORY: &str = "127.0.0.1:14000";

/// The authorities behind the files that the contract names.
struct World {
    folder: tempfile::TempDir,
    config: PathBuf,
    root: Authority,
    partners: Authority,
    internal: Authority,
    app: Issued,
}

/// The contract's own file, with the files it names beside it.
fn unpack() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/tls.toml");
    let config = folder.path().join("tls.toml");
    std::fs::copy(source, &config).expect("copy the contract");
    let certs = folder.path().join("certs");
    std::fs::create_dir(&certs).expect("certs");
    std::fs::create_dir(folder.path().join("run")).expect("run");
    let root = Authority::new("root");
    let www = Wanted {
        names: &["www.example.test"],
        rsa: true,
        days: 10,
    };
    root.issue(&www).write(&certs, "www");
    root.simple(&["*.example.test"]).write(&certs, "wild-ec");
    let secret = certs.join("ticket.secrets");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("write");
    let owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret, owner).expect("mode");
    let partners = Authority::new("partners");
    partners.write(&certs, "partners-ca.pem");
    partners.revoke(&certs, "partners.crl", &[]);
    let internal = Authority::new("internal");
    internal.write(&certs, "internal-ca.pem");
    internal
        .simple(&["farm.internal.test"])
        .write(&certs, "farm");
    // Pebble's own comes here when it is started; until then anybody's will do.
    root.write(&certs, "pebble-ca.pem");
    World {
        app: internal.simple(&["app.internal.test"]),
        folder,
        config,
        root,
        partners,
        internal,
    }
}

#[test]
fn it_loads() {
    let world = unpack();
    let ran = check(&world.config).expect(0);
    for line in ran.out.lines() {
        let known = line.contains("E-LIMIT-001") || line.starts_with("ok:");
        assert!(known || !line.contains("warning"), "{}", ran.out);
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn name(stream: &TlsStream) -> String {
    let names = shown(stream).subject_alt_names().expect("names");
    let first = names.iter().find_map(|name| name.dnsname());
    first.expect("a DNS name").to_owned()
}

fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Client-Cert: Hash=forged\r\n\r\n")
}

/// The file's ports are fixed, so one test does it all.
#[tokio::test]
async fn it_does_what_it_says() {
    for taken in [EDGE, PARTNERS, AUTO, PLAIN, ENDPOINT, DIRECTORY] {
        if std::net::TcpListener::bind(taken).is_err() {
            eprintln!("{taken} is in use on this machine: the contract cannot be run as it stands");
            return;
        }
    }
    let world = unpack();
    let place = tempfile::tempdir().expect("a folder");
    let pebble = Pebble::start_at(place.path(), at(DIRECTORY), at(PLAIN)).await;
    let certs = world.folder.path().join("certs");
    std::fs::copy(pebble.ca(), certs.join("pebble-ca.pem")).expect("copy");
    let demo = Demo::start().await;
    let rules = Rules::of(&world.app)
        .alpn(b"\x02h2")
        .demanding(&world.internal);
    let app = Front::start_at(at(ENDPOINT), rules, demo.address()).await;
    let child = command()
        .arg("run")
        .arg("--config")
        .arg(&world.config)
        .spawn();
    let _running = Running(child.expect("start the node"));
    eventually("the node", || async {
        tokio::net::TcpStream::connect(EDGE).await.ok()
    })
    .await;

    // `edge`: names of the certificates, the default without one or with another; h2 to client and endpoint.
    for (asked, expected) in [
        ("www.example.test", "www.example.test"),
        ("shop.example.test", "*.example.test"),
        ("elsewhere.test", "www.example.test"),
    ] {
        let client = TlsClient::new(&world.root, asked).believing_all();
        let stream = client.connect(at(EDGE)).await.expect("a handshake");
        assert_eq!(name(&stream), expected, "{asked}");
    }
    let nameless = TlsClient::nameless().connect(at(EDGE)).await;
    assert_eq!(name(&nameless.expect("a handshake")), "www.example.test");
    let client = TlsClient::new(&world.root, "shop.example.test");
    let mut http2 = client.http2(at(EDGE)).await;
    assert_eq!(http2.get("/bytes/100").await.body.len(), 100);
    assert_eq!(app.spoken(), ["TLSv1.3 h2"]);

    // `partners`: a certificate, its names, and what the endpoint is told.
    let stranger = world.partners.simple(&["api.stranger.test"]);
    let partner = world.partners.simple(&["api.partner.test"]);
    for (issued, alert) in [
        (None, "CERTIFICATE_REQUIRED"),
        (Some(&stranger), "ACCESS_DENIED"),
    ] {
        let mut client = TlsClient::new(&world.root, "www.example.test");
        if let Some(issued) = issued {
            client = client.with_certificate(issued);
        }
        let mut stream = client
            .connect(at(PARTNERS))
            .await
            .expect("the client's half");
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut byte);
        let refused = crate::harness::soon("the alert", read)
            .await
            .expect_err(alert);
        assert!(refused.to_string().contains(alert), "{refused}");
    }
    let client = TlsClient::new(&world.root, "www.example.test").with_certificate(&partner);
    let mut client = client.http1(at(PARTNERS)).await;
    let told = client
        .ask(&get("www.example.test", "/headers"))
        .await
        .text()
        .to_lowercase();
    assert!(
        told.contains("dns=api.partner.test") && !told.contains("forged"),
        "{told}"
    );
    let old = TlsClient::new(&world.root, "www.example.test").with_certificate(&partner);
    let old = old
        .version(boring::ssl::SslVersion::TLS1_2)
        .connect(at(PARTNERS))
        .await;
    assert!(old.expect_err("modern").contains("PROTOCOL_VERSION"));

    // `plain`: everything but the authority's questions is sent to https; no identity from clients.
    let mut plain = Client::connect(at(PLAIN)).await;
    let moved = plain.ask(&get("www.example.test", "/a?b=c")).await;
    assert_eq!(moved.status, 308);
    assert_eq!(
        moved.header("location"),
        Some("https://www.example.test/a?b=c")
    );

    // `auto`: ordered by http-01 and served.
    let stream = eventually("the ordered certificate", || async {
        let client = TlsClient::named("auto.example.test");
        client.connect(at(AUTO)).await.ok()
    })
    .await;
    assert_eq!(name(&stream), "auto.example.test");
    let refused = TlsClient::named("www.example.test").connect(at(AUTO)).await;
    assert!(
        refused
            .expect_err("no such name")
            .contains("UNRECOGNIZED_NAME")
    );
    let mut client = TlsClient::named("auto.example.test").http1(at(AUTO)).await;
    let told = client
        .ask(&get("auto.example.test", "/headers"))
        .await
        .text()
        .to_lowercase();
    assert!(!told.contains("client-cert"), "{told}");
    assert_eq!(pebble.issued(), 1);

    // A renewed certificate is served without a command; a bad one is not.
    let next = world.root.simple(&["www.example.test"]);
    next.write(&certs, "www");
    let expected = next
        .certificate
        .serial_number()
        .to_bn()
        .expect("a number")
        .to_vec();
    let serial = || async {
        let client = TlsClient::new(&world.root, "www.example.test");
        let stream = client.connect(at(EDGE)).await.expect("a handshake");
        shown(&stream)
            .serial_number()
            .to_bn()
            .expect("a number")
            .to_vec()
    };
    eventually("the renewed certificate", || async {
        (serial().await == expected).then_some(())
    })
    .await;
    std::fs::write(certs.join("www.pem"), "half").expect("write");
    assert_eq!(serial().await, expected);
}
