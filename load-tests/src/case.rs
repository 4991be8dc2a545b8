//! A load case: a folder with what to send, Farmgate's configuration and the budget.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the generator sends and the origin answers: `load.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// Path and query of the request.
    pub(crate) target: String,
    /// Value of the Host header.
    pub(crate) host: String,
    /// Further header lines, `name: value`.
    pub(crate) headers: Vec<String>,
    /// Connections the generator keeps open; with TLS and no protocol inside, handshakes at a time.
    pub(crate) connections: u32,
    /// Bytes of the answer's body.
    pub(crate) response_bytes: usize,
    /// How the clients encrypt; without it they do not.
    pub(crate) tls: Option<TlsLoad>,
}

/// `[tls]` of `load.toml`: the one thing that is offered, so that all contestants do the same work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsLoad {
    /// What is spoken inside.
    pub(crate) protocol: Protocol,
    /// Requests at a time on each connection. More than 1 wants HTTP/2.
    pub(crate) streams: u32,
    /// The key exchange, in BoringSSL's words.
    pub(crate) group: String,
    /// Contestants that cannot do it.
    #[serde(default)]
    pub(crate) without: Vec<String>,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// HTTP/1.1, kept alive.
    Http1,
    /// HTTP/2.
    H2,
    /// Nothing: each connection is closed when its handshake is done.
    Nothing,
}

impl Load {
    /// What is counted.
    pub(crate) fn unit(&self) -> Unit {
        match &self.tls {
            Some(tls) if tls.protocol == Protocol::Nothing => Unit::Handshake,
            _ => Unit::Request,
        }
    }

    /// Whether the contestant `name` takes part.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        let without = self.tls.as_ref().map(|tls| tls.without.as_slice());
        !without.unwrap_or_default().iter().any(|out| out == name)
    }

    /// Reads a `load.toml`. The error names the file and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let load: Self = read(path)?;
        match &load.tls {
            Some(tls) if tls.streams == 0 || (tls.streams > 1 && tls.protocol != Protocol::H2) => {
                Err(format!(
                    "{}: `tls.streams` is {}; 1, or more with h2",
                    path.display(),
                    tls.streams
                ))
            }
            _ => Ok(load),
        }
    }
}

/// What a case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Answered requests.
    Request,
    /// Finished handshakes.
    Handshake,
}

/// What Farmgate may spend: `budget.toml`. A yardstick that is not named is printed and not held against it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Farmgate's CPU time per request or handshake divided by bare Pingora's, at most.
    pub(crate) ratio_to_bare_pingora: Option<f64>,
    /// The same, by nginx's.
    pub(crate) ratio_to_nginx: Option<f64>,
    /// Requests or handshakes of Farmgate's that may fail in the whole run.
    pub(crate) losses: u64,
}

/// One case, read and checked.
#[derive(Debug)]
pub(crate) struct Case {
    /// The folder's name.
    pub(crate) name: String,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What is sent.
    pub(crate) load: Load,
    /// What it may cost.
    pub(crate) budget: Budget,
}

impl Case {
    /// Reads the case `name` below `cases`. The error names the file and what is wrong with it.
    pub(crate) fn open(cases: &Path, name: &str) -> Result<Self, String> {
        let folder = cases.join(name);
        if !folder.is_dir() {
            let known = names(cases)?.join(", ");
            return Err(format!("no case `{name}`; there are: {known}"));
        }
        Ok(Self {
            name: name.to_owned(),
            load: Load::read(&folder.join("load.toml"))?,
            budget: read(&folder.join("budget.toml"))?,
            folder,
        })
    }

    /// Where the contestants' configurations stand below `rivals`: one set without TLS, one with.
    pub(crate) fn setup(&self, rivals: &Path) -> PathBuf {
        match self.load.tls {
            Some(_) => rivals.join("tls"),
            None => rivals.join("plain"),
        }
    }
}

/// The names of all cases, sorted.
pub(crate) fn names(cases: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(cases).map_err(|error| format!("{}: {error}", cases.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
    }

    #[test]
    fn every_case_opens_and_is_complete() {
        let names = names(&cases()).unwrap();
        assert!(names.contains(&"proxy".to_owned()));
        for name in names {
            let case = Case::open(&cases(), &name).unwrap();
            let budget = &case.budget;
            let limits = [budget.ratio_to_bare_pingora, budget.ratio_to_nginx];
            assert!(limits.iter().flatten().any(|limit| *limit > 0.0), "{name}");
            assert!(case.load.connections > 0, "{name}");
            assert!(case.folder.join("README.md").is_file(), "{name}");
        }
    }

    #[test]
    fn an_unknown_case_names_the_known_ones() {
        let error = Case::open(&cases(), "nothing").unwrap_err();
        assert!(error.contains("proxy"), "{error}");
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(toml::from_str::<Budget>("ratio_to_bare_pingora = 1.0\nlosses = 0\n").is_ok());
        assert!(toml::from_str::<Budget>("ratio = 1.0\nlosses = 0\n").is_err());
    }

    #[test]
    fn many_streams_want_http2() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("load.toml");
        let read = |streams: u32, protocol: &str| {
            let text = format!(
                "target = \"/\"\nhost = \"a.test\"\nheaders = []\nconnections = 1\nresponse_bytes = 1\n\
                 [tls]\nprotocol = \"{protocol}\"\nstreams = {streams}\ngroup = \"X25519\"\n"
            );
            fs::write(&file, text).unwrap();
            Load::read(&file)
        };
        assert!(read(10, "h2").is_ok() && read(1, "http1").is_ok());
        let error = read(2, "http1").unwrap_err();
        assert!(
            error.contains("load.toml") && error.contains("`tls.streams` is 2"),
            "{error}"
        );
        assert!(read(0, "h2").is_err());
        assert_eq!(read(1, "nothing").unwrap().unit(), Unit::Handshake);
    }
}
