//! Injecting faults.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Clock, CounterBy, Random};
use farmgate_plugin_api::units::Ratio;
use farmgate_plugin_api::{Answer, Explained, Facts, Filter, FilterError, Phases, Reply, Verdict};
use http::{HeaderName, HeaderValue, StatusCode};

use super::active::{Place, Places, Sign, Standing};

/// Injects faults into some requests while it may.
pub(super) struct FaultFilter {
    pub(super) delay: Option<(Ratio, Duration)>,
    pub(super) abort: Option<(Ratio, Abort)>,
    /// Share, and bytes per second of the response's body, above 0.
    pub(super) throttle: Option<(Ratio, u64)>,
    /// Fields that a request must have, all of them.
    pub(super) only: Box<[(HeaderName, HeaderValue)]>,
    pub(super) places: Arc<Places>,
    pub(super) sign: Arc<Sign>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) injected: Arc<dyn CounterBy>,
}

/// How a request is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// Answered with this status.
    Status(StatusCode),
    /// The connection is closed, or the stream reset, without an answer.
    Reset,
}

/// A response that is slowed down, from the first piece of its body on.
struct Throttled {
    began: Option<Instant>,
    bytes: u64,
    _place: Place,
}

impl Throttled {
    /// How long the next piece of so many bytes has to wait: its last byte is due when all bytes up to it are, at this
    /// rate. What came late before is caught up.
    fn delay(&mut self, bytes: usize, rate: u64, now: Instant) -> Duration {
        let began = *self.began.get_or_insert(now);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        let due_ns = u128::from(self.bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let due = Duration::from_nanos(u64::try_from(due_ns).unwrap_or(u64::MAX));
        due.saturating_sub(now.saturating_duration_since(began))
    }
}

impl Drop for FaultFilter {
    fn drop(&mut self) {
        self.sign.take_down();
    }
}

impl Filter for FaultFilter {
    fn phases(&self) -> Phases {
        match self.throttle {
            Some(_) => Phases::REQUEST_HEAD.and(Phases::RESPONSE_BODY),
            None => Phases::REQUEST_HEAD,
        }
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        // The switch is the engine's to ask: what is off is not called.
        if self.sign.standing(self.clock.wall()) == Standing::Past || !self.is_meant(&*request) {
            return Answer::CONTINUE;
        }
        let delay = self.drawn(self.delay);
        let abort = self.drawn(self.abort);
        if let Some(rate) = self.drawn(self.throttle).filter(|_| abort.is_none())
            && let Some(place) = self.places.take()
        {
            self.injected.add("throttle", 1);
            request.note(&format!("fault: throttled to {rate} bytes per second"));
            request.set_state(Box::new(Throttled {
                began: None,
                bytes: 0,
                _place: place,
            }));
        }
        let Some((time, place)) = delay.and_then(|time| Some((time, self.places.take()?))) else {
            return Answer::Now(self.end(abort, request));
        };
        self.injected.add("delay", 1);
        request.note(&format!("fault: delayed by {} ms", time.as_millis()));
        Answer::Wait(Box::pin(async move {
            self.clock.sleep(time).await;
            drop(place);
            self.end(abort, request)
        }))
    }

    fn response_body(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        _end: bool,
    ) -> Result<(), FilterError> {
        let bytes = chunk.as_ref().map_or(0, Bytes::len);
        let (Some((_, rate)), true) = (self.throttle, bytes > 0) else {
            return Ok(());
        };
        let state = request.state();
        let Some(throttled) = state.and_then(|state| state.downcast_mut::<Throttled>()) else {
            return Ok(());
        };
        let delay = throttled.delay(bytes, rate, self.clock.now());
        request.delay_body(delay);
        Ok(())
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let sign = &self.sign;
        let text = match sign.standing(self.clock.wall()) {
            Standing::Past => format!("no faults: until {} has passed", sign.until),
            Standing::Off => "no faults: it is switched off".to_owned(),
            Standing::Active if !self.is_meant(request.facts) => {
                "no faults: the request lacks what `only` asks for".to_owned()
            }
            Standing::Active => format!("faults until {}: {}", sign.until, sign.words),
        };
        vec![text]
    }
}

impl FaultFilter {
    /// True if the request has every field of `only`, in one of its values.
    fn is_meant(&self, facts: &(impl Facts + ?Sized)) -> bool {
        let headers = facts.headers();
        self.only
            .iter()
            .all(|(name, value)| headers.get_all(name).iter().any(|found| found == value))
    }

    /// The fault, for its share of requests.
    fn drawn<T>(&self, fault: Option<(Ratio, T)>) -> Option<T> {
        let (share, fault) = fault?;
        share.takes(self.random.next()).then_some(fault)
    }

    fn end(&self, abort: Option<Abort>, request: &mut dyn Request) -> Verdict {
        match abort {
            None => Verdict::Continue,
            Some(Abort::Status(status)) => {
                self.injected.add("abort", 1);
                request.note(&format!("fault: aborted with {}", status.as_u16()));
                Verdict::Reply(Box::new(Reply::problem(status, "fault_injected")))
            }
            Some(Abort::Reset) => {
                self.injected.add("reset", 1);
                request.note("fault: reset");
                Verdict::Reset
            }
        }
    }
}
