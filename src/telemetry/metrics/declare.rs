//! Every metric, declared once: name, kind, unit, labels, help.
//!
//! `labels` are given by the caller when a handle is resolved. `closed_label` is one label more whose words are
//! fixed in the code; such a metric counts over all its words with one handle.

use std::borrow::Cow;

use crate::telemetry::cache::{CacheAnswer, Forward, Refusal};
use crate::telemetry::drain_cut::DrainCut;
use crate::telemetry::guard::{Attempt, BreakerChange, Churn, Ejection, FallbackKind, NoRetry};
use crate::telemetry::h2_end::H2End;
use crate::telemetry::handshake::HandshakeFailure;
use crate::telemetry::reason::Reason;

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets; in bytes where the name says so.
    Histogram,
}

/// The declaration of a metric.
#[derive(Clone, Debug)]
pub struct Declared {
    /// `farmgate_<noun>_<unit>[_total]`.
    pub name: Cow<'static, str>,
    /// What it does.
    pub kind: Kind,
    /// What one unit is, for documents.
    pub unit: &'static str,
    /// Labels whose values the caller gives.
    pub labels: &'static [&'static str],
    /// The label over a closed set, or empty.
    pub closed_label: &'static str,
    /// The words of that set.
    pub closed_words: &'static [&'static str],
    /// One sentence.
    pub help: Cow<'static, str>,
}

/// Words of `code`, by `code_class`.
pub(super) const CODES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
/// Words of `reused`.
pub(super) const REUSED: &[&str] = &["false", "true"];
/// Words of `kind` of plugin errors.
pub(super) const PLUGIN_ERRORS: &[&str] = &["error", "panic"];
/// Words of `result` of reloads.
pub(super) const RESULTS: &[&str] = &["ok", "refused"];
/// Results of an upgrade, in the order of `ConfigMetrics::upgraded`.
pub(super) const UPGRADE_RESULTS: &[&str] = &["ok", "failed"];

/// Labels given by the caller whose values are nevertheless from a closed set: they are kept when a series folds.
const CLOSED: &[&str] = &["class", "key", "phase", "resource", "source", "version"];

/// True if the values of this label come from the code, not from a configuration.
pub(super) fn is_closed(label: &str) -> bool {
    CLOSED.contains(&label)
}

/// The place of a status in `CODES`. 499 counts as 4xx; no status (the client left before one) as `none`.
#[inline]
pub fn code_class(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => CODES.len() - 1,
    }
}

macro_rules! declare {
    ($($id:ident $kind:ident $name:literal $unit:literal [$($label:literal)*] $(over $closed:literal $words:expr,)? $help:literal;)*) => {
        $(#[doc = $help] pub(super) const $id: Declared = Declared {
            name: Cow::Borrowed($name), kind: Kind::$kind, unit: $unit, labels: &[$($label),*],
            closed_label: declare!(@label $($closed)?), closed_words: declare!(@words $($words)?), help: Cow::Borrowed($help),
        };)*
        /// All metrics, in the order of the reference.
        pub const ALL: &[Declared] = &[$($id,)*];
    };
    (@label) => { "" };
    (@label $label:literal) => { $label };
    (@words) => { &[] };
    (@words $words:expr) => { $words };
}

declare! {
    REQUESTS Counter "farmgate_requests_total" "requests" ["listener" "route" "upstream"] over "code" CODES, "Requests that ended, by the class of their status.";
    REQUEST_ERRORS Counter "farmgate_request_errors_total" "requests" ["route"] over "reason" (Reason::TOKENS), "Requests that ended for another reason than a delivered response.";
    REQUESTS_IN_FLIGHT Gauge "farmgate_requests_in_flight" "requests" ["listener"] "Requests between the end of their head and the end of their response.";
    BODY_MEMORY Gauge "farmgate_body_memory_bytes" "bytes" [] "Memory of bodies that are held back: of requests until the origin is asked and of responses until they are released. `server.body_memory` bounds it.";
    OVERLOAD_PRESSURE Gauge "farmgate_overload_pressure_thousandths" "thousandths" ["resource"] "What the node uses of a resource (`cpu`, `memory`, `open_files`, `loop_lag`) over its limit in `server.overload`; from 1000 on the node is overloaded. 0 where it has no limit or cannot be read.";
    OVERLOAD_SHED Gauge "farmgate_overload_shed_thousandths" "thousandths" ["class"] "Share of the requests of a class (`critical`, `default`, `bulk`) that the node turns away since it is overloaded.";
    REQUESTS_REJECTED Counter "farmgate_requests_rejected_total" "requests" ["listener"] over "reason" (Reason::TOKENS), "Requests that ended before routing: bad heads, limits, timeouts.";
    KEEPALIVE_REQUESTS Counter "farmgate_keepalive_requests_total" "requests" ["listener"] "Requests that came on a connection which had carried one before.";
    REQUEST_DURATION Histogram "farmgate_request_duration_seconds" "seconds" ["route"] "From the first byte of the request to the last byte of the response.";
    REQUEST_PHASE Histogram "farmgate_request_phase_seconds" "seconds" ["upstream" "phase"] "Time of one attempt: queue, connect, first_byte, total.";
    REQUEST_BYTES Counter "farmgate_request_bytes_total" "bytes" ["route"] "Bytes of request bodies read from clients.";
    RESPONSE_BYTES Counter "farmgate_response_bytes_total" "bytes" ["route"] "Bytes of response bodies written to clients.";
    CONNECTIONS_OPEN Gauge "farmgate_connections_open" "connections" ["listener"] "Client connections open now.";
    CONNECTIONS Counter "farmgate_connections_total" "connections" ["listener"] "Client connections accepted.";
    CONNECTIONS_REJECTED Counter "farmgate_connections_rejected_total" "connections" ["listener"] over "reason" (Reason::TOKENS), "Client connections closed before a request: limits, PROXY header, TLS.";
    H2_ENDED Counter "farmgate_h2_connections_ended_total" "connections" ["listener"] over "reason" (H2End::TOKENS), "HTTP/2 connections with clients that ended; the words are in the reference of reasons.";
    DRAIN_CUT Counter "farmgate_drain_cut_total" "see the reference of reasons" [] over "kind" (DrainCut::TOKENS), "What stood open at the deadline of a drain and was ended by it; the words are in the reference of reasons.";
    TUNNELS_OPEN Gauge "farmgate_tunnels_open" "tunnels" ["listener"] "WebSockets, and other protocols after a 101, that are open now; they are requests in flight, too.";
    UPSTREAM_CONNECTIONS_OPEN Gauge "farmgate_upstream_connections_open" "connections" ["upstream"] "Connections to endpoints open now, idle ones too.";
    UPSTREAM_CONNECTIONS_OPENED Counter "farmgate_upstream_connections_opened_total" "connections" ["upstream"] "Connections opened to endpoints.";
    UPSTREAM_REQUESTS Counter "farmgate_upstream_requests_total" "requests" ["upstream"] over "reused" REUSED, "Attempts sent to endpoints, by whether the connection had been used before.";
    UPSTREAM_REQUESTS_IN_FLIGHT Gauge "farmgate_upstream_requests_in_flight" "requests" ["upstream" "endpoint"] "Attempts an endpoint is working on.";
    UPSTREAM_RETRIES Counter "farmgate_upstream_retries_total" "requests" ["upstream"] over "reason" (Reason::TOKENS), "Further attempts, by why the one before failed.";
    UPSTREAM_TLS_REFRESHES Counter "farmgate_upstream_tls_refreshes_total" "files" ["upstream"] over "result" RESULTS, "Changed files of [upstream.tls] that were read again, by result.";
    UPSTREAM_TLS_STALE Gauge "farmgate_upstream_tls_stale_files" "files" ["upstream"] "Files of [upstream.tls] whose present content cannot be used, so that what was read before is in force.";
    UPSTREAM_ENDPOINT_ERRORS Counter "farmgate_upstream_endpoint_errors_total" "requests" ["upstream" "endpoint"] over "reason" (Reason::TOKENS), "Failed attempts of an endpoint.";
    UPSTREAM_ENDPOINT_DRAINED Gauge "farmgate_upstream_endpoint_drained" "0 or 1" ["upstream" "endpoint"] "1 while an operator keeps new requests from the endpoint.";
    UPSTREAM_FIRST_TRIES Counter "farmgate_upstream_first_tries_total" "requests" ["upstream"] over "outcome" (Attempt::TOKENS), "First attempts that ended, by how.";
    UPSTREAM_LAST_TRIES Counter "farmgate_upstream_last_tries_total" "requests" ["upstream"] over "outcome" (Attempt::TOKENS), "Last attempts of requests that were tried again, by how they ended: what retries were good for.";
    UPSTREAM_NOT_RETRIED Counter "farmgate_upstream_retries_refused_total" "requests" ["upstream"] over "why" (NoRetry::TOKENS), "Further attempts that the rules allow and that were not made, by why.";
    UPSTREAM_SHED Counter "farmgate_upstream_shed_total" "requests" ["upstream"] over "reason" (Reason::TOKENS), "Requests that the breaker, the limits or the queue of an upstream turned away.";
    UPSTREAM_FALLBACKS Counter "farmgate_upstream_fallbacks_total" "requests" ["upstream"] over "to" (FallbackKind::TOKENS), "Requests for which there was no answer, by what stood in.";
    UPSTREAM_EJECTIONS Counter "farmgate_upstream_ejections_total" "endpoints" ["upstream"] over "why" (Ejection::TOKENS), "Endpoints that were left out for a while for failing requests.";
    UPSTREAM_BREAKER Gauge "farmgate_upstream_breaker" "0 to 2" ["upstream"] "The circuit breaker: 0 closed, 1 open, 2 half open.";
    UPSTREAM_BREAKER_CHANGES Counter "farmgate_upstream_breaker_changes_total" "changes" ["upstream"] over "to" (BreakerChange::TOKENS), "Changes of the circuit breaker, by what it came to.";
    UPSTREAM_WAITING Gauge "farmgate_upstream_waiting" "requests" ["upstream"] "Requests that wait for a place at an upstream.";
    UPSTREAM_LIMIT Gauge "farmgate_upstream_limit" "requests" ["upstream"] "Requests that an upstream may have at a time now; 0 where there is no limit.";
    UPSTREAM_AVAILABLE Gauge "farmgate_upstream_endpoints_available" "endpoints" ["upstream"] "Endpoints that are not drained, down or ejected.";
    UPSTREAM_ENDPOINTS Gauge "farmgate_upstream_endpoints" "endpoints" ["upstream"] "All endpoints.";
    UPSTREAM_UNRESOLVED Gauge "farmgate_upstream_names_unresolved" "names" ["upstream"] "Names in `endpoints` that have never been resolved: they stand for no endpoint yet.";
    UPSTREAM_PANICS Counter "farmgate_upstream_panic_requests_total" "requests" ["upstream"] "Requests that were sent without a look at health, since too few endpoints are healthy.";
    UPSTREAM_IMBALANCE Gauge "farmgate_upstream_imbalance_thousandths" "thousandths" ["upstream"] "Over the last ten seconds: what the busiest endpoint got over its share of the requests; 1000 is even.";
    DISCOVERY_AGE Gauge "farmgate_discovery_age_seconds" "seconds" ["upstream" "source"] "Time since the source last gave a good answer; for a set that was kept on disk or handed over, its age. Absent before there was one.";
    DISCOVERY_STALE Gauge "farmgate_discovery_stale" "0 or 1" ["upstream" "source"] "1 while that is more than `max_stale`: the endpoints stay in use.";
    DISCOVERY_LAG Gauge "farmgate_discovery_lag_milliseconds" "milliseconds" ["upstream" "source"] "From the last answer that changed the endpoints to their being in use.";
    DISCOVERY_PRIVATE Gauge "farmgate_discovery_private_thousandths" "thousandths" ["upstream" "source"] "Of the endpoints in use, those with a private address (RFC 1918, RFC 4193) or loopback; 1000 is all.";
    DISCOVERY_CHANGES Counter "farmgate_discovery_changes_total" "endpoints" ["upstream" "source"] over "change" (Churn::TOKENS), "Endpoints that came and went with answers of the source.";
    DISCOVERY_FAILURES Counter "farmgate_discovery_failures_total" "questions" ["upstream" "source"] "Questions without a usable answer: the last good endpoints stay.";
    DISCOVERY_REFUSED Counter "farmgate_discovery_refused_total" "addresses" ["upstream" "source"] "Addresses in answers that are not in `allow`, or without it link-local ones and those of metadata services; each time one is told.";
    DISCOVERY_UNSAVED Counter "farmgate_discovery_unsaved_total" "sets" ["upstream" "source"] "Sets of endpoints that could not be kept on disk.";
    CACHE_ANSWERS Counter "farmgate_cache_answers_total" "requests" ["route"] over "answer" (CacheAnswer::TOKENS), "Requests on a route with a cache, by how they were answered; the words are in the reference of reasons.";
    CACHE_FORWARDS Counter "farmgate_cache_forwards_total" "requests" ["route"] over "why" (Forward::TOKENS), "Requests of a route with a cache for which the origin was asked, by why; the words are those of Cache-Status.";
    CACHE_REFUSALS Counter "farmgate_cache_refusals_total" "responses" ["route"] over "why" (Refusal::TOKENS), "Responses of origins that were not stored, by why; the words are in the reference of reasons.";
    CACHE_BYTES Counter "farmgate_cache_response_bytes_total" "bytes" ["route"] "Bytes of response bodies on routes with a cache.";
    CACHE_BYTES_SAVED Counter "farmgate_cache_saved_bytes_total" "bytes" ["route"] "Those of them that no origin had to send for the request: the byte hit ratio is this over farmgate_cache_response_bytes_total.";
    CACHE_MEMORY Gauge "farmgate_cache_memory_bytes" "bytes" [] "Memory of the cache in use: bodies, heads, keys, index.";
    CACHE_MEMORY_LIMIT Gauge "farmgate_cache_memory_limit_bytes" "bytes" [] "The bound of it: `memory` of [cache].";
    CACHE_INDEX Gauge "farmgate_cache_index_bytes" "bytes" [] "The index of the cache, a part of its memory.";
    CACHE_OBJECTS Gauge "farmgate_cache_objects" "objects" [] "Objects the cache knows, in memory or on disk.";
    CACHE_DISK_OBJECTS Gauge "farmgate_cache_disk_objects" "objects" [] "Objects with a place on disk.";
    CACHE_DISK Gauge "farmgate_cache_disk_bytes" "bytes" [] "Bytes of the cache on disks.";
    CACHE_DISK_LIMIT Gauge "farmgate_cache_disk_limit_bytes" "bytes" [] "The bound of it: the sizes of the folders in use.";
    CACHE_HITS Counter "farmgate_cache_hits_total" "lookups" [] over "tier" (super::store::TIERS), "Lookups in the store that found an object, by where it lay; `fill`: it was still coming.";
    CACHE_MISSES Counter "farmgate_cache_misses_total" "lookups" [] "Lookups in the store that found nothing. A request may look twice: once for its key, once for its variant.";
    CACHE_EVICTIONS Counter "farmgate_cache_evictions_total" "objects" [] over "cause" (super::store::EVICTIONS), "Objects that lost their place: in memory, for want of room, before (memory_once) or after a second use (memory_used); on disk, for want of room; replaced by a later answer; purged, once that was found; removed by name, as after an accepted POST.";
    CACHE_FILLS Counter "farmgate_cache_fills_total" "fills" [] "Answers that began to be stored.";
    CACHE_FILLS_ENDED Counter "farmgate_cache_fills_ended_total" "fills" [] over "outcome" (super::store::FILL_ENDS), "Those that ended: stored; passed, whole and not stored (too large, purged meanwhile, overtaken); aborted before their end.";
    CACHE_FILLS_NOW Gauge "farmgate_cache_fills_under_way" "fills" [] "Answers that are being stored now.";
    CACHE_READERS_CUT Counter "farmgate_cache_readers_cut_total" "requests" [] over "cause" (super::store::READER_ENDS), "Requests cut while their answer came: they held up a fill too large to keep, or the fill stood still.";
    CACHE_FLIGHTS Gauge "farmgate_cache_flights_under_way" "fetches" [] "Fetches whose head has not come: what others wait for.";
    CACHE_WAITING Gauge "farmgate_cache_requests_waiting" "requests" [] "Requests that wait for the fetch of another one now.";
    CACHE_UNSTORED Gauge "farmgate_cache_unstored_keys" "keys" [] "Keys that are known for answers that cannot be stored, so that their clients do not queue (hit-for-miss).";
    CACHE_DISK_QUEUE Gauge "farmgate_cache_disk_queue_objects" "objects" [] "Objects that wait for a disk's writer now.";
    CACHE_OFF_DISK Counter "farmgate_cache_disk_refused_total" "objects" [] over "cause" (super::store::OFF_DISK), "Objects that stayed off the disk: its queue was full, or they were not used a second time.";
    CACHE_REINSERTED Counter "farmgate_cache_disk_reinserted_total" "objects" [] "Objects written again because they were in use when their part of the disk was given to new ones.";
    CACHE_DISK_READ Counter "farmgate_cache_disk_read_bytes_total" "bytes" [] "Bytes the cache read from disks.";
    CACHE_DISK_WRITTEN Counter "farmgate_cache_disk_written_bytes_total" "bytes" [] "Bytes the cache wrote to disks.";
    CACHE_CORRUPT Counter "farmgate_cache_corrupt_records_total" "records" [] "Records on disk that did not verify; each is a miss.";
    CACHE_DISK_ERRORS Counter "farmgate_cache_disk_errors_total" "errors" [] "Reads and writes of the cache's disks that failed.";
    CACHE_FAILED_DISKS Gauge "farmgate_cache_failed_disks" "disks" [] "Disks given up since the start: the cache goes on without them.";
    CACHE_UNOPENED Gauge "farmgate_cache_unopened_disks" "disks" [] "Folders of [cache] that could not be opened at the start: the cache is in memory alone, or there is none.";
    CACHE_RECOVERED Counter "farmgate_cache_recovered_objects_total" "objects" [] "Objects found on disk after the start.";
    CACHE_PURGES_NOW Gauge "farmgate_cache_purges_in_force" "purges" [] "Purges that lookups are compared with.";
    CACHE_PURGES Counter "farmgate_cache_purges_total" "purges" [] "Purges applied, those of other nodes too.";
    CACHE_PURGES_FOLDED Counter "farmgate_cache_purges_folded_total" "events" [] "Times the table of purges was full and its older half became one purge for everything.";
    CACHE_PURGE_ERRORS Counter "farmgate_cache_purge_errors_total" "purges" [] "Purges that are in force and could not be written down: a restart would forget them.";
    CACHE_EVICTED_AGE Histogram "farmgate_cache_age_at_eviction_seconds" "seconds" [] "Time in the cache of each object evicted for want of room.";
    CACHE_EVICTED_SIZE Histogram "farmgate_cache_size_at_eviction_bytes" "bytes" [] "Body of each object evicted for want of room.";
    TLS_HANDSHAKES Counter "farmgate_tls_handshakes_total" "handshakes" ["tls" "version"] over "resumed" REUSED, "Handshakes with clients that were completed, by version and whether a session was resumed.";
    TLS_FAILURES Counter "farmgate_tls_handshake_failures_total" "handshakes" ["tls"] over "reason" (HandshakeFailure::TOKENS), "Handshakes with clients that failed; the words are in the reference of reasons.";
    TLS_CIPHERS Counter "farmgate_tls_ciphers_total" "handshakes" ["tls"] over "cipher" (super::tls::CIPHERS), "Completed handshakes by cipher.";
    TLS_GROUPS Counter "farmgate_tls_groups_total" "handshakes" ["tls"] over "group" (super::tls::GROUPS), "Completed handshakes by the group of the key exchange.";
    TLS_SECONDS Histogram "farmgate_tls_handshake_seconds" "seconds" ["tls"] "From the accept (or the PROXY header) to the end of a completed handshake, the client's own time included.";
    TLS_UNDER_WAY Gauge "farmgate_tls_handshakes_under_way" "handshakes" ["tls"] "Handshakes with clients that have begun and not ended.";
    TLS_MISDIRECTED Counter "farmgate_tls_misdirected_total" "requests" ["tls"] "Requests answered 421: no certificate of the connection's [[tls]] is for their host.";
    TLS_NOT_AFTER Gauge "farmgate_tls_certificate_not_after_seconds" "seconds" ["tls" "name" "key"] "Unix time at which the certificate served for a name ends. `name` is the first name in it, `key` rsa, p256 or p384.";
    TLS_REFRESHES Counter "farmgate_tls_refreshes_total" "files" ["tls"] over "result" RESULTS, "Changed files (certificates, secrets, authorities, lists) that were read again, by result.";
    TLS_STALE Gauge "farmgate_tls_stale_files" "files" ["tls"] "Files whose present content cannot be used, so that what was read before is served.";
    TLS_STAPLED Gauge "farmgate_tls_stapled_certificates" "certificates" ["tls"] "Certificates with an OCSP response that is fresh and stapled.";
    TLS_STALE_LISTS Gauge "farmgate_tls_stale_revocation_lists" "lists" ["tls"] "Revocation lists that are over: client certificates of their authorities are refused.";
    ACME_ORDERS Counter "farmgate_acme_orders_total" "orders" ["tls"] over "kind" (super::tls::ORDERS), "Certificates that were ordered and issued, by whether they replaced one.";
    ACME_FAILURES Counter "farmgate_acme_failures_total" "orders" ["tls"] over "stage" (super::tls::ORDER_STAGES), "Orders that failed, by their step.";
    ACME_NEXT Gauge "farmgate_acme_next_order_timestamp_seconds" "seconds" ["tls"] "Unix time before which nothing is ordered.";
    PLUGIN_SECONDS Histogram "farmgate_plugin_seconds" "seconds" ["plugin" "phase"] "Time a plugin took in a phase, its waiting included.";
    PLUGIN_ERRORS_TOTAL Counter "farmgate_plugin_errors_total" "errors" ["plugin"] over "kind" PLUGIN_ERRORS, "Errors and panics of a plugin.";
    PLUGIN_REPLIES Counter "farmgate_plugin_replies_total" "requests" ["plugin"] "Requests that a plugin answered itself.";
    PLUGIN_OFF Gauge "farmgate_plugin_off" "0 or 1" ["plugin"] "1 while an operator has the plugin switched off.";
    CONFIG_GENERATION Gauge "farmgate_config_generation" "generation" [] "Number of the configuration in use.";
    CONFIG_GENERATIONS_ALIVE Gauge "farmgate_config_generations_alive" "generations" [] "Configurations that a request or a stream still uses.";
    CONFIG_RELOADS Counter "farmgate_config_reloads_total" "reloads" [] over "result" RESULTS, "Reloads, by result.";
    CONFIG_LAST_RELOAD_SUCCESS Gauge "farmgate_config_last_reload_success" "0 or 1" [] "1 if the last reload was taken.";
    CONFIG_LAST_RELOAD_TIMESTAMP Gauge "farmgate_config_last_reload_timestamp_seconds" "seconds" [] "Unix time of the last reload that was taken.";
    UPGRADES Counter "farmgate_upgrades_total" "upgrades" [] over "result" UPGRADE_RESULTS, "Upgrades that were begun, by result; after `ok` another process serves.";
    DRAINING_PROCESSES Gauge "farmgate_draining_processes" "processes" [] "Old processes of earlier upgrades that still drain.";
    ACCESS_LOG_RECORDS Counter "farmgate_access_log_records_total" "records" [] "Access log records written.";
    ACCESS_LOG_DROPPED Counter "farmgate_access_log_dropped_total" "records" [] "Access log records lost: buffer full, or the write failed.";
    ACCESS_LOG_WRITE_ERRORS Counter "farmgate_access_log_write_errors_total" "errors" [] "Writes of the access log that failed.";
    METRIC_SERIES Gauge "farmgate_metric_series" "series" [] "Series charged to `max_series`.";
    METRIC_SERIES_FOLDED Counter "farmgate_metric_series_folded_total" "events" [] "Times a label value was folded into `other` because `max_series` was reached.";
    BUILD_INFO Gauge "farmgate_build_info" "1" ["version"] "Always 1; the label is the version.";
    PROCESS_CPU Counter "process_cpu_seconds_total" "seconds" [] "User and system CPU time.";
    PROCESS_RSS Gauge "process_resident_memory_bytes" "bytes" [] "Resident memory.";
    PROCESS_FDS Gauge "process_open_fds" "descriptors" [] "Open file descriptors.";
    PROCESS_MAX_FDS Gauge "process_max_fds" "descriptors" [] "Limit of open file descriptors.";
    PROCESS_START Gauge "process_start_time_seconds" "seconds" [] "Unix time at which the process started.";
}

/// The declarations as Markdown, for the generated reference.
pub fn metrics_markdown() -> String {
    let mut out =
        String::from("| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for metric in ALL {
        let mut labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        if !metric.closed_label.is_empty() {
            // The reasons have a table of their own.
            labels.push(match metric.closed_label {
                "reason" => "`reason`".to_owned(),
                "kind" if metric.closed_words == DrainCut::TOKENS => "`kind`".to_owned(),
                "why" | "answer" => format!("`{}`", metric.closed_label),
                label => format!("`{label}` ({})", metric.closed_words.join(", ")),
            });
        }
        let labels = match labels.is_empty() {
            true => "-".to_owned(),
            false => labels.join(", "),
        };
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        out.push_str(&format!(
            "| `{}` | {kind} | {} | {labels} | {} |\n",
            metric.name, metric.unit, metric.help
        ));
    }
    out
}
