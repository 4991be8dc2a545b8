//! What is known of one endpoint's ejections.

use std::time::{Duration, Instant};

use super::flaps::Flaps;
use super::watch::Interval;
use super::{Cause, OutlierOptions};
use crate::upstream::balance::random::below;

/// An ejection that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) cause: Cause,
    pub(super) since: Instant,
    pub(super) until: Instant,
}

/// Ejections of one endpoint, the one that goes on and the memory of those before.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) out: Option<Out>,
    /// Steps of growth: the next ejection is number `times + 1`.
    pub(super) times: u32,
    /// Since when it is in use without an ejection; the next step of growth is forgotten by it.
    pub(super) quiet_since: Option<Instant>,
    pub(super) flaps: Flaps,
    pub(super) ejections_total: u64,
    /// Of the last interval with enough requests.
    success_rate: Option<f32>,
    latency: Option<Duration>,
}

/// An endpoint's standing with outlier detection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Why it is out; none while it is in use.
    pub cause: Option<Cause>,
    /// How long it has been out.
    pub out_for: Duration,
    /// When it comes back, at the tick after it.
    pub left: Duration,
    /// Ejections in a row without enough quiet between them: the length of the next one.
    pub times: u32,
    /// Ejections that ended within the last ten minutes.
    pub flaps: u32,
    /// Ejections since the endpoint is known.
    pub ejections_total: u64,
    /// 5xx and failures since the last good answer, of those that count for the next ejection.
    pub bad_in_row: u32,
    /// Failed connects since the last answer.
    pub unconnected_in_row: u32,
    /// Share of good answers in the last interval, where it is compared and had a request.
    pub success_rate: Option<f32>,
    /// Response time in the last interval, where it is compared and had a good answer.
    pub latency: Option<Duration>,
}

impl Held {
    /// Begins an ejection and says how long it lasts.
    pub(super) fn begin(
        &mut self,
        options: &OutlierOptions,
        cause: Cause,
        now: Instant,
        random: u64,
    ) -> Duration {
        // At the longest time there is nothing to grow, and nothing more to forget afterwards.
        if self.times == 0 || options.length(self.times) < options.max_ejection {
            self.times = self.times.saturating_add(1);
        }
        self.ejections_total = self.ejections_total.saturating_add(1);
        let length = options.length(self.times);
        let most_us = u64::try_from(length.as_micros() / 10).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(below(random, most_us.saturating_add(1)));
        let lasts = length.saturating_add(jitter);
        self.out = Some(Out {
            cause,
            since: now,
            // A time that no clock reaches is none: better in use than out for ever.
            until: now.checked_add(lasts).unwrap_or(now),
        });
        self.quiet_since = None;
        lasts
    }

    /// Ends an ejection.
    pub(super) fn end(&mut self, now: Instant) {
        if self.out.take().is_some() {
            self.flaps.add(now);
            self.quiet_since = Some(now);
        }
    }

    /// When the ejection ends: options that became shorter hold at once.
    pub(super) fn end_at(&self, options: &OutlierOptions) -> Option<Instant> {
        let out = self.out?;
        let latest = out.since.checked_add(options.longest());
        Some(latest.map_or(out.until, |latest| latest.min(out.until)))
    }

    /// Forgets a step of growth for each ejection time that has been quiet.
    pub(super) fn forget_growth(&mut self, options: &OutlierOptions, now: Instant) {
        let Some(mut since) = self.quiet_since.filter(|_| self.out.is_none()) else {
            return;
        };
        while self.times > 0 {
            // A length of nothing must not take a step of nothing.
            let step = options.length(self.times).max(Duration::from_millis(1));
            let Some(then) = since.checked_add(step).filter(|then| *then <= now) else {
                break;
            };
            self.times -= 1;
            since = then;
        }
        self.quiet_since = (self.times > 0).then_some(since);
    }

    /// Time in which it gets no requests is not quiet use.
    pub(super) fn not_in_use(&mut self, now: Instant) {
        if let Some(since) = &mut self.quiet_since {
            *since = now;
        }
    }

    pub(super) fn keep_interval(&mut self, interval: &Interval) {
        let requests = interval.good.saturating_add(interval.bad);
        self.success_rate = (requests > 0).then(|| interval.good as f32 / requests as f32);
        self.latency = interval.taken.map(|taken| taken.mean);
    }

    /// Nothing is compared any more: old numbers would look like new ones.
    pub(super) fn forget_interval(&mut self) {
        self.keep_interval(&Interval::default());
    }

    pub(super) fn flaps(&self, now: Instant) -> u32 {
        self.flaps.count(now)
    }

    pub(super) fn status(&self, (bad, unconnected): (u32, u32), now: Instant) -> Status {
        let out = self.out.as_ref();
        let since = |out: &Out| now.saturating_duration_since(out.since);
        let left = |out: &Out| out.until.saturating_duration_since(now);
        Status {
            cause: out.map(|out| out.cause),
            out_for: out.map(since).unwrap_or_default(),
            left: out.map(left).unwrap_or_default(),
            times: self.times,
            flaps: self.flaps(now),
            ejections_total: self.ejections_total,
            bad_in_row: bad,
            unconnected_in_row: unconnected,
            success_rate: self.success_rate,
            latency: self.latency,
        }
    }
}
