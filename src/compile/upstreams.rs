//! Upstreams: endpoints, policy, times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::Diagnostics;
use http::{HeaderValue, Method};

use super::{World, codes, upstream_tls};
use crate::config::words::{
    self, BalanceConfig, Config, EndpointAddress as Written, HostHeader, RetryConfig, RetryMethod,
    TimeoutsConfig, UpstreamConfig,
};
use crate::snapshot::upstream::{Pool, UpstreamTimeouts};
use crate::snapshot::{HostMode, UpstreamPlan, UpstreamProtocol};
use crate::upstream::balance::consistent_hash::{HashOptions, HashTable};
use crate::upstream::hash::stable_hash;
use crate::upstream::retry::{RetryCondition, RetryPolicy};
use crate::upstream::{EndpointAddress, EndpointSpec, Policy, Upstream, UpstreamSpec};

/// All upstreams by name.
pub(super) type Upstreams = BTreeMap<Arc<str>, Arc<UpstreamPlan>>;

pub(super) fn compile(
    config: &Config,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Upstreams {
    config
        .upstreams
        .iter()
        .filter_map(|words| one(config, words, world, diagnostics))
        .map(|plan| (Arc::clone(plan.name()), Arc::new(plan)))
        .collect()
}

fn one(
    config: &Config,
    words: &UpstreamConfig,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Option<UpstreamPlan> {
    let name: Arc<str> = words.name.value.as_str().into();
    if words.endpoints.is_empty() {
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
    let spec = UpstreamSpec {
        name: Arc::clone(&name),
        endpoints,
        policy,
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
    let tls = match &words.tls {
        Some(tls) => Some(upstream_tls::compile(&name, tls, diagnostics)?),
        None => None,
    };
    Some(UpstreamPlan {
        upstream: Arc::new(upstream),
        hash_key,
        protocol,
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
        retry: Arc::new(retry.map_or_else(RetryPolicy::default, |r| retries(&r.value))),
        group_key: stable_hash(name.as_bytes()) ^ protocol as u64,
        metrics: world.metrics().upstream(&name),
        metrics_of: Arc::clone(world.metrics()),
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

pub(super) fn per_try(words: &RetryConfig) -> Option<Duration> {
    words.per_try.as_ref().map(|time| time.value.get())
}

pub(super) fn retries(words: &RetryConfig) -> RetryPolicy {
    let conditions = words.on.iter().map(|on| match on.value {
        words::RetryOn::Connect => RetryCondition::Connect,
        words::RetryOn::ResetBeforeResponse => RetryCondition::ResetBeforeResponse,
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
    RetryPolicy {
        attempts: words.attempts.value,
        on: conditions.collect(),
        methods: words
            .methods
            .as_ref()
            .map(|methods| methods.iter().map(|m| method(m.value)).collect()),
    }
}
