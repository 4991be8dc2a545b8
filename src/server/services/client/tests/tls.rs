use boring::asn1::Asn1Time;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::ssl::{AlpnError, SslAcceptor, SslMethod, select_next_proto};
use boring::x509::extension::SubjectAlternativeName;
use boring::x509::{X509Builder, X509NameBuilder};
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::tls::server::handshake;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::*;
use crate::tls::upstream::{Oldest, Settings, UpstreamTls};

const NAME: &str = "app.internal.test";

/// TLS before a server, with a certificate of its own that stands in `ca.pem`.
async fn front(server: SocketAddr, protocols: &'static [u8]) -> (SocketAddr, TempDir) {
    front_of(NAME, server, protocols).await
}

/// The same for this name.
async fn front_of(
    host: &str,
    server: SocketAddr,
    protocols: &'static [u8],
) -> (SocketAddr, TempDir) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "a server").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(10).unwrap())
        .unwrap();
    let context = builder.x509v3_context(None, None);
    let names = SubjectAlternativeName::new().dns(host).build(&context);
    builder.append_extension(&names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate.to_pem().unwrap()).unwrap();
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder.set_certificate(&certificate).unwrap();
    builder.set_private_key(&key).unwrap();
    builder.set_alpn_select_callback(move |_, offered| {
        select_next_proto(protocols, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    let acceptor = Arc::new(builder.build());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = Arc::clone(&acceptor);
            tokio::spawn(async move {
                let Ok(mut tls) = handshake(&acceptor, Stream::from(stream)).await else {
                    return;
                };
                let mut plain = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
            });
        }
    });
    (address, folder)
}

fn tls(folder: &TempDir, sni: &str) -> Option<Arc<UpstreamTls>> {
    let settings = Settings {
        sni: sni.to_owned(),
        san: Vec::new(),
        ca: Some(folder.path().join("ca.pem")),
        own: None,
        oldest: Oldest::V12,
        verify: true,
    };
    Some(Arc::new(UpstreamTls::open(settings).unwrap()))
}

#[tokio::test]
async fn an_upstream_with_tls_is_never_asked_in_the_clear() {
    use UpstreamProtocol::{Auto, H2, Http1};
    for (http2, protocols, protocol) in [
        (false, &b"\x08http/1.1"[..], Http1),
        (true, b"\x02h2", H2),
        (false, b"\x08http/1.1", Auto),
        (true, b"\x02h2\x08http/1.1", Auto),
    ] {
        let server = Server::start(http2).await;
        let (address, folder) = front(server.address, protocols).await;
        let plans = Arc::new(Plans::default());
        let outgoing = outgoing();
        let source = Arc::clone(&plans) as Arc<dyn UpstreamSource>;
        let client = outgoing.upstream_client("app", source);
        plans.put(&[address], protocol, HostMode::Keep, tls(&folder, NAME));
        for _ in 0..4 {
            let answer = client.send(request("/x")).await.unwrap();
            let spoken = if http2 { "HTTP/2.0" } else { "HTTP/1.1" };
            assert_eq!(answer.headers()["x-version"], spoken);
            assert_eq!(text(Ok(answer)), "/x ");
        }
        assert_eq!(server.connections(), 1);
        // Another name to verify: the connection that is there is not for it.
        plans.put(&[address], protocol, HostMode::Keep, tls(&folder, "b.test"));
        let error = client.send(request("/secret")).await.unwrap_err();
        assert!(
            error.contains("its certificate is refused: it is for app"),
            "{error}"
        );
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn https_urls_are_verified() {
    let server = Server::start(false).await;
    let (address, folder) = front_of("localhost", server.address, b"\x08http/1.1").await;
    let outgoing = |authorities| {
        let (runtime, https) = (Handle::current(), https::Https::believing(authorities));
        Arc::new(Outgoing {
            runtime,
            places: Arc::new(Semaphore::new(4)),
            discarded: Arc::new(Semaphore::new(4)),
            pool: Arc::default(),
            https,
        })
    };
    let to = |host: &str| ClientRequest {
        head: Request::get(format!("https://{host}:{}/x", address.port()))
            .body(())
            .unwrap(),
        ..request("/")
    };
    let client = outgoing(folder.path().join("ca.pem")).url_client();
    for _ in 0..3 {
        let answer = client.send(to("LOCALHOST")).await.unwrap();
        let host = answer.headers()["x-host"].to_str().unwrap().to_lowercase();
        assert_eq!(host, format!("localhost:{}", address.port()));
        assert_eq!(text(Ok(answer)), "/x ");
    }
    assert_eq!(server.connections(), 1);
    // An address has no certificate that we could know; a name without a dot at its end is one host.
    let error = client.send(to("127.0.0.1")).await.unwrap_err();
    assert!(error.contains("needs a host name"), "{error}");
    // Another authority: the server is not believed, and nothing of the request is sent.
    let (_, other) = front_of("localhost", server.address, b"\x08http/1.1").await;
    let client = outgoing(other.path().join("ca.pem")).url_client();
    let error = client.send(to("localhost")).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    // The right authority, and a certificate for another name.
    let (address, folder) = front(server.address, b"\x08http/1.1").await;
    let client = outgoing(folder.path().join("ca.pem")).url_client();
    let mut wrong = to("localhost");
    *wrong.head.uri_mut() = format!("https://localhost:{}/x", address.port())
        .parse()
        .unwrap();
    let error = client.send(wrong).await.unwrap_err();
    assert!(
        error.contains("its certificate is refused: it is for app"),
        "{error}"
    );
    assert_eq!(server.connections(), 1);
}
