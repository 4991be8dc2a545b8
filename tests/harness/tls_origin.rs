//! TLS in front of an origin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use boring::ssl::{
    AlpnError, SslAcceptor, SslAcceptorBuilder, SslMethod, SslVerifyMode, select_next_proto,
};
use boring::x509::store::X509StoreBuilder;
use parking_lot::Mutex;
use pingora_core::protocols::Ssl as _;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::tls::ALPN;
use pingora_core::protocols::tls::server::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::authority::{Authority, Issued};

/// What a [`Front`] saw.
#[derive(Default)]
struct Record {
    accepted: AtomicUsize,
    shaken: AtomicUsize,
    versions: Mutex<Vec<String>>,
    bytes: AtomicUsize,
}

/// TLS in front of an origin that speaks none: what comes out of it is passed on.
pub(crate) struct Front {
    address: SocketAddr,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

/// How a [`Front`] behaves.
pub(crate) struct Rules {
    builder: SslAcceptorBuilder,
}

impl Rules {
    /// With this certificate; no ALPN.
    pub(crate) fn of(issued: &Issued) -> Self {
        let builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls());
        let mut builder = builder.expect("an acceptor");
        let certificate = &issued.certificate;
        builder.set_certificate(certificate).expect("a certificate");
        builder.set_private_key(&issued.key).expect("a key");
        Self { builder }
    }

    /// Chooses by ALPN from these, in the form of RFC 7301, and refuses others.
    pub(crate) fn alpn(mut self, protocols: &'static [u8]) -> Self {
        self.builder.set_alpn_select_callback(move |_, offered| {
            select_next_proto(protocols, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        self
    }

    /// Demands a certificate of this authority.
    pub(crate) fn demanding(mut self, authority: &Authority) -> Self {
        let mut store = X509StoreBuilder::new().expect("a store");
        store.add_cert(authority.certificate()).expect("add");
        self.builder.set_cert_store_builder(store);
        let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        self.builder.set_verify(mode);
        self
    }

    /// Changes what there is no word for.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut SslAcceptorBuilder)) -> Self {
        change(&mut self.builder);
        self
    }
}

impl Front {
    /// Starts it on a free port.
    pub(crate) async fn start(rules: Rules, origin: SocketAddr) -> Self {
        Self::start_at(super::free_address(), rules, origin).await
    }

    /// Starts it at an address.
    pub(crate) async fn start_at(address: SocketAddr, rules: Rules, origin: SocketAddr) -> Self {
        let acceptor = Arc::new(rules.builder.build());
        let listener = TcpListener::bind(address).await.expect("bind the front");
        let address = listener.local_addr().expect("an address");
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, record) = (Arc::clone(&acceptor), Arc::clone(&shared));
                connections.spawn(serve(stream, acceptor, record, origin));
            }
        });
        Self {
            address,
            record,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections taken.
    pub(crate) fn accepted(&self) -> usize {
        self.record.accepted.load(Ordering::SeqCst)
    }

    /// Handshakes that succeeded.
    pub(crate) fn shaken(&self) -> usize {
        self.record.shaken.load(Ordering::SeqCst)
    }

    /// Bytes that came out of connections whose handshake succeeded.
    pub(crate) fn bytes(&self) -> usize {
        self.record.bytes.load(Ordering::SeqCst)
    }

    /// What was spoken, as `TLSv1.3 h2`, in the order of handshakes.
    pub(crate) fn spoken(&self) -> Vec<String> {
        self.record.versions.lock().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Arc<SslAcceptor>,
    record: Arc<Record>,
    origin: SocketAddr,
) {
    stream.set_nodelay(true).expect("nodelay");
    let Ok(mut tls) = handshake(&acceptor, Stream::from(stream)).await else {
        return;
    };
    let alpn = match tls.selected_alpn_proto() {
        Some(ALPN::H2) => "h2",
        Some(_) => "http/1.1",
        None => "-",
    };
    let version = tls.get_ssl().map_or("", |ssl| ssl.version_str());
    record.versions.lock().push(format!("{version} {alpn}"));
    record.shaken.fetch_add(1, Ordering::SeqCst);
    let Ok(mut plain) = TcpStream::connect(origin).await else {
        return;
    };
    plain.set_nodelay(true).expect("nodelay");
    if let Ok((up, _)) = tokio::io::copy_bidirectional(&mut tls, &mut plain).await {
        record.bytes.fetch_add(up as usize, Ordering::SeqCst);
    }
}
