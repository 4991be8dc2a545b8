//! The cache: its bounds, its policies by name, and what a route has of it.

use std::collections::BTreeMap;
use std::num::TryFromIntError;
use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located};
use farmgate_plugin_api::units::Duration;

use crate::cache::key::{KeyRules, QueryRules};
use crate::cache::policy::{Policy, SetCookie, Ttl};
use crate::cache::shared::{CacheSettings, DiskSettings, Durability};
use crate::cache::vary::VaryRules;
use crate::config::words::cache::{
    self as words, AcceptEncodingWord, CachePolicyConfig, PurgeScopeWord, SetCookieWord,
    VaryCookieWord,
};
use crate::config::words::{CacheConfig, Config, RouteConfig};
use crate::snapshot::{CachePlan, Chain, PurgeRights, RouteCache};

use super::{World, codes, unknown};

mod compress;
pub(super) mod disks;

/// Longest lifetime without a word, seconds: 30 days.
const MOST_S: u32 = 30 * 86_400;

/// Policies by name.
pub(super) type Plans = BTreeMap<Arc<str>, Arc<CachePlan>>;

/// Compiles every policy.
pub(super) fn plans(config: &Config) -> Plans {
    let plan = |words: &CachePolicyConfig| {
        let name: Arc<str> = words.name.value.as_str().into();
        (Arc::clone(&name), Arc::new(plan(name, words)))
    };
    config.cache_policies.iter().map(plan).collect()
}

fn plan(name: Arc<str>, words: &CachePolicyConfig) -> CachePlan {
    CachePlan {
        name,
        policy: policy(words),
        wait: words.lock.wait.value.get(),
        min_uses_disk: words.min_uses.disk.value,
        status_header: words.status_header,
        compress: compress::rules(&words.compress),
    }
}

/// The bounds of the cache and its folders.
pub(super) fn settings(words: &CacheConfig) -> CacheSettings {
    let folder = |disk: &Located<words::CacheDiskConfig>| DiskSettings {
        path: disk.value.path.value.path().to_owned(),
        size_bytes: disk.value.size.value.bytes(),
    };
    CacheSettings {
        memory_bytes: words.memory.value.bytes(),
        disks: words.disk.iter().map(folder).collect(),
        durability: match words.durability {
            words::Durability::None => Durability::None,
            words::Durability::Interval => Durability::Interval,
            words::Durability::Segment => Durability::Segment,
        },
    }
}

/// What a route has of the cache, and who may purge there.
pub(super) fn route(
    words: &RouteConfig,
    config: &Config,
    plans: &Plans,
    chain: &Chain,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> (Option<RouteCache>, Option<PurgeRights>) {
    let name = &words.name.value;
    let purge = words.purge.as_ref().map(|purge| {
        let may = |scope| purge.value.scopes.contains(&scope);
        let from = purge.value.from.iter();
        PurgeRights {
            from: from.map(|network| network.value).collect(),
            url: may(PurgeScopeWord::Url),
            prefix: may(PurgeScopeWord::Prefix),
            host: may(PurgeScopeWord::Host),
            tag: may(PurgeScopeWord::Tag),
            all: may(PurgeScopeWord::All),
        }
    });
    let Some(written) = &words.cache else {
        if let Some(purge) = &words.purge {
            let message = format!("route {name:?} has `purge`, and keeps nothing");
            diagnostics.push(
                Diagnostic::error(codes::CACHE_PURGE, &purge.place, message)
                    .with_help("write `cache = \"POLICY\"` on the route, or leave `purge` out"),
            );
        }
        return (None, purge);
    };
    if words.upstream.is_none() {
        let message = format!("route {name:?} has `cache`, and no upstream whose answers to keep");
        diagnostics.push(
            Diagnostic::error(codes::CACHE_NOWHERE, &written.place, message)
                .with_help("write `upstream = \"NAME\"` on the route, or leave `cache` out"),
        );
    }
    if config.cache.is_none() && !config.declares("cache", "") {
        let message = format!("route {name:?} has `cache`, and there is no [cache]");
        diagnostics.push(
            Diagnostic::error(codes::CACHE_NONE, &written.place, message)
                .with_help("write `[cache]` and `memory = \"256MiB\"`, in one of the files"),
        );
    }
    let cache = match plans.get(written.value.as_str()) {
        Some(plan) => Some(RouteCache {
            plan: {
                let mut policies = config.cache_policies.iter();
                match policies.find(|policy| policy.name.value == written.value) {
                    Some(policy) => {
                        let at = &written.place;
                        compress::of_route(words, at, policy, plan, chain, diagnostics)
                    }
                    None => Arc::clone(plan),
                }
            },
            metrics: world.metrics().route_cache(name),
        }),
        None if config.declares("cache_policy", &written.value) => None,
        None => {
            let (message, help) = unknown("cache_policy", &written.value, plans);
            diagnostics.push(
                Diagnostic::error(codes::CACHE_REFERENCE, &written.place, message).with_help(help),
            );
            None
        }
    };
    (cache, purge)
}

/// Looks at the policies against each other, the routes and the memory.
pub(super) fn check(config: &Config, diagnostics: &mut Diagnostics) {
    for policy in &config.cache_policies {
        let name = &policy.name;
        let uses = |route: &RouteConfig| {
            let cache = route.cache.as_ref();
            cache.is_some_and(|used| used.value == name.value)
        };
        if !config.routes.iter().any(uses) {
            let message = format!("no route uses cache_policy {:?}", name.value);
            diagnostics.warning(codes::CACHE_UNUSED, &name.place, message);
        }
        if let (Some(cache), Some(most)) = (&config.cache, &policy.max_object)
            && most.value.bytes() > cache.memory.value.bytes() / 4
        {
            let quarter = cache.memory.value.bytes() / 4;
            let quarter = farmgate_plugin_api::units::Size::from_bytes(quarter);
            let message = format!(
                "`max_object` ({most}) is above a quarter of the cache's memory: bodies of more than {quarter} pass through and are not kept"
            );
            let needed = most.value.bytes().saturating_mul(4);
            let needed = farmgate_plugin_api::units::Size::from_bytes(needed);
            let help = format!(
                "write `max_object = \"{quarter}\"`, or `memory = \"{needed}\"` in [cache]"
            );
            diagnostics.push(
                Diagnostic::warning(codes::CACHE_OBJECT, &most.place, message).with_help(help),
            );
        }
        for pattern in &policy.key.query.ignore {
            let start = pattern.value.strip_suffix('*').unwrap_or(&pattern.value);
            if pattern.value.is_empty() || start.contains(['*', '&', '=', ';']) {
                let message = format!("{:?} never is a parameter's name", pattern.value);
                diagnostics.push(
                    Diagnostic::error(codes::CACHE_KEY, &pattern.place, message)
                        .with_help("write a name, or its beginning and `*`: \"utm_*\""),
                );
            }
        }
        for cookie in &policy.key.cookies {
            if http::HeaderName::from_bytes(cookie.value.as_bytes()).is_err() {
                let message = format!("{:?} never is a cookie's name", cookie.value);
                diagnostics.error(codes::CACHE_KEY, &cookie.place, message);
            }
        }
    }
    if let Some(cache) = &config.cache {
        disks::check(&cache.disk, diagnostics);
    }
}

/// Compiles the words of one policy. Each was checked where it was decoded, so nothing can be wrong here.
pub fn policy(words: &CachePolicyConfig) -> Policy {
    let defaults = Policy::default();
    Policy {
        ttl: Ttl {
            default_s: words.ttl.default.as_ref().map_or(0, seconds),
            floor_s: words.ttl.floor.as_ref().map_or(0, seconds),
            most_s: words.ttl.max.as_ref().map_or(MOST_S, seconds),
            status: words
                .ttl
                .status
                .iter()
                .map(|(status, time)| (status.0, seconds(time)))
                .collect(),
        },
        heuristic_millionths: words
            .heuristic
            .value
            .share()
            .map(|share| share.millionths())
            .filter(|share| *share > 0),
        stale_while_revalidate_s: words.stale_while_revalidate.as_ref().map_or(0, seconds),
        stale_if_error_s: words.stale_if_error.as_ref().map_or(0, seconds),
        key: KeyRules {
            query: QueryRules {
                ignore: texts(&words.key.query.ignore),
                sort: words.key.query.sort,
            },
            headers: words
                .key
                .headers
                .iter()
                .map(|name| name.value.0.clone())
                .collect(),
            cookies: texts(&words.key.cookies),
            vary_cookie: words.vary.cookie == VaryCookieWord::Keyed,
            consumer: words.key.consumer,
        },
        vary: VaryRules {
            normalise_encoding: match words.vary.accept_encoding {
                AcceptEncodingWord::Normalise => true,
                AcceptEncodingWord::List => false,
            },
            languages: texts(&words.vary.accept_language)
                .iter()
                .map(|language| language.to_ascii_lowercase())
                .collect(),
            most_variants: words.vary.max_variants.value,
        },
        tags: words.tags.iter().map(|name| name.value.0.clone()).collect(),
        set_cookie: match words.set_cookie {
            SetCookieWord::Bypass => SetCookie::Bypass,
            SetCookieWord::Strip => SetCookie::Strip,
            SetCookieWord::Keep => SetCookie::Keep,
        },
        max_object_bytes: words
            .max_object
            .as_ref()
            .map_or(defaults.max_object_bytes, |size| size.value.bytes()),
        match_content_type: words.match_content_type,
        unstored_s: words
            .hit_for_miss
            .as_ref()
            .map_or(defaults.unstored_s, seconds),
        ..defaults
    }
}

/// Whole seconds: a part of one counts as a whole, so that no lifetime becomes 0 by rounding.
fn seconds(time: &Located<Duration>) -> u32 {
    let seconds: Result<u32, TryFromIntError> = time.value.as_ms().div_ceil(1000).try_into();
    seconds.unwrap_or(u32::MAX)
}

fn texts(list: &[Located<String>]) -> Vec<String> {
    list.iter().map(|text| text.value.clone()).collect()
}

#[cfg(test)]
mod tests;
