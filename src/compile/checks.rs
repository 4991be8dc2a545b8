//! Lints: what loads, but probably does not do what was meant.

use std::collections::BTreeSet;
use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostics, Located, Place};
use http::HeaderName;

use super::plugins::Plugins;
use super::{Settings, codes};
use crate::config::words::{AccessLogConfig, Config, ListenerConfig};
use crate::telemetry::redact::is_credential_header;

pub(super) fn run(
    config: &Config,
    settings: &Settings,
    plugins: &Plugins<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (name, place) in plugins.unused(config) {
        let message = format!("plugin {name:?} is used nowhere");
        diagnostics.warning(codes::PLUGIN_UNUSED, place, message);
    }
    unused_upstreams(config, diagnostics);
    unused_tls(config, diagnostics);
    open_files(config, diagnostics);
    for listener in &config.listeners {
        listener_times(listener, settings, diagnostics);
    }
    let drain = &config.server.drain;
    if settings.drain.lb_grace >= settings.drain.deadline
        || settings.drain.idle_grace > settings.drain.deadline
    {
        let message = "drain.deadline is not longer than idle_grace and lb_grace: it would cut what they wait for";
        if drain.is_written() {
            diagnostics.warning(codes::TIME_ORDER, &drain.place, message);
        }
    }
    for upstream in &config.upstreams {
        if let Some(times) = &upstream.timeouts {
            let times = &times.value;
            for (word, time) in [
                ("connect", &times.connect),
                ("first_byte", &times.first_byte),
                ("idle", &times.idle),
                ("write", &times.write),
            ] {
                not_zero(word, time, diagnostics);
            }
        }
    }
}

fn unused_tls(config: &Config, diagnostics: &mut Diagnostics) {
    for tls in &config.tls {
        let name = &tls.name.value;
        let uses = |listener: &ListenerConfig| {
            listener
                .tls
                .as_ref()
                .is_some_and(|used| used.value == *name)
        };
        if !config.listeners.iter().any(uses) {
            let message = format!("no listener uses tls {name:?}");
            diagnostics.warning(codes::TLS_UNUSED, &tls.name.place, message);
        }
    }
}

fn unused_upstreams(config: &Config, diagnostics: &mut Diagnostics) {
    let used: BTreeSet<&str> = config
        .routes
        .iter()
        .filter_map(|route| route.upstream.as_ref())
        .flat_map(|upstreams| &upstreams.value.0)
        .map(|side| side.name.value.as_str())
        .collect();
    for upstream in &config.upstreams {
        if !used.contains(upstream.name.value.as_str()) {
            let message = format!("no route uses upstream {:?}", upstream.name.value);
            diagnostics.warning(codes::UPSTREAM_UNUSED, &upstream.name.place, message);
        }
    }
}

/// Every client connection may need one more towards an endpoint.
fn open_files(config: &Config, diagnostics: &mut Diagnostics) {
    let Some(limit) = open_files_limit() else {
        return;
    };
    let wanted: u64 = config
        .listeners
        .iter()
        .map(|listener| u64::from(listener.limits.connections.value) * 2)
        .sum();
    if wanted > limit
        && let Some(listener) = config.listeners.first()
    {
        let place = if listener.limits.connections.is_written() {
            &listener.limits.connections.place
        } else {
            &listener.name.place
        };
        let message = format!(
            "the listeners may need {wanted} open files (two per connection), the limit is {limit}"
        );
        diagnostics.warning(codes::LIMIT_FILES, place, message);
    }
}

/// The limit of open files that the process can raise itself to.
fn open_files_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(4)?.parse().ok()
}

fn listener_times(listener: &ListenerConfig, settings: &Settings, diagnostics: &mut Diagnostics) {
    let times = &listener.timeouts;
    for (word, time) in [
        ("header", &times.header),
        ("body_idle", &times.body_idle),
        ("keepalive", &times.keepalive),
        ("request", &times.request),
        ("upgrade_idle", &times.upgrade_idle),
    ] {
        not_zero(word, time, diagnostics);
    }
    let keepalive = times.keepalive.value.get();
    if settings.drain.idle_grace <= keepalive {
        let message = format!(
            "listener {:?} keeps idle connections for {}, longer than drain.idle_grace ({}): a drain would cut them",
            listener.name.value,
            seconds(keepalive),
            seconds(settings.drain.idle_grace)
        );
        diagnostics.warning(
            codes::TIME_ORDER,
            place(&times.keepalive, listener),
            message,
        );
    }
    if listener.limits.header_bytes.value.bytes() < listener.limits.uri_bytes.value.bytes() {
        let message =
            "limits.uri_bytes is larger than limits.header_bytes, which holds the target too";
        let at = place(&listener.limits.uri_bytes, listener);
        diagnostics.warning(codes::TIME_ORDER, at, message);
    }
    if times.request.value.get() < times.header.value.get() {
        let message = "timeouts.request is shorter than timeouts.header";
        diagnostics.warning(codes::TIME_ORDER, place(&times.request, listener), message);
    }
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

fn place<'a, T>(word: &'a Located<T>, listener: &'a ListenerConfig) -> &'a Place {
    if word.is_written() {
        &word.place
    } else {
        &listener.name.place
    }
}

fn not_zero(
    word: &str,
    time: &Located<farmgate_plugin_api::units::Duration>,
    diagnostics: &mut Diagnostics,
) {
    if time.value.is_zero() {
        let message = format!("timeouts.{word} cannot be 0");
        diagnostics.error(codes::TIME_ZERO, &time.place, message);
    }
}

/// The fields an access log carries besides its own.
pub(super) fn log_headers(
    words: &AccessLogConfig,
    diagnostics: &mut Diagnostics,
) -> Vec<HeaderName> {
    let mut out = Vec::new();
    for word in &words.request_headers {
        match HeaderName::from_bytes(word.value.as_bytes()) {
            Ok(name) if is_credential_header(name.as_str()) => {
                let message = format!("{name} carries credentials and is never logged");
                diagnostics.error(codes::LOG_HEADER, &word.place, message);
            }
            Ok(name) => out.push(name),
            Err(_) => {
                let message = format!("{:?} is no field name", word.value);
                diagnostics.error(codes::LOG_HEADER, &word.place, message);
            }
        }
    }
    out
}

/// One resolver serves all upstreams: the tightest of their bounds hold.
pub(super) fn dns_ttl(config: &Config) -> (Duration, Duration) {
    let min = config
        .upstreams
        .iter()
        .map(|u| u.dns.min_ttl.value.get())
        .max();
    let max = config
        .upstreams
        .iter()
        .map(|u| u.dns.max_ttl.value.get())
        .min();
    let min = min.unwrap_or(Duration::from_secs(1));
    (min, max.unwrap_or(Duration::from_secs(300)).max(min))
}
