use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::ssl::{Ssl, SslConnector, SslStream, SslVerifyMode};

use super::*;
use crate::tls::certificate::tests::{ec, make};
use crate::tls::store::StoreBuilder;

fn certificate(name: &str, key: PKey<Private>) -> Arc<Certificate> {
    let made = make(&[name], key, 10, None);
    let chain = made.certificate.to_pem().unwrap();
    let key = made.key.private_key_to_pem_pkcs8().unwrap();
    let file = Path::new("a.pem");
    Arc::new(Certificate::parse(file, &chain, file, &key).unwrap())
}

pub(in crate::tls) fn p256(name: &str) -> Arc<Certificate> {
    certificate(name, ec(Nid::X9_62_PRIME256V1))
}

pub(in crate::tls) fn store(all: &[Arc<Certificate>], default: Option<&str>) -> Store {
    let mut builder = StoreBuilder::default();
    all.iter().for_each(|one| builder.add(one));
    builder.build(default).unwrap().0
}

pub(in crate::tls) struct Served {
    pub(in crate::tls) acceptor: SslAcceptor,
    pub(in crate::tls) store: Arc<ArcSwap<Store>>,
}

pub(in crate::tls) fn terms<'t>(
    name: &'t str,
    policy: Policy,
    alpn: Alpn,
    store: &Arc<ArcSwap<Store>>,
) -> Terms<'t> {
    Terms {
        name,
        policy,
        alpn,
        store: Arc::clone(store),
        tickets: None,
        clients: None,
        challenges: None,
    }
}

fn serve(policy: Policy, alpn: Alpn, first: Store) -> Served {
    let store = Arc::new(ArcSwap::from_pointee(first));
    let acceptor = acceptor(terms("edge", policy, alpn, &store)).unwrap();
    Served { acceptor, store }
}

pub(in crate::tls) type Client = SslStream<UnixStream>;

impl Served {
    /// A handshake; both sides read a byte, so that tickets have come.
    pub(in crate::tls) fn meet(&self, client: Ssl) -> Result<Client, String> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let acceptor = self.acceptor.clone();
        let server = thread::spawn(move || {
            if let Ok(mut stream) = acceptor.accept(ours) {
                // The client may be gone by now.
                let _ = stream.write_all(b"x");
            }
        });
        let met = client.connect(theirs);
        let mut met = met.map_err(|error| error.to_string())?;
        met.read_exact(&mut [0])
            .map_err(|error| error.to_string())?;
        server.join().unwrap();
        Ok(met)
    }

    fn ask(&self, name: &str) -> Result<Client, String> {
        self.meet(client(name, |_| {}))
    }
}

fn client(name: &str, set: impl FnOnce(&mut SslContextBuilder)) -> Ssl {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    set(&mut connector);
    let connector = connector.build();
    let mut configuration = connector.configure().unwrap();
    configuration.set_verify_hostname(false);
    if name.is_empty() {
        configuration.set_use_server_name_indication(false);
    }
    configuration
        .into_ssl(if name.is_empty() { "x.test" } else { name })
        .unwrap()
}

/// A handshake with an edge that has this certificate, by a client that asks for its status, or does not.
pub(in crate::tls) fn serve_one(certificate: &Arc<Certificate>, asks: bool) -> Client {
    let all = store(&[Arc::clone(certificate)], None);
    let served = serve(Policy::Modern, Alpn::Both, all);
    let name = certificate.names()[0].clone();
    let asking = client(&name, |builder| {
        if asks {
            builder.enable_ocsp_stapling();
        }
    });
    served.meet(asking).unwrap()
}

fn shown(client: &Client) -> Vec<u8> {
    client.ssl().peer_certificate().unwrap().to_der().unwrap()
}

fn der(certificate: &Certificate) -> Vec<u8> {
    certificate.leaf().to_der().unwrap()
}

#[test]
fn every_name_gets_its_own_and_strangers_the_alert() {
    let (one, two) = (p256("a.test"), p256("b.test"));
    let all = [Arc::clone(&one), Arc::clone(&two)];
    let served = serve(Policy::Intermediate, Alpn::Both, store(&all, None));
    assert_eq!(shown(&served.ask("a.test").unwrap()), der(&one));
    assert_eq!(shown(&served.ask("B.test").unwrap()), der(&two));
    for stranger in ["c.test", ""] {
        let refused = served.ask(stranger).unwrap_err();
        assert!(
            refused.contains("UNRECOGNIZED_NAME"),
            "{stranger}: {refused}"
        );
    }
    served.store.store(Arc::new(store(&all, Some("b.test"))));
    assert_eq!(shown(&served.ask("c.test").unwrap()), der(&two));
    assert_eq!(shown(&served.ask("").unwrap()), der(&two));
}

#[test]
fn a_swap_holds_from_the_next_handshake() {
    let (old, new) = (p256("a.test"), p256("a.test"));
    let served = serve(Policy::Modern, Alpn::Both, store(&[Arc::clone(&old)], None));
    assert_eq!(shown(&served.ask("a.test").unwrap()), der(&old));
    served
        .store
        .store(Arc::new(store(&[Arc::clone(&new)], None)));
    assert_eq!(shown(&served.ask("a.test").unwrap()), der(&new));
}

#[test]
fn the_client_hello_chooses_between_rsa_and_ecdsa() {
    let rsa = certificate(
        "a.test",
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
    );
    let all = [Arc::clone(&rsa), p256("a.test")];
    let served = serve(Policy::Intermediate, Alpn::Both, store(&all, None));
    assert_eq!(shown(&served.ask("a.test").unwrap()), der(&all[1]));
    let only_rsa = client("a.test", |builder| {
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        builder
            .set_cipher_list("ECDHE-RSA-AES128-GCM-SHA256")
            .unwrap();
    });
    assert_eq!(shown(&served.meet(only_rsa).unwrap()), der(&rsa));
    let signing_with_rsa = client("a.test", |builder| {
        builder.set_sigalgs_list("rsa_pss_rsae_sha256").unwrap();
    });
    assert_eq!(shown(&served.meet(signing_with_rsa).unwrap()), der(&rsa));
}

#[test]
fn policies_speak_their_versions_and_no_weak_cipher() {
    let at_most = |version| {
        client("a.test", |builder| {
            builder
                .set_min_proto_version(Some(SslVersion::TLS1))
                .unwrap();
            builder.set_max_proto_version(Some(version)).unwrap();
        })
    };
    let intermediate = serve(
        Policy::Intermediate,
        Alpn::Both,
        store(&[p256("a.test")], None),
    );
    let modern = serve(Policy::Modern, Alpn::Both, store(&[p256("a.test")], None));
    for old in [SslVersion::TLS1, SslVersion::TLS1_1] {
        assert!(intermediate.meet(at_most(old)).is_err());
        assert!(modern.meet(at_most(old)).is_err());
    }
    assert!(modern.meet(at_most(SslVersion::TLS1_2)).is_err());
    let two = intermediate.meet(at_most(SslVersion::TLS1_2)).unwrap();
    assert_eq!(two.ssl().version_str(), "TLSv1.2");
    for served in [&intermediate, &modern] {
        let three = served.ask("a.test").unwrap();
        assert_eq!(three.ssl().version_str(), "TLSv1.3");
    }
    for weak in [
        "AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES128-SHA256",
    ] {
        let weak = client("a.test", |builder| {
            builder
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
            builder.set_cipher_list(weak).unwrap();
        });
        assert!(intermediate.meet(weak).is_err());
    }
}

#[test]
fn the_hybrid_key_exchange_comes_first() {
    let served = serve(Policy::Modern, Alpn::Both, store(&[p256("a.test")], None));
    let all = client("a.test", |builder| {
        builder.set_curves_list("X25519:X25519MLKEM768").unwrap();
    });
    assert_eq!(
        served.meet(all).unwrap().ssl().curve_name(),
        Some("X25519MLKEM768")
    );
    let old = client("a.test", |builder| {
        builder.set_curves_list("P-256").unwrap()
    });
    assert_eq!(served.meet(old).unwrap().ssl().curve_name(), Some("P-256"));
}

#[test]
fn alpn_takes_the_best_common_protocol_or_refuses() {
    let offering =
        |wire: &'static [u8]| client("a.test", |builder| builder.set_alpn_protos(wire).unwrap());
    let both = serve(Policy::Modern, Alpn::Both, store(&[p256("a.test")], None));
    let chosen = |client: Client| client.ssl().selected_alpn_protocol().map(<[u8]>::to_vec);
    let found = both.meet(offering(b"\x08http/1.1\x02h2")).unwrap();
    assert_eq!(chosen(found), Some(b"h2".to_vec()));
    let found = both.meet(offering(b"\x08http/1.1")).unwrap();
    assert_eq!(chosen(found), Some(b"http/1.1".to_vec()));
    assert_eq!(chosen(both.ask("a.test").unwrap()), None);
    let http1 = serve(Policy::Modern, Alpn::Http1, store(&[p256("a.test")], None));
    let refused = http1.meet(offering(b"\x02h2")).unwrap_err();
    assert!(refused.contains("NO_APPLICATION_PROTOCOL"), "{refused}");
}
