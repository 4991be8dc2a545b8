//! The follower's task: asks the sources, reads and writes kept sets, tells changes.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::book::{Answer, Book, Running};
use super::{Deps, Open};
use crate::upstream::balance::random::next_u64;
use crate::upstream::discovery::ask::Source;
use crate::upstream::discovery::kept::KeptSet;
use crate::upstream::discovery::source::SourceError;

/// Sources bound their own waits below this; one that does not is dropped and opened again.
const PATIENCE: Duration = Duration::from_secs(120);

type Asking = Abortable<Pin<Box<dyn Future<Output = Asked> + Send>>>;

/// Upstreams and what was read of them.
type Loaded = Vec<(Arc<str>, Result<Option<KeptSet>, String>)>;

/// The end of one question.
struct Asked {
    answer: Answer,
    /// To be asked again; none if it must be opened first.
    source: Option<Box<dyn Source>>,
}

struct Task {
    deps: Deps,
    book: Arc<Mutex<Book>>,
    asking: FuturesUnordered<Asking>,
    /// The question of each upstream: of which opening, and how to end it.
    running: BTreeMap<Arc<str>, (u64, AbortHandle)>,
    loading: FuturesUnordered<JoinHandle<Loaded>>,
    saving: Option<(Arc<str>, JoinHandle<std::io::Result<()>>)>,
    /// The last error of writing, so that it is told once.
    unsaved: Option<String>,
}

/// Runs until the sender of `wanted` is gone.
pub(super) async fn run(
    deps: Deps,
    book: Arc<Mutex<Book>>,
    mut wanted: watch::Receiver<u64>,
    wake: Arc<Notify>,
    done: watch::Sender<u64>,
) {
    let mut task = Task {
        deps,
        book,
        asking: FuturesUnordered::new(),
        running: BTreeMap::new(),
        loading: FuturesUnordered::new(),
        saving: None,
        unsaved: None,
    };
    loop {
        let due = task.pass();
        done.send_modify(|count| *count += 1);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                task.rearrange();
            }
            Some(asked) = task.asking.next(), if !task.asking.is_empty() => {
                // An error is a question that was called off.
                if let Ok(asked) = asked {
                    task.finish(asked);
                }
            }
            Some(loaded) = task.loading.next(), if !task.loading.is_empty() => {
                task.read(loaded.unwrap_or_default());
            }
            saved = saved(&mut task.saving), if task.saving.is_some() => task.saved(saved),
            () = wake.notified() => {}
            () = wait_for(due) => {}
        }
    }
}

async fn wait_for(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn saved(
    saving: &mut Option<(Arc<str>, JoinHandle<std::io::Result<()>>)>,
) -> Result<(), String> {
    let Some((_, handle)) = saving else {
        return Ok(());
    };
    match handle.await {
        Ok(saved) => saved.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Task {
    /// Does what is due, and says when something is next.
    fn pass(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let told = self.book.lock().pass(self.deps.judge, now);
        for (upstream, set) in told {
            (self.deps.sink)(&upstream, set);
        }
        if let (Some(kept), None) = (&self.deps.kept, &self.saving) {
            let unsaved = self.book.lock().take_unsaved(now);
            if let Some(set) = unsaved {
                let (kept, upstream) = (kept.clone(), set.upstream.clone());
                self.saving = Some((upstream, spawn_blocking(move || kept.store(&set))));
            }
        }
        self.book.lock().due(self.saving.is_some())
    }

    /// Ends the questions that nobody wants, begins those that are wanted.
    fn rearrange(&mut self) {
        let wanted = self.book.lock().running();
        let mut before = std::mem::take(&mut self.running);
        for one in wanted {
            match before.remove(&one.upstream) {
                Some((opened, handle)) if opened == one.opened => {
                    self.running.insert(one.upstream, (opened, handle));
                }
                old => {
                    if let Some((_, handle)) = old {
                        handle.abort();
                    }
                    self.ask(one, None, Duration::ZERO);
                }
            }
        }
        for (_, handle) in before.into_values() {
            handle.abort();
        }
        self.load();
    }

    fn load(&self) {
        let Some(kept) = self.deps.kept.clone() else {
            return;
        };
        let mut book = self.book.lock();
        let (unread, names) = (book.take_unread(), book.names());
        drop(book);
        self.loading.push(spawn_blocking(move || {
            let load = |upstream: Arc<str>| {
                let read = kept.load(&upstream);
                (upstream, read)
            };
            let loaded = unread.into_iter().map(load).collect();
            kept.forget(&names, SystemTime::now());
            loaded
        }));
    }

    fn read(&self, loaded: Loaded) {
        let mut book = self.book.lock();
        for (upstream, read) in loaded {
            book.read(&upstream, read, Instant::now());
        }
    }

    fn saved(&mut self, saved: Result<(), String>) {
        let Some((upstream, _)) = self.saving.take() else {
            return;
        };
        let Err(error) = saved else {
            self.unsaved = None;
            return;
        };
        self.book.lock().not_saved(&upstream);
        if self.unsaved.as_ref() != Some(&error) {
            log::error!("the endpoints of upstream {upstream} are not kept on disk: {error}");
            self.unsaved = Some(error);
        }
    }

    /// Begins a question after a pause.
    fn ask(&mut self, one: Running, source: Option<Box<dyn Source>>, pause: Duration) {
        let (upstream, opened) = (one.upstream.clone(), one.opened);
        let question = Box::pin(ask(one, source, self.deps.open.clone(), pause));
        let (handle, registration) = AbortHandle::new_pair();
        self.asking.push(Abortable::new(question, registration));
        self.running.insert(upstream, (opened, handle));
    }

    fn finish(&mut self, asked: Asked) {
        let Asked { answer, source } = asked;
        let (upstream, opened) = (answer.upstream.clone(), answer.opened);
        let mut book = self.book.lock();
        let pause = book.record(answer, self.deps.judge, Instant::now(), next_u64());
        let options = book.options(&upstream);
        drop(book);
        // Without a pause a reload took the upstream or its source away: `rearrange` does what is to be done.
        if let (Some(pause), Some(options)) = (pause, options) {
            let one = Running {
                upstream,
                opened,
                options,
            };
            self.ask(one, source, pause);
        }
    }
}

async fn ask(one: Running, source: Option<Box<dyn Source>>, open: Open, pause: Duration) -> Asked {
    sleep(pause).await;
    let (mut source, said) = match source.map_or_else(|| open(&one.options.source), Ok) {
        Err(error) => (None, Err(error)),
        Ok(mut source) => {
            let question = AssertUnwindSafe(source.next()).catch_unwind();
            match timeout(PATIENCE, question).await {
                Ok(Ok(said)) => (Some(source), said),
                Ok(Err(_)) => (
                    None,
                    Err(SourceError::new("the source panicked; this is a bug")),
                ),
                Err(_) => (
                    None,
                    Err(SourceError::new(format!("no answer in {PATIENCE:?}"))),
                ),
            }
        }
    };
    let left_out = source.as_mut().and_then(|source| source.left_out());
    let longest_pause = source
        .as_ref()
        .map_or(Duration::from_secs(30), |source| source.longest_pause());
    let answer = Answer {
        upstream: one.upstream,
        opened: one.opened,
        said,
        left_out,
        longest_pause,
    };
    Asked { answer, source }
}
