//! From the words to the filter: what they mean together, and the state of earlier configurations.

use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::words::Status;
use farmgate_plugin_api::{Credential, Services};
use http::StatusCode;

use super::config::{ExemptConfig, RateLimitConfig};
use super::exempt::Exempt;
use super::filter::{Metrics, RateLimitFilter};
use super::tiers::compile_tiers;
use super::top::Top;
use super::waiting::{Delay, Waiting};

const DEFAULT_MAX_KEYS: u32 = 100_000;
/// Most keys of one limit: about a gigabyte of memory.
const MOST_MAX_KEYS: u32 = 10_000_000;
const DEFAULT_MAX_WAITING: u32 = 1000;
const MOST_MAX_WAITING: u32 = 100_000;
const DEFAULT_TOP: u32 = 100;
const MOST_TOP: u32 = 1000;
/// Longer waits belong to a queue, not to a request that somebody looks at.
const LONGEST_DELAY_MS: u64 = 60_000;
const MOST_CIDRS: usize = 64;
const MOST_CONSUMERS: usize = 1000;
/// Shorter secrets are guessed.
const SHORTEST_SECRET: usize = 16;
/// Names of limits that have a series of their own.
const MOST_NAMES: usize = 64;

impl RateLimitConfig {
    /// Checks what the words mean together, and finds the stores of earlier configurations again.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<RateLimitFilter> {
        let before = diagnostics.error_count();
        if self.limits.is_empty() && self.concurrency.is_empty() && self.plans.is_empty() {
            let place = match self.limits.is_written() {
                true => &self.limits.place,
                false => place,
            };
            let error = Diagnostic::error(codes::VALUE, place, "this plugin limits nothing");
            diagnostics.push(error.with_help("write limits, concurrency or plans"));
        }
        let status = check_status(self.status.as_ref(), diagnostics);
        let max_keys = number(
            self.max_keys.as_ref(),
            "max_keys",
            (1, MOST_MAX_KEYS, DEFAULT_MAX_KEYS),
            diagnostics,
        );
        let top_keys = number(
            self.top.as_ref(),
            "top",
            (0, MOST_TOP, DEFAULT_TOP),
            diagnostics,
        );
        let delay = self.check_delay(services, diagnostics);
        let (exempt, credentials) = check_exempt(&self.exempt, diagnostics);
        let tiers = compile_tiers(&self, max_keys, services, diagnostics)?;
        if diagnostics.error_count() > before {
            return None;
        }
        let clock = services.clock();
        let mut make = || Arc::new(Top::new(clock.now())) as Arc<_>;
        let top = services.shared("top", &mut make).downcast().ok()?;
        let metrics = metrics(services);
        // Named now, so that they show from the start and go on over reloads and upgrades.
        for tier in std::iter::once(&tiers.other).chain(tiers.plans.values()) {
            let gates = tier.gates.iter().map(|gate| &gate.name);
            let names = gates.chain(tier.limits.iter().map(|limit| &limit.name));
            names.for_each(|name| metrics.denied_by.add(name, 0));
        }
        Some(RateLimitFilter {
            tiers,
            exempt,
            credentials,
            delay,
            top,
            top_keys,
            status,
            dry_run: self.dry_run,
            max_keys,
            metrics,
            clock,
        })
    }

    fn check_delay(&self, services: &dyn Services, diagnostics: &mut Diagnostics) -> Option<Delay> {
        let most = number(
            self.max_waiting.as_ref(),
            "max_waiting",
            (1, MOST_MAX_WAITING, DEFAULT_MAX_WAITING),
            diagnostics,
        );
        let Some(longest) = &self.max_delay else {
            if let Some(max_waiting) = &self.max_waiting {
                let text = "nothing waits without max_delay";
                let error = Diagnostic::error(codes::OPTIONS, &max_waiting.place, text);
                diagnostics.push(error.with_help("write how long: max_delay = \"1s\""));
            }
            return None;
        };
        let ms = longest.value.as_ms();
        if !(1..=LONGEST_DELAY_MS).contains(&ms) {
            let text = "max_delay is from 1ms to 60s";
            diagnostics.error(codes::VALUE, &longest.place, text);
        }
        let mut make = || Arc::new(Waiting::default()) as Arc<_>;
        Some(Delay {
            longest: std::time::Duration::from_millis(ms),
            most,
            waiting: services.shared("waiting", &mut make).downcast().ok()?,
        })
    }
}

pub(super) fn metrics(services: &dyn Services) -> Metrics {
    Metrics {
        allowed: services.counter("allowed", "Requests that passed."),
        denied: services.counter("denied", "Requests that were refused."),
        denied_by: services.counter_by(
            "denied_by",
            "Refusals, also those of a dry run, by the limits that refused.",
            "limit",
            MOST_NAMES,
        ),
        dry_denied: services.counter("dry_denied", "What a dry run would have refused."),
        evicted: services.counter(
            "evicted",
            "Keys that still counted and were forgotten to make room for new ones.",
        ),
        exempt: services.counter("exempt", "Requests that no limit counts."),
        unknown_plan: services.counter(
            "unknown_plan",
            "Requests of consumers whose plan is not listed.",
        ),
        delayed: services.counter("delayed", "Requests that waited for room."),
        waiting_full: services.counter(
            "waiting_full",
            "Requests that could have waited and were refused, because max_waiting others did.",
        ),
        in_flight_full: services.counter(
            "in_flight_full",
            "Requests that were refused because max_keys other keys had requests in flight.",
        ),
    }
}

fn check_status(status: Option<&Located<Status>>, diagnostics: &mut Diagnostics) -> StatusCode {
    let Some(status) = status else {
        return StatusCode::TOO_MANY_REQUESTS;
    };
    if status.value.0.as_u16() < 400 {
        let text = "a refusal needs a status of 400 or more";
        diagnostics.error(codes::VALUE, &status.place, text);
    }
    status.value.0
}

/// A number within bounds: lowest, highest, and the one without words.
pub(super) fn number(
    written: Option<&Located<u32>>,
    name: &str,
    (least, most, default): (u32, u32, u32),
    diagnostics: &mut Diagnostics,
) -> usize {
    let value = match written {
        None => default,
        Some(written) => {
            if !(least..=most).contains(&written.value) {
                let text = format!("{name} is from {least} to {most}");
                diagnostics.error(codes::VALUE, &written.place, text);
            }
            written.value
        }
    };
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn check_exempt(config: &ExemptConfig, diagnostics: &mut Diagnostics) -> (Exempt, Vec<Credential>) {
    for (name, list, have, most) in [
        ("cidrs", &config.cidrs.place, config.cidrs.len(), MOST_CIDRS),
        (
            "consumers",
            &config.consumers.place,
            config.consumers.len(),
            MOST_CONSUMERS,
        ),
    ] {
        if have > most {
            let text = format!("{name} holds {have}; {most} are possible");
            diagnostics.error(codes::VALUE, list, text);
        }
    }
    let header = match (&config.header, &config.secret) {
        (None, None) => None,
        (Some(header), Some(secret)) => {
            if secret.reveal().len() < SHORTEST_SECRET {
                let text = format!("this secret is shorter than {SHORTEST_SECRET} bytes");
                let error = Diagnostic::error(codes::VALUE, &secret.place, text);
                diagnostics.push(error.with_help("make one with `openssl rand -hex 16`"));
            }
            Some((header.value.0.clone(), secret.value.clone()))
        }
        (Some(Located { place, .. }), None) | (None, Some(Located { place, .. })) => {
            let text = "header and secret go together";
            let error = Diagnostic::error(codes::OPTIONS, place, text);
            diagnostics.push(error.with_help("write both, or none"));
            None
        }
    };
    let credentials = header
        .iter()
        .map(|(name, _)| Credential::Header(name.clone()));
    let credentials = credentials.collect();
    let exempt = Exempt {
        cidrs: config.cidrs.value.clone().into(),
        consumers: config
            .consumers
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        header,
    };
    (exempt, credentials)
}
