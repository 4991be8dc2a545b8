use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::thread::JoinHandle;
use std::time::Duration;

use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::rsa::Rsa;
use boring::ssl::{SslAcceptor, SslMethod, SslStream, SslVersion};
use boring::x509::X509Builder;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::tls::Alpn;
use crate::tls::certificate::tests::{Made, ec, make};

const NAME: &str = "app.internal.test";

struct World {
    folder: TempDir,
    authority: Made,
    leaf: Made,
}

impl World {
    fn new() -> Self {
        let key = || ec(Nid::X9_62_PRIME256V1);
        let authority = make(&[], key(), 10, None);
        let leaf = make(&[NAME], key(), 10, Some(&authority));
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
            leaf,
        };
        world.trust(&world.authority);
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trust(&self, authority: &Made) {
        let pem = authority.certificate.to_pem().unwrap();
        std::fs::write(self.file("ca.pem"), pem).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            sni: NAME.to_owned(),
            san: Vec::new(),
            ca: Some(self.file("ca.pem")),
            own: None,
            oldest: Oldest::V12,
            verify: true,
        }
    }

    fn tls(&self) -> UpstreamTls {
        UpstreamTls::open(self.settings()).unwrap()
    }

    /// A server with the leaf that does this once the handshake is done.
    fn serve(
        &self,
        newest: SslVersion,
        work: impl FnOnce(SslStream<Blocking>) + Send + 'static,
    ) -> (UnixStream, JoinHandle<()>) {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        builder.set_certificate(&self.leaf.certificate).unwrap();
        builder.set_private_key(&self.leaf.key).unwrap();
        builder.set_max_proto_version(Some(newest)).unwrap();
        let acceptor = builder.build();
        let (ours, theirs) = Blocking::pair().unwrap();
        let server = std::thread::spawn(move || {
            if let Ok(stream) = acceptor.accept(theirs) {
                work(stream);
            }
        });
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), server)
    }
}

#[tokio::test]
async fn bytes_pass_and_the_end_is_told_from_a_cut() {
    let world = World::new();
    let connector = world.tls().connector();
    for newest in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for cut in [false, true] {
            let (io, server) = world.serve(newest, move |mut stream| {
                let mut body = vec![0; 100_000];
                stream.read_exact(&mut body).unwrap();
                stream.write_all(&body).unwrap();
                if !cut {
                    stream.shutdown().unwrap();
                }
            });
            let mut stream = connector.handshake(io, Alpn::Http1).await.unwrap();
            assert!(!stream.is_h2());
            let body: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
            stream.write_all(&body).await.unwrap();
            let mut back = Vec::new();
            let end = stream.read_to_end(&mut back).await;
            assert!(back == body);
            match end {
                Ok(_) => assert!(!cut, "{newest:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
                    assert!(cut, "{newest:?}");
                }
            }
            server.join().unwrap();
        }
    }
}

#[tokio::test]
async fn dropping_it_says_goodbye() {
    let world = World::new();
    let (io, server) = world.serve(SslVersion::TLS1_3, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let told = stream.get_shutdown();
        assert!(told.contains(boring::ssl::ShutdownState::RECEIVED));
    });
    let connector = world.tls().connector();
    drop(connector.handshake(io, Alpn::Http1).await.unwrap());
    server.join().unwrap();
}

#[tokio::test]
async fn sha1_is_not_believed() {
    let mut world = World::new();
    let mut builder = X509Builder::new().unwrap();
    let old = &world.leaf.certificate;
    builder.set_version(2).unwrap();
    builder.set_serial_number(old.serial_number()).unwrap();
    builder.set_subject_name(old.subject_name()).unwrap();
    builder.set_issuer_name(old.issuer_name()).unwrap();
    builder.set_not_before(old.not_before()).unwrap();
    builder.set_not_after(old.not_after()).unwrap();
    builder.set_pubkey(&world.leaf.key).unwrap();
    let context = builder.x509v3_context(None, None);
    let names = boring::x509::extension::SubjectAlternativeName::new()
        .dns(NAME)
        .build(&context)
        .unwrap();
    builder.append_extension(&names).unwrap();
    builder
        .sign(&world.authority.key, MessageDigest::sha1())
        .unwrap();
    world.leaf.certificate = builder.build();
    let (io, server) = world.serve(SslVersion::TLS1_3, |_| {});
    let connector = world.tls().connector();
    let failed = connector.handshake(io, Alpn::Http1).await.unwrap_err();
    let why = "it is signed with SHA-1".to_owned();
    assert_eq!(failed, TlsFailure::Certificate(why));
    server.join().unwrap();
}

#[tokio::test]
async fn short_rsa_keys_are_not_believed() {
    let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    for (authority, leaf, refused) in [
        (1024, 2048, Some("(certificate 2 of the chain)")),
        (2048, 1024, Some("")),
        (2048, 2048, None),
    ] {
        let mut world = World::new();
        world.authority = make(&[], rsa(authority), 10, None);
        world.leaf = make(&[NAME], rsa(leaf), 10, Some(&world.authority));
        world.trust(&world.authority);
        let (io, server) = world.serve(SslVersion::TLS1_3, |_| {});
        let connector = world.tls().connector();
        let failed = connector.handshake(io, Alpn::Http1).await.err();
        let text = failed.map(|failed| failed.to_string());
        let expected = refused.map(|place| {
            let why = "its certificate is refused: its RSA key has 1024 bits, 2048 are the least";
            format!("{why} {place}").trim_end().to_owned()
        });
        assert_eq!(text, expected);
        server.join().unwrap();
    }
}

#[tokio::test]
async fn what_is_no_tls_fails_and_what_is_silent_can_be_left() {
    let connector = World::new().tls().connector();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .unwrap();
    let failed = connector.handshake(ours, Alpn::Http1).await.unwrap_err();
    assert!(matches!(failed, TlsFailure::Other(_)), "{failed:?}");
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let failed = connector.handshake(ours, Alpn::Http1).await.unwrap_err();
    assert!(
        matches!(failed, TlsFailure::Closed | TlsFailure::Other(_)),
        "{failed:?}"
    );
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let handshake = connector.handshake(ours, Alpn::Http1);
    let left = tokio::time::timeout(Duration::from_millis(20), handshake).await;
    assert!(left.is_err());
}

#[test]
fn the_key_covers_all_that_decides_whom_we_believe() {
    let world = World::new();
    let key = |settings: Settings, alpn| {
        let tls = UpstreamTls::open(settings).unwrap();
        tls.connector().key(alpn)
    };
    let plain = world.settings();
    let own = make(&[], ec(Nid::X9_62_PRIME256V1), 10, None);
    std::fs::write(world.file("own.pem"), own.certificate.to_pem().unwrap()).unwrap();
    let text = own.key.private_key_to_pem_pkcs8().unwrap();
    std::fs::write(world.file("own.key"), text).unwrap();
    std::fs::write(world.file("ca2.pem"), own.certificate.to_pem().unwrap()).unwrap();
    let mut all = vec![
        key(plain.clone(), Alpn::Http1),
        key(plain.clone(), Alpn::H2),
        key(plain.clone(), Alpn::Both),
    ];
    let mut with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = plain.clone();
        change(&mut settings);
        all.push(key(settings, Alpn::Http1));
    };
    with(&|s| s.sni = "other.test".to_owned());
    with(&|s| s.san = vec![ServerRule::parse("other.test").unwrap()]);
    with(&|s| s.san = vec![ServerRule::parse("spiffe://farm/app").unwrap()]);
    with(&|s| s.ca = Some(world.file("ca2.pem")));
    with(&|s| s.own = Some((world.file("own.pem"), world.file("own.key"))));
    with(&|s| s.oldest = Oldest::V13);
    with(&|s| s.verify = false);
    let count = all.len();
    assert_eq!(
        key(plain, Alpn::Http1),
        all[0],
        "the same words, the same key"
    );
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_bad_one_is_not() {
    let world = World::new();
    let tls = world.tls();
    let meets = async |fine: bool| {
        let (io, server) = world.serve(SslVersion::TLS1_3, |_| {});
        let met = tls.connector().handshake(io, Alpn::Http1).await;
        assert_eq!(met.is_ok(), fine, "{:?}", met.err());
        server.join().unwrap();
    };
    let key = || tls.connector().key(Alpn::Http1);
    let first = key();
    assert_eq!(tls.refresh(), Ok(false));
    meets(true).await;
    let stranger = make(&[], ec(Nid::X9_62_PRIME256V1), 10, None);
    world.trust(&stranger);
    assert_eq!(tls.refresh(), Ok(true));
    assert_ne!(key(), first, "connections made before are not used again");
    meets(false).await;
    let second = key();
    std::fs::write(world.file("ca.pem"), "-----BEGIN CERTIFICATE-----\nMII").unwrap();
    let error = tls.refresh().unwrap_err();
    assert_eq!(error.file, world.file("ca.pem"));
    std::fs::remove_file(world.file("ca.pem")).unwrap();
    assert!(tls.refresh().is_err());
    assert_eq!(key(), second, "the last good one stays");
    world.trust(&world.authority);
    assert_eq!(tls.refresh(), Ok(true));
    assert_eq!(key(), first);
    meets(true).await;
    assert!(tls.files().eq([world.file("ca.pem")]));
}
