//! Takes the readings that the kernel gives: three system calls and a look at limits every ten seconds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::Usage;
use super::cpu::{Cpu, count_list};
use super::files::Files;
use super::memory::{Memory, parse_kib};

/// How often limits are read again: an orchestrator may change them while we run.
const LIMITS: Duration = Duration::from_secs(10);
/// More than the file has on a machine of thousands of CPUs.
const STATUS_BYTES: usize = 16 * 1024;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) cpu: Option<Usage>,
    pub(super) memory: Option<Usage>,
    pub(super) open_files: Option<Usage>,
}

/// The meters.
pub(super) struct Sampler {
    /// Held open: when descriptors run out is when it is read.
    status: Option<File>,
    text: Vec<u8>,
    limits_at: Option<Instant>,
    cpu: Cpu,
    memory: Memory,
    files: Files,
}

/// What is wanted of `/proc/self/status` (proc_pid_status(5)).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Bytes.
    pub(super) resident: Option<u64>,
    /// By the affinity.
    pub(super) cpus: Option<u32>,
}

impl Sampler {
    pub(super) fn new() -> Self {
        let status = File::open("/proc/self/status");
        if let Err(error) = &status {
            log::warn!("/proc/self/status: {error}; overload by cpu and memory is not seen");
        }
        Self {
            status: status.ok(),
            text: vec![0; STATUS_BYTES],
            limits_at: None,
            cpu: Cpu::default(),
            memory: Memory::default(),
            files: Files::default(),
        }
    }

    pub(super) async fn sample(&mut self, now: Instant) -> Sample {
        // Out of descriptors the limits could not be read: the group's would seem to be gone.
        let can_open = || File::open("/proc/self/cgroup").is_ok();
        let is_due = |at: Instant| now.duration_since(at) >= LIMITS;
        if self.limits_at.is_none_or(is_due) && can_open() {
            self.limits_at = Some(now);
            self.cpu.refresh();
            self.memory.refresh();
        }
        let status = self.status();
        Sample {
            cpu: self.cpu.read(now, status.cpus),
            memory: status.resident.and_then(|bytes| self.memory.read(bytes)),
            open_files: self.files.read(now).await,
        }
    }

    fn status(&mut self) -> Status {
        let read = |file: &File| file.read_at(&mut self.text, 0).ok();
        let length = self.status.as_ref().and_then(read).unwrap_or_default();
        let text = self.text.get(..length).unwrap_or_default();
        parse_status(&String::from_utf8_lossy(text))
    }
}

pub(super) fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("VmRSS", value)) => status.resident = parse_kib(value),
            Some(("Cpus_allowed_list", value)) => status.cpus = count_list(value),
            _ => {}
        }
    }
    status
}
