//! Log files of plugins' own: lines go through a bounded queue to one thread, which appends them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use farmgate_plugin_api::services::{Counter, LogWriter};
use parking_lot::Mutex;

/// Lines of all files that wait for the thread at most.
const MAX_LINES: usize = 16_384;

/// Bytes of one file that wait at most.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Longer lines are dropped.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Log files of the process at most.
const MAX_FILES: usize = 256;

/// Bytes gathered for one write.
const WRITE_BYTES: usize = 128 * 1024;

/// Lines taken from the queue before the files are written.
const BATCH_LINES: usize = 1_024;

enum Message {
    Line(Box<[u8]>, Handle),
    /// Open these again, then answer.
    Reopen(Vec<Arc<LogFile>>, SyncSender<io::Result<()>>),
    /// Everything before is written; answer.
    Flush(SyncSender<()>),
}

/// An open log file; plugins that name the same path share it.
struct LogFile {
    path: PathBuf,
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Only the thread locks it while it runs.
    open: Mutex<Open>,
}

struct Open {
    file: File,
    out: Vec<u8>,
    /// Lines of each plugin in `out`, for the case that they cannot be written.
    lines: Vec<(Arc<dyn Counter>, u64)>,
    /// The last write left a line in part: the next one begins on a new line.
    torn: bool,
}

/// A plugin's end of a log file.
#[derive(Clone)]
struct Handle {
    file: Arc<LogFile>,
    dropped: Arc<dyn Counter>,
}

/// All log files of plugins.
#[derive(Default)]
pub(super) struct Logs(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    files: Vec<Weak<LogFile>>,
    queue: Option<SyncSender<Message>>,
}

struct Writer {
    queue: SyncSender<Message>,
    handle: Handle,
}

impl LogWriter for Writer {
    fn write(&self, line: &[u8]) -> bool {
        let file = &self.handle.file;
        let room = |waiting: usize| {
            let sum = waiting.saturating_add(line.len());
            (sum <= MAX_WAITING_BYTES).then_some(sum)
        };
        let relaxed = Ordering::Relaxed;
        let fits = line.len() <= MAX_LINE_BYTES
            && file.waiting.fetch_update(relaxed, relaxed, room).is_ok();
        if !fits {
            self.handle.dropped.add(1);
            return false;
        }
        let message = Message::Line(line.into(), self.handle.clone());
        let queued = self.queue.try_send(message).is_ok();
        if !queued {
            file.waiting.fetch_sub(line.len(), relaxed);
            self.handle.dropped.add(1);
        }
        queued
    }
}

impl Logs {
    /// Opens a file for appending, with mode 0640 if it is new.
    ///
    /// # Errors
    /// The file cannot be opened, or too many are.
    pub(super) fn open(
        &self,
        path: &Path,
        dropped: Arc<dyn Counter>,
    ) -> Result<Arc<dyn LogWriter>, String> {
        let mut inner = self.0.lock();
        inner.files.retain(|file| file.strong_count() > 0);
        let known = inner.files.iter().filter_map(Weak::upgrade);
        let file = match known.into_iter().find(|file| file.path == path) {
            Some(file) => file,
            None if inner.files.len() >= MAX_FILES => {
                return Err(format!("is one too many: {MAX_FILES} log files are open"));
            }
            None => {
                let open = open_file(path);
                let file = open.map_err(|error| format!("cannot be opened: {}", error.kind()))?;
                let file = Arc::new(LogFile {
                    path: path.to_owned(),
                    waiting: AtomicUsize::new(0),
                    open: Mutex::new(Open {
                        file,
                        out: Vec::new(),
                        lines: Vec::new(),
                        torn: false,
                    }),
                });
                inner.files.push(Arc::downgrade(&file));
                file
            }
        };
        let queue = match &inner.queue {
            Some(queue) => queue.clone(),
            None => {
                let (queue, lines) = sync_channel(MAX_LINES);
                thread::Builder::new()
                    .name("plugin-logs".to_owned())
                    .spawn(move || run(&lines))
                    .map_err(|error| format!("cannot be written: {}", error.kind()))?;
                inner.queue = Some(queue.clone());
                queue
            }
        };
        let handle = Handle { file, dropped };
        Ok(Arc::new(Writer { queue, handle }))
    }

    /// Writes what waits and opens every file again. On an error the old file stays in use.
    pub(super) fn reopen(&self, deadline: Duration) -> io::Result<()> {
        let (answer, wait) = sync_channel(1);
        let files: Vec<_> = self
            .0
            .lock()
            .files
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        self.ask(Message::Reopen(files, answer), &wait, deadline)
            .unwrap_or(Ok(Ok(())))?
    }

    /// Writes what waits.
    pub(super) fn flush(&self, deadline: Duration) -> io::Result<()> {
        let (answer, wait) = sync_channel(1);
        self.ask(Message::Flush(answer), &wait, deadline)
            .unwrap_or(Ok(()))
    }

    /// The thread's answer; none if there is no thread.
    fn ask<T>(
        &self,
        message: Message,
        wait: &Receiver<T>,
        deadline: Duration,
    ) -> Option<io::Result<T>> {
        let queue = self.0.lock().queue.clone()?;
        Some(match queue.try_send(message) {
            Err(TrySendError::Full(_)) => Err(io::Error::other("the plugin logs are busy")),
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Ok(()) => wait.recv_timeout(deadline).map_err(|error| match error {
                RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
                RecvTimeoutError::Disconnected => io::ErrorKind::BrokenPipe.into(),
            }),
        })
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// The thread: gathers what is there, writes it, and waits for more. It ends with its last sender.
fn run(queue: &Receiver<Message>) {
    while let Ok(first) = queue.recv() {
        let mut touched: Vec<Arc<LogFile>> = Vec::new();
        let mut asked = None;
        for message in std::iter::once(first).chain(queue.try_iter().take(BATCH_LINES)) {
            match message {
                Message::Line(line, handle) => {
                    if !touched.iter().any(|file| Arc::ptr_eq(file, &handle.file)) {
                        touched.push(Arc::clone(&handle.file));
                    }
                    handle.file.gather(&line, handle.dropped);
                }
                other => {
                    asked = Some(other);
                    break;
                }
            }
        }
        for file in touched {
            file.write();
        }
        // Who no longer waits for an answer needs none.
        match asked {
            Some(Message::Reopen(files, answer)) => {
                let all = files.iter().map(|file| file.reopen());
                let _ = answer.try_send(all.fold(Ok(()), Result::and));
            }
            Some(Message::Flush(answer)) => {
                let _ = answer.try_send(());
            }
            Some(Message::Line(..)) | None => {}
        }
    }
}

impl LogFile {
    fn gather(&self, line: &[u8], dropped: Arc<dyn Counter>) {
        let mut open = self.open.lock();
        open.out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            open.out.push(b'\n');
        }
        match open.lines.last_mut() {
            Some((counter, count)) if Arc::ptr_eq(counter, &dropped) => *count += 1,
            _ => open.lines.push((dropped, 1)),
        }
        self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        let full = open.out.len() >= WRITE_BYTES;
        drop(open);
        if full {
            self.write();
        }
    }

    /// Writes what was gathered. What cannot be written is counted as dropped.
    fn write(&self) {
        let mut open = self.open.lock();
        let Open {
            file,
            out,
            lines,
            torn,
        } = &mut *open;
        if out.is_empty() {
            return;
        }
        let written = match torn {
            true => file.write_all(b"\n").and_then(|()| file.write_all(out)),
            false => file.write_all(out),
        };
        *torn = written.is_err();
        if let Err(error) = written {
            let path = self.path.display();
            log::warn!("the plugin log {path} cannot be written: {error}");
            for (dropped, count) in lines.iter() {
                dropped.add(*count);
            }
        }
        lines.clear();
        out.clear();
        out.shrink_to(WRITE_BYTES);
    }

    fn reopen(&self) -> io::Result<()> {
        let file = open_file(&self.path)?;
        let mut open = self.open.lock();
        open.file = file;
        open.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
