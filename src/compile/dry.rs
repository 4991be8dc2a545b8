//! Services for `check` and `explain`: plugins are built as they would be, and nothing comes of it.
//! Nothing is spawned, sent, written or kept. Files are read and parsed once, so that a wrong file
//! is found.

use std::any::Any;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use farmgate_plugin_api::decode::did_you_mean;
use farmgate_plugin_api::services::{
    Busy, ClientRequest, Clock, Counter, CounterBy, Files, Gauge, Histogram, HostFuture,
    HttpClient, Kept, Load, LogWriter, MAX_LISTED, Offload, Random, Services, Work,
};

use crate::upstream::balance::random::next_u64;

/// Services that have no effect. Upstreams are known by name only.
#[derive(Clone, Debug, Default)]
pub struct DryServices {
    upstreams: Arc<[Arc<str>]>,
}

impl DryServices {
    /// For a configuration with these upstreams.
    pub fn new(upstreams: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        Self {
            upstreams: upstreams.into_iter().map(Into::into).collect(),
        }
    }
}

/// Says why `name` is no upstream: the text that a plugin shows to the operator.
///
/// # Errors
/// None of `known` has this name.
pub fn check_upstream(name: &str, known: &[Arc<str>]) -> Result<(), String> {
    if known.iter().any(|one| **one == *name) {
        return Ok(());
    }
    let help = did_you_mean(name, known);
    Err(format!("no upstream is named {name:?}; {help}"))
}

/// Reads a regular file of at most `max_bytes`. Blocks: not for threads that serve.
///
/// # Errors
/// A short text that follows the file's name: it cannot be read, is no file, or is too large.
pub fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    // Looked at before it is opened: to open a pipe would wait for its writer.
    let seen = std::fs::metadata(path).map_err(cannot)?;
    if !seen.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let too_large = || format!("is larger than {max_bytes} bytes");
    if seen.len() > max_bytes {
        return Err(too_large());
    }
    let mut content = Vec::with_capacity(usize::try_from(seen.len()).unwrap_or(0));
    // It may have grown meanwhile: one byte more than allowed tells.
    let file = File::open(path).map_err(cannot)?;
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(cannot)?;
    if u64::try_from(content.len()).is_ok_and(|len| len <= max_bytes) {
        Ok(content)
    } else {
        Err(too_large())
    }
}

/// The names in a folder, sorted. Blocks: not for threads that serve.
///
/// # Errors
/// A short text that follows the folder's name: it cannot be read, or holds too many names.
pub fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        names.push(PathBuf::from(entry.map_err(cannot)?.file_name()));
        if names.len() > MAX_LISTED {
            return Err(format!("holds more than {MAX_LISTED} names"));
        }
    }
    names.sort();
    Ok(names)
}

/// The files as they are.
struct OnDisk;

impl Files for OnDisk {
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
        read_file(path, max_bytes)
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        list_folder(folder)
    }
}

impl Services for DryServices {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    fn random(&self) -> Arc<dyn Random> {
        Arc::new(ThreadRandom)
    }

    fn counter(&self, _name: &'static str, _help: &'static str) -> Arc<dyn Counter> {
        Arc::new(Nothing)
    }

    fn gauge(&self, _name: &'static str, _help: &'static str) -> Arc<dyn Gauge> {
        Arc::new(Nothing)
    }

    fn counter_by(
        &self,
        _name: &'static str,
        _help: &'static str,
        _label: &'static str,
        _most: usize,
    ) -> Arc<dyn CounterBy> {
        Arc::new(Nothing)
    }

    fn histogram(&self, _name: &'static str, _help: &'static str) -> Arc<dyn Histogram> {
        Arc::new(Nothing)
    }

    fn shared(
        &self,
        _key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        make()
    }

    fn kept(
        &self,
        _key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Kept>,
    ) -> Arc<dyn Any + Send + Sync> {
        make()
    }

    fn watch_file(
        &self,
        path: &Path,
        max_bytes: u64,
        parse: Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>,
    ) -> Result<(), String> {
        parse(&read_file(path, max_bytes)?)
    }

    fn watch_files(&self, load: Load) -> Result<(), String> {
        load(&OnDisk)
    }

    fn periodic(&self, _period: Duration, _task: Box<dyn Fn() -> HostFuture<()> + Send + Sync>) {}

    fn http_client(&self) -> Arc<dyn HttpClient> {
        Arc::new(Nothing)
    }

    fn upstream_client(&self, upstream: &str) -> Result<Arc<dyn HttpClient>, String> {
        check_upstream(upstream, &self.upstreams)?;
        Ok(Arc::new(Nothing))
    }

    fn offload(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        Nothing.run(work)
    }

    fn offloader(&self) -> Arc<dyn Offload> {
        Arc::new(Nothing)
    }

    fn log_writer(&self, path: &Path) -> Result<Arc<dyn LogWriter>, String> {
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Err("is a folder".to_owned()),
        };
        match (path.is_dir(), folder.is_dir()) {
            (true, _) => Err("is a folder".to_owned()),
            (false, false) => Err("cannot be opened: its folder does not exist".to_owned()),
            (false, true) => Ok(Arc::new(Nothing)),
        }
    }

    fn state_folder(&self) -> Option<PathBuf> {
        None
    }

    fn is_on(&self) -> bool {
        true
    }
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration) -> HostFuture<()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The generator of the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadRandom;

impl Random for ThreadRandom {
    fn next(&self) -> u64 {
        next_u64()
    }
}

/// Takes everything and does nothing.
struct Nothing;

impl Counter for Nothing {
    fn add(&self, _n: u64) {}
}

impl Gauge for Nothing {
    fn set(&self, _value: i64) {}
    fn add(&self, _n: i64) {}
}

impl CounterBy for Nothing {
    fn add(&self, _value: &str, _n: u64) {}
}

impl Histogram for Nothing {
    fn observe(&self, _value: f64) {}
}

impl Offload for Nothing {
    fn run(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        // No thread of its own: whoever waits for it does it.
        Box::pin(async move { Ok(work()) })
    }
}

impl LogWriter for Nothing {
    fn write(&self, _line: &[u8]) -> bool {
        true
    }
}

impl HttpClient for Nothing {
    fn send(&self, _request: ClientRequest) -> HostFuture<Result<http::Response<Bytes>, String>> {
        Box::pin(async { Err("nothing is sent by a check".to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_file_is_read_and_parsed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let services = DryServices::default();
        let bytes = Arc::new(AtomicUsize::new(0));
        let parse = |expected: Result<(), String>| {
            let bytes = bytes.clone();
            Box::new(move |content: &[u8]| {
                bytes.fetch_add(content.len(), Ordering::Relaxed);
                expected.clone()
            })
        };
        assert_eq!(services.watch_file(&path, 8, parse(Ok(()))), Ok(()));
        assert_eq!(bytes.load(Ordering::Relaxed), 8);
        let wrong = Err("line 2 is wrong".to_owned());
        assert_eq!(services.watch_file(&path, 8, parse(wrong.clone())), wrong);
        for (path, max, error) in [
            (path.clone(), 7, "is larger than 7 bytes"),
            (
                path.with_file_name("no"),
                8,
                "cannot be read: entity not found",
            ),
            (folder.path().to_owned(), 8, "is not a regular file"),
        ] {
            assert_eq!(
                services.watch_file(&path, max, parse(Ok(()))),
                Err(error.into())
            );
        }
        assert_eq!(bytes.load(Ordering::Relaxed), 16);
    }

    #[test]
    fn an_unknown_upstream_is_an_error_that_names_the_nearest() {
        let services = DryServices::new(["app", "tenant-a"]);
        assert!(services.upstream_client("app").is_ok());
        let error = services.upstream_client("tenant-b").err().unwrap();
        assert!(
            error.contains("\"tenant-b\"") && error.contains("mean \"tenant-a\""),
            "{error}"
        );
    }

    #[test]
    fn a_log_is_looked_at_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let services = DryServices::default();
        assert!(services.log_writer(&path).is_ok_and(|log| log.write(b"x")));
        assert!(!path.exists());
        assert!(services.log_writer(folder.path()).is_err());
        assert!(services.log_writer(&path.join("x")).is_err());
    }

    #[test]
    fn shared_state_is_made_and_not_kept() {
        let services = DryServices::default();
        let mut made = 0;
        for _ in 0..2 {
            let mut make = || {
                made += 1;
                Arc::new(made) as Arc<dyn Any + Send + Sync>
            };
            let _ = services.shared("k", &mut make);
        }
        assert_eq!(made, 2);
        assert!(services.is_on() && services.state_folder().is_none());
    }
}
