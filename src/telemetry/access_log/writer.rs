//! The thread that writes.
//!
//! It sleeps without a timer while there is nothing to do; the first line wakes it (one system call), then it
//! gathers for one interval, writes what came, and goes on so until an interval brought nothing. A shard that
//! holds enough for a write wakes it early.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire, Release},
};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::buffer::{Buffer, WRITE_BYTES};
use super::sink::Sink;
use crate::telemetry::metrics::AccessLogMetrics;

/// Commands that wait for the writer at most.
const MAX_COMMANDS: usize = 16;

/// What the writer is told besides records.
pub(super) enum Command {
    /// Write what is there, open the file again, then answer.
    Reopen(SyncSender<io::Result<()>>),
    /// Write what is there, then answer.
    Flush(SyncSender<()>),
    /// Write what is there, answer and end.
    Close(SyncSender<()>),
}

/// What producers and the writer share.
pub(super) struct Shared {
    pub(super) buffer: Buffer,
    pub(super) metrics: AccessLogMetrics,
    /// The writer sleeps until somebody wakes it.
    pub(super) idle: AtomicBool,
    /// The writer gathers; a wake-up ends the interval.
    pub(super) gathering: AtomicBool,
    commands: Mutex<Vec<Command>>,
}

impl Shared {
    pub(super) fn new(buffer: Buffer, metrics: AccessLogMetrics) -> Self {
        Shared {
            buffer,
            metrics,
            idle: AtomicBool::new(false),
            gathering: AtomicBool::new(false),
            commands: Mutex::new(Vec::new()),
        }
    }

    /// Queues a command; false when too many wait.
    pub(super) fn command(&self, command: Command) -> bool {
        let mut commands = self.commands.lock();
        let room = commands.len() < MAX_COMMANDS;
        if room {
            commands.push(command);
        }
        room
    }
}

/// The writer's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    pub(super) interval: Duration,
    lines: Vec<u8>,
    torn: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sink: Sink, interval: Duration) -> Self {
        Writer {
            shared,
            sink,
            interval,
            lines: Vec::new(),
            torn: false,
        }
    }

    /// Works until it is told to close.
    pub(super) fn run(&mut self) {
        loop {
            let commands = std::mem::take(&mut *self.shared.commands.lock());
            // Lines submitted before a command are written before it is answered.
            let wrote = self.drain();
            for command in commands {
                // A caller that no longer waits is no fault.
                match command {
                    Command::Reopen(answer) => {
                        let _ = answer.try_send(self.sink.reopen());
                    }
                    Command::Flush(answer) => {
                        let _ = answer.try_send(());
                    }
                    Command::Close(answer) => {
                        // Requests that ended while we drained.
                        self.shared.buffer.seal();
                        self.drain();
                        let _ = answer.try_send(());
                        return;
                    }
                }
            }
            if wrote {
                self.shared.gathering.store(true, Release);
                thread::park_timeout(self.interval);
                self.shared.gathering.store(false, Release);
            } else {
                self.sleep();
            }
        }
    }

    fn sleep(&self) {
        self.shared.idle.store(true, Release);
        // Looked at after the flag went up, under the same locks that producers take: either we see their line
        // here, or they see the flag.
        if self.shared.buffer.is_empty() && self.shared.commands.lock().is_empty() {
            thread::park();
        }
        self.shared.idle.store(false, Release);
    }

    /// Writes all that is buffered; true if there was anything.
    fn drain(&mut self) -> bool {
        let mut any = false;
        let mut index = 0;
        while self.shared.buffer.swap(index, &mut self.lines) {
            index += 1;
            any |= !self.lines.is_empty();
            self.write();
            self.lines.clear();
            // What a burst needed is given back.
            self.lines.shrink_to(2 * WRITE_BYTES);
        }
        any
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let written = self.sink.write(&self.lines, self.torn);
        self.torn = written.torn;
        let metrics = &self.shared.metrics;
        metrics.records.add(written.lines);
        if let Some(error) = written.error {
            metrics.dropped.add(written.lost);
            metrics.write_errors.add(written.errors);
            log::warn!("the access log cannot be written: {error}");
        }
    }
}

/// Takes a flag down; true for the one that did. A plain load first: the usual case writes nothing shared.
pub(super) fn take(flag: &AtomicBool) -> bool {
    flag.load(Acquire) && flag.swap(false, AcqRel)
}
