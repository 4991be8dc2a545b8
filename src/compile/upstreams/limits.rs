//! `[upstream.limits]`, `[upstream.breaker]` and the retry table.

use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostics, Located};
use farmgate_plugin_api::units;
use http::Method;

use crate::compile::codes;
use crate::config::words::{
    BreakerConfig, RetryConfig, RetryMethod, RetryOn, UpstreamLimitsConfig,
};
use crate::upstream::breaker::BreakerOptions;
use crate::upstream::limits::{AdaptiveOptions, GateOptions};
use crate::upstream::retry::{
    Backoff, BudgetOptions, RetryCondition, RetryPolicy, policy::REPLAY_BYTES,
};

fn time(word: &Option<Located<units::Duration>>, default: Duration) -> Duration {
    word.as_ref().map_or(default, |word| word.value.get())
}

fn share(word: &Option<Located<units::Ratio>>, default: f32) -> f32 {
    word.as_ref()
        .map_or(default, |word| word.value.share() as f32)
}

fn number(word: &Option<Located<u32>>, default: u32) -> u32 {
    word.as_ref().map_or(default, |word| word.value)
}

/// The limit of the upstream, and that of each endpoint.
pub(super) fn gate(words: &UpstreamLimitsConfig) -> GateOptions {
    let most = words.in_flight.as_ref().map(|most| most.value);
    GateOptions {
        in_flight: most,
        queue: number(&words.queue, 0),
        queue_timeout: time(&words.queue_timeout, Duration::from_secs(1)),
        adaptive: words.adaptive.as_ref().map(|adaptive| {
            let adaptive = &adaptive.value;
            let max = number(&adaptive.max, most.unwrap_or(1000));
            AdaptiveOptions {
                min: number(&adaptive.min, 8).min(max),
                max,
                tolerance: 1.0 + share(&adaptive.tolerance, 0.5),
            }
        }),
    }
}

pub(super) fn breaker(words: &BreakerConfig, diagnostics: &mut Diagnostics) -> BreakerOptions {
    let usual = BreakerOptions::default();
    let open_for = time(&words.open_for, usual.open_for);
    let max_open_for = time(&words.max_open_for, usual.max_open_for);
    if let Some(max) = words
        .max_open_for
        .as_ref()
        .filter(|_| max_open_for < open_for)
    {
        let message = "the longest time open is shorter than the first one";
        diagnostics.warning(codes::TIME_ORDER, &max.place, message);
    }
    if let Some(rate) = words
        .slow_rate
        .as_ref()
        .filter(|_| words.slow_call.is_none())
    {
        let message = "`slow_rate` does nothing without `slow_call`";
        diagnostics.warning(codes::UPSTREAM_BREAKER, &rate.place, message);
    }
    BreakerOptions {
        window: time(&words.window, usual.window),
        min_requests: number(&words.min_requests, usual.min_requests),
        error_rate: Some(share(&words.error_rate, 0.5)),
        slow_call: words.slow_call.as_ref().map(|slow| slow.value.get()),
        slow_rate: words
            .slow_call
            .as_ref()
            .map(|_| share(&words.slow_rate, 0.8)),
        open_for,
        max_open_for: max_open_for.max(open_for),
        probes: number(&words.probes, usual.probes).max(1),
    }
}

pub(in crate::compile) fn per_try(words: &RetryConfig) -> Option<Duration> {
    words.per_try.as_ref().map(|time| time.value.get())
}

pub(in crate::compile) fn retries(
    words: &RetryConfig,
    diagnostics: &mut Diagnostics,
) -> RetryPolicy {
    let conditions = words.on.iter().map(|on| match on.value {
        RetryOn::Connect => RetryCondition::Connect,
        RetryOn::ResetBeforeResponse => RetryCondition::ResetBeforeResponse,
        RetryOn::PerTry => RetryCondition::PerTry,
        RetryOn::Status5xx => RetryCondition::Status5xx,
        RetryOn::GatewayError => RetryCondition::GatewayError,
        RetryOn::Status429 => RetryCondition::Status429,
    });
    let method = |word: RetryMethod| match word {
        RetryMethod::Get => Method::GET,
        RetryMethod::Head => Method::HEAD,
        RetryMethod::Options => Method::OPTIONS,
        RetryMethod::Trace => Method::TRACE,
        RetryMethod::Put => Method::PUT,
        RetryMethod::Delete => Method::DELETE,
        RetryMethod::Post => Method::POST,
        RetryMethod::Patch => Method::PATCH,
    };
    let usual = RetryPolicy::default();
    if let Some(size) = words
        .replay_body
        .as_ref()
        .filter(|size| size.value.bytes() > REPLAY_BYTES)
    {
        let message = "more of a body than 64KiB is not kept for another attempt";
        diagnostics.error(codes::UPSTREAM_REPLAY, &size.place, message);
    }
    let budget = BudgetOptions::default();
    RetryPolicy {
        attempts: words.attempts.value,
        on: conditions.collect(),
        methods: words
            .methods
            .as_ref()
            .map(|methods| methods.iter().map(|m| method(m.value)).collect()),
        backoff: Backoff {
            base: time(&words.backoff.base, usual.backoff.base),
            max: time(&words.backoff.max, usual.backoff.max),
        },
        budget: Some(BudgetOptions {
            share: share(&words.budget.share, budget.share),
            min_per_second: number(&words.budget.min_per_second, budget.min_per_second),
        }),
        replay_bytes: words
            .replay_body
            .as_ref()
            .map_or(usual.replay_bytes, |size| size.value.bytes()),
    }
}
