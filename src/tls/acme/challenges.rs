//! What the authority asks to see that a name is ours, answered by every node that shares the storage: a balancer may
//! send its question to any of them.
//!
//! The ordering node answers from memory, the others from one small file per question. A token comes from a stranger,
//! so it must be one that an authority could have made before a file is looked for.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::error::{AcmeError, Stage};
use super::settings::Challenge;
use super::storage::{MAX_ENTRIES, Storage, digest_hex, is_older, names, read, write};
use super::validation;
use crate::tls::certificate::Certificate;

/// Lengths of tokens: 128 bits of entropy are the least (RFC 8555 section 8.3), more than these nobody makes.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 22..=128;
/// Longest key authorization: a token, a dot and a SHA-256.
const KEY_AUTHORIZATION_BYTES: usize = 256;
/// How long the answer for a name is believed before its file is looked at again: a bound of two reads a second and
/// name, whatever strangers ask. An order waits longer than this before it calls the authority.
pub(super) const FRESH: Duration = Duration::from_millis(500);
/// Questions whose files are looked for at the same time.
const READERS: usize = 16;
/// Longest wait for a file.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The answers of one `[[tls]]`.
#[derive(Debug)]
pub struct Challenges {
    folder: PathBuf,
    domains: Vec<String>,
    /// Ours, by file name.
    held: Mutex<HashMap<String, String>>,
    /// By domain; none but ours get in.
    made: Mutex<HashMap<String, Made>>,
    readers: Arc<Semaphore>,
}

/// What was found for a domain.
#[derive(Debug)]
struct Made {
    looked: Instant,
    found: Option<(String, Arc<Certificate>)>,
}

impl Challenges {
    /// For the domains of one certificate.
    pub fn new(storage: &Storage, domains: &[String]) -> Self {
        Self {
            folder: storage.challenges(),
            domains: domains.to_vec(),
            held: Mutex::default(),
            made: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// The key authorization to answer `/.well-known/acme-challenge/TOKEN` with. Reads one file at most; where the
    /// storage is a network, [`Challenges::answer_http01`] keeps that off the thread.
    pub fn http01(&self, token: &str) -> Option<String> {
        let name = http01_name(token)?;
        let answer = match self.in_memory(&name) {
            Some(answer) => answer,
            None => self.on_disk(&name)?,
        };
        // It is for this token and no other, whatever the file says.
        answer
            .strip_prefix(token)?
            .starts_with('.')
            .then_some(answer)
    }

    /// The same, looking for the file on a thread for blocking work: at most 16 at a time, and two seconds each.
    pub async fn answer_http01(self: &Arc<Self>, token: &str) -> Option<String> {
        let name = http01_name(token)?;
        if let Some(answer) = self.in_memory(&name) {
            return Some(answer);
        }
        let (this, token) = (Arc::clone(self), token.to_owned());
        let look = async move {
            let permit = Arc::clone(&this.readers).acquire_owned().await.ok()?;
            let found = tokio::task::spawn_blocking(move || {
                let found = this.http01(&token);
                drop(permit);
                found
            });
            found.await.ok()?
        };
        tokio::time::timeout(READ_TIMEOUT, look).await.ok()?
    }

    /// The certificate for a handshake with `acme-tls/1` alone (see [`super::is_validation`]) for this server name.
    /// Reads one file at most, and none for a name that is not ours or was looked for within half a second.
    pub fn tls_alpn01(&self, server_name: &str) -> Option<Arc<Certificate>> {
        self.tls_alpn01_at(server_name, Instant::now())
    }

    fn tls_alpn01_at(&self, server_name: &str, now: Instant) -> Option<Arc<Certificate>> {
        let mut domains = self.domains.iter();
        let domain = domains.find(|domain| domain.eq_ignore_ascii_case(server_name))?;
        let name = tls_alpn01_name(domain);
        let ours = self.in_memory(&name);
        let known = {
            let made = self.made.lock();
            let made = made.get(domain);
            match (made, &ours) {
                (Some(made), None) if now.saturating_duration_since(made.looked) < FRESH => {
                    return made
                        .found
                        .as_ref()
                        .map(|(_, certificate)| Arc::clone(certificate));
                }
                (Some(made), _) => made.found.clone(),
                (None, _) => None,
            }
        };
        let answer = ours.or_else(|| self.on_disk(&name));
        let found = match (answer, known) {
            (Some(answer), Some((same, certificate))) if answer == same => {
                Some((same, certificate))
            }
            // Signing fails only for want of memory.
            (Some(answer), _) => validation::certificate(domain, &answer)
                .ok()
                .map(|certificate| (answer, Arc::new(certificate))),
            (None, _) => None,
        };
        let certificate = found
            .as_ref()
            .map(|(_, certificate)| Arc::clone(certificate));
        let made = Made { looked: now, found };
        self.made.lock().insert(domain.clone(), made);
        certificate
    }

    /// Makes an answer known to all nodes; it is taken back when what this gives is dropped.
    pub(super) fn put(
        self: &Arc<Self>,
        challenge: Challenge,
        domain: &str,
        token: &str,
        key_authorization: &str,
    ) -> Result<Pending, AcmeError> {
        let unfit = || {
            AcmeError::new(
                Stage::Validation,
                "the authority's token is none by RFC 8555",
            )
        };
        let name = http01_name(token).ok_or_else(unfit)?;
        if !is_key_authorization(key_authorization) {
            return Err(unfit());
        }
        let name = match challenge {
            Challenge::Http01 => name,
            Challenge::TlsAlpn01 => tls_alpn01_name(domain),
        };
        self.sweep(SystemTime::now())?;
        write(&self.folder.join(&name), key_authorization.as_bytes())?;
        self.held
            .lock()
            .insert(name.clone(), key_authorization.to_owned());
        Ok(Pending {
            challenges: Arc::clone(self),
            name,
        })
    }

    fn in_memory(&self, name: &str) -> Option<String> {
        self.held.lock().get(name).cloned()
    }

    fn on_disk(&self, name: &str) -> Option<String> {
        let bytes = read(&self.folder.join(name)).ok()??;
        let text = String::from_utf8(bytes).ok()?;
        is_key_authorization(&text).then_some(text)
    }

    /// Removes what killed orders left, and refuses to let the folder grow without end.
    fn sweep(&self, now: SystemTime) -> Result<(), AcmeError> {
        let mut left = 0;
        for name in names(&self.folder)? {
            let path = self.folder.join(name);
            if is_older(&path, now) {
                let _ = fs::remove_file(&path);
            } else {
                left += 1;
            }
        }
        if left >= MAX_ENTRIES {
            return Err(AcmeError::new(
                Stage::Storage,
                format!("{}: holds {left} pending challenges", self.folder.display()),
            ));
        }
        Ok(())
    }
}

/// An answer that is known as long as this lives.
#[derive(Debug)]
pub(super) struct Pending {
    challenges: Arc<Challenges>,
    name: String,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.challenges.held.lock().remove(&self.name);
        let _ = fs::remove_file(self.challenges.folder.join(&self.name));
        self.challenges.made.lock().clear();
    }
}

/// The name of a token's file; none for what is no token, so that nothing else in the file system is ever named.
fn http01_name(token: &str) -> Option<String> {
    (TOKEN_BYTES.contains(&token.len()) && is_base64url(token)).then(|| format!("http-01.{token}"))
}

fn tls_alpn01_name(domain: &str) -> String {
    format!("tls-alpn-01.{}", digest_hex(&[domain]))
}

fn is_key_authorization(text: &str) -> bool {
    text.len() <= KEY_AUTHORIZATION_BYTES
        && text
            .split_once('.')
            .is_some_and(|(token, thumbprint)| is_base64url(token) && is_base64url(thumbprint))
}

fn is_base64url(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests;
