//! The words of the `fault` kind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration as Time;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::{Duration, Ratio, Size};
use farmgate_plugin_api::words::{RequestField, Status};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::active::{Places, Sign};
use super::filter::{Abort, FaultFilter};
use super::moment::Moment;

/// Longest delay: beyond it clients and we ourselves have given up.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// Slowest rate: a piece of 64 KiB then waits 16 seconds.
const MIN_RATE: Size = Size::kib(4);
const DEFAULT_MAX_ACTIVE: u32 = 1_000;
const MOST_MAX_ACTIVE: u32 = 100_000;
/// Most fields of `only`.
const MAX_FIELDS: usize = 8;
/// How often the gauge is written and the event log told of a change.
const SHOWN_EVERY: Time = Time::from_secs(5);

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["until"],
  "properties": {
    "delay": {
      "type": "object", "additionalProperties": false, "required": ["share", "time"],
      "properties": {
        "share": { "type": "string", "description": "The share of requests, as 10%." },
        "time": { "type": "string", "description": "How long a request waits before it goes on: above 0s, at most 10m." }
      },
      "description": "Requests wait before they go on."
    },
    "abort": {
      "type": "object", "additionalProperties": false, "required": ["share"],
      "properties": {
        "share": { "type": "string", "description": "The share of requests." },
        "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "Answered with this status." },
        "reset": { "type": "boolean", "default": false, "description": "Instead of a status: closed or reset without an answer." }
      },
      "description": "Requests end here, after their delay if they have one."
    },
    "throttle": {
      "type": "object", "additionalProperties": false, "required": ["share", "bytes_per_second"],
      "properties": {
        "share": { "type": "string", "description": "The share of requests." },
        "bytes_per_second": { "type": "string", "description": "Bytes of the response's body in each second, at least 4KiB." }
      },
      "description": "Responses come slowly."
    },
    "only": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "headers": { "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": 8, "description": "Request fields and the exact values they must have, all of them." }
      },
      "description": "Requests that are meant; without it all are."
    },
    "until": { "description": "The moment from which the plugin does nothing, with its offset: 2027-01-01T00:00:00Z." },
    "max_active": { "type": "integer", "minimum": 1, "maximum": 100000, "default": 1000, "description": "Requests that are delayed or throttled at once; more are left alone and counted." }
  }
}"#;

/// The table of a `fault` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultConfig {
    delay: Option<DelayConfig>,
    abort: Option<Located<AbortConfig>>,
    throttle: Option<ThrottleConfig>,
    #[serde(default)]
    only: OnlyConfig,
    until: Located<Moment>,
    max_active: Option<Located<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayConfig {
    share: Located<Ratio>,
    time: Located<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AbortConfig {
    share: Located<Ratio>,
    status: Option<Located<Status>>,
    #[serde(default)]
    reset: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThrottleConfig {
    share: Located<Ratio>,
    bytes_per_second: Located<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyConfig {
    #[serde(default)]
    headers: Option<Located<BTreeMap<RequestField, Located<String>>>>,
}

impl FaultConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<FaultFilter> {
        let before = diagnostics.error_count();
        let clock = services.clock();
        if self.until.value.at() <= clock.wall() {
            let text = format!(
                "until {} has passed: this plugin does nothing",
                self.until.value
            );
            let warning = Diagnostic::warning(codes::IDLE, &self.until.place, text);
            diagnostics.push(warning.with_help("remove the plugin, or write a later moment"));
        }
        let mut idle = true;
        for share in [
            self.delay.as_ref().map(|delay| &delay.share),
            self.abort.as_ref().map(|abort| &abort.value.share),
            self.throttle.as_ref().map(|throttle| &throttle.share),
        ]
        .into_iter()
        .flatten()
        {
            idle &= share.value == Ratio::percent(0);
        }
        if idle {
            let text = "this plugin injects no fault";
            let warning = Diagnostic::warning(codes::IDLE, place, text);
            diagnostics.push(warning.with_help("write delay, abort or throttle, with a share"));
        }
        let words = self.words();
        let delay = self.delay.map(|delay| {
            let time = delay.time.value;
            if time.is_zero() || time > MAX_DELAY {
                let text = format!("a delay is above 0s and at most {MAX_DELAY}");
                diagnostics.error(codes::VALUE, &delay.time.place, text);
            }
            (delay.share.value, time.get())
        });
        let abort = self
            .abort
            .and_then(|abort| Some((abort.value.share.value, check_abort(&abort, diagnostics)?)));
        let throttle = self.throttle.map(|throttle| {
            let rate = throttle.bytes_per_second;
            if rate.value < MIN_RATE {
                let text = format!("a response comes with at least {MIN_RATE} per second");
                diagnostics.error(codes::VALUE, &rate.place, text);
            }
            (throttle.share.value, rate.value.bytes())
        });
        let only = check_fields(self.only.headers, diagnostics);
        let most = check_max_active(self.max_active, diagnostics);
        if diagnostics.error_count() > before {
            return None;
        }
        let sign = hang_up(self.until.value, words, services)?;
        Some(FaultFilter {
            delay,
            abort,
            throttle,
            only,
            places: Arc::new(Places {
                most,
                held: AtomicUsize::new(0),
                gauge: services.gauge("held", "Requests that are delayed or throttled now."),
                skipped: services.counter(
                    "skipped",
                    "Faults that were not injected: max_active requests had one.",
                ),
            }),
            sign,
            clock,
            random: services.random(),
            injected: services.counter_by("injected", "Faults that were injected.", "fault", 4),
        })
    }

    /// What is injected, for people.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(delay) = &self.delay {
            words.push(format!(
                "{} delayed by {}",
                delay.share.value, delay.time.value
            ));
        }
        if let Some(abort) = &self.abort {
            let how = match &abort.value.status {
                Some(status) => format!("answered with {}", status.value.0.as_u16()),
                None => "reset".to_owned(),
            };
            words.push(format!("{} {how}", abort.value.share.value));
        }
        if let Some(throttle) = &self.throttle {
            let (share, rate) = (throttle.share.value, throttle.bytes_per_second.value);
            words.push(format!("{share} throttled to {rate} per second"));
        }
        let mut words = words.join(", ");
        if let Some(headers) = &self.only.headers {
            let names: Vec<&str> = headers.value.keys().map(|name| name.0.as_str()).collect();
            words.push_str("; only requests with ");
            words.push_str(&names.join(", "));
        }
        words
    }
}

fn check_abort(abort: &Located<AbortConfig>, diagnostics: &mut Diagnostics) -> Option<Abort> {
    match (&abort.value.status, abort.value.reset) {
        (Some(status), false) => {
            if status.value.0.as_u16() < 400 {
                let text = "an abort needs a status of 400 or more";
                diagnostics.error(codes::VALUE, &status.place, text);
            }
            Some(Abort::Status(status.value.0))
        }
        (None, true) => Some(Abort::Reset),
        (Some(_), true) => {
            let text = "status and reset exclude each other";
            let error = Diagnostic::error(codes::OPTIONS, &abort.place, text);
            diagnostics.push(error.with_help("leave one of them out"));
            None
        }
        (None, false) => {
            let error = Diagnostic::error(codes::OPTIONS, &abort.place, "abort does not say how");
            diagnostics.push(error.with_help("write status = 503, or reset = true"));
            None
        }
    }
}

fn check_fields(
    headers: Option<Located<BTreeMap<RequestField, Located<String>>>>,
    diagnostics: &mut Diagnostics,
) -> Box<[(HeaderName, HeaderValue)]> {
    let Some(headers) = headers else {
        return Box::default();
    };
    let count = headers.value.len();
    if count > MAX_FIELDS {
        let text = format!("only.headers names {count} fields; at most {MAX_FIELDS} are possible");
        diagnostics.error(codes::VALUE, &headers.place, text);
    }
    let mut fields = Vec::new();
    for (name, value) in headers.value {
        match HeaderValue::from_str(&value.value) {
            Ok(wanted) => fields.push((name.0, wanted)),
            Err(_) => {
                let text = "no request field has such a value";
                diagnostics.error(codes::VALUE, &value.place, text);
            }
        }
    }
    fields.into()
}

fn check_max_active(max_active: Option<Located<u32>>, diagnostics: &mut Diagnostics) -> usize {
    let most = max_active.as_ref().map_or(DEFAULT_MAX_ACTIVE, |m| m.value);
    if let Some(max_active) = max_active
        && !(1..=MOST_MAX_ACTIVE).contains(&most)
    {
        let text = format!("max_active is from 1 to {MOST_MAX_ACTIVE}");
        diagnostics.error(codes::VALUE, &max_active.place, text);
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The sign that tells of the faults, shown by the host again and again from publication on.
fn hang_up(until: Moment, words: String, services: &dyn Services) -> Option<Arc<Sign>> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let speaker = services
        .shared("speaker", &mut || Arc::new(AtomicU64::new(0)))
        .downcast()
        .ok()?;
    let sign = Arc::new(Sign {
        until,
        words,
        clock: services.clock(),
        switch: services.switch(),
        events: services.events(),
        gauge: services.gauge("active", "1 while faults are injected, else 0."),
        number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        speaker,
        told: Mutex::new(None),
    });
    let shown = Arc::clone(&sign);
    services.periodic(
        SHOWN_EVERY,
        Box::new(move || {
            shown.show();
            Box::pin(async {})
        }),
    );
    Some(sign)
}
