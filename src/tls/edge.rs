//! One `[[tls]]` in force: what its listeners share, and how it follows its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use boring::error::ErrorStack;
use boring::ssl::SslAcceptor;
use parking_lot::Mutex;

use super::certificate::{Certificate, CertificateError, Problem};
use super::context::{self, Alpn, Policy};
use super::files::{Certificates, Pair, Problems, Stamp, seconds};
use super::identity::Forward;
use super::secrets::{Secrets, SecretsError};
use super::store::{Shadowed, Store, StoreBuilder};
use super::tickets::Tickets;
use crate::telemetry::metrics::{Gauge, Metrics, TlsMetrics};

/// What a `[[tls]]` is to be.
#[derive(Clone, Debug)]
pub struct EdgeSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Versions and ciphers.
    pub policy: Policy,
    /// Its certificates.
    pub pairs: Vec<Pair>,
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
    /// How origins are told who the client is.
    pub forward: Forward,
}

/// What the `[[tls]]` of one process share over reloads.
#[derive(Debug, Default)]
pub struct Material {
    /// Certificates by their files.
    pub certificates: Certificates,
    /// Secrets of those that are configured without, by name: their sessions outlive a reload, not the process.
    local: Mutex<Vec<(Arc<str>, Secrets)>>,
}

/// Most names whose secrets are remembered; the oldest go.
const MAX_LOCAL: usize = 1024;

impl Material {
    fn local_secrets(&self, name: &Arc<str>) -> Result<Secrets, ErrorStack> {
        let mut local = self.local.lock();
        if let Some((_, secrets)) = local.iter().find(|(known, _)| known == name) {
            return Ok(secrets.clone());
        }
        let secrets = Secrets::random()?;
        if local.len() >= MAX_LOCAL {
            local.remove(0);
        }
        local.push((Arc::clone(name), secrets.clone()));
        Ok(secrets)
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
}

/// A `[[tls]]` in force.
pub struct Edge {
    spec: EdgeSpec,
    store: Arc<ArcSwap<Store>>,
    /// What the store was built from, in the order of `pairs`.
    served: Mutex<Vec<Arc<Certificate>>>,
    tickets: Arc<Tickets>,
    secrets_stamp: Mutex<Option<Stamp>>,
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
        let mut builder = StoreBuilder::default();
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
                    builder.add(&certificate);
                    served.push(certificate);
                }
                Err(error) => errors.push(EdgeError::Certificate(place, error)),
            }
        }
        // A certificate that cannot be read may be the one of the default name.
        let default = spec.default.as_deref().filter(|_| errors.is_empty());
        let store = match builder.build(default) {
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
        let secrets = secrets.map_err(|error| errors.push(error)).ok();
        let Some(secrets) = secrets.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let edge = Self {
            tickets: Tickets::new(&spec.name, secrets, spec.rotate),
            store: Arc::new(ArcSwap::from_pointee(store)),
            served: Mutex::new(served),
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
        let store = Arc::clone(&self.store);
        context::acceptor(
            &self.spec.name,
            self.spec.policy,
            alpn,
            store,
            Some(&self.tickets),
        )
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

    /// Looks at its files and takes what changed. What cannot be used leaves in force what was read before, is
    /// told once and counted. Blocks.
    pub fn refresh(&self, material: &Material, now: SystemTime) {
        self.refresh_certificates(material, now);
        if let Some(file) = &self.spec.secrets {
            self.refresh_secrets(file, now);
        }
    }

    fn refresh_certificates(&self, material: &Material, now: SystemTime) {
        let mut served = self.served.lock();
        let mut next = Vec::with_capacity(served.len());
        for (pair, present) in self.spec.pairs.iter().zip(served.iter()) {
            next.push(match material.certificates.open(pair, now) {
                Ok(certificate) => {
                    self.fine(&pair.certificate);
                    certificate
                }
                Err(error) => {
                    let text = format!("{error}; {}", error.problem.help());
                    self.wrong(&pair.certificate, text);
                    Arc::clone(present)
                }
            });
        }
        let changed = served.iter().zip(&next).filter(|(a, b)| !Arc::ptr_eq(a, b));
        let changed: Vec<_> = changed.map(|(_, new)| new.file()).collect();
        let Some(first) = changed.first() else {
            return;
        };
        let mut builder = StoreBuilder::default();
        next.iter().for_each(|one| builder.add(one));
        let Some((store, _)) = builder.build(self.spec.default.as_deref()) else {
            let name = self.spec.default.as_deref().unwrap_or_default();
            let text = format!("no certificate is for the default name {name:?} any more");
            return self.wrong(first, text);
        };
        self.store.store(Arc::new(store));
        self.metrics.refreshed(true);
        log::info!(
            "tls {:?}: {} certificates were read again, {} among them",
            self.name(),
            changed.len(),
            first.display()
        );
        *served = next;
        drop(served);
        self.count_expiry();
    }

    fn refresh_secrets(&self, file: &Path, now: SystemTime) {
        let stamp = Stamp::of(file);
        let mut known = self.secrets_stamp.lock();
        if stamp.is_some() && *known == stamp {
            return;
        }
        match Secrets::open(file) {
            Ok(secrets) => {
                *known = stamp.filter(|stamp| stamp.is_settled(now));
                if self.tickets.replace(secrets) {
                    self.metrics.refreshed(true);
                    log::info!("tls {:?}: secrets of tickets were read again", self.name());
                }
                self.fine(file);
            }
            Err(error) => {
                let text = format!("{} {error}; {}", file.display(), error.help());
                self.wrong(file, text);
            }
        }
    }

    fn wrong(&self, file: &Path, text: String) {
        let mut problems = self.problems.lock();
        let message = text.clone();
        if problems.seen(file, text) {
            self.metrics.refreshed(false);
            log::error!(
                "tls {:?}: {message}; what was read before stays in force",
                self.name()
            );
        }
        self.count_problems(&problems);
    }

    fn fine(&self, file: &Path) {
        let mut problems = self.problems.lock();
        if problems.cleared(file) {
            log::info!("tls {:?}: {} is fine again", self.name(), file.display());
            self.count_problems(&problems);
        }
    }

    fn count_problems(&self, problems: &Problems) {
        let told = i64::try_from(problems.told().count()).unwrap_or(i64::MAX);
        self.metrics.stale_files.set(told);
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
