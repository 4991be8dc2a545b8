//! Real nginx as the origin: what our own origins cannot get wrong in the same way.

use std::process::{Child, Command, Stdio};

use super::PLAIN;
use crate::harness::{Node, eventually, free_address};

struct Nginx {
    child: Child,
    _folder: tempfile::TempDir,
    address: std::net::SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts nginx on a free port; none where it is not installed.
async fn nginx() -> Option<Nginx> {
    let binary = std::env::var("NGINX").unwrap_or_else(|_| "nginx".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let path = folder.path().display();
    let config = format!(
        "daemon off; worker_processes 1; master_process off; pid {path}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
          access_log off; gzip on; gzip_min_length 1; gzip_proxied any; gzip_types text/plain;
          client_body_temp_path {path}/body; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
          uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
          server {{
            listen {address}; root {path}/www; keepalive_requests 7;
            location /hello {{ default_type text/plain; return 200 \"hello $request_method $http_x_request_id\"; }}
            location /empty {{ return 204; }}
            location /moved {{ return 301 /hello; }}
          }}
        }}"
    );
    std::fs::create_dir(folder.path().join("www")).expect("the root");
    let body: String = (0..200_000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    std::fs::write(folder.path().join("www/big.txt"), body).expect("a file");
    std::fs::write(folder.path().join("nginx.conf"), config).expect("the configuration");
    let child = Command::new(binary)
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .arg("-p")
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let nginx = Nginx {
        child,
        _folder: folder,
        address,
    };
    eventually("nginx", || async {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    Some(nginx)
}

#[tokio::test]
async fn nginx_behind_us_serves_everything() {
    let Some(nginx) = nginx().await else {
        eprintln!("nginx is not installed: nothing to test");
        return;
    };
    let node = Node::serving(nginx.address, PLAIN).await;
    let mut client = node.client().await;
    // nginx closes a connection after 7 requests: each is replaced without an error.
    for n in 0..30 {
        let response = client.get(&format!("/hello?{n}")).await;
        assert_eq!(response.status, 200);
        assert!(
            response.text().starts_with("hello GET "),
            "{}",
            response.text()
        );
    }
    assert_eq!(client.get("/empty").await.status, 204);
    let moved = client.get("/moved").await;
    assert_eq!(moved.status, 301);
    assert_eq!(client.get("/missing").await.status, 404);
    let whole = client.get("/big.txt").await;
    assert_eq!(whole.body.len(), 200_000);
    let etag = whole.header("etag").expect("an etag").to_owned();
    let fields = format!("If-None-Match: {etag}\r\n");
    assert_eq!(client.get_with("/big.txt", &fields).await.status, 304);
    let part = client.get_with("/big.txt", "Range: bytes=10-19\r\n").await;
    assert_eq!((part.status, part.text().as_str()), (206, "klmnopqrst"));
    let head = client
        .ask("HEAD /big.txt HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("200000"))
    );
    let packed = client
        .get_with("/big.txt", "Accept-Encoding: gzip\r\n")
        .await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 10_000, "passed on as it is");
    assert_eq!(client.post("/hello", "ignored").await.status, 200);
    assert_eq!(client.get("/hello").await.status, 200);
    let errors = node.metric("farmgate_request_errors_total", &[]).await;
    assert_eq!(errors, 0.0);
}
