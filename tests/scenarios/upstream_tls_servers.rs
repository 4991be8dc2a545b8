//! TLS towards servers that are not ours: nginx and openssl, old versions and client certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::upstream_tls::{config, failing, issued};
use crate::harness::authority::Authority;
use crate::harness::cli::check;
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Demo, Node, Setup, eventually, free_address};

const CA: &str = "ca = \"ca.pem\"";
const OWN: &str = "ca = \"ca.pem\"\ncertificate = { cert = \"farm.pem\", key = \"farm.key\" }";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits until it listens; none where it is not installed.
async fn server(command: &mut Command, address: SocketAddr) -> Option<Server> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::null()).spawn().ok()?;
    let server = Server(child);
    eventually("the server", || async {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    Some(server)
}

/// `openssl s_server` with the certificate of the name, in `folder`; it answers every GET with a page.
async fn openssl(folder: &Path, address: SocketAddr, options: &[&str]) -> Option<Server> {
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(["s_server", "-www", "-cert", "app.pem", "-key", "app.key"])
        .args(["-accept", &address.to_string()])
        .args(options);
    server(&mut command, address).await
}

/// A folder with `ca.pem`, the endpoint's certificate and one of ours.
fn folder() -> (Setup, Authority) {
    let (authority, app) = issued();
    let setup = Setup::new();
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    app.write(setup.folder(), "app");
    let farm = authority.simple(&["spiffe://farm/node"]);
    farm.write(setup.folder(), "farm");
    (setup, authority)
}

/// A node in front of `openssl s_server` with these options.
async fn behind(options: &[&str], more: &str) -> Option<(Node, Server)> {
    let (setup, _) = folder();
    let address = free_address();
    let server = openssl(setup.folder(), address, options).await;
    let node = setup.with("origin", address).start(&config("", more)).await;
    match server {
        Some(server) => Some((node, server)),
        None => {
            eprintln!("openssl is not installed: nothing to test");
            None
        }
    }
}

#[tokio::test]
async fn versions_are_enforced() {
    let old = ["-cipher", "ALL:@SECLEVEL=0"];
    let twelve = "ca = \"ca.pem\"\nmin_version = \"1.3\"";
    for (options, more, version) in [
        (&["-tls1_2"][..], CA, Some("TLSv1.2")),
        (&["-tls1_3"], CA, Some("TLSv1.3")),
        (&["-tls1_3"], twelve, Some("TLSv1.3")),
        (&["-tls1_2"], twelve, None),
        (&["-tls1_1", old[0], old[1]], CA, None),
        (&["-tls1", old[0], old[1]], CA, None),
        // Without forward secrecy, and without authenticated encryption.
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], CA, None),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
            CA,
            None,
        ),
    ] {
        let Some((node, _server)) = behind(options, more).await else {
            return;
        };
        match version {
            Some(version) => {
                let response = node.get("/").await;
                assert_eq!(response.status, 200, "{options:?} {}", node.errors());
                assert!(response.text().contains(version), "{options:?}");
            }
            None => {
                let (status, reason) = failing(&node, "/").await;
                assert_eq!(status, 502, "{options:?}");
                let refused = matches!(&*reason, "upstream_tls_alert" | "upstream_tls_failed");
                assert!(refused, "{options:?}: {reason}");
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_demands_a_certificate() {
    let demand = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
    for version in ["-tls1_2", "-tls1_3"] {
        let options = [&demand[..], &[version]].concat();
        let Some((node, _server)) = behind(&options, OWN).await else {
            return;
        };
        assert_eq!(node.get("/").await.status, 200, "{}", node.errors());
        let Some((node, _server)) = behind(&options, CA).await else {
            return;
        };
        let (status, reason) = failing(&node, "/").await;
        assert_eq!((status, &*reason), (502, "upstream_tls_alert"), "{version}");
        let errors = node.errors();
        let named = errors.contains("certificate_required") || errors.contains("handshake_failure");
        assert!(named, "{errors}");
    }
}

#[tokio::test]
async fn another_endpoint_is_tried_where_no_certificate_was_shown() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let rules = Rules::of(&issued).demanding(&authority);
    let strict = Front::start(rules, demo.address()).await;
    let open = Front::start(Rules::of(&issued), demo.address()).await;
    let config = config("", CA)
        .replace("[\"@origin\"]", "[\"@origin\", \"@open\"]")
        .replace("attempts = 1", "attempts = 2");
    let setup = Setup::new().with("origin", strict.address());
    let setup = setup.with("open", open.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let node = setup.start(&config).await;
    for n in 0..6 {
        // Not idempotent, and it goes on all the same: the endpoint has read nothing of it.
        let mut client = node.client().await;
        let body = format!("body {n}");
        assert_eq!(client.post("/echo", &body).await.text(), body);
    }
    assert!(strict.accepted() > 0 && strict.bytes() == 0);
}

#[tokio::test]
async fn a_certificate_of_ours_opens_a_strict_endpoint_and_keeps_the_connection() {
    let (setup, authority) = folder();
    let issued = authority.simple(&["app.internal.test"]);
    let demo = Demo::start().await;
    let rules = Rules::of(&issued).demanding(&authority);
    let front = Front::start(rules, demo.address()).await;
    let node = setup.with("origin", front.address());
    let node = node.start(&config("", OWN)).await;
    let mut client = node.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/bytes/9").await.body.len(), 9);
    }
    assert_eq!(front.shaken(), 1);
}

#[tokio::test]
async fn check_names_the_file_of_ours_that_is_wrong() {
    let (setup, authority) = folder();
    let other = authority.simple(&["spiffe://farm/other"]);
    let ended = authority.simple_until(&["spiffe://farm/node"], -1);
    let node = setup.prepare(&config("", OWN));
    let key = other.key.private_key_to_pem_pkcs8().expect("PEM");
    std::fs::write(node.folder().join("farm.key"), key).expect("write");
    let said = check(node.config()).expect(78).out;
    assert!(
        said.contains("E-TLS-102 farm.key: the key does not fit"),
        "{said}"
    );
    ended.write(node.folder(), "farm");
    let said = check(node.config()).expect(0).out;
    assert!(
        said.contains("warning E-TLS-102 farm.pem: the certificate has expired"),
        "{said}"
    );
}

#[tokio::test]
async fn nginx_speaks_both_versions_of_http() {
    let (setup, _) = folder();
    let address = free_address();
    let path = setup.folder().display().to_string();
    let text = format!(
        "daemon off; worker_processes 1; master_process off; pid {path}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
          access_log off;
          client_body_temp_path {path}/body; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
          uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
          server {{
            listen {address} ssl http2; keepalive_requests 20;
            ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {path}/app.pem; ssl_certificate_key {path}/app.key;
            location / {{ default_type text/plain;
              return 200 \"$server_protocol $ssl_protocol $ssl_server_name $scheme $connection\"; }}
          }}
        }}"
    );
    std::fs::write(setup.folder().join("nginx.conf"), text).expect("write");
    let binary = std::env::var("NGINX").unwrap_or_else(|_| "nginx".to_owned());
    let mut command = Command::new(binary);
    command.env("PATH", "/usr/sbin:/usr/bin:/bin").args([
        "-c",
        &format!("{path}/nginx.conf"),
        "-p",
        &path,
    ]);
    let Some(_server) = server(&mut command, address).await else {
        eprintln!("nginx is not installed: nothing to test");
        return;
    };
    let setup = setup.with("origin", address);
    let mut node = setup.start(&config("", CA)).await;
    for (keys, spoken) in [
        ("", "HTTP/1.1"),
        ("protocol = \"h2\"", "HTTP/2.0"),
        ("protocol = \"auto\"", "HTTP/2.0"),
    ] {
        node.reload(&config(keys, CA)).await;
        let mut client = node.client().await;
        let mut connections = std::collections::BTreeSet::new();
        // nginx ends a connection after 20 requests: each is replaced without an error.
        for n in 0..50 {
            let response = client.get(&format!("/{n}")).await;
            let text = response.text();
            let rest = format!("{spoken} TLSv1.3 app.internal.test https ");
            assert_eq!(response.status, 200, "{keys} {n}");
            assert!(text.starts_with(&rest), "{text}");
            connections.insert(text);
        }
        assert!(connections.len() <= 5, "{connections:?}");
    }
}
