//! The last good endpoints of each upstream on disk: a node starts with them when their source is dead.
//!
//! One file an upstream, `discovery/NAME.json` in the state folder, mode 0600, written beside and renamed, with a
//! checksum. A file that is damaged, of another version or of another source is told and not used, nothing else.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ask::mark;
use super::source::{Found, SourceOptions};
use super::targets::MAX_FOUND;

/// The version of the file's form.
const VERSION: u32 = 1;

/// A longer file is none of ours.
const MAX_BYTES: u64 = 4 << 20;

/// Files of upstreams that are not configured any more are removed after this long: a rollback may bring them back.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest file name made of an upstream's name as it is; of a longer one, the checksum is used.
const MAX_NAME: usize = 200;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    upstream: String,
    /// Tells the source from others.
    mark: String,
    /// Where the endpoints came from, for whoever reads the file.
    origin: String,
    /// Seconds since 1970 at which the source last said so.
    at: u64,
    endpoints: Vec<StoredEndpoint>,
    /// SHA-256 in hexadecimal digits of this document with this field empty.
    checksum: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEndpoint {
    address: SocketAddr,
    weight: u32,
    priority: u8,
    zone: Option<String>,
}

/// A set that is to be kept, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSet {
    /// Whose.
    pub upstream: Arc<str>,
    /// Where the endpoints came from.
    pub origin: String,
    /// Tells the source from others.
    pub(super) mark: String,
    /// When the source last said so.
    pub at: SystemTime,
    /// What it said.
    pub endpoints: Arc<[Found]>,
}

impl KeptSet {
    /// True if this source told it: only then it is used.
    pub fn is_of(&self, source: &SourceOptions) -> bool {
        self.mark == mark(source)
    }
}

/// The folder of kept sets. All calls block.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Sets are kept in the folder `discovery` of the state folder; it is made when the first one is written.
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("discovery"),
        }
    }

    /// The last good set of an upstream; none when none was kept.
    ///
    /// # Errors
    /// The file cannot be used; the text names it and says why.
    pub fn load(&self, upstream: &str) -> Result<Option<KeptSet>, String> {
        let path = self.path(upstream);
        let error = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(error(&why)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|why| error(&why))?;
        let set = read(&bytes, upstream).map_err(|why| error(&why))?;
        Ok(Some(set))
    }

    /// Writes a set in the place of the one before. A crash leaves one of the two whole.
    ///
    /// # Errors
    /// Of the file system.
    pub fn store(&self, set: &KeptSet) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let path = self.path(&set.upstream);
        // During an upgrade two processes may write, each its own half.
        let half = path.with_extension(format!("{}.half", std::process::id()));
        let written = write_whole(&half, &bytes_of(set)).and_then(|()| {
            std::fs::rename(&half, &path)?;
            File::open(&self.folder)?.sync_all()
        });
        if written.is_err() {
            // A leftover goes with `forget`.
            let _ = std::fs::remove_file(&half);
        }
        written
    }

    /// Removes files that nobody wrote for a week and that are of no upstream in `names`.
    pub fn forget(&self, names: &BTreeSet<Arc<str>>, now: SystemTime) {
        let living: BTreeSet<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let Ok(files) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for file in files.flatten() {
            let path = file.path();
            let is_ours = path.extension().is_some_and(|e| e == "json" || e == "half");
            let written = file.metadata().and_then(|seen| seen.modified());
            let is_old = written
                .is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age >= FORGOTTEN));
            if is_ours && is_old && !living.contains(&path) {
                // What cannot be removed now is tried again at the next reload.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    fn path(&self, upstream: &str) -> PathBuf {
        let mut name = String::new();
        for byte in upstream.bytes() {
            // A dot too, so that no name is `..` or ends in `.half`.
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02x}"));
            }
        }
        if name.len() > MAX_NAME {
            name = hex_sum(upstream.as_bytes());
        }
        self.folder.join(format!("{name}.json"))
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn bytes_of(set: &KeptSet) -> Vec<u8> {
    let at = set.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let endpoint = |found: &Found| StoredEndpoint {
        address: found.address,
        weight: found.weight,
        priority: found.priority,
        zone: found.zone.as_deref().map(str::to_owned),
    };
    let mut stored = Stored {
        version: VERSION,
        upstream: set.upstream.to_string(),
        mark: set.mark.clone(),
        origin: set.origin.clone(),
        at: at.as_secs(),
        endpoints: set.endpoints.iter().map(endpoint).collect(),
        checksum: String::new(),
    };
    stored.checksum = checksum(&stored);
    // Plain text, numbers and lists always have a form in JSON.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// The sum of the document without the sum.
fn checksum(stored: &Stored) -> String {
    hex_sum(&serde_json::to_vec(stored).unwrap_or_default())
}

fn hex_sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn read(bytes: &[u8], upstream: &str) -> Result<KeptSet, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    // First alone, so that a later form is called by its name.
    let Version { version } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("version {version}, and this is {VERSION}"));
    }
    let mut stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let sum = std::mem::take(&mut stored.checksum);
    if checksum(&stored) != sum {
        return Err("the checksum is wrong".to_owned());
    }
    if stored.upstream != upstream {
        return Err(format!("of another upstream, {:?}", stored.upstream));
    }
    if stored.endpoints.is_empty() || stored.endpoints.len() > MAX_FOUND {
        return Err(format!("{} endpoints", stored.endpoints.len()));
    }
    let found = |endpoint: StoredEndpoint| Found {
        address: endpoint.address,
        weight: endpoint.weight,
        priority: endpoint.priority,
        zone: endpoint.zone.as_deref().map(Arc::from),
    };
    Ok(KeptSet {
        upstream: upstream.into(),
        origin: stored.origin,
        mark: stored.mark,
        at: UNIX_EPOCH
            .checked_add(Duration::from_secs(stored.at))
            .ok_or("a time out of range")?,
        endpoints: stored.endpoints.into_iter().map(found).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set(upstream: &str, addresses: &[&str]) -> KeptSet {
        let found = |address: &&str| Found {
            address: address.parse().unwrap(),
            weight: 3,
            priority: 1,
            zone: Some("a".into()),
        };
        KeptSet {
            upstream: upstream.into(),
            origin: "file /etc/orders.json".to_owned(),
            mark: "0123".to_owned(),
            at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            endpoints: addresses.iter().map(found).collect(),
        }
    }

    #[test]
    fn what_is_kept_comes_back_whatever_the_name() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::new(state.path());
        assert_eq!(kept.load("orders"), Ok(None));
        let long = "x".repeat(300);
        let names = [
            "orders",
            "../../etc/passwd",
            "a.b",
            "a%2eb",
            "A b\n",
            ".",
            long.as_str(),
        ];
        for name in names {
            kept.store(&set(name, &["10.0.0.1:80", "[::1]:81"]))
                .unwrap();
        }
        for name in names {
            let expected = set(name, &["10.0.0.1:80", "[::1]:81"]);
            assert_eq!(kept.load(name), Ok(Some(expected)), "{name}");
        }
        kept.store(&set("orders", &["10.0.0.9:80"])).unwrap();
        assert_eq!(kept.load("orders").unwrap().unwrap().endpoints.len(), 1);
        let folder = state.path().join("discovery");
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(files.len(), names.len(), "no halves stay: {files:?}");
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mode = std::fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::new(state.path());
        kept.store(&set("orders", &["10.0.0.1:80"])).unwrap();
        let path = state.path().join("discovery/orders.json");
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            assert!(read(&good[..at], "orders").is_err(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            assert!(read(&bad, "orders").is_err(), "changed at {at}");
        }
        assert!(read(&good, "orders").is_ok());
        assert!(read(&good, "others").unwrap_err().contains("another"));
        let later = String::from_utf8(good).unwrap();
        let later = later.replace("\"version\":1", "\"version\":2,\"more\":true");
        std::fs::write(&path, later).unwrap();
        let error = kept.load("orders").unwrap_err();
        assert!(error.contains("orders.json: version 2"), "{error}");
    }

    #[test]
    fn only_old_files_of_nobody_are_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::new(state.path());
        for name in ["orders", "gone"] {
            kept.store(&set(name, &["10.0.0.1:80"])).unwrap();
        }
        let names = BTreeSet::from([Arc::from("orders")]);
        let now = SystemTime::now();
        kept.forget(&names, now + Duration::from_secs(3600));
        assert!(kept.load("gone").unwrap().is_some());
        kept.forget(&names, now + 2 * FORGOTTEN);
        assert_eq!(kept.load("gone"), Ok(None));
        assert!(kept.load("orders").unwrap().is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("discovery"), "a file").unwrap();
        let kept = Kept::new(state.path());
        assert!(kept.store(&set("orders", &["10.0.0.1:80"])).is_err());
        assert!(kept.load("orders").is_err());
    }
}
