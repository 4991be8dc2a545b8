//! Bounds of single values. What several words say together is looked at in `compile`.

mod cache;

use std::fmt::Display;
use std::ops::RangeInclusive;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located};
use farmgate_plugin_api::units::{Duration, Rate, Size};

use crate::config::codes::OUT_OF_BOUNDS;
use crate::config::words::{
    BalanceConfig, Config, H2Config, ListenerConfig, RetryConfig, RouteConfig, TimeoutsConfig,
    TlsConfig, UpstreamConfig,
};

/// Shortest and longest time that counts as a timeout.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;
/// Of idle and age: up to thirty days.
const AGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(30 * 86_400);
/// Of bodies: up to a tebibyte.
const BODY: RangeInclusive<Size> = Size::from_bytes(0)..=Size::from_bytes(1 << 40);
const DAY: Duration = Duration::from_secs(86_400);

/// Reports every value beyond its bounds.
pub(super) fn check(config: &Config, diagnostics: &mut Diagnostics) {
    let mut check = Check(diagnostics);
    let server = &config.server;
    check.value("threads", &server.threads, 0..=1024);
    check.value("idle_grace", &server.drain.idle_grace, Duration::ZERO..=DAY);
    check.value("deadline", &server.drain.deadline, TIMEOUT);
    check.value("lb_grace", &server.drain.lb_grace, Duration::ZERO..=DAY);
    let debounce = Duration::from_millis(10)..=Duration::from_secs(3600);
    check.value("debounce", &server.watch.debounce, debounce);
    let telemetry = &config.telemetry;
    let series = &telemetry.metrics.max_series;
    check.value("max_series", series, 100..=10_000_000);
    check.value("keep", &telemetry.explain.keep, 0..=10_000_000);
    if let Some(log) = &telemetry.access_log {
        check.count("request_headers", &log.request_headers, 32);
    }
    check.shared(&config.defaults.retry, &config.defaults.timeouts);
    config.listeners.iter().for_each(|l| check.listener(l));
    config.tls.iter().for_each(|t| check.tls(t));
    config.upstreams.iter().for_each(|u| check.upstream(u));
    config.routes.iter().for_each(|r| check.route(r));
    config.cache.iter().for_each(|c| check.cache(c));
    let policies = &config.cache_policies;
    policies.iter().for_each(|p| check.cache_policy(p));
}

struct Check<'d>(&'d mut Diagnostics);

impl Check<'_> {
    fn value<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &Located<T>,
        bounds: RangeInclusive<T>,
    ) {
        if !bounds.contains(&value.value) {
            let (least, most) = (bounds.start(), bounds.end());
            self.0.push(
                Diagnostic::error(
                    OUT_OF_BOUNDS,
                    &value.place,
                    format!("`{key}` is out of bounds: {value}"),
                )
                .with_help(format!("write {least} to {most}")),
            );
        }
    }

    fn optional<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &Option<Located<T>>,
        bounds: RangeInclusive<T>,
    ) {
        if let Some(value) = value {
            self.value(key, value, bounds);
        }
    }

    fn count<T>(&mut self, key: &str, list: &[Located<T>], most: usize) {
        if let Some(over) = list.get(most) {
            let message = format!("`{key}` lists more than {most}");
            self.0.error(OUT_OF_BOUNDS, &over.place, message);
        }
    }

    fn shared(
        &mut self,
        retry: &Option<Located<RetryConfig>>,
        timeouts: &Option<Located<TimeoutsConfig>>,
    ) {
        if let Some(retry) = retry {
            self.value("attempts", &retry.attempts, 1..=16);
            self.optional("per_try", &retry.per_try, TIMEOUT);
        }
        if let Some(timeouts) = timeouts {
            self.value("connect", &timeouts.connect, TIMEOUT);
            self.value("first_byte", &timeouts.first_byte, TIMEOUT);
            self.value("idle", &timeouts.idle, TIMEOUT);
            self.value("write", &timeouts.write, TIMEOUT);
        }
    }

    fn listener(&mut self, listener: &ListenerConfig) {
        let limits = &listener.limits;
        let least = Size::from_bytes(64);
        self.value("connections", &limits.connections, 1..=10_000_000);
        let per_ip = &limits.connections_per_ip;
        self.optional("connections_per_ip", per_ip, 1..=10_000_000);
        // Pingora reads no more than 256 lines, and 64 KiB of target, from any peer.
        self.value("headers", &limits.headers, 1..=250);
        self.value("header_bytes", &limits.header_bytes, least..=Size::mib(1));
        self.value("uri_bytes", &limits.uri_bytes, least..=Size::kib(60));
        self.value("body_bytes", &limits.body_bytes, BODY);
        self.value("streams", &limits.streams, 1..=100_000);
        self.h2(&listener.h2);
        let timeouts = &listener.timeouts;
        self.value("header", &timeouts.header, TIMEOUT);
        self.value("body_idle", &timeouts.body_idle, TIMEOUT);
        self.value("keepalive", &timeouts.keepalive, Duration::ZERO..=DAY);
        self.optional("max_age", &timeouts.max_age, AGE);
        self.value("request", &timeouts.request, TIMEOUT);
        self.value("upgrade_idle", &timeouts.upgrade_idle, AGE);
        self.optional("upgrade_max_age", &timeouts.upgrade_max_age, AGE);
    }

    fn h2(&mut self, h2: &H2Config) {
        // Less than a client may send before it has read our settings would break its first requests.
        let least = Size::kib(64);
        self.value("window", &h2.window, least..=Size::mib(16));
        let window = &h2.connection_window;
        self.value("connection_window", window, least..=Size::mib(64));
        if h2.window.value > window.value {
            let place = if window.is_written() {
                window
            } else {
                &h2.window
            };
            let message = format!(
                "`window` ({}) is larger than `connection_window` ({window})",
                h2.window
            );
            self.0.error(OUT_OF_BOUNDS, &place.place, message);
        }
        for (key, rate) in [
            ("resets", &h2.resets),
            ("control_frames", &h2.control_frames),
        ] {
            let Rate { rate: count, per } = rate.value;
            if count.get() > 10_000_000 || per > Duration::from_secs(3600) {
                let message = format!("`{key}` is out of bounds");
                self.0.push(
                    Diagnostic::error(OUT_OF_BOUNDS, &rate.place, message)
                        .with_help("write a rate of 1 to 10000000, in 1ms to 1h"),
                );
            }
        }
    }

    fn tls(&mut self, tls: &TlsConfig) {
        self.count("certificates", &tls.certificates, 100_000);
        if let Some(tickets) = &tls.session_tickets {
            let rotate = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);
            self.value("rotate", &tickets.rotate, rotate);
        }
        let timeout = Duration::from_millis(100)..=Duration::from_secs(300);
        self.value("timeout", &tls.handshake.timeout, timeout);
        if let Some(client_auth) = &tls.client_auth {
            self.count("san", &client_auth.san, 1000);
        }
    }

    fn upstream(&mut self, upstream: &UpstreamConfig) {
        self.count("endpoints", &upstream.endpoints, 10_000);
        for endpoint in &upstream.endpoints {
            self.value("weight", &endpoint.weight, 0..=65_535);
        }
        if let BalanceConfig::ConsistentHash {
            bounded_load: Some(over),
            ..
        } = &upstream.balance.value
            && over.millionths() == 0
        {
            let message = "`bounded_load` is out of bounds: 0%";
            self.0.push(
                Diagnostic::error(OUT_OF_BOUNDS, &over.place, message)
                    .with_help("leave it out for no bound, or write a share such as \"25%\""),
            );
        }
        self.shared(&upstream.retry, &upstream.timeouts);
        let pool = &upstream.pool;
        self.value("idle", &pool.idle, 0..=1_000_000);
        self.value("idle_timeout", &pool.idle_timeout, TIMEOUT);
        self.optional("max_age", &pool.max_age, AGE);
        self.optional("max_requests", &pool.max_requests, 1..=u32::MAX);
        self.value("min_ttl", &upstream.dns.min_ttl, TIMEOUT);
        self.value("max_ttl", &upstream.dns.max_ttl, TIMEOUT);
        let (least, most) = (&upstream.dns.min_ttl, &upstream.dns.max_ttl);
        if least.value > most.value {
            let place = if least.is_written() { least } else { most };
            let message = format!("`min_ttl` ({least}) is longer than `max_ttl` ({most})");
            self.0.error(OUT_OF_BOUNDS, &place.place, message);
        }
    }

    fn route(&mut self, route: &RouteConfig) {
        route.purge.iter().for_each(|p| self.purge(p));
        self.shared(&route.retry, &None);
        self.optional("body_bytes", &route.limits.body_bytes, BODY);
        if let Some(timeouts) = &route.timeouts {
            for (key, value) in [
                ("connect", &timeouts.connect),
                ("first_byte", &timeouts.first_byte),
                ("idle", &timeouts.idle),
                ("write", &timeouts.write),
                ("request", &timeouts.request),
                ("body_idle", &timeouts.body_idle),
            ] {
                self.optional(key, value, TIMEOUT);
            }
            self.optional("upgrade_idle", &timeouts.upgrade_idle, AGE);
            self.optional("upgrade_max_age", &timeouts.upgrade_max_age, AGE);
        }
        if let Some(upstream) = &route.upstream {
            for side in &upstream.0 {
                self.value("weight", &side.weight, 0..=1_000_000);
            }
            if let Some(first) = upstream.0.first()
                && upstream.0.iter().all(|side| *side.weight == 0)
            {
                let message = "all weights are 0: the route leads nowhere";
                self.0.error(OUT_OF_BOUNDS, &first.weight.place, message);
            }
        }
    }
}
