//! Lints: what loads, but probably does not do what was meant.

use std::collections::BTreeSet;
use std::time::Duration;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::units::Duration as Time;
use http::HeaderName;

use super::plugins::Plugins;
use super::{Settings, codes};
use crate::config::load::platform::{Preset, preset};
use crate::config::words::{AccessLogConfig, Config, ListenerConfig, ServerConfig};
use crate::telemetry::credentials::Credentials;
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
    unused_upstreams(config, plugins, diagnostics);
    unused_tls(config, diagnostics);
    super::cache::check(config, diagnostics);
    open_files(config, diagnostics);
    let preset = preset(config.server.platform.value);
    for listener in &config.listeners {
        listener_times(listener, settings, diagnostics);
        if let Some(preset) = preset {
            balancer_times(listener, preset, diagnostics);
        }
    }
    drain_times(config, preset, diagnostics);
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

fn unused_upstreams(config: &Config, plugins: &Plugins<'_>, diagnostics: &mut Diagnostics) {
    let used = config
        .routes
        .iter()
        .filter_map(|route| route.upstream.as_ref())
        .flat_map(|upstreams| &upstreams.value.0)
        .map(|side| side.name.value.as_str());
    let fallbacks = config
        .upstreams
        .iter()
        .flat_map(|upstream| &upstream.fallback);
    let fallbacks = fallbacks.filter_map(|fallback| fallback.value.upstream.as_ref());
    let used: BTreeSet<&str> = used.chain(fallbacks.map(|to| to.value.as_str())).collect();
    for upstream in &config.upstreams {
        let name = upstream.name.value.as_str();
        if !used.contains(name) && !plugins.asks(name) {
            let message = format!("no route uses upstream {name:?}");
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
        let at = place(&times.keepalive, listener);
        let help = format!(
            "write `drain = {{ idle_grace = \"{}\" }}` in [server], or a shorter keepalive",
            Time::from_secs(keepalive.as_secs() + 5)
        );
        diagnostics.push(Diagnostic::warning(codes::TIME_ORDER, at, message).with_help(help));
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

/// The balancer must be the first to give an idle connection up: else it sends a request on one that is just being
/// closed here, and its client gets 502.
fn balancer_times(listener: &ListenerConfig, preset: &Preset, diagnostics: &mut Diagnostics) {
    let keepalive = &listener.timeouts.keepalive;
    if keepalive.value > preset.balancer_idle {
        return;
    }
    let message = format!(
        "listener {:?} closes idle connections after {}, the {} ({}) after {}: it would send requests on connections that close",
        listener.name.value, keepalive.value, preset.what, preset.platform, preset.balancer_idle
    );
    let help = format!(
        "write `keepalive = \"{}\"`, or leave it out: platform {:?} sets it",
        preset.keepalive,
        preset.platform.to_string()
    );
    let at = place(keepalive, listener);
    diagnostics.push(Diagnostic::warning(codes::TIME_ORDER, at, message).with_help(help));
}

/// The times of a drain, against each other.
fn drain_times(config: &Config, preset: Option<&Preset>, diagnostics: &mut Diagnostics) {
    let server = &config.server;
    let drain = &server.drain.value;
    let (deadline, lb_grace) = (drain.deadline.value, drain.lb_grace.value);
    let (deadline_at, lb_grace_at) = (&drain.deadline, &drain.lb_grace);
    let needed = lb_grace.get() + drain.idle_grace.value.get();
    let longer = |than: Duration| {
        let than = Time::from_millis(u64::try_from(than.as_millis()).unwrap_or(u64::MAX));
        format!("write `deadline = \"{than}\"` or more")
    };
    let mut warn = |words: &[&Located<Time>], message: String, help: String| {
        let written = words.iter().find(|word| word.is_written());
        let place = match written {
            Some(word) => &word.place,
            None if server.drain.is_written() => &server.drain.place,
            None => &server.platform.place,
        };
        if place.is_known() {
            diagnostics
                .push(Diagnostic::warning(codes::TIME_ORDER, place, message).with_help(help));
        }
    };
    if lb_grace >= deadline {
        let message = format!(
            "drain.deadline ({deadline}) is not longer than drain.lb_grace ({lb_grace}): all that is under way when the listeners close would be cut at once"
        );
        warn(&[deadline_at, lb_grace_at], message, longer(needed));
    } else if needed > deadline.get() {
        let message = format!(
            "drain.deadline ({deadline}) is shorter than drain.lb_grace and drain.idle_grace together ({lb_grace} and {}): it would close connections that still wait for their next request",
            drain.idle_grace.value
        );
        warn(
            &[deadline_at, &drain.idle_grace, lb_grace_at],
            message,
            longer(needed),
        );
    }
    if let Some(preset) = preset
        && lb_grace.is_zero()
    {
        let message = format!(
            "drain.lb_grace is 0: the {} ({}) would send new connections to closed listeners until it notices",
            preset.what, preset.platform
        );
        let help = format!(
            "write `lb_grace = \"{}\"`, or leave it out: {}",
            preset.lb_grace, preset.noticed
        );
        warn(&[lb_grace_at], message, help);
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

/// Fields of the access log that a plugin reads credentials from.
pub(super) fn logged_credentials(
    config: &Config,
    credentials: &Credentials,
    diagnostics: &mut Diagnostics,
) {
    let log = config.telemetry.access_log.iter();
    for word in log.flat_map(|log| &log.value.request_headers) {
        if credentials.is_header(&word.value) {
            let name = word.value.to_ascii_lowercase();
            let message = format!("{name} carries credentials of a plugin and is never logged");
            diagnostics.error(codes::LOG_HEADER, &word.place, message);
        }
    }
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

/// Less would refuse bodies that nobody calls large.
const LEAST_BODY_MEMORY: u64 = 1 << 20;
const BODY_MEMORY: u64 = 1 << 30;

/// Most bytes of bodies that are held back, all together.
pub(super) fn body_memory(server: &ServerConfig, diagnostics: &mut Diagnostics) -> u64 {
    let Some(most) = &server.body_memory else {
        return BODY_MEMORY;
    };
    if most.value.bytes() < LEAST_BODY_MEMORY {
        diagnostics.error(
            codes::BODY_MEMORY,
            &most.place,
            "body_memory is at least 1MiB",
        );
    }
    most.value.bytes()
}
