//! One certificate in the storage: what is served, and what was tried last.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use boring::asn1::{Asn1Time, Asn1TimeRef};
use serde::{Deserialize, Serialize};

use super::{
    Storage, create, digest_hex, failed, names, random_hex, read, remove_old_drafts, sync_folder,
    write,
};
use crate::tls::acme::error::{AcmeError, Stage};
use crate::tls::acme::renewal::Lifetime;
use crate::tls::certificate::Certificate;

/// Orders whose files are kept: the one that is served, and the one before, which a slow node may be reading.
const KEPT: usize = 2;
/// A neighbour's folder is removed so long after its certificate has run out, in seconds.
const FORGET_S: i64 = 30 * 86_400;

/// What `record.json` says. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The names that are ordered together.
    pub domains: Vec<String>,
    /// Folder of the order that is served; none before the first one.
    #[serde(default)]
    pub version: Option<String>,
    /// When that was ordered.
    #[serde(default)]
    pub ordered_at: Option<i64>,
    /// The node that ordered it.
    #[serde(default)]
    pub ordered_by: Option<String>,
    /// When it runs out.
    #[serde(default)]
    pub not_after: Option<i64>,
    /// When the ordering node meant to renew it.
    #[serde(default)]
    pub renew_at: Option<i64>,
    /// Failures in a row since then.
    #[serde(default)]
    pub failures: u32,
    /// The last of them.
    #[serde(default)]
    pub last_error: Option<String>,
    /// No attempt before this time.
    #[serde(default)]
    pub next_attempt: Option<i64>,
    /// With which settings the last attempt was made; others are tried at once.
    #[serde(default)]
    pub tried_with: Option<String>,
}

/// A certificate from the storage, with the folder of its order.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The folder's name.
    pub version: String,
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Its time.
    pub life: Lifetime,
}

/// The place of one certificate. The same names at the same directory have the same place on every node; other names
/// another one, so that nodes with an old and a new configuration do not undo each other's orders.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    /// Of all places under one name.
    prefix: String,
    id: String,
    domains: Vec<String>,
}

impl Place {
    /// For the `[[tls]]` called `name`.
    pub fn new(storage: &Storage, name: &str, directory: &str, domains: &[String]) -> Self {
        let mut sorted: Vec<&str> = domains.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name = if !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain) {
            name.to_owned()
        } else {
            digest_hex(&[name])
        };
        let digest = digest_hex(&[&[directory], sorted.as_slice()].concat());
        let id = format!("{name}-{digest}");
        Self {
            folder: storage.certificates().join(&id),
            prefix: format!("{name}-"),
            id,
            domains: domains.to_vec(),
        }
    }

    /// Its name, which is safe in paths.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is known; an empty record if nothing is, or if the file cannot be understood.
    ///
    /// # Errors
    /// The file system's.
    pub fn record(&self) -> Result<Record, AcmeError> {
        let bytes = read(&self.folder.join("record.json"))?;
        let record: Option<Record> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(record
            .filter(|record| record.version.as_deref().is_none_or(is_version))
            .unwrap_or_else(|| Record {
                domains: self.domains.clone(),
                ..Record::default()
            }))
    }

    /// The certificate of an order.
    ///
    /// # Errors
    /// The file at fault: unreadable, broken, or not for all our names.
    pub fn open(&self, version: &str) -> Result<Stored, AcmeError> {
        let stored = open(&self.folder, version)?;
        match missing(&stored.certificate, &self.domains) {
            None => Ok(stored),
            Some(name) => Err(AcmeError::new(
                Stage::Certificate,
                format!("{}: is not for {name}", stored.certificate.file().display()),
            )),
        }
    }

    /// Puts what was issued beside the rest, checks that it can be served, and makes it the one that counts.
    ///
    /// # Errors
    /// The file system's, or what is wrong with the certificate; then the old one still counts.
    pub fn replace(
        &self,
        chain: &[u8],
        key: &[u8],
        now: i64,
        finish: impl FnOnce(&Stored) -> Record,
    ) -> Result<Stored, AcmeError> {
        let version = format!("{now}-{}", random_hex()?);
        let folder = self.folder.join(&version);
        let written = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| create(&folder.join("key.pem"), key))
            .and_then(|()| create(&folder.join("chain.pem"), chain))
            .and_then(|()| sync_folder(&folder));
        let stored = written
            .map_err(|error| failed(&folder, &error))
            .and_then(|()| self.open(&version))
            .and_then(|stored| self.save(&finish(&stored)).map(|()| stored));
        match stored {
            Ok(stored) => {
                self.tidy(&version);
                Ok(stored)
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, record: &Record) -> Result<(), AcmeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| failed(&self.folder, &error))?;
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| failed(&self.folder, &io::Error::other(error)))?;
        write(&self.folder.join("record.json"), &text)
    }

    /// The certificate of the same `[[tls]]` for other names that shares one with us and lasts longest: it is served
    /// until ours is there.
    pub fn neighbour(&self, now: i64) -> Option<Stored> {
        let ours = |stored: &Stored| {
            let names = stored.certificate.names();
            stored.life.not_after > now && self.domains.iter().any(|name| names.contains(name))
        };
        self.neighbours()
            .filter_map(|(folder, record)| open(&folder, &record.version?).ok())
            .filter(ours)
            .max_by_key(|stored| stored.life.not_after)
    }

    fn neighbours(&self) -> impl Iterator<Item = (PathBuf, Record)> {
        let parent = self.folder.parent().unwrap_or(&self.folder).to_owned();
        let is_neighbour = |id: &String| {
            // 16 digits follow; a name that only begins like ours has more.
            *id != self.id
                && id
                    .strip_prefix(&self.prefix)
                    .is_some_and(|rest| rest.len() == 16)
        };
        let ids: Vec<String> = names(&parent)
            .unwrap_or_default()
            .into_iter()
            .filter(is_neighbour)
            .collect();
        ids.into_iter().filter_map(move |id| {
            let folder = parent.join(id);
            let bytes = read(&folder.join("record.json")).ok()??;
            let record: Record = serde_json::from_slice(&bytes).ok()?;
            record
                .version
                .as_deref()
                .is_none_or(is_version)
                .then_some((folder, record))
        })
    }

    /// Removes old orders, and neighbours that ran out long ago.
    fn tidy(&self, current: &str) {
        let mut versions = names(&self.folder).unwrap_or_default();
        versions.retain(|name| name != current && is_version(name));
        versions.sort_unstable();
        let old = versions.len().saturating_sub(KEPT - 1);
        for version in versions.iter().take(old) {
            let _ = fs::remove_dir_all(self.folder.join(version));
        }
        remove_old_drafts(&self.folder, SystemTime::now());
        let now: i64 = current
            .split('-')
            .next()
            .and_then(|now| now.parse().ok())
            .unwrap_or(0);
        for (folder, record) in self.neighbours() {
            if record.not_after.is_some_and(|end| end + FORGET_S < now) {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }
}

/// A name that [`Place::replace`] makes; what stands in a file never leads out of the folder.
fn is_version(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

fn open(folder: &std::path::Path, version: &str) -> Result<Stored, AcmeError> {
    let folder = folder.join(version);
    let certificate = Certificate::open(&folder.join("chain.pem"), &folder.join("key.pem"))
        .map_err(|error| AcmeError::new(Stage::Certificate, error))?;
    let leaf = certificate.leaf();
    let life = unix(leaf.not_before())
        .and_then(|not_before| {
            let not_after = unix(leaf.not_after())?;
            Ok(Lifetime {
                not_before,
                not_after,
            })
        })
        .map_err(|error| AcmeError::new(Stage::Certificate, error))?;
    Ok(Stored {
        version: version.to_owned(),
        certificate: Arc::new(certificate),
        life,
    })
}

/// The first of `domains` that the certificate is not for.
fn missing<'d>(certificate: &Certificate, domains: &'d [String]) -> Option<&'d String> {
    domains
        .iter()
        .find(|name| !certificate.names().contains(name))
}

/// Seconds since 1970.
fn unix(time: &Asn1TimeRef) -> Result<i64, boring::error::ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

#[cfg(test)]
mod tests;
