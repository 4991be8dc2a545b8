//! `[upstream.health]` and `[upstream.outlier]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::compile::codes;
use crate::config::words::{HealthConfig, HealthKind, OutlierConfig, UpstreamProtocol};
use crate::upstream::health::{HealthOptions, Probe};
use crate::upstream::outlier::{OutlierOptions, SlowEndpoint, SuccessRate};
use farmgate_plugin_api::decode::{Diagnostics, Located};

pub(super) fn checks(
    words: &Located<HealthConfig>,
    protocol: UpstreamProtocol,
    diagnostics: &mut Diagnostics,
) -> Option<HealthOptions> {
    let HealthConfig {
        kind,
        path,
        method,
        host,
        headers,
        expect,
        service,
        port,
        interval,
        timeout,
        rise,
        fall,
    } = &words.value;
    let mut sound = true;
    let mut wrong = |place, message: String| {
        diagnostics.error(codes::UPSTREAM_HEALTH, place, message);
        sound = false;
    };
    let http = *kind == HealthKind::Http;
    let only = |word: &str, kinds: &str| format!("`{word}` is for kind = {kinds} only");
    for (word, written) in [("path", path), ("method", method), ("host", host)] {
        if let Some(written) = written.as_ref().filter(|_| !http) {
            wrong(&written.place, only(word, "\"http\""));
        }
    }
    if let Some(first) = headers
        .values()
        .chain(&expect.status)
        .chain(&expect.body)
        .next()
        && !http
    {
        wrong(&first.place, only("headers` and `expect", "\"http\""));
    }
    if let Some(service) = service.as_ref().filter(|_| *kind != HealthKind::Grpc) {
        wrong(&service.place, only("service", "\"grpc\""));
    }
    let mut status = Vec::new();
    for written in &expect.status {
        match statuses(&written.value) {
            Some(range) => status.push(range),
            None => wrong(
                &written.place,
                format!(
                    "{:?} is no status; expected \"200\" or \"200-299\"",
                    written.value
                ),
            ),
        }
    }
    if status.is_empty() {
        status.push(200..=299);
    }
    let time = |word: &Option<Located<farmgate_plugin_api::units::Duration>>, default| {
        word.as_ref().map_or(default, |word| word.value.get())
    };
    let text = |word: &Option<Located<String>>| word.as_ref().map(|word| word.value.clone());
    let probe = match kind {
        HealthKind::Tcp => Probe::Tcp,
        HealthKind::Grpc => Probe::Grpc {
            service: text(service).unwrap_or_default(),
        },
        HealthKind::Http => Probe::Http {
            method: text(method).unwrap_or_else(|| "GET".into()),
            path: text(path).unwrap_or_else(|| "/".into()),
            host: text(host),
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), value.value.clone()))
                .collect(),
            status,
            body: expect
                .body
                .as_ref()
                .map(|body| body.value.as_bytes().into()),
            http2: protocol == UpstreamProtocol::H2,
        },
    };
    let number = |word: &Option<Located<u32>>, default| word.as_ref().map_or(default, |w| w.value);
    let every = time(interval, Duration::from_secs(5));
    let options = HealthOptions {
        probe,
        interval: every,
        timeout: time(timeout, Duration::from_secs(2).min(every)),
        rise: number(rise, 2),
        fall: number(fall, 3),
        jitter: 0.1,
        port: port.as_ref().map(|port| port.value),
    };
    for mistake in options.check().err().into_iter().flatten() {
        wrong(&words.place, mistake.to_string());
    }
    sound.then_some(options)
}

/// `200`, or `200-299`.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse().ok().filter(|s| (200..=599).contains(s));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

pub(super) fn outliers(
    words: &Located<OutlierConfig>,
    diagnostics: &mut Diagnostics,
) -> OutlierOptions {
    let words = &words.value;
    let count = |word: &Option<Located<u32>>, default| {
        Some(word.as_ref().map_or(default, |word| word.value)).filter(|count| *count > 0)
    };
    let time = |word: &Option<Located<farmgate_plugin_api::units::Duration>>, default| {
        word.as_ref()
            .map_or(Duration::from_secs(default), |word| word.value.get())
    };
    let number = |word: &Option<Located<u32>>, default| word.as_ref().map_or(default, |w| w.value);
    let base_ejection = time(&words.base_ejection, 30);
    let max_ejection = time(&words.max_ejection, 300);
    if let Some(max) = words
        .max_ejection
        .as_ref()
        .filter(|_| max_ejection < base_ejection)
    {
        let message = "the longest ejection is shorter than the first one";
        diagnostics.warning(codes::TIME_ORDER, &max.place, message);
    }
    OutlierOptions {
        consecutive_5xx: count(&words.consecutive_5xx, 5),
        consecutive_connect_failures: count(&words.consecutive_connect_failures, 2),
        success_rate: words.success_rate.as_ref().map(|rate| SuccessRate {
            min_endpoints: number(&rate.value.min_endpoints, 5),
            min_requests: number(&rate.value.min_requests, 100),
            deviations: number(&rate.value.deviation_tenths, 19) as f32 / 10.0,
        }),
        latency: words.latency.as_ref().map(|slow| SlowEndpoint {
            factor: number(&slow.value.factor, 3) as f32,
            min_requests: number(&slow.value.min_requests, 50),
            at_least: slow
                .value
                .at_least
                .as_ref()
                .map_or(Duration::from_millis(50), |word| word.value.get()),
        }),
        interval: time(&words.interval, 10),
        base_ejection,
        max_ejection: max_ejection.max(base_ejection),
        max_ejected: words
            .max_ejected
            .as_ref()
            .map_or(0.5, |share| share.value.share() as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[test]
    fn a_status_or_a_range_of_them() {
        for (text, range) in [
            ("200", Some(200..=200)),
            ("200-299", Some(200..=299)),
            ("299-200", None),
            ("100", None),
            ("200-600", None),
            ("2xx", None),
            ("", None),
        ] {
            assert_eq!(statuses(text), range, "{text}");
        }
    }
}
