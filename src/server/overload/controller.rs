//! How much of each class is shed.
//!
//! Two kinds of resources need two rules; the higher result holds.
//!
//! **Flows** (CPU, lag) follow at once what is let in. Above the limit nobody can measure *how much* too much there is
//! (a CPU is at most busy), so the controller searches: each sample above the limit takes a part of what is still
//! let in, first 4 %, doubled with each further one up to 40 %, until the lag falls fast enough. Below 95 % of the CPU's
//! limit and a quarter of the lag's it lets in more, first by 2 %, each time by a quarter more up to 25 %, and never more
//! than the CPU has room for: below its limit its use is in proportion to what is let in, so the step that ends just
//! under the limit is known. Between the two nothing moves.
//! Parts of what *is let in*, not of what is offered: at ten times the load a step does what it does at twice. That is
//! the increase and decrease of AIMD (Chiu and Jain 1989) with a dead band against the oscillation it has by nature.
//!
//! **Stocks** (memory, descriptors) follow late, and not always: a cache that fills its memory stays full whatever is
//! shed, and a search would go on until nobody is served. Their share is a function of the reading: nothing at the
//! limit, everything when nothing is left (scaled triggers of Envoy).

#[cfg(test)]
mod tests;

/// Classes: critical, default, bulk.
pub(super) const CLASSES: usize = 3;
/// The first cut of what is let in, and the largest.
const CUT: (f32, f32) = (0.04, 0.40);
/// The first rise, its growth per calm sample, and the largest.
const RISE: (f32, f32, f32) = (0.02, 1.25, 0.25);
/// Below this part of the limit more is let in.
const CALM: f32 = 0.95;
/// What a rise aims at, as a part of the CPU's limit: the middle of the band where nothing moves.
const AIM: f32 = 0.975;
/// From this part of its limit on the lag says that tasks wait: a busy CPU may shed more than bulk, and nothing rises.
const WAITS: f32 = 0.25;
/// So many samples above the limit in a row begin it: one is a burst.
const BEGIN: u32 = 2;
/// Steps are parts of what is let in of the class, or of this: the last few of a class go, and come, quickly.
const SMALL: f32 = 0.125;
/// Around what was let in when the lag came last, from this part of it to this, nothing rises faster than at first.
const CAREFUL: (f32, f32) = (0.80, 1.10);
/// Less than this of a class is nothing: the next one begins.
const LEAST: f32 = 1.0 / 64.0;
/// Of critical requests this is served, whatever happens.
const LEAST_CRITICAL: f32 = 0.1;
/// A share for a stock falls by at most this a sample, of a class: 2 s from full to none.
const STOCK_FALL: f32 = 0.1;

/// What the controller is told each sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pressure {
    /// CPU as a part of its limit; none without reading or limit.
    pub(super) cpu: Option<f32>,
    /// Lag as a part of its limit, or of the usual one when it is off; none without reading.
    pub(super) lag: Option<f32>,
    /// The lag has a limit of its own.
    pub(super) is_lag_limited: bool,
    /// By memory and descriptors: 0 is nothing, 1 all bulk, 2 all default, 3 all that may be.
    pub(super) stock: f32,
}

/// Whose turn it is. What stands before it is shed in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Bulk,
    Default,
    Critical,
}

impl Stage {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Bulk => Some(Self::Default),
            Self::Default => Some(Self::Critical),
            Self::Critical => None,
        }
    }

    const fn previous(self) -> Option<Self> {
        match self {
            Self::Bulk => None,
            Self::Default => Some(Self::Bulk),
            Self::Critical => Some(Self::Default),
        }
    }

    /// If what waits will be gone within so many samples, as it falls now, nothing more is cut: 1 s of waiting is worth
    /// bulk, 2 s default, 5 s critical.
    const fn patience(self) -> f32 {
        match self {
            Self::Bulk => 5.0,
            Self::Default => 10.0,
            Self::Critical => 25.0,
        }
    }

    /// What is shed at full shedding of all before it.
    const fn level(self) -> f32 {
        match self {
            Self::Bulk => 0.0,
            Self::Default => 1.0,
            Self::Critical => 2.0,
        }
    }
}

/// The state of the search.
#[derive(Debug)]
pub(super) struct Controller {
    stage: Stage,
    /// Of the stage's class this is let in, for flows.
    kept: f32,
    /// For stocks.
    stock: f32,
    /// Samples above the limit, in a row.
    hot: u32,
    /// At the last sample.
    lag: f32,
    /// The CPU was above its limit when the last sample above any was: what it has left then tells what can be let in.
    by_cpu: bool,
    /// What was let in when it began.
    peak: (Stage, f32),
    /// The next cut and the next rise.
    cut: f32,
    rise: f32,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            stage: Stage::Bulk,
            kept: 1.0,
            stock: 0.0,
            hot: 0,
            lag: 0.0,
            by_cpu: false,
            peak: (Stage::Bulk, f32::INFINITY),
            cut: CUT.0,
            rise: RISE.0,
        }
    }
}

impl Controller {
    /// One sample. The shares to shed from now on, of 255: critical, default, bulk.
    pub(super) fn step(&mut self, pressure: Pressure) -> [u8; CLASSES] {
        self.flow(pressure);
        // No smoothing upwards: what is nearly used up does not wait.
        self.stock = pressure.stock.max(self.stock - STOCK_FALL);
        self.shares()
    }

    fn flow(&mut self, pressure: Pressure) {
        // A resource that was turned off or cannot be read any more must not shed for ever.
        let cpu = pressure.cpu.unwrap_or_default();
        let lag = pressure.lag.unwrap_or_default();
        let by_lag = pressure.is_lag_limited && lag >= 1.0;
        let before = std::mem::replace(&mut self.lag, lag);
        if cpu >= 1.0 || by_lag {
            if self.hot == 0 {
                self.peak = (self.stage, self.kept);
            }
            self.hot = self.hot.saturating_add(1);
            self.by_cpu = cpu >= 1.0;
            self.rise = RISE.0;
            // What waits falls: the cuts so far are enough, and it is worked off.
            let falls = lag >= WAITS && lag + self.stage.patience() * (lag - before) < WAITS;
            if (self.hot >= BEGIN || self.sheds()) && !falls {
                self.cut(pressure.lag.is_none() || lag >= WAITS, lag);
            }
            return;
        }
        self.hot = 0;
        self.cut = CUT.0;
        if cpu >= CALM || (pressure.is_lag_limited && lag >= WAITS) {
            self.rise = RISE.0;
        } else {
            self.rise(pressure.cpu);
        }
    }

    fn sheds(&self) -> bool {
        self.stage > Stage::Bulk || self.kept < 1.0
    }

    /// `further`: also classes above bulk.
    fn cut(&mut self, further: bool, lag: f32) {
        if self.stage > Stage::Bulk && !further {
            return;
        }
        let least = match self.stage {
            Stage::Critical => LEAST_CRITICAL,
            Stage::Bulk | Stage::Default => LEAST,
        };
        // Where very much waits already there is no time to search.
        self.kept -= self.cut.max(CUT.0 * lag).min(CUT.1) * self.kept.max(SMALL);
        self.cut = (self.cut * 2.0).min(CUT.1);
        if self.kept >= least {
            return;
        }
        match self.stage.next() {
            Some(next) => {
                self.stage = next;
                self.kept = 1.0;
                // Nobody knows how much of the load is of this class.
                self.cut = CUT.0;
            }
            None => self.kept = least,
        }
    }

    fn rise(&mut self, cpu: Option<f32>) {
        let room = cpu.map_or(f32::INFINITY, |cpu| AIM / cpu.max(f32::EPSILON) - 1.0);
        let (stage, peak) = self.peak;
        let is_near = stage == self.stage
            && (CAREFUL.0..CAREFUL.1).contains(&(self.kept / peak))
            && !self.by_cpu;
        if is_near {
            self.rise = RISE.0;
        }
        let step = self.rise * self.kept.max(SMALL);
        // Half of the way to where the CPU is used as it should be; more slowly where something else was the reason.
        let known = if self.by_cpu && room.is_finite() {
            room / 2.0
        } else {
            0.0
        };
        self.kept += step.max(known * self.kept).min(room * self.kept);
        self.rise = (self.rise * RISE.1).min(RISE.2);
        if self.kept < 1.0 {
            return;
        }
        self.kept = 1.0;
        if let Some(previous) = self.stage.previous() {
            self.stage = previous;
            self.kept = LEAST;
        }
    }

    fn shares(&self) -> [u8; CLASSES] {
        let level = self.stock.max(self.stage.level() + (1.0 - self.kept));
        let part = |stage: Stage| (level - stage.level()).clamp(0.0, 1.0);
        let critical = part(Stage::Critical).min(1.0 - LEAST_CRITICAL);
        [
            share(critical),
            share(part(Stage::Default)),
            share(part(Stage::Bulk)),
        ]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 255, and `as` saturates"
)]
fn share(part: f32) -> u8 {
    (part * 255.0) as u8
}

/// How much is shed for a stock of which `used` (0..=1) is gone: 0 at the limit, 3 when all is.
pub(super) fn stock_level(used: f32, limit: f32) -> f32 {
    let left = 1.0 - limit;
    if used < limit {
        0.0
    } else if left > f32::EPSILON {
        ((used - limit) / left * 3.0).min(3.0)
    } else {
        3.0
    }
}
