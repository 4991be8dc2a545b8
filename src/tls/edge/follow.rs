//! How a `[[tls]]` follows its files.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Edge, Material};
use crate::tls::files::{Problems, Stamp, seconds};
use crate::tls::secrets::Secrets;

impl Edge {
    /// Looks at its files and takes what changed. What cannot be used leaves in force what was read before, is
    /// told once and counted. Blocks.
    pub fn refresh(&self, material: &Material, now: SystemTime) {
        self.refresh_certificates(material, now);
        if let Some(file) = &self.spec.secrets {
            self.refresh_secrets(file, now);
        }
        self.refresh_clients(now);
        self.refresh_staples(now);
    }

    /// Authorities and revocation lists; a list that ended meanwhile is told as well.
    fn refresh_clients(&self, now: SystemTime) {
        let (Some(clients), Some(spec)) = (&self.clients, &self.spec.clients) else {
            return;
        };
        let mut known = clients.stamps.lock();
        let stamps = spec.stamps();
        let settled = |one: &Option<Stamp>| one.is_none_or(|one| one.is_settled(now));
        if *known != stamps || !stamps.iter().all(settled) {
            match spec.open() {
                Ok((authority, stamps)) => {
                    let changed = *known != stamps;
                    *known = stamps;
                    clients.auth.replace(authority);
                    spec.files().for_each(|file| self.fine(file));
                    if changed {
                        self.metrics.refreshed(true);
                        log::info!("tls {:?}: client authorities were read again", self.name());
                    }
                }
                Err(error) => {
                    let text = format!("{error}; {}", error.problem.help());
                    self.wrong(&error.file, text);
                }
            }
        } else {
            // The same files came back after they were away.
            spec.files().for_each(|file| self.fine(file));
        }
        let stale = clients.auth.authority().stale(seconds(now));
        self.metrics
            .stale_lists
            .set(i64::try_from(stale).unwrap_or(i64::MAX));
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
        // Each file is fine by itself when the default name is in none of them, so it stands for them all.
        let default = Path::new("default");
        let changed = served.iter().zip(&next).filter(|(a, b)| !Arc::ptr_eq(a, b));
        let changed: Vec<_> = changed.map(|(_, new)| new.file()).collect();
        let Some(first) = changed.first() else {
            return self.fine(default);
        };
        let ordered = self.ordered.lock().clone();
        let Some((store, _)) = self.spec.store(&next, ordered.as_ref()) else {
            let name = self.spec.default.as_deref().unwrap_or_default();
            let text = format!("no certificate is for the default name {name:?} any more");
            return self.wrong(default, format!("{}: {text}", first.display()));
        };
        self.fine(default);
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
            // The same file came back after it was away.
            return self.fine(file);
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

    pub(super) fn wrong(&self, file: &Path, text: String) {
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

    pub(super) fn fine(&self, file: &Path) {
        let mut problems = self.problems.lock();
        if problems.cleared(file) {
            log::info!("tls {:?}: {} is fine again", self.name(), file.display());
            self.count_problems(&problems);
        }
    }

    /// Something that is no file is wrong, and was told already.
    pub(super) fn note(&self, source: &Path, text: String) {
        let mut problems = self.problems.lock();
        // The first look might be in the middle of something; this is none.
        problems.seen(source, text.clone());
        problems.seen(source, text);
        self.count_problems(&problems);
    }

    fn count_problems(&self, problems: &Problems) {
        let told = i64::try_from(problems.told().count()).unwrap_or(i64::MAX);
        self.metrics.stale_files.set(told);
    }
}
