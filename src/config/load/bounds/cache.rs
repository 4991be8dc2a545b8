//! Bounds of `[cache]`, `[[cache_policy]]` and a route's `purge`.

use farmgate_plugin_api::decode::{Diagnostic, Located};
use farmgate_plugin_api::units::{Duration, Size};

use super::{Check, DAY};
use crate::config::codes::OUT_OF_BOUNDS;
use crate::config::words::cache::{
    CacheConfig, CachePolicyConfig, CompressConfig, PurgeConfig, TtlConfig,
};

/// Longest lifetime, and longest time a stale answer may be sent: what caches of the field take for "for ever".
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Least memory: sixteen objects of 256 KiB, the largest that so little takes, beside the index.
const LEAST_MEMORY: Size = Size::mib(16);
/// Least size of a folder: one segment of the store, and what it sets aside.
const LEAST_DISK: Size = Size::mib(64);
/// Most of both: 256 TiB, above any machine.
const MOST: Size = Size::from_bytes(1 << 48);
/// Folders that a store takes.
const MOST_DISKS: usize = 16;
/// Largest body that is compressed: it is held whole, twice.
const MOST_COMPRESSED: Size = Size::mib(64);

impl Check<'_> {
    pub(super) fn cache(&mut self, cache: &CacheConfig) {
        self.value("memory", &cache.memory, LEAST_MEMORY..=MOST);
        self.count("disk", &cache.disk, MOST_DISKS);
        for disk in &cache.disk {
            self.value("size", &disk.value.size, LEAST_DISK..=MOST);
        }
    }

    pub(super) fn cache_policy(&mut self, policy: &CachePolicyConfig) {
        self.ttl(&policy.ttl);
        for (key, time) in [
            ("stale_while_revalidate", &policy.stale_while_revalidate),
            ("stale_if_error", &policy.stale_if_error),
        ] {
            self.optional(key, time, Duration::ZERO..=YEAR);
        }
        self.count("ignore", &policy.key.query.ignore, 64);
        self.count("headers", &policy.key.headers, 16);
        self.count("cookies", &policy.key.cookies, 16);
        let vary = &policy.vary;
        self.count("accept-language", &vary.accept_language, 32);
        self.value("max_variants", &vary.max_variants, 1..=1024);
        let minute = Duration::from_secs(60);
        self.value("wait", &policy.lock.wait, Duration::ZERO..=minute);
        self.count("tags", &policy.tags, 8);
        let largest = Size::from_bytes(1)..=Size::from_bytes(1 << 40);
        self.optional("max_object", &policy.max_object, largest);
        self.value("disk", &policy.min_uses.disk, 1..=4);
        let longest = Duration::from_secs(600);
        self.optional(
            "hit_for_miss",
            &policy.hit_for_miss,
            Duration::ZERO..=longest,
        );
        self.compress(&policy.compress);
    }

    fn ttl(&mut self, ttl: &TtlConfig) {
        self.optional("default", &ttl.default, Duration::ZERO..=YEAR);
        self.optional("floor", &ttl.floor, Duration::ZERO..=DAY);
        self.optional("max", &ttl.max, Duration::from_secs(1)..=YEAR);
        if let Some(over) = ttl.status.values().nth(64) {
            let message = "`status` lists more than 64";
            self.0.error(OUT_OF_BOUNDS, &over.place, message);
        }
        for time in ttl.status.values() {
            self.value("status", time, Duration::ZERO..=YEAR);
        }
        if let (Some(floor), Some(max)) = (&ttl.floor, &ttl.max)
            && floor.value > max.value
        {
            self.inverted(("floor", floor), ("max", max), "longer");
        }
    }

    fn compress(&mut self, compress: &CompressConfig) {
        self.count("codings", &compress.codings, 3);
        self.value("min", &compress.min, Size::from_bytes(0)..=MOST_COMPRESSED);
        self.value("max", &compress.max, Size::from_bytes(1)..=MOST_COMPRESSED);
        self.value("after", &compress.after, 1..=1000);
        if compress.min.value > compress.max.value {
            self.inverted(("min", &compress.min), ("max", &compress.max), "larger");
        }
    }

    /// The lower end of a range above its upper end.
    fn inverted<T: std::fmt::Display>(
        &mut self,
        (low_key, low): (&str, &Located<T>),
        (high_key, high): (&str, &Located<T>),
        how: &str,
    ) {
        let place = if low.is_written() { low } else { high };
        let message = format!("`{low_key}` ({low}) is {how} than `{high_key}` ({high})");
        self.0.error(OUT_OF_BOUNDS, &place.place, message);
    }

    pub(super) fn purge(&mut self, purge: &Located<PurgeConfig>) {
        let from = &purge.value.from;
        self.count("from", from, 256);
        if from.is_empty() {
            self.0.push(
                Diagnostic::error(OUT_OF_BOUNDS, &purge.place, "`from` of `purge` is empty")
                    .with_help(
                        "name who may purge: from = [\"127.0.0.1/32\"]; or leave `purge` out",
                    ),
            );
        }
    }
}
