//! A limit that follows the origin's latency.
//!
//! The model is the gradient of Netflix concurrency-limits (Gradient2) and Envoy (adaptive_concurrency): latency without
//! a queue at the origin (`base`) over latency now says how much of what is in flight is queued there. Per window:
//!
//! ```text
//! gradient = clamp(tolerance * base / latency, 0.5, 1.0) * (share of requests that were not dropped)
//! limit    = gradient * limit + max(0.5, sqrt(limit) / 4)        within min..=max
//! ```
//!
//! The last term is the queue that is allowed so that more room is found; after three windows with a gradient of 1 the
//! limit grows by a fifth. With C places at the origin the limit settles
//! near `tolerance * C`. What differs from the models is how `base` is kept, which is their weak side: Gradient2's long
//! average drifts up under lasting overload, and Envoy's falls to 3 requests once a minute.
//!
//! - The limit starts at `min`, where the origin has no queue, and grows by half per window until latency rises.
//! - While requests use less than half of the limit, `base` follows latency: there is no queue of our making.
//! - While the limit holds requests back, `base` follows downwards only, and the limit waits for it. Every 30 s, and
//!   after that, the limit is lowered to 60 % of itself for two windows: below what the origin can do if the limit is
//!   near it. The second one gives `base`.
//! - An origin that became slower for another reason brings the limit down to `min` within a few windows. What is
//!   measured there is the new `base`, and the limit grows again as at the start.
//!
//! A window lasts two round trips, at least 100 ms and at most 5 s, and has at least 50 requests unless it lasts ten
//! times as long.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const SHORTEST_WINDOW: f64 = 0.1;
const LONGEST_WINDOW: f64 = 5.0;
/// Fewer requests say little about the mean.
const ENOUGH: u64 = 50;
/// Seconds under a limit that holds requests back until `base` is measured again.
const MEASURE_EVERY: f64 = 30.0;
const MEASURE_AT: f64 = 0.6;
/// A sample counts as at most this, so that the sum of a window has room in 40 bits.
const LONGEST_SAMPLE: Duration = Duration::from_secs(10);

/// What is configured for an [`Adaptive`] limit.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptiveOptions {
    /// Never below this, and where it begins: what the origin bears without a queue. At least 1.
    pub min: u32,
    /// Never above this.
    pub max: u32,
    /// How much slower than without a queue is accepted, 1.0 and more. Higher for an origin whose latency varies much.
    pub tolerance: f32,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            min: 10,
            max: 1000,
            tolerance: 1.3,
        }
    }
}

/// What another process takes over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovedLimit {
    /// The limit.
    pub limit: f64,
    /// Latency without a queue, in seconds.
    pub base_seconds: f64,
}

/// The limit of one upstream. Reading it is one load; a sample is one addition and some loads.
#[derive(Debug, Default)]
pub struct Adaptive {
    /// 0 before the first window: the minimum.
    limit: AtomicU32,
    began: OnceLock<Instant>,
    window: Window,
    control: Mutex<Control>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Window {
    /// Bits 0..40: the sum of latencies in microseconds; 40..64: how many.
    samples: AtomicU64,
    most_in_flight: AtomicU32,
    dropped: AtomicU32,
    any: AtomicBool,
    /// Microseconds since `began`.
    ends: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mode {
    /// Grows by half per window until latency rises.
    #[default]
    Start,
    Normal,
    /// The limit was lowered to measure: requests of before are still on their way.
    Draining {
        limit: f64,
    },
    Measuring {
        limit: f64,
    },
}

#[derive(Debug, Default)]
struct Control {
    mode: Mode,
    limit: f64,
    /// Seconds; 0 before the first window.
    base: f64,
    /// Seconds since `began`.
    window_began: f64,
    /// Seconds since `began` when `base` was last known to be without a queue.
    measured: f64,
    /// The origin became faster, and `base` does not say so yet.
    faster: bool,
    /// It did not say so for a while, so it may hold a queue that was there already.
    stale: bool,
    /// Windows in a row with a gradient below 1, and those with 1 that used the limit.
    slower: u32,
    clear: u32,
    /// Windows at the minimum with latency above what is accepted.
    low: u32,
}

/// One window's sum.
#[derive(Clone, Copy, Debug)]
struct Sum {
    /// Mean of the requests that were not dropped, seconds.
    latency: Option<f64>,
    /// Requests in that mean.
    count: f64,
    /// Share that was not dropped, 0..=1.
    kept: f64,
    most_in_flight: f64,
    /// Seconds since `began`.
    now: f64,
}

impl Adaptive {
    /// The limit now.
    pub fn limit(&self, options: &AdaptiveOptions) -> u32 {
        let min = options.min.max(1);
        let limit = self.limit.load(Ordering::Relaxed);
        limit.clamp(min, options.max.max(min))
    }

    /// A request ended: it took so long, with so many in flight. `dropped`: it failed as under overload, so its time
    /// says nothing.
    pub fn observe(
        &self,
        options: &AdaptiveOptions,
        took: Duration,
        in_flight: u32,
        dropped: bool,
        now: Instant,
    ) {
        let began = *self.began.get_or_init(|| now);
        let window = &self.window;
        if dropped {
            window.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            let micros = took.min(LONGEST_SAMPLE).as_micros() as u64;
            window
                .samples
                .fetch_add(1 << 40 | micros, Ordering::Relaxed);
        }
        if window.most_in_flight.load(Ordering::Relaxed) < in_flight {
            window
                .most_in_flight
                .fetch_max(in_flight, Ordering::Relaxed);
        }
        let micros = now.saturating_duration_since(began).as_micros() as u64;
        if micros >= window.ends.load(Ordering::Relaxed)
            && let Some(mut control) = self.control.try_lock()
        {
            self.close(&mut control, options, micros);
        }
    }

    /// Seconds a request takes without a queue at the origin; `None` before it is known.
    pub fn base_seconds(&self) -> Option<f64> {
        let base = self.control.lock().base;
        (base > 0.0).then_some(base)
    }

    /// For another process; `None` before anything is known.
    pub fn moved(&self) -> Option<MovedLimit> {
        let control = self.control.lock();
        let limit = match control.mode {
            Mode::Start | Mode::Normal => control.limit,
            Mode::Draining { limit } | Mode::Measuring { limit } => limit,
        };
        (control.base > 0.0).then_some(MovedLimit {
            limit,
            base_seconds: control.base,
        })
    }

    /// Goes on from another process, unless something is known here already or it is no number.
    pub fn restore(&self, moved: MovedLimit) {
        let MovedLimit {
            limit,
            base_seconds,
        } = moved;
        let sane = limit.is_finite() && limit >= 1.0;
        let mut control = self.control.lock();
        if control.base > 0.0 || !sane || !base_seconds.is_finite() || base_seconds <= 0.0 {
            return;
        }
        control.mode = Mode::Normal;
        control.limit = limit;
        control.base = base_seconds;
        self.limit.store(limit as u32, Ordering::Relaxed);
    }

    /// Ends the window if it is over, under the lock.
    fn close(&self, control: &mut Control, options: &AdaptiveOptions, micros: u64) {
        let window = &self.window;
        // Somebody else may have closed it just now.
        if micros < window.ends.load(Ordering::Relaxed) {
            return;
        }
        let now = micros as f64 / 1e6;
        if !window.any.swap(true, Ordering::Relaxed) {
            // The first sample of all only begins the first window.
            window
                .ends
                .store(micros + (SHORTEST_WINDOW * 1e6) as u64, Ordering::Relaxed);
            control.window_began = now;
            control.measured = now;
            return;
        }
        let samples = window.samples.load(Ordering::Relaxed);
        let dropped = u64::from(window.dropped.load(Ordering::Relaxed));
        let length = control.window_length();
        let few = (samples >> 40) + dropped < ENOUGH;
        if few && now - control.window_began < 10.0 * length {
            return;
        }
        let samples = window.samples.swap(0, Ordering::Relaxed);
        let dropped = window.dropped.swap(0, Ordering::Relaxed);
        let most_in_flight = window.most_in_flight.swap(0, Ordering::Relaxed);
        let (count, micros_sum) = (samples >> 40, samples & ((1 << 40) - 1));
        let all = count as f64 + f64::from(dropped);
        let sum = Sum {
            latency: (count > 0).then(|| micros_sum as f64 / count as f64 / 1e6),
            count: count as f64,
            kept: if all > 0.0 { count as f64 / all } else { 1.0 },
            most_in_flight: f64::from(most_in_flight),
            now,
        };
        control.step(options, sum);
        control.window_began = now;
        let ends = micros + (control.window_length() * 1e6) as u64;
        window.ends.store(ends, Ordering::Relaxed);
        self.limit.store(control.limit as u32, Ordering::Relaxed);
    }
}

impl Control {
    fn window_length(&self) -> f64 {
        (2.0 * self.base).clamp(SHORTEST_WINDOW, LONGEST_WINDOW)
    }

    fn step(&mut self, options: &AdaptiveOptions, sum: Sum) {
        let min = f64::from(options.min.max(1));
        let max = f64::from(options.max).max(min);
        let tolerance = f64::from(options.tolerance).max(1.0);
        self.limit = self.limit.clamp(min, max);
        if let Some(latency) = sum.latency {
            self.measure(sum, latency, min, tolerance);
        }
        let gradient = match sum.latency {
            Some(latency) if latency > 0.0 => (tolerance * self.base / latency).clamp(0.5, 1.0),
            Some(_) => 1.0,
            // All were dropped.
            None => 0.5,
        };
        let gradient = (gradient * sum.kept).max(0.5);
        match self.mode {
            Mode::Draining { limit } => {
                self.mode = Mode::Measuring { limit };
                return;
            }
            Mode::Measuring { limit } => {
                self.mode = Mode::Normal;
                self.limit = limit.clamp(min, max);
                return;
            }
            Mode::Start | Mode::Normal => {}
        }
        // One window may be chance.
        self.slower = if gradient < 1.0 { self.slower + 1 } else { 0 };
        if self.slower >= 2 {
            self.mode = Mode::Normal;
        }
        // Less than half is used: what happens does not come from the limit, and nothing shows that more would do.
        if sum.most_in_flight < self.limit / 2.0 && sum.kept == 1.0 {
            return;
        }
        // It would grow by an old `base`, up to a queue that looks like it.
        if self.faster && sum.kept == 1.0 {
            self.stale = true;
            return;
        }
        self.clear = if gradient < 1.0 { 0 } else { self.clear + 1 };
        self.limit = if self.mode == Mode::Start && gradient == 1.0 {
            self.limit * 1.5
        } else if self.mode == Mode::Start {
            self.limit
        } else if self.clear >= 3 {
            self.limit * 1.2
        } else {
            gradient * self.limit + (self.limit.sqrt() / 4.0).max(0.5)
        };
        self.limit = self.limit.clamp(min, max);
        let due = sum.now - self.measured >= MEASURE_EVERY;
        if (due || self.stale) && self.mode == Mode::Normal {
            self.stale = false;
            self.mode = Mode::Draining { limit: self.limit };
            self.limit = (self.limit * MEASURE_AT).clamp(min, max);
        }
    }

    /// Keeps `base`.
    fn measure(&mut self, sum: Sum, latency: f64, min: f64, tolerance: f64) {
        self.faster = false;
        let free = sum.most_in_flight < self.limit / 2.0;
        let above = latency > tolerance * self.base;
        self.low = if above && self.limit <= min && !free {
            self.low + 1
        } else {
            0
        };
        if self.base == 0.0 {
            self.base = latency;
        } else if matches!(self.mode, Mode::Measuring { .. }) {
            self.base = (self.base + latency) / 2.0;
            self.measured = sum.now;
        } else if self.low >= 3 {
            // The requests of the higher limit are gone: this is how the origin is now.
            self.base = latency;
            self.measured = sum.now;
            self.mode = Mode::Start;
            self.low = 0;
        } else if free {
            self.base += (latency - self.base) * 0.1;
            self.measured = sum.now;
        } else if self.mode == Mode::Start && !above {
            self.base += (latency - self.base) * 0.3;
        } else {
            // Mean and deviation of latencies are about equal at worst. Follows by more than chance only: else `base`
            // would sink to the lowest mean that ever happened.
            let chance = self.base / sum.count.sqrt();
            self.faster = latency < self.base - 3.0 * chance;
            if self.faster {
                self.base += (latency - self.base) * 0.5;
            } else if latency < self.base - chance {
                self.base += (latency - self.base) * 0.1;
            }
        }
    }
}
