//! One `[[tls]]` in force: what its listeners share. [`follow`] is how it follows its files, [`staples`] what it
//! staples to handshakes.

mod clients;
mod follow;
mod material;
mod moved;
mod ordered;
mod staples;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use boring::error::ErrorStack;
use boring::ssl::SslAcceptor;
use parking_lot::Mutex;

use super::acme::{Challenge, Challenges, Settings};
use super::certificate::{Certificate, CertificateError, Problem};
use super::clients::{ClientAuth, ClientsError};
use super::context::{self, Alpn, Policy, Terms};
use super::files::{Pair, Problems, Stamp, seconds};
use super::identity::Forward;
use super::ocsp::OcspError;
use super::secrets::{Secrets, SecretsError};
use super::store::{Shadowed, Store, StoreBuilder};
use super::tickets::Tickets;
use crate::telemetry::metrics::{Gauge, Metrics, TlsMetrics};
use clients::Clients;
use staples::Stapled;

pub use clients::ClientsSpec;
pub use material::Material;
pub use moved::MovedTickets;
pub use staples::{Due, StapleSpec};

/// What a `[[tls]]` is to be.
#[derive(Clone, Debug)]
pub struct EdgeSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Versions and ciphers.
    pub policy: Policy,
    /// Its certificates.
    pub pairs: Vec<Pair>,
    /// What their authorities say about them: the place of the pair, and where to find it.
    pub staples: Vec<(usize, StapleSpec)>,
    /// The name served to clients whose name no certificate has, and to those without one.
    pub default: Option<String>,
    /// File of the shared secrets of tickets, if any.
    pub secrets: Option<PathBuf>,
    /// How long one key of tickets is used.
    pub rotate: Duration,
    /// The longest handshake.
    pub timeout: Duration,
    /// Handshakes of one client address, as (count, period).
    pub per_ip: Option<(u32, Duration)>,
    /// What is ordered from an authority, if anything.
    pub acme: Option<Settings>,
    /// Certificates of clients, if they are asked for.
    pub clients: Option<ClientsSpec>,
    /// How origins are told who the client is.
    pub forward: Forward,
}

impl EdgeSpec {
    /// The store of these certificates; `None` if none is for the default name. One that is to be ordered may have none
    /// yet: until then clients without a fitting name are refused.
    fn store(
        &self,
        served: &[Arc<Certificate>],
        ordered: Option<&Arc<Certificate>>,
    ) -> Option<(Store, Vec<Shadowed>)> {
        let build = |default| {
            let mut builder = StoreBuilder::default();
            served
                .iter()
                .chain(ordered)
                .for_each(|one| builder.add(one));
            builder.build(default)
        };
        let default = self.default.as_deref();
        let is_awaited = || {
            let names = self.acme.iter().flat_map(|acme| acme.domains());
            names
                .zip(std::iter::repeat(default.unwrap_or_default()))
                .any(|(name, default)| name.eq_ignore_ascii_case(default))
        };
        match build(default) {
            None if is_awaited() => build(None),
            built => built,
        }
    }
}

/// Why a `[[tls]]` cannot be put in force.
#[derive(Debug)]
pub enum EdgeError {
    /// The certificate at this place of `pairs`.
    Certificate(usize, CertificateError),
    /// No certificate has the name of `default`.
    Default,
    /// The secrets of tickets.
    Secrets(SecretsError),
    /// The authorities of clients, or what they revoked.
    Clients(ClientsError),
    /// The library's own.
    Library(ErrorStack),
}

/// What is worth a look, but no error.
#[derive(Debug)]
pub enum EdgeWarning {
    /// The certificate at this place of `pairs` has expired.
    Expired(usize),
    /// The certificate at this place of `pairs` has expired; the one that was read before is served on.
    KeptOlder(usize),
    /// Two certificates of one kind for one name.
    Shadowed(Shadowed),
    /// So many revocation lists are over: certificates of their authorities are refused.
    StaleLists(usize),
    /// What is said about the certificate at this place of `pairs` is not stapled.
    Staple(usize, OcspError),
}

/// A `[[tls]]` in force.
pub struct Edge {
    spec: EdgeSpec,
    store: Arc<ArcSwap<Store>>,
    /// What the store was built from, in the order of `pairs`.
    served: Mutex<Vec<Arc<Certificate>>>,
    /// The certificate that an authority issued to us.
    ordered: Mutex<Option<Arc<Certificate>>>,
    challenges: Arc<ArcSwapOption<Challenges>>,
    tickets: Arc<Tickets>,
    secrets_stamp: Mutex<Option<Stamp>>,
    clients: Option<Clients>,
    staples: Vec<Stapled>,
    problems: Mutex<Problems>,
    expiry: Mutex<Vec<Gauge>>,
    metrics: TlsMetrics,
    all_metrics: Arc<Metrics>,
}

impl Edge {
    /// Reads everything that `spec` names.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn open(
        spec: EdgeSpec,
        material: &Material,
        metrics: &Arc<Metrics>,
        now: SystemTime,
    ) -> Result<(Self, Vec<EdgeWarning>), Vec<EdgeError>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let mut served = Vec::with_capacity(spec.pairs.len());
        for (place, pair) in spec.pairs.iter().enumerate() {
            let opened = match material.certificates.open(pair, now) {
                Err(error) if error.problem == Problem::Expired => {
                    warnings.push(EdgeWarning::KeptOlder(place));
                    material.certificates.known(pair).ok_or(error)
                }
                opened => opened,
            };
            match opened {
                Ok(certificate) => {
                    if certificate.not_after() <= seconds(now) {
                        warnings.push(EdgeWarning::Expired(place));
                    }
                    served.push(certificate);
                }
                Err(error) => errors.push(EdgeError::Certificate(place, error)),
            }
        }
        // A certificate that cannot be read may be the one of the default name.
        let store = match errors.is_empty() {
            true => spec.store(&served, None),
            false => Some(Default::default()),
        };
        let store = match store {
            Some((store, shadowed)) => {
                warnings.extend(shadowed.into_iter().map(EdgeWarning::Shadowed));
                store
            }
            None => {
                errors.push(EdgeError::Default);
                Store::default()
            }
        };
        let secrets_stamp = spec.secrets.as_deref().and_then(Stamp::of);
        let secrets = match &spec.secrets {
            Some(file) => Secrets::open(file).map_err(EdgeError::Secrets),
            None => material
                .local_secrets(&spec.name)
                .map_err(EdgeError::Library),
        };
        let clients = match spec.clients.as_ref().map(ClientsSpec::open).transpose() {
            Ok(clients) => clients,
            Err(error) => {
                errors.push(EdgeError::Clients(error));
                None
            }
        };
        let stale = clients
            .as_ref()
            .map_or(0, |(authority, _)| authority.stale(seconds(now)));
        if stale > 0 {
            warnings.push(EdgeWarning::StaleLists(stale));
        }
        let secrets = secrets.map_err(|error| errors.push(error)).ok();
        let Some(secrets) = secrets.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let clients = clients
            .zip(spec.clients.as_ref())
            .map(|((authority, stamps), spec)| Clients {
                auth: ClientAuth::new(spec.mode, authority),
                stamps: Mutex::new(stamps),
            });
        let staples = spec.staples.iter().cloned();
        let staples: Vec<_> = staples
            .map(|(place, one)| Stapled::new(place, one))
            .collect();
        for one in &staples {
            let Some(of) = served.get(one.place) else {
                continue;
            };
            if let Some(Err((_, error))) = one.read(of, now) {
                warnings.push(EdgeWarning::Staple(one.place, error));
            } else if of.issuer().is_none() {
                // A responder cannot even be asked.
                warnings.push(EdgeWarning::Staple(one.place, OcspError::NoIssuer));
            }
        }
        let edge = Self {
            staples,
            clients,
            tickets: Tickets::new(&spec.name, secrets, spec.rotate),
            store: Arc::new(ArcSwap::from_pointee(store)),
            served: Mutex::new(served),
            ordered: Mutex::default(),
            challenges: Arc::default(),
            secrets_stamp: Mutex::new(secrets_stamp.filter(|stamp| stamp.is_settled(now))),
            problems: Mutex::default(),
            expiry: Mutex::default(),
            metrics: metrics.tls(&spec.name),
            all_metrics: Arc::clone(metrics),
            spec,
        };
        Ok((edge, warnings))
    }

    /// The acceptor for listeners that speak `alpn`.
    ///
    /// # Errors
    /// The library's own; there is no input that brings them about.
    pub fn acceptor(&self, alpn: Alpn) -> Result<SslAcceptor, ErrorStack> {
        let validates = |acme: &Settings| acme.challenge() == Challenge::TlsAlpn01;
        context::acceptor(Terms {
            name: &self.spec.name,
            policy: self.spec.policy,
            alpn,
            store: Arc::clone(&self.store),
            tickets: Some(&self.tickets),
            clients: self.client_auth(),
            challenges: self
                .acme()
                .is_some_and(validates)
                .then(|| Arc::clone(&self.challenges)),
        })
    }

    /// Who is let in by certificate; none: nobody is asked for one.
    pub fn client_auth(&self) -> Option<&Arc<ClientAuth>> {
        self.clients.as_ref().map(|clients| &clients.auth)
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// The longest handshake.
    pub fn timeout(&self) -> Duration {
        self.spec.timeout
    }

    /// Handshakes of one client address, as (count, period).
    pub fn per_ip(&self) -> Option<(u32, Duration)> {
        self.spec.per_ip
    }

    /// How origins are told who the client is.
    pub fn forward(&self) -> Forward {
        self.spec.forward
    }

    /// Counted here.
    pub fn metrics(&self) -> &TlsMetrics {
        &self.metrics
    }

    /// True if a certificate here is for `host` (as a request names it, in lower case and without port).
    pub fn covers(&self, host: &str) -> bool {
        self.store.load().covers(host)
    }

    /// The certificates served now.
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        let store = self.store.load();
        store.certificates().into_iter().cloned().collect()
    }

    /// Files whose present content cannot be used, and why.
    pub fn problems(&self) -> Vec<(PathBuf, String)> {
        let problems = self.problems.lock();
        let told = problems.told();
        told.map(|(file, why)| (file.to_owned(), why.to_owned()))
            .collect()
    }

    /// It is in force: its certificates are counted.
    pub fn activate(&self) {
        self.count_expiry();
    }

    fn count_expiry(&self) {
        let all = self.certificates();
        let gauges = all.iter().map(|certificate| {
            let name = certificate.names().first().map_or("", String::as_str);
            let kind = certificate.kind().as_str();
            let gauge = self
                .all_metrics
                .certificate_not_after(self.name(), name, kind);
            gauge.set(certificate.not_after());
            gauge
        });
        // Held until the next ones are: a series lives as long as its handle.
        *self.expiry.lock() = gauges.collect();
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("name", &self.spec.name)
            .finish_non_exhaustive()
    }
}
