//! What operators ask for, checked before anything starts.

use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use http::Uri;
use rustix::fs::{Access, access};

use super::storage::digest_hex;
use crate::tls::authorities::Authorities;

/// Most names of one certificate; public authorities take no more.
pub const MAX_DOMAINS: usize = 100;

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A file under `/.well-known/acme-challenge/` (RFC 8555 section 8.3).
    Http01,
    /// A handshake with the protocol `acme-tls/1` (RFC 8737).
    TlsAlpn01,
}

/// One certificate to keep alive, as it was checked by [`check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) directory: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) email: Option<String>,
    pub(super) domains: Vec<String>,
    pub(super) challenge: Challenge,
    pub(super) storage: PathBuf,
}

impl Settings {
    /// The names, in lower case and in the order written.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// How the authority sees that they are ours.
    pub fn challenge(&self) -> Challenge {
        self.challenge
    }

    /// What an operator may change to mend an order that fails, in short.
    pub(super) fn digest(&self) -> String {
        let ca = self
            .ca
            .as_deref()
            .map(Path::to_string_lossy)
            .unwrap_or_default();
        let email = self.email.as_deref().unwrap_or_default();
        let challenge = match self.challenge {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        };
        digest_hex(&[challenge, &ca, email])
    }

    /// The folder of account and certificates.
    pub fn storage(&self) -> &Path {
        &self.storage
    }
}

/// What operators ask for, as written; paths are resolved.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// URL of the directory.
    pub directory: &'a str,
    /// PEM file with the authority of the directory's own certificate; the system's without it.
    pub ca: Option<&'a Path>,
    /// Where the authority writes to.
    pub email: Option<&'a str>,
    /// The terms of service are accepted.
    pub terms_agreed: bool,
    /// Names to order a certificate for.
    pub domains: Vec<&'a str>,
    /// How the authority sees that they are ours.
    pub challenge: Challenge,
    /// Folder of account and certificates.
    pub storage: &'a Path,
}

/// One thing that is wrong with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The word at fault: `directory`, `ca`, `email`, `terms_agreed`, `domains` or `storage`.
    pub word: &'static str,
    /// Which of `domains`, from 0.
    pub index: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write or do instead.
    pub help: &'static str,
}

/// What gives a user leave.
const LEAVE: &str = "give the service's user leave to write there";

/// That nothing can be written to the folder of account and certificates now. That may be mended while a node runs, and
/// what is stored there can be served all the same. Changes nothing.
pub fn unwritable(storage: &Path) -> Option<Fault> {
    let at = folder(storage).ok()?;
    let error = access(&at, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(Fault {
        word: "storage",
        index: None,
        problem: format!("{} cannot be written to: {error}", at.display()),
        help: LEAVE,
    })
}

/// Checks what was asked. Reads `ca` and looks at the folders around `storage`; changes nothing.
///
/// # Errors
/// Everything that is wrong, not just the first thing.
pub fn check(asked: &Asked<'_>) -> Result<Settings, Vec<Fault>> {
    let mut faults = Faults(Vec::new());
    if !asked.terms_agreed {
        faults.add(
            "terms_agreed",
            "the authority's terms of service are not accepted",
            "read them and write `terms_agreed = true`",
        );
    }
    if let Err(problem) = directory(asked.directory) {
        faults.add(
            "directory",
            problem,
            "write the URL of the authority's directory, as \"https://acme.example/directory\"",
        );
    }
    if let Some(Err(problem)) = asked.ca.map(read_ca) {
        faults.add(
            "ca",
            problem,
            "give a PEM file with the authority of the directory's own certificate",
        );
    }
    if asked.email.is_some_and(|email| !is_email(email)) {
        faults.add(
            "email",
            "no mail address",
            "write one address, as \"ops@example.test\"",
        );
    }
    domains(&asked.domains, &mut faults);
    if let Err((problem, help)) = folder(asked.storage).map(|_| ()) {
        faults.add("storage", problem, help);
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    Ok(Settings {
        directory: asked.directory.to_owned(),
        ca: asked.ca.map(Path::to_owned),
        email: asked.email.map(str::to_owned),
        domains: asked
            .domains
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        challenge: asked.challenge,
        storage: asked.storage.to_owned(),
    })
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, word: &'static str, problem: impl Into<String>, help: &'static str) {
        self.0.push(Fault {
            word,
            index: None,
            problem: problem.into(),
            help,
        });
    }
}

/// An `https` URL with a host, and nothing that a directory has no use for.
fn directory(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|_| format!("{text:?} is no URL"))?;
    if uri.scheme_str() != Some("https") {
        return Err("the directory must be asked over https".to_owned());
    }
    match uri.authority() {
        Some(authority) if !authority.host().is_empty() && !authority.as_str().contains('@') => {
            Ok(())
        }
        _ => Err(format!("{text:?} names no host, or a user")),
    }
}

fn read_ca(file: &Path) -> Result<(), String> {
    let read = Authorities::open(file);
    read.map(|_| ()).map_err(|error| error.to_string())
}

/// One address; `mailto` takes neither several nor header fields here (RFC 8555 section 7.3).
fn is_email(text: &str) -> bool {
    let Some((user, host)) = text.split_once('@') else {
        return false;
    };
    let is_plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, ',' | '?' | '&' | '<' | '>' | '"' | '%' | '@')
    };
    !user.is_empty()
        && text.len() <= 254
        && user.chars().all(is_plain)
        && host_problem(host).is_none()
}

fn domains(names: &[&str], faults: &mut Faults) {
    const WORD: &str = "domains";
    if names.is_empty() {
        faults.add(
            WORD,
            "no name to order a certificate for",
            "write at least one",
        );
    }
    if names.len() > MAX_DOMAINS {
        faults.add(
            WORD,
            format!(
                "{} names, {MAX_DOMAINS} are the most of one certificate",
                names.len()
            ),
            "spread them over several [[tls]]",
        );
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let earlier = names.iter().take(index);
        let found = if earlier
            .into_iter()
            .any(|other| other.eq_ignore_ascii_case(name))
        {
            Some((format!("{name:?} stands twice"), "leave one of them out"))
        } else {
            host_problem(name)
        };
        if let Some((problem, help)) = found {
            faults.0.push(Fault {
                word: WORD,
                index: Some(index),
                problem,
                help,
            });
        }
    }
}

/// What keeps a name from being proved by a connection to it.
fn host_problem(name: &str) -> Option<(String, &'static str)> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if name.starts_with("*.") {
        return Some((
            format!("{name:?}: a wildcard is not proved by http-01 or tls-alpn-01"),
            "name each host",
        ));
    }
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Some((format!("{name:?} is an address"), "write a DNS name"));
    }
    if !name.is_ascii() {
        return Some((
            format!("{name:?} is not written in ASCII"),
            "write its \"xn--\" form",
        ));
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if name.len() > 253 || is_number(last) || !name.split('.').all(is_label) {
        return Some((
            format!("{name:?} is no DNS name"),
            "letters, digits and \"-\" between dots, without a dot at the end",
        ));
    }
    None
}

/// Whether the folder is there, or can be made, and is ours alone to write.
/// The folder, or the nearest one above it that is there.
fn folder(path: &Path) -> Result<PathBuf, (String, &'static str)> {
    let mut at = path.to_owned();
    let found: Metadata = loop {
        match std::fs::metadata(&at) {
            Ok(found) => break found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !at.pop() {
                    return Err((format!("{}: {error}", path.display()), LEAVE));
                }
                if at.as_os_str().is_empty() {
                    at.push(".");
                }
            }
            Err(error) => return Err((format!("{}: {error}", at.display()), LEAVE)),
        }
    };
    if !found.is_dir() {
        return Err((format!("{} is no folder", at.display()), "name a folder"));
    }
    if at == path && found.permissions().mode() & 0o002 != 0 {
        return Err((
            format!("everybody may write to {}", at.display()),
            "chmod 700: who writes there decides which keys are served",
        ));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
