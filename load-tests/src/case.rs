//! A load case: a folder with what to send, Farmgate's configuration and the budget.

mod cache;
mod numbered;
mod waf;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use self::cache::{Asks, CacheLoad, Per};
pub(crate) use self::numbered::numbered;
pub(crate) use self::waf::{CRS_VARIABLE, RuleFolder, WafLoad};

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
    /// File beside `load.toml` with the body, byte for byte; then the request is a POST. Not for caches.
    pub(crate) body: Option<PathBuf>,
    /// What is in that file; empty without one.
    #[serde(skip)]
    pub(crate) content: Bytes,
    /// Every 00000000 in target, headers and body is a number that no other request of the run has.
    #[serde(default)]
    pub(crate) numbered: bool,
    /// Connections the generator keeps open; with TLS and no protocol inside, handshakes at a time.
    pub(crate) connections: u32,
    /// Bytes of the answer's body.
    pub(crate) response_bytes: usize,
    /// Contestants that cannot do it.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// Contestants that take part only in cases that name them.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// How the clients encrypt; without it they do not.
    pub(crate) tls: Option<TlsLoad>,
    /// What is asked of a cache; without it the contestants proxy every request.
    pub(crate) cache: Option<CacheLoad>,
    /// How a firewall is measured; without it there is none.
    pub(crate) waf: Option<WafLoad>,
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

    /// The method of its request.
    pub(crate) fn method(&self) -> &'static str {
        match self.body {
            Some(_) => "POST",
            None => "GET",
        }
    }

    /// Reads a `load.toml`. The error names the file and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let mut load: Self = read(path)?;
        let wrong = |what: String| Err(format!("{}: {what}", path.display()));
        if let Some(body) = &mut load.body {
            *body = path.with_file_name(&*body);
            let content =
                fs::read(&*body).map_err(|error| format!("{}: {error}", body.display()))?;
            load.content = content.into();
        }
        if load.body.is_some() && load.cache.is_some() {
            return wrong("`body` and `cache` together: nothing would be stored".into());
        }
        if let Some(waf) = &load.waf
            && let Err(reason) = waf.check()
        {
            return wrong(reason);
        }
        if let Some(tls) = &load.tls
            && (tls.streams == 0 || (tls.streams > 1 && tls.protocol != Protocol::H2))
        {
            return wrong(format!(
                "`tls.streams` is {}; 1, or more with h2",
                tls.streams
            ));
        }
        if load.tls.is_some() && load.cache.is_some() {
            return wrong(
                "`tls` and `cache` together: the generator of a cache speaks no TLS".into(),
            );
        }
        if load.numbered && (load.tls.is_some() || load.cache.is_some()) {
            return wrong(
                "`numbered` with `tls` or `cache`: their generators send one request".into(),
            );
        }
        match load
            .cache
            .as_ref()
            .map(|cache| cache.check(load.connections))
        {
            Some(Err(reason)) => wrong(reason),
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
    /// The same, by Varnish's.
    pub(crate) ratio_to_varnish: Option<f64>,
    /// Microseconds of CPU time that Farmgate's engine may take for the request in process, at paranoia level 1.
    pub(crate) engine_us: Option<f64>,
    /// MiB that any other Farmgate of the case may occupy beyond the contestant `farmgate`.
    pub(crate) resident_growth_mib: Option<f64>,
    /// Requests at the origin per request of a client, or per group where the clients come in groups, at most in
    /// every round. For cases with a cache.
    pub(crate) origin_fetches: Option<f64>,
    /// Milliseconds from the origin's head to the first byte of the body at a client, at most for 99 of 100 (median
    /// over the rounds). For clients in groups.
    pub(crate) first_byte_after_head_ms: Option<f64>,
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
        let case = Self {
            name: name.to_owned(),
            load: Load::read(&folder.join("load.toml"))?,
            budget: read(&folder.join("budget.toml"))?,
            folder,
        };
        let in_process = case.load.waf.as_ref().is_some_and(WafLoad::judges_level_1);
        if (case.budget.engine_us.is_some() && !in_process)
            || (case.budget.resident_growth_mib.is_some() && case.load.waf.is_none())
        {
            return Err(format!(
                "{}: `engine_us` is for cases with 1 in `waf.in_process`, `resident_growth_mib` for cases with `waf`",
                case.folder.join("budget.toml").display()
            ));
        }
        let counts = case.load.cache.is_some();
        let groups = matches!(&case.load.cache, Some(cache) if cache.head_ms() > 0);
        if (case.budget.origin_fetches.is_some() && !counts)
            || (case.budget.first_byte_after_head_ms.is_some() && !groups)
        {
            return Err(format!(
                "{}: `origin_fetches` is for cases with a cache, `first_byte_after_head_ms` for clients in groups",
                case.folder.join("budget.toml").display()
            ));
        }
        Ok(case)
    }

    /// Where the contestants' configurations stand below `rivals`: one set without TLS, one with, one for caches, one
    /// for firewalls.
    pub(crate) fn setup(&self, rivals: &Path) -> PathBuf {
        if self.load.waf.is_some() {
            return rivals.join("waf");
        }
        match (&self.load.cache, &self.load.tls) {
            (Some(_), _) => rivals.join("cache"),
            (None, Some(_)) => rivals.join("tls"),
            (None, None) => rivals.join("plain"),
        }
    }

    /// What it asks, in a line: the title of its README.
    pub(crate) fn title(&self) -> Result<String, String> {
        let path = self.folder.join("README.md");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let title = text.lines().next().unwrap_or_default();
        let title = title.trim_start_matches(['#', ' ']);
        let own = title.strip_prefix(&format!("{}: ", self.name));
        Ok(own.unwrap_or(title).to_owned())
    }
}

/// The word that stands for every case.
pub(crate) const ALL: &str = "all";

/// The cases that the words of a command line stand for, in their order and each once: a word is a case's name, or
/// what stands before the first `_` of several names; [`ALL`] is every case.
pub(crate) fn chosen(cases: &Path, words: &[String]) -> Result<Vec<String>, String> {
    let known = names(cases)?;
    let mut chosen: Vec<String> = Vec::new();
    for word in words {
        let mut meant: Vec<String> = vec![word.clone()];
        if word == ALL {
            meant.clone_from(&known);
        } else if !known.contains(word) {
            let group = format!("{word}_");
            let members = known.iter().filter(|name| name.starts_with(&group));
            meant = members.cloned().collect();
        }
        if meant.is_empty() {
            let known = known.join(", ");
            return Err(format!("no case `{word}`; there are: {known}"));
        }
        meant.retain(|name| !chosen.contains(name));
        chosen.append(&mut meant);
    }
    Ok(chosen)
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
mod tests;
