//! The PROXY protocol towards origins: every connection says whose it is, and serves nobody else.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::upstream_tls::issued;
use super::websocket;
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Client, Demo, Node, Origin, Peer, Setup, http2::Http2, proxy_header};

fn config(version: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
proxy_protocol = "optional"
trusted_proxies = ["127.0.0.1/32"]

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
proxy_protocol = "{version}"
"#
    )
}

/// What a connection began with: source and destination, or nothing of them.
type Said = Option<(SocketAddr, SocketAddr)>;

/// Reads the header and not a byte more.
async fn greeting(peer: &mut Peer) -> Said {
    let mut front = [0; 1];
    let stream = &mut peer.stream;
    stream.read_exact(&mut front).await.expect("a first byte");
    if front == *b"P" {
        let mut line = front.to_vec();
        while !line.ends_with(b"\r\n") {
            assert!(line.len() < 107, "{}", line.escape_ascii());
            line.push(stream.read_u8().await.expect("a line"));
        }
        let line = String::from_utf8(line).expect("text");
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let [_, family, source, destination, from, to] = words[..] else {
            assert_eq!(line, "PROXY UNKNOWN\r\n");
            return None;
        };
        let at = |ip: &str, port: &str| {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(ip.is_ipv4(), family == "TCP4", "{line}");
            SocketAddr::new(ip, port.parse().expect("a port"))
        };
        return Some((at(source, from), at(destination, to)));
    }
    let mut rest = [0; 15];
    stream.read_exact(&mut rest).await.expect("a head");
    assert_eq!([&front[..], &rest[..11]].concat(), proxy_header::SIGNATURE);
    assert_eq!(rest[11], 0x21, "version 2, PROXY");
    let mut addresses = vec![0; usize::from(u16::from_be_bytes([rest[13], rest[14]]))];
    stream.read_exact(&mut addresses).await.expect("addresses");
    if rest[12] == 0 {
        assert!(addresses.is_empty());
        return None;
    }
    assert_eq!((rest[12], addresses.len()), (0x11, 12), "TCP over IPv4");
    let at = |ip: usize, port: usize| {
        let octets: [u8; 4] = addresses[ip..ip + 4].try_into().expect("four");
        let port = u16::from_be_bytes([addresses[port], addresses[port + 1]]);
        SocketAddr::new(octets.into(), port)
    };
    Some((at(0, 8), at(4, 10)))
}

/// What the origin saw: each connection's header, with the clients of the requests that came on it.
type Seen = Arc<Mutex<Vec<(Said, Vec<String>)>>>;

/// An origin that would serve as many requests on a connection as it gets.
async fn origin() -> (Origin, Seen) {
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    let origin = Origin::start(move |mut peer: Peer| {
        let seen = Arc::clone(&shared);
        async move {
            let said = greeting(&mut peer).await;
            let at = {
                let mut seen = seen.lock();
                seen.push((said, Vec::new()));
                seen.len() - 1
            };
            while let Some(request) = peer.request().await {
                let client = request.header("x-forwarded-for").expect("a client");
                seen.lock()[at].1.push(client.to_owned());
                peer.answer(200, "Connection: keep-alive\r\n", "ok").await;
            }
        }
    })
    .await;
    (origin, seen)
}

/// A client, and the address that it comes from.
async fn client(node: &Node, from: &str) -> (Client, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::new(from.parse().expect("an address"), 0);
    socket.bind(own).expect("bind");
    let stream = socket.connect(node.at("web")).await.expect("connect");
    let own = stream.local_addr().expect("an address");
    (Client::on(Box::new(stream)), own)
}

#[tokio::test]
async fn every_connection_names_its_client_and_serves_one_request() {
    for version in ["v1", "v2"] {
        let (origin, seen) = origin().await;
        let node = Node::serving(origin.address(), &config(version)).await;
        let (mut one, first) = client(&node, "127.0.0.1").await;
        let (mut two, second) = client(&node, "127.0.0.2").await;
        let mut expected = Vec::new();
        for round in 0..3 {
            for (client, address) in [(&mut one, first), (&mut two, second)] {
                let response = client.get(&format!("/{round}")).await;
                assert_eq!(response.status, 200);
                assert_ne!(response.header("connection"), Some("close"));
                expected.push((
                    Some((address, node.at("web"))),
                    vec![address.ip().to_string()],
                ));
            }
        }
        assert_eq!(*seen.lock(), expected, "{version}");
        assert_eq!(origin.last().header("connection"), Some("close"));
        let app = [("upstream", "app")];
        node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
            .await;
    }
}

#[tokio::test]
async fn many_clients_at_once_are_never_mixed() {
    let (origin, seen) = origin().await;
    let node = Node::serving(origin.address(), &config("v2")).await;
    let mut clients = Vec::new();
    for n in 0..8 {
        let from = format!("127.0.1.{}", 1 + n);
        let address = node.at("web");
        clients.push(tokio::spawn(async move {
            let stream = tokio::net::TcpSocket::new_v4().expect("a socket");
            let own = SocketAddr::new(from.parse().expect("an address"), 0);
            stream.bind(own).expect("bind");
            let stream = stream.connect(address).await.expect("connect");
            // Half of them share an HTTP/2 connection among their own requests.
            if n % 2 == 0 {
                let http2 = Http2::over(stream).await;
                let asked = (0..8).map(|at| {
                    let mut http2 = http2.again();
                    async move { http2.get(&format!("/{at}")).await.head.status() }
                });
                for status in futures_util::future::join_all(asked).await {
                    assert_eq!(status, 200);
                }
            } else {
                let mut client = Client::on(Box::new(stream));
                for at in 0..8 {
                    assert_eq!(client.get(&format!("/{at}")).await.status, 200);
                }
            }
        }));
    }
    for client in clients {
        crate::harness::node::joined(client).await;
    }
    let seen = seen.lock();
    assert_eq!(seen.len(), 64, "a connection for each request");
    for (said, requests) in &*seen {
        let (source, _) = said.expect("a client");
        assert_eq!(*requests, [source.ip().to_string()]);
    }
}

#[tokio::test]
async fn trusted_proxies_say_who_the_client_is() {
    let (origin, seen) = origin().await;
    let node = Node::serving(origin.address(), &config("v2")).await;
    // A load balancer that names client and address itself.
    let (mut balanced, _) = client(&node, "127.0.0.1").await;
    balanced
        .send(proxy_header::v1("203.0.113.7", "192.0.2.1"))
        .await;
    assert_eq!(balanced.get("/proxy").await.status, 200);
    // One that names it in fields, which have no port.
    let (mut fields, _) = client(&node, "127.0.0.1").await;
    let asked = fields.get_with("/fields", "X-Forwarded-For: 203.0.113.8\r\n");
    assert_eq!(asked.await.status, 200);
    // A stranger's word is nothing.
    let (mut stranger, from) = client(&node, "127.0.0.2").await;
    let asked = stranger.get_with("/stranger", "X-Forwarded-For: 203.0.113.9\r\n");
    assert_eq!(asked.await.status, 200);
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let said: Vec<Said> = seen.lock().iter().map(|(said, _)| *said).collect();
    assert_eq!(
        said,
        [
            Some((at("203.0.113.7:40000"), at("192.0.2.1:443"))),
            Some((at("203.0.113.8:0"), node.at("web"))),
            Some((from, node.at("web"))),
        ]
    );
}

#[tokio::test]
async fn a_client_on_a_unix_socket_is_unknown() {
    for version in ["v1", "v2"] {
        let (origin, seen) = origin().await;
        let setup = Setup::new().with("origin", origin.address());
        let path = setup.folder().join("web.sock");
        let word = format!("\"unix:{}\"", path.display());
        let node = setup
            .start(&config(version).replace("\"@web\"", &word))
            .await;
        let mut client = Client::connect_unix(&path).await;
        assert_eq!(client.get("/local").await.status, 200);
        assert_eq!(seen.lock()[0].0, None, "{version}");
        drop(node);
    }
}

#[tokio::test]
async fn a_refused_upgrade_leaves_no_connection_to_others() {
    let (origin, seen) = origin().await;
    let node = Node::serving(origin.address(), &config("v1")).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for from in ["127.0.0.1", "127.0.0.2"] {
        let (mut client, _) = client(&node, from).await;
        assert_eq!(client.get_with("/ws", upgrade).await.status, 200);
    }
    assert_eq!(origin.last().header("connection"), Some("Upgrade"));
    assert_eq!(seen.lock().len(), 2);
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
        .await;
}

/// Takes the header off each connection and passes the rest on.
async fn relay(to: SocketAddr) -> (Origin, Arc<Mutex<Vec<Said>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    let relay = Origin::start(move |mut peer: Peer| {
        let seen = Arc::clone(&shared);
        async move {
            let said = greeting(&mut peer).await;
            seen.lock().push(said);
            let mut on = TcpStream::connect(to).await.expect("connect");
            // Either end may be cut.
            let _ = copy_bidirectional(&mut peer.stream, &mut on).await;
        }
    })
    .await;
    (relay, seen)
}

#[tokio::test]
async fn a_websocket_passes_behind_the_header() {
    let demo = Demo::start().await;
    let (relay, seen) = relay(demo.address()).await;
    let node = Node::serving(relay.address(), &config("v2")).await;
    let mut socket = websocket::open(&node).await;
    websocket::echo(&mut socket, "hello").await;
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let front = Front::start(Rules::of(&issued), demo.address()).await;
    let (relay, seen) = relay(front.address()).await;
    let setup = Setup::new().with("origin", relay.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let tls = "[upstream.tls]\nsni = \"app.internal.test\"\nca = \"ca.pem\"\n";
    let node = setup.start(&format!("{}{tls}", config("v2"))).await;
    let (mut client, from) = client(&node, "127.0.0.1").await;
    for _ in 0..3 {
        assert_eq!(client.get("/bytes/10").await.body.len(), 10);
    }
    assert_eq!(*seen.lock(), [Some((from, node.at("web"))); 3]);
    assert_eq!(front.shaken(), 3);
}

#[tokio::test]
async fn health_checks_speak_for_themselves() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    let origin = Origin::start(move |mut peer: Peer| {
        let seen = Arc::clone(&shared);
        async move {
            let mut head = [0; 16];
            if peer.stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let is_own = head[..] == proxy_header::v2_local();
            if !is_own {
                let mut addresses = [0; 12];
                peer.stream
                    .read_exact(&mut addresses)
                    .await
                    .expect("a client");
            }
            while let Some(request) = peer.request().await {
                seen.lock().push((request.target().to_owned(), is_own));
                peer.answer(200, "", "ok").await;
            }
        }
    })
    .await;
    let health = "[upstream.health]\nkind = \"http\"\npath = \"/healthz\"\ninterval = \"200ms\"\ntimeout = \"100ms\"\n";
    let node = Node::serving(origin.address(), &format!("{}{health}", config("v2"))).await;
    crate::harness::eventually("two checks", || async {
        (seen.lock().len() >= 2).then_some(())
    })
    .await;
    assert_eq!(node.get("/app").await.status, 200);
    for (target, is_own) in &*seen.lock() {
        assert_eq!(*is_own, target == "/healthz", "{target}");
    }
}
