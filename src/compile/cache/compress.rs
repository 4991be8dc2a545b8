//! The compressed forms a cache keeps: by the words of its policy, or of the compression plugin of a route.

use std::sync::Arc;

use farmgate_plugin_api::Compression;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Place};

use crate::cache::shared::compress::{CompressRules, Kinds};
use crate::cache::vary::Encodings;
use crate::compile::codes;
use crate::config::words::RouteConfig;
use crate::config::words::cache::{CachePolicyConfig, CodingWord, CompressConfig};
use crate::snapshot::{CachePlan, Chain};

/// By the words of the policy; none where no coding is to be made.
pub(super) fn rules(words: &CompressConfig) -> Option<CompressRules> {
    let codings = codings(words);
    (codings != Encodings::default()).then(|| CompressRules {
        codings,
        least_bytes: words.min.value.bytes(),
        most_bytes: words.max.value.bytes(),
        after_hits: words.after.value,
        kinds: None,
    })
}

fn codings(words: &CompressConfig) -> Encodings {
    let has = |coding: CodingWord| words.codings.iter().any(|word| word.value == coding);
    Encodings {
        zstd: has(CodingWord::Zstd),
        br: has(CodingWord::Br),
        gzip: has(CodingWord::Gzip),
    }
}

/// The plan of a route: the policy's, or, where a plugin of the route compresses, one with that plugin's words.
pub(super) fn of_route(
    route: &RouteConfig,
    at: &Place,
    policy: &CachePolicyConfig,
    plan: &Arc<CachePlan>,
    chain: &Chain,
    diagnostics: &mut Diagnostics,
) -> Arc<CachePlan> {
    let compressing = chain.links.iter().filter_map(|link| {
        let words = link.instance.filter.compression()?;
        Some((link, words))
    });
    let mut compressing = compressing.collect::<Vec<_>>().into_iter();
    let Some((link, words)) = compressing.next() else {
        return Arc::clone(plan);
    };
    let (name, plugin) = (&route.name.value, &link.instance.name);
    if let Some((other, _)) = compressing.next() {
        let other = &other.instance.name;
        let message = format!(
            "route {name:?} has a cache, and two plugins that say what it keeps compressed: {plugin:?} and {other:?}"
        );
        diagnostics.push(
            Diagnostic::error(codes::CACHE_COMPRESS, at, message)
                .with_help("leave one of them out"),
        );
    }
    if link.when.is_some() {
        let message = format!(
            "plugin {plugin:?} says what the cache of route {name:?} keeps compressed, and `when` would be asked of nobody"
        );
        diagnostics.push(
            Diagnostic::error(codes::CACHE_COMPRESS, at, message).with_help(
                "leave `when` out: what is kept is kept for all clients, and sent to those who take it",
            ),
        );
    }
    contradictions(policy, &words, plugin, name, diagnostics);
    let compress = CompressRules {
        codings: of_plugin(&words),
        least_bytes: words.min_bytes,
        most_bytes: policy.compress.max.value.bytes().max(words.min_bytes),
        after_hits: policy.compress.after.value,
        kinds: Some(Kinds(words.suits)),
    };
    Arc::new(CachePlan {
        compress: Some(compress),
        ..CachePlan::clone(plan)
    })
}

fn of_plugin(words: &Compression) -> Encodings {
    Encodings {
        zstd: words.zstd,
        br: words.br,
        gzip: words.gzip,
    }
}

/// Words of the policy that say something else than the plugin's. Those that were not written say nothing.
fn contradictions(
    policy: &CachePolicyConfig,
    words: &Compression,
    plugin: &str,
    route: &str,
    diagnostics: &mut Diagnostics,
) {
    let (at, policy) = (&policy.name.place, &policy.compress);
    let help = "leave the word out here, or write the same";
    let first = policy.codings.first();
    let written = first.is_none_or(|coding| coding.is_written());
    if written && codings(policy) != of_plugin(words) {
        // An empty list has no place of its own.
        let place = first.map_or(at, |coding| &coding.place);
        let message = format!(
            "`compress.codings` differs from `encodings` of plugin {plugin:?} on route {route:?}, which say what this cache keeps"
        );
        diagnostics.push(Diagnostic::error(codes::CACHE_COMPRESS, place, message).with_help(help));
    }
    if policy.min.is_written() && policy.min.value.bytes() != words.min_bytes {
        let message = format!(
            "`compress.min` differs from `min_size` of plugin {plugin:?} on route {route:?}, which says what this cache keeps"
        );
        let place = &policy.min.place;
        diagnostics.push(Diagnostic::error(codes::CACHE_COMPRESS, place, message).with_help(help));
    }
}
