//! Handshakes with clients: the alerts, and what a resumed session is held against.
#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicI64;
use std::thread;

use arc_swap::ArcSwap;
use boring::ssl::{
    HandshakeError, SslAcceptor, SslConnector, SslMethod, SslSession, SslSessionCacheMode,
    SslVersion,
};
use parking_lot::Mutex;

use super::*;
use crate::tls::context::tests::{p256, store, terms};
use crate::tls::context::{Alpn, Policy, Terms, acceptor};

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A `[[tls]]` whose clock can be set forward.
struct Edge {
    auth: Arc<ClientAuth>,
    acceptor: SslAcceptor,
    ahead_s: Arc<AtomicI64>,
}

impl Edge {
    fn new(mode: ClientMode, authority: ClientAuthority) -> Self {
        let ahead_s: Arc<AtomicI64> = Arc::default();
        let ahead = Arc::clone(&ahead_s);
        let clock = Box::new(move || now_s() + ahead.load(Ordering::Relaxed));
        let auth = ClientAuth::with_clock(mode, authority, clock);
        let store = Arc::new(ArcSwap::from_pointee(store(&[p256("a.test")], None)));
        let policy = Policy::Intermediate;
        let acceptor = acceptor(Terms {
            clients: Some(&auth),
            ..terms("edge", policy, Alpn::Both, &store)
        })
        .unwrap();
        Self {
            auth,
            acceptor,
            ahead_s,
        }
    }

    /// What the server found, and what the client met: whether it resumed, or the error.
    fn meet(&self, client: &Client) -> (Admission, Result<bool, String>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (acceptor, auth) = (self.acceptor.clone(), Arc::clone(&self.auth));
        let server = thread::spawn(move || match acceptor.accept(ours) {
            Ok(mut stream) => {
                let found = auth.admit(stream.ssl());
                stream.write_all(b"x").unwrap();
                found
            }
            Err(HandshakeError::Failure(failed)) => {
                let refusal = refusal_of(failed.ssl());
                Err(refusal.unwrap_or_else(|| panic!("{}", failed.error())))
            }
            Err(other) => panic!("{other}"),
        });
        let met = client.connect(theirs);
        (server.join().unwrap(), met)
    }
}

/// A client with a certificate, which keeps its last session.
struct Client {
    connector: SslConnector,
    kept: Arc<Mutex<Option<SslSession>>>,
    resumed: Mutex<Option<SslSession>>,
}

impl Client {
    fn new(version: SslVersion, shown: Option<(&Issued, &[&Issued])>) -> Self {
        let kept: Arc<Mutex<Option<SslSession>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_max_proto_version(Some(version)).unwrap();
        let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
        builder.set_session_cache_mode(mode);
        builder.set_new_session_callback(move |_, session| *keep.lock() = Some(session));
        if let Some((leaf, others)) = shown {
            builder.set_certificate(&leaf.certificate()).unwrap();
            builder.set_private_key(&leaf.key()).unwrap();
            for one in others {
                builder.add_extra_chain_cert(one.certificate()).unwrap();
            }
        }
        Self {
            connector: builder.build(),
            kept,
            resumed: Mutex::default(),
        }
    }

    /// From now on it resumes the last session.
    fn resume(&self) {
        *self.resumed.lock() = Some(self.kept.lock().take().unwrap());
    }

    fn connect(&self, stream: UnixStream) -> Result<bool, String> {
        let mut configuration = self.connector.configure().unwrap();
        configuration.set_verify_hostname(false);
        let mut ssl = configuration.into_ssl("a.test").unwrap();
        if let Some(session) = &*self.resumed.lock() {
            // SAFETY: the session was made by the context of this connector.
            unsafe { ssl.set_session(session) }.unwrap();
        }
        let mut met = ssl.connect(stream).map_err(|error| error.to_string())?;
        met.read_exact(&mut [0])
            .map_err(|error| error.to_string())?;
        Ok(met.ssl().session_reused())
    }
}

fn refused(edge: &Edge, client: &Client, why: ClientRefusal, alert: &str) {
    let (found, met) = edge.meet(client);
    assert_eq!(found, Err(why));
    let met = met.unwrap_err();
    assert!(met.contains(alert), "{why:?}: {met}");
}

#[test]
fn a_refusal_ends_the_handshake_with_its_alert() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let middle = root.below("middle", AUTHORITY);
    let stranger = Authority::root(folder.path(), "stranger").client("s.partner.test");
    let [good, other, bad] =
        ["a.partner.test", "a.other.test", "bad.partner.test"].map(|name| middle.client(name));
    let server = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:b.partner.test\n";
    let server = middle.issue("server", server, &[]);
    middle.revoke(&bad);
    let lists = [root.list(&[]), middle.list(&[])];
    let bundle = [&root.own, &middle.own];
    let authority = || believe(&bundle, Some(&lists), &["*.partner.test"]).unwrap();
    for version in VERSIONS {
        let edge = Edge::new(ClientMode::Require, authority());
        let shows = |leaf: &Issued| Client::new(version, Some((leaf, &[])));
        let (found, met) = edge.meet(&shows(&good));
        assert_eq!(found.unwrap().unwrap().sans, ["a.partner.test"]);
        assert_eq!(met, Ok(false));
        for (leaf, why, alert) in [
            (&stranger, ClientRefusal::UnknownCa, "UNKNOWN_CA"),
            (&bad, ClientRefusal::Revoked, "CERTIFICATE_REVOKED"),
            (&other, ClientRefusal::Name, "ACCESS_DENIED"),
            (&server, ClientRefusal::Purpose, "UNSUPPORTED_CERTIFICATE"),
        ] {
            refused(&edge, &shows(leaf), why, alert);
        }
        let missing = match version {
            SslVersion::TLS1_2 => "HANDSHAKE_FAILURE",
            _ => "CERTIFICATE_REQUIRED",
        };
        let nothing = Client::new(version, None);
        refused(&edge, &nothing, ClientRefusal::NoCertificate, missing);
        for (ahead_s, why) in [
            (29 * 86_400 + 86_000, None),
            (31 * 86_400, Some(ClientRefusal::Expired)),
            (-86_400, Some(ClientRefusal::NotYetValid)),
            (0, None),
        ] {
            edge.ahead_s.store(ahead_s, Ordering::Relaxed);
            match why {
                Some(why) => refused(&edge, &shows(&good), why, "CERTIFICATE_EXPIRED"),
                None => assert_eq!(edge.meet(&shows(&good)).1, Ok(false)),
            }
        }
        edge.auth
            .replace(believe(&bundle, Some(&lists[..1]), &[]).unwrap());
        let unsaid = "CERTIFICATE_UNKNOWN";
        refused(&edge, &shows(&good), ClientRefusal::NoCrl, unsaid);

        let edge = Edge::new(ClientMode::Optional, authority());
        assert_eq!(edge.meet(&nothing), (Ok(None), Ok(false)));
        assert!(edge.meet(&shows(&good)).0.unwrap().is_some());
        let why = ClientRefusal::UnknownCa;
        refused(&edge, &shows(&stranger), why, "UNKNOWN_CA");
    }
}

#[test]
fn a_resumed_session_is_held_against_what_is_believed_now() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let other = Authority::root(folder.path(), "other");
    let middle = root.below("middle", AUTHORITY);
    let leaf = middle.client("a.partner.test");
    let lists = [root.list(&[]), middle.list(&[])];
    middle.revoke(&leaf);
    let revoking = [root.list(&[]), middle.list(&[])];
    let both = [&root.own, &middle.own];
    for version in VERSIONS {
        // The client's intermediate is in the session: the bundle does not have it.
        let edge = Edge::new(ClientMode::Require, believe(&both[..1], None, &[]).unwrap());
        let client = Client::new(version, Some((&leaf, &[&middle.own])));
        let (first, met) = edge.meet(&client);
        assert_eq!(met, Ok(false), "{version:?}");
        client.resume();
        assert_eq!(edge.meet(&client), (first, Ok(true)), "{version:?}");

        let believes = |ca: &[&Issued], lists: Option<&[Vec<u8>]>, rules: &[&str]| {
            edge.auth.replace(believe(ca, lists, rules).unwrap());
        };
        believes(&both, Some(&lists), &[]);
        assert_eq!(edge.meet(&client).1, Ok(true));
        believes(&both, Some(&revoking), &[]);
        let why = ClientRefusal::Revoked;
        refused(&edge, &client, why, "CERTIFICATE_REVOKED");
        believes(&both, Some(&lists[..1]), &[]);
        let why = ClientRefusal::NoCrl;
        refused(&edge, &client, why, "CERTIFICATE_UNKNOWN");
        believes(&both, None, &["*.else.test"]);
        refused(&edge, &client, ClientRefusal::Name, "ACCESS_DENIED");
        believes(&[&other.own], None, &[]);
        refused(&edge, &client, ClientRefusal::UnknownCa, "UNKNOWN_CA");
        believes(&both[..1], None, &[]);
        assert_eq!(edge.meet(&client).1, Ok(true));
        edge.ahead_s.store(40 * 86_400, Ordering::Relaxed);
        let why = ClientRefusal::Expired;
        refused(&edge, &client, why, "CERTIFICATE_EXPIRED");
    }
}

#[test]
fn a_session_without_a_certificate_stays_without() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    for version in VERSIONS {
        let authority = believe(&[&root.own], None, &[]).unwrap();
        let edge = Edge::new(ClientMode::Optional, authority);
        let client = Client::new(version, None);
        assert_eq!(edge.meet(&client), (Ok(None), Ok(false)));
        client.resume();
        assert_eq!(edge.meet(&client), (Ok(None), Ok(true)), "{version:?}");
    }
}

/// A connection lives long: its certificate can be looked at again.
#[test]
fn an_open_connection_can_be_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.client("a.partner.test");
    let authority = believe(&[&root.own], None, &[]).unwrap();
    let edge = Edge::new(ClientMode::Require, authority);
    let client = Client::new(SslVersion::TLS1_3, Some((&leaf, &[])));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (acceptor, auth) = (edge.acceptor.clone(), Arc::clone(&edge.auth));
    let server = thread::spawn(move || {
        let mut stream = acceptor.accept(ours).unwrap();
        stream.write_all(b"x").unwrap();
        let found = [0, 40 * 86_400].map(|ahead_s| auth.recheck(stream.ssl(), now_s() + ahead_s));
        (auth.admit(stream.ssl()), found)
    });
    client.connect(theirs).unwrap();
    let (first, [now, later]) = server.join().unwrap();
    assert!(first.is_ok());
    assert_eq!((now, later), (first, Err(ClientRefusal::Expired)));
}

/// The authorities that `openssl s_client` is told of.
fn told(edge: &Edge) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = edge.acceptor.clone();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // The client goes as soon as it has met us.
        drop(acceptor.accept(stream));
    });
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-servername", "a.test"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    server.join().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let (_, after) = text
        .split_once("Acceptable client certificate CA names\n")
        .unwrap();
    let names = after.lines().take_while(|line| line.starts_with("CN"));
    names.map(str::to_owned).collect()
}

#[test]
fn clients_are_told_whom_the_edge_believes_now() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        Authority::root(folder.path(), "one"),
        Authority::root(folder.path(), "two"),
    );
    let authority = believe(&[&one.own], None, &[]).unwrap();
    let edge = Edge::new(ClientMode::Optional, authority);
    assert_eq!(told(&edge), ["CN = one"]);
    let both = believe(&[&one.own, &two.own], None, &[]).unwrap();
    edge.auth.replace(both);
    assert_eq!(told(&edge), ["CN = one", "CN = two"]);
    edge.auth.replace(believe(&[&two.own], None, &[]).unwrap());
    assert_eq!(told(&edge), ["CN = two"]);
}
