//! The overload guard of the node: when the process runs out of something, it turns requests away in the order of
//! their class instead of becoming slow for everybody.
//!
//! After Envoy's overload manager (resource monitors, scaled actions) and WeChat's DAGOR (Zhou et al., SoCC 2018:
//! the wait for a thread as the sign of overload, shedding by class, a small rise after each fall). Four readings,
//! five times a second:
//!
//! | resource | reading | limit by default |
//! |---|---|---|
//! | cpu | time of this process / time of the CPUs it may use (affinity, cpu.max of its cgroup and those above) | 0.95 |
//! | memory | resident set / the least of memory.max, memory.high (of its cgroup and those above) and the machine's | 0.90 |
//! | open files | open descriptors / RLIMIT_NOFILE | 0.90 |
//! | loop lag | by how much an ordinary task on a serving runtime runs too late, mean of 200 ms | 400 ms |
//!
//! What is shed, as a share of each class, is decided in `controller.rs`: `bulk` in full before `default` begins,
//! `critical` last and never above 90 %. Health checks and operators have no class and are never asked.
//!
//! **CPU alone sheds `bulk` alone.** A process that is busy all the time and answers at once is well used, not
//! overloaded: for more than `bulk` tasks must wait too, a quarter of the limit of the lag or longer.
//!
//! Shedding frees CPU at once. Memory and descriptors it frees only as requests end; what sheds for these should
//! close its connection as well ([`Load::closes`]).

mod announce;
mod cgroup;
mod controller;
mod cpu;
mod files;
mod lag;
mod memory;
mod sampler;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use announce::Announcer;
use controller::{CLASSES, Controller, Pressure, stock_level};
use sampler::{Sample, Sampler};

use super::Server;
use crate::compile::overload::{LAG, LEAST_LAG, OverloadLimits};
use crate::upstream::limits::Class;

pub use lag::{Lag, LagProbe};

/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(200);
/// A sample that comes this late was not measured under load: the process or its machine stood still (SIGSTOP, a
/// snapshot of a virtual machine), and what was measured over that time says nothing.
const STOOD_STILL: Duration = Duration::from_secs(2);

/// What a node may run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Time of the CPUs.
    Cpu,
    /// Resident memory.
    Memory,
    /// Descriptors.
    OpenFiles,
    /// The promptness of the serving threads.
    LoopLag,
}

impl Resource {
    /// All, in the order of status.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::OpenFiles, Self::LoopLag];

    /// The word for operators, as in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::OpenFiles => "open_files",
            Self::LoopLag => "loop_lag",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How much there is of a thing, and how much is used: CPUs, bytes or descriptors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// In use.
    pub used: f64,
    /// There is.
    pub of: f64,
}

impl Usage {
    /// `used / of`; 0 where there is no end of it.
    #[expect(clippy::cast_possible_truncation, reason = "a share needs no more")]
    pub fn share(&self) -> f32 {
        if self.of > 0.0 && self.of.is_finite() {
            (self.used / self.of) as f32
        } else {
            0.0
        }
    }
}

/// A reading beside its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<V, L> {
    /// What was measured last.
    pub value: V,
    /// The limit in force; none when it is off.
    pub limit: Option<L>,
}

/// How the node stands, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// CPUs busy with this process. A reading is none when it cannot be taken here.
    pub cpu: Option<Reading<Usage, f32>>,
    /// Bytes.
    pub memory: Option<Reading<Usage, f32>>,
    /// Descriptors.
    pub open_files: Option<Reading<Usage, f32>>,
    /// Of the serving runtimes the worst.
    pub loop_lag: Option<Reading<Lag, Duration>>,
    /// Shares of 255 that are shed: critical, default, bulk.
    pub shedding: [u8; CLASSES],
    /// Why: the resource furthest above its limit, or the last that was while something is shed.
    pub hot: Option<Resource>,
}

impl Load {
    fn of(sample: &Sample, lag: Option<Lag>, limits: &OverloadLimits) -> Self {
        let reading = |usage: Option<Usage>, limit| usage.map(|value| Reading { value, limit });
        Self {
            cpu: reading(sample.cpu, limits.cpu),
            memory: reading(sample.memory, limits.memory),
            open_files: reading(sample.open_files, limits.open_files),
            loop_lag: lag.map(|value| Reading {
                value,
                limit: limits.loop_lag,
            }),
            ..Self::default()
        }
    }

    /// True while what is short comes back only as connections end: requests that are shed close theirs.
    pub fn closes(&self) -> bool {
        self.is_shedding() && matches!(self.hot, Some(Resource::Memory | Resource::OpenFiles))
    }

    /// True while any class is shed.
    pub fn is_shedding(&self) -> bool {
        self.shedding.iter().any(|share| *share > 0)
    }

    /// The reading as a part of its limit: 1 is at the limit. None without reading or limit.
    pub fn severity(&self, resource: Resource) -> Option<f32> {
        let of = |reading: Option<Reading<Usage, f32>>| {
            let reading = reading?;
            Some(reading.value.share() / reading.limit?)
        };
        match resource {
            Resource::Cpu => of(self.cpu),
            Resource::Memory => of(self.memory),
            Resource::OpenFiles => of(self.open_files),
            Resource::LoopLag => {
                let reading = self.loop_lag?;
                let limit = reading.limit?.max(LEAST_LAG);
                Some(reading.value.mean.as_secs_f32() / limit.as_secs_f32())
            }
        }
    }

    /// The resource that is furthest above its limit.
    fn hottest(&self) -> Option<Resource> {
        let above = Resource::ALL.into_iter().filter_map(|resource| {
            let severity = self.severity(resource)?;
            (severity >= 1.0).then_some((resource, severity))
        });
        above
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(resource, _)| resource)
    }

    /// What the controller is to know.
    fn pressure(&self) -> Pressure {
        let stock = |reading: Option<Reading<Usage, f32>>| {
            let reading = reading?;
            Some(stock_level(reading.value.share(), reading.limit?))
        };
        let lag = self.loop_lag.map(|reading| {
            // Off, it is still known, and the usual limit says what waiting is.
            let limit = reading.limit.unwrap_or(LAG).max(LEAST_LAG);
            reading.value.mean.as_secs_f32() / limit.as_secs_f32()
        });
        Pressure {
            cpu: self.severity(Resource::Cpu),
            lag,
            is_lag_limited: self.loop_lag.is_some_and(|reading| reading.limit.is_some()),
            stock: stock(self.memory)
                .unwrap_or_default()
                .max(stock(self.open_files).unwrap_or_default()),
        }
    }
}

/// Guards the node until the runtime ends. `data` is where requests are served.
pub fn guard(server: Arc<Server>, data: &Handle) -> impl Future<Output = ()> + Send + use<> {
    let probe = Arc::new(LagProbe::default());
    data.spawn(Arc::clone(&probe).tick());
    let metrics = &server.node.metrics;
    let pressure = Resource::ALL.map(|one| (one, metrics.overload_pressure(one.word())));
    let shed = Class::ALL.map(|class| (class, metrics.overload_shed(class.word())));
    let limits = {
        let server = Arc::clone(&server);
        move || server.settings().overload.clone()
    };
    let tell = move |load: &Load| {
        let shedding = &server.node.shedding;
        for ((class, gauge), share) in shed.iter().zip(load.shedding) {
            shedding.set(*class, share);
            gauge.set(i64::from(share) * 1000 / i64::from(u8::MAX));
        }
        shedding.set_closes(load.closes());
        for (resource, gauge) in &pressure {
            gauge.set((load.severity(*resource).unwrap_or_default() * 1000.0) as i64);
        }
        server.load.store(Arc::new(load.clone()));
    };
    watch(limits, probe, tell)
}

/// Measures and decides until it is dropped; `limits` are asked for each time. `tell` is told five times a second how the
/// node stands and what is to be shed, and at the end that nothing is.
///
/// For the control runtime: on a serving one it would be late when it is needed.
async fn watch(
    limits: impl Fn() -> OverloadLimits + Send,
    lag: Arc<LagProbe>,
    tell: impl Fn(&Load) + Send,
) {
    let mut guard = Guard::new(tell);
    let mut sampler = Sampler::new();
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut stood_still = false;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let sample = sampler.sample(now).await;
        let late = lag.take(now);
        // Twice in a row it is no accident: this thread gets no CPU, and that is overload.
        stood_still = !stood_still && now.duration_since(last) >= STOOD_STILL;
        last = now;
        if !stood_still {
            guard.step(Load::of(&sample, late, &limits()), now);
        }
    }
}

/// From readings to shares, and who is told.
struct Guard<F: Fn(&Load)> {
    tell: F,
    controller: Controller,
    announcer: Announcer,
    hot: Option<Resource>,
}

impl<F: Fn(&Load)> Guard<F> {
    fn new(tell: F) -> Self {
        Self {
            tell,
            controller: Controller::default(),
            announcer: Announcer::default(),
            hot: None,
        }
    }

    fn step(&mut self, mut load: Load, now: Instant) {
        load.shedding = self.controller.step(load.pressure());
        self.hot = match load.hottest() {
            None if load.is_shedding() => self.hot,
            hot => hot,
        };
        load.hot = self.hot;
        (self.tell)(&load);
        if let Some(line) = self.announcer.look(&load, now) {
            log::warn!("{line}");
        }
    }
}

impl<F: Fn(&Load)> Drop for Guard<F> {
    /// Without a guard nothing would ever take the shares back.
    fn drop(&mut self) {
        (self.tell)(&Load::default());
    }
}
