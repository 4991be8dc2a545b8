//! The access log: one JSON line per request, written by a thread of its own.
//!
//! Serving threads hand over a line and go on; they never wait. The buffer is bounded, and what does not fit
//! (or could not be written) is counted in `farmgate_access_log_dropped_total`: nothing else is ever lost.

mod buffer;
mod json;
mod record;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::metrics::AccessLogMetrics;
use buffer::{Buffer, Pushed};
use sink::Sink;
use writer::{Command, Shared, Writer};

pub use json::{string as json_string, tells_of, with_line};
pub use record::{
    AccessRecord, CacheRecord, MAX_HEADERS, MAX_PATH_BYTES, MAX_TEXT_BYTES, Text, Timings,
};
pub use sink::Output;

/// How the log is set up.
#[derive(Clone, Debug)]
pub struct AccessLogOptions {
    /// Where the lines go.
    pub output: Output,
    /// Serving threads: the buffer has a shard for each.
    pub threads: usize,
    /// Bytes that may wait for the writer.
    pub buffer_bytes: usize,
    /// The longest time a line waits before it is written.
    pub interval: Duration,
}

impl AccessLogOptions {
    /// The usual bounds: 64 MiB, 100 ms.
    pub fn new(output: Output, threads: usize) -> Self {
        AccessLogOptions {
            output,
            threads,
            buffer_bytes: 64 << 20,
            interval: Duration::from_millis(100),
        }
    }
}

/// A running access log. Dropping it without `close` leaves the thread to write what it has and end.
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: thread::Thread,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Opens the output and starts the writer. Fails when the output cannot be opened.
    pub fn open(options: &AccessLogOptions, metrics: AccessLogMetrics) -> io::Result<AccessLog> {
        let sink = Sink::open(&options.output)?;
        AccessLog::start(options, metrics, sink)
    }

    fn start(
        options: &AccessLogOptions,
        metrics: AccessLogMetrics,
        sink: Sink,
    ) -> io::Result<AccessLog> {
        let buffer = Buffer::new(options.threads, options.buffer_bytes);
        let shared = Arc::new(Shared::new(buffer, metrics));
        let mut writer = Writer::new(shared.clone(), sink, options.interval);
        let handle = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(AccessLog {
            shared,
            writer: handle.thread().clone(),
            handle: Mutex::new(Some(handle)),
        })
    }

    /// Hands over one line, without its line feed. Never waits; counts it as dropped when there is no room.
    #[inline]
    pub fn submit(&self, line: &[u8]) {
        let shared = &self.shared;
        match shared.buffer.push(line) {
            Pushed::Kept => {}
            Pushed::Enough => {
                if writer::take(&shared.gathering) {
                    self.writer.unpark();
                }
            }
            Pushed::Refused => shared.metrics.dropped.inc(),
        }
        if writer::take(&shared.idle) {
            self.writer.unpark();
        }
    }

    /// Writes what is buffered, then opens the file again (after logrotate). Other outputs only write.
    /// An error leaves the old file in use; `TimedOut` after `deadline`.
    pub fn reopen(&self, deadline: Duration) -> io::Result<()> {
        let (answer, wait) = sync_channel(1);
        self.tell(Command::Reopen(answer))?;
        wait.recv_timeout(deadline).map_err(no_answer)?
    }

    /// Writes what was submitted before this call. `TimedOut` after `deadline`.
    pub fn flush(&self, deadline: Duration) -> io::Result<()> {
        let (answer, wait) = sync_channel(1);
        self.tell(Command::Flush(answer))?;
        wait.recv_timeout(deadline).map_err(no_answer)
    }

    /// Writes everything that was submitted and ends the thread; what comes after that counts as dropped.
    /// `TimedOut` when the output does not take it within `deadline`. A second call does nothing.
    pub fn close(&self, deadline: Duration) -> io::Result<()> {
        let Some(handle) = self.handle.lock().take() else {
            return Ok(());
        };
        let (answer, wait) = sync_channel(1);
        self.tell(Command::Close(answer))?;
        wait.recv_timeout(deadline).map_err(no_answer)?;
        handle
            .join()
            .map_err(|_| io::Error::other("the access log's writer panicked"))
    }

    /// Blocks the calling thread while the writer answers: for control threads only.
    fn tell(&self, command: Command) -> io::Result<()> {
        if !self.shared.command(command) {
            return Err(io::Error::other("the access log is busy"));
        }
        self.writer.unpark();
        Ok(())
    }
}

fn no_answer(error: RecvTimeoutError) -> io::Error {
    match error {
        RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        RecvTimeoutError::Disconnected => io::Error::other("the access log is closed"),
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if self.handle.lock().take().is_some() {
            let (answer, _) = sync_channel(1);
            // A full command queue keeps the thread; it holds nothing but the open file.
            let _ = self.tell(Command::Close(answer));
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}
