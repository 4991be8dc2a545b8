//! Upstreams: endpoints, policy, times, and what protects them.

mod discovery;
mod fallback;
mod health;
mod limits;

pub(super) use limits::{per_try, retries};

use std::collections::BTreeMap;
use std::sync::Arc;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics};
use http::HeaderValue;

use super::{World, codes, upstream_tls};
use crate::config::words::{
    self, BalanceConfig, Config, EndpointAddress as Written, HostHeader, ProxyHeader,
    TimeoutsConfig, UpstreamConfig,
};
use crate::protocol::proxy_protocol::Version;
use crate::snapshot::upstream::{Pool, UpstreamTimeouts};
use crate::snapshot::{HostMode, UpstreamPlan, UpstreamProtocol};
use crate::upstream::balance::consistent_hash::{HashOptions, HashTable};
use crate::upstream::hash::stable_hash;
use crate::upstream::retry::RetryPolicy;
use crate::upstream::{EndpointAddress, EndpointSpec, Policy, SetOptions, Upstream, UpstreamSpec};

/// All upstreams by name.
pub(super) type Upstreams = BTreeMap<Arc<str>, Arc<UpstreamPlan>>;

pub(super) fn compile(
    config: &Config,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Upstreams {
    let plans = config
        .upstreams
        .iter()
        .filter_map(|words| one(config, words, world, diagnostics))
        .map(|plan| (Arc::clone(plan.name()), plan))
        .collect();
    fallback::join(config, plans, diagnostics)
}

fn one(
    config: &Config,
    words: &UpstreamConfig,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Option<UpstreamPlan> {
    let name: Arc<str> = words.name.value.as_str().into();
    let discovery = words
        .discovery
        .as_ref()
        .map(|words| discovery::compile(words, diagnostics));
    if let (Some(_), Some(endpoint)) = (&discovery, words.endpoints.first()) {
        let message =
            format!("upstream {name:?} has `endpoints` and `discovery`: only one of them");
        diagnostics.error(codes::UPSTREAM_DISCOVERY, &endpoint.place, message);
    } else if discovery.is_some() {
        // They come while the node runs.
    } else if words.endpoints.is_empty() {
        let message = format!("upstream {name:?} has no endpoint");
        diagnostics.error(codes::UPSTREAM_EMPTY, &words.name.place, message);
    } else if words.endpoints.iter().all(|e| e.value.weight.value == 0) {
        let message = format!("all endpoints of upstream {name:?} have weight 0");
        diagnostics.error(codes::UPSTREAM_WEIGHT, &words.name.place, message);
    }
    let endpoints = words
        .endpoints
        .iter()
        .map(|endpoint| EndpointSpec {
            address: address(&endpoint.value.address.value),
            weight: endpoint.value.weight.value,
            priority: endpoint.value.priority.value,
            zone: endpoint.value.zone.as_deref().map(Arc::from),
        })
        .collect();
    let (policy, hash_key) = balance(words, diagnostics);
    let gate = words.limits.as_ref().map(|words| &words.value);
    let spec = UpstreamSpec {
        name: Arc::clone(&name),
        endpoints,
        policy,
        options: SetOptions {
            zone: config.server.zone.as_deref().map(Arc::from),
            prefer_zone: words
                .prefer_zone
                .as_ref()
                .is_some_and(|prefer| prefer.value),
            panic_threshold: words
                .panic_threshold
                .as_ref()
                .map_or(0.5, |share| share.value.share() as f32),
            slow_start: words.slow_start.as_ref().map(|time| time.value.get()),
            per_endpoint: gate.and_then(|limits| {
                limits
                    .in_flight_per_endpoint
                    .as_ref()
                    .map(|most| most.value)
            }),
        },
    };
    let upstream = match Upstream::build(spec, world.store(), world.book()) {
        Ok(upstream) => upstream,
        Err(error) => {
            let message = format!("upstream {name:?}: {error}");
            diagnostics.error(codes::UPSTREAM_ENDPOINT, &words.name.place, message);
            return None;
        }
    };
    let written = words
        .timeouts
        .as_ref()
        .or(config.defaults.timeouts.as_ref());
    let mut timeouts = match written {
        Some(written) => times(&written.value),
        None => times(&TimeoutsConfig::default()),
    };
    let retry = words.retry.as_ref().or(config.defaults.retry.as_ref());
    timeouts.per_try = retry.and_then(|retry| per_try(&retry.value));
    let protocol = match words.protocol.value {
        words::UpstreamProtocol::Http1 => UpstreamProtocol::Http1,
        words::UpstreamProtocol::H2 => UpstreamProtocol::H2,
        words::UpstreamProtocol::Auto => UpstreamProtocol::Auto,
    };
    let proxy_protocol = proxy_header(&name, words, diagnostics);
    let tls = match &words.tls {
        Some(tls) => Some(upstream_tls::compile(&name, tls, diagnostics)?),
        None => None,
    };
    let discovery = discovery.flatten().map(Arc::new);
    let discovery_metrics = discovery
        .as_ref()
        .map(|options| world.metrics().discovery(&name, options.source.kind()));
    Some(UpstreamPlan {
        upstream: Arc::new(upstream),
        hash_key,
        protocol,
        proxy_protocol,
        tls,
        host: match &words.host.value {
            HostHeader::Keep => HostMode::Keep,
            HostHeader::Endpoint => HostMode::Endpoint,
            // The word was checked to be a host name.
            HostHeader::Name(name) => {
                HeaderValue::from_str(name).map_or(HostMode::Keep, HostMode::Name)
            }
        },
        timeouts,
        pool: pool(words),
        retry: Arc::new(match retry {
            Some(words) => retries(&words.value, diagnostics),
            None => RetryPolicy::default(),
        }),
        breaker: words
            .breaker
            .as_ref()
            .map(|words| limits::breaker(&words.value, diagnostics)),
        gate: gate.map(|words| Arc::new(limits::gate(words))),
        health: words
            .health
            .as_ref()
            .and_then(|checks| health::checks(checks, words.protocol.value, diagnostics))
            .map(Arc::new),
        outlier: words
            .outlier
            .as_ref()
            .map(|words| health::outliers(words, diagnostics)),
        discovery,
        discovery_metrics,
        fallbacks: Arc::default(),
        group_key: stable_hash(name.as_bytes()) ^ protocol as u64,
        metrics: world.metrics().upstream(&name),
        metrics_of: Arc::clone(world.metrics()),
    })
}

/// The PROXY header of connections. It names one client, so no connection may carry requests of several.
fn proxy_header(
    name: &str,
    words: &UpstreamConfig,
    diagnostics: &mut Diagnostics,
) -> Option<Version> {
    let written = words.proxy_protocol.as_ref()?;
    if words.protocol.value != words::UpstreamProtocol::Http1 {
        let message = format!(
            "upstream {name:?}: proxy_protocol needs protocol = \"http1\": HTTP/2 carries requests of many clients on one connection"
        );
        diagnostics.push(
            Diagnostic::error(codes::UPSTREAM_PROXY, &written.place, message).with_help(
                "leave `protocol` out, or `proxy_protocol`: X-Forwarded-For and Forwarded name the client on any connection",
            ),
        );
    }
    Some(match written.value {
        ProxyHeader::V1 => Version::V1,
        ProxyHeader::V2 => Version::V2,
    })
}

fn address(written: &Written) -> EndpointAddress {
    match written {
        Written::Ip(address) => EndpointAddress::Socket(*address),
        Written::Name { host, port } => EndpointAddress::Name {
            host: host.as_str().into(),
            port: *port,
        },
        Written::Unix(path) => EndpointAddress::Unix(path.path().to_owned()),
    }
}

fn balance(words: &UpstreamConfig, diagnostics: &mut Diagnostics) -> (Policy, Option<Source>) {
    match &words.balance.value {
        BalanceConfig::RoundRobin => (Policy::RoundRobin, None),
        BalanceConfig::LeastRequest => (Policy::LeastRequest, None),
        BalanceConfig::PeakEwma => (Policy::PeakEwma, None),
        BalanceConfig::ConsistentHash {
            key,
            algorithm,
            bounded_load,
        } => {
            let source = match Source::parse(&key.value) {
                Ok(source) => Some(source),
                Err(error) => {
                    diagnostics.error(codes::UPSTREAM_KEY, &key.place, error.to_string());
                    None
                }
            };
            let options = HashOptions {
                table: match algorithm {
                    words::HashAlgorithm::Ring => HashTable::Ring,
                    words::HashAlgorithm::Maglev => HashTable::Maglev,
                },
                // "25%" is a quarter over the fair share.
                load_bound: bounded_load
                    .as_ref()
                    .map(|over| 1.0 + over.value.share() as f32),
                ..HashOptions::default()
            };
            (Policy::ConsistentHash(options), source)
        }
    }
}

pub(super) fn times(words: &TimeoutsConfig) -> UpstreamTimeouts {
    UpstreamTimeouts {
        connect: words.connect.value.get(),
        first_byte: words.first_byte.value.get(),
        idle: words.idle.value.get(),
        tunnel_idle: words.idle.is_written().then(|| words.idle.value.get()),
        write: words.write.value.get(),
        per_try: None,
    }
}

fn pool(words: &UpstreamConfig) -> Pool {
    Pool {
        idle: words.pool.idle.value,
        idle_timeout: words.pool.idle_timeout.value.get(),
        max_age: words.pool.max_age.as_ref().map(|age| age.value.get()),
        max_requests: words.pool.max_requests.as_ref().map(|n| u64::from(n.value)),
    }
}
