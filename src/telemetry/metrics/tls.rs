//! Handles of one `[[tls]]`, and the closed sets of what a handshake can agree on.

use super::book::Book;
use super::family::{Counter, Gauge, Group, Histogram};
use super::{CounterCell, Counters, Gauges, GroupCell, Groups, HistogramCell, Histograms};
use super::{Metrics, declare};
use crate::telemetry::handshake::HandshakeFailure;

/// Words of `version`, as the library names them.
pub(super) const VERSIONS: &[&str] = &["TLSv1.2", "TLSv1.3"];
/// Words of `cipher` (IANA's names).
pub(super) const CIPHERS: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "other",
];
/// Words of `group`, as the library names them.
pub(super) const GROUPS: &[&str] = &["X25519MLKEM768", "X25519", "P-256", "P-384", "other"];

/// Words of `kind` of orders.
pub(super) const ORDERS: &[&str] = &["first", "renewal"];
/// Words of `stage` of failed orders.
pub const ORDER_STAGES: &[&str] = &[
    "storage",
    "directory",
    "account",
    "order",
    "validation",
    "issue",
    "certificate",
    "renewal_info",
];

/// The families of this file.
pub(super) struct TlsFamilies {
    handshakes: Groups,
    ciphers: Groups,
    groups: Groups,
    failures: Groups,
    seconds: Histograms,
    under_way: Gauges,
    not_after: Gauges,
    refreshes: Groups,
    stale: Gauges,
    stapled: Gauges,
    orders: Groups,
    order_failures: Groups,
    order_next: Gauges,
    stale_lists: Gauges,
    misdirected: Counters,
}

/// Handles of one `[[tls]]`.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    handshakes: [Group; 2],
    ciphers: Group,
    groups: Group,
    failures: Group,
    /// From the first byte to the end of the handshake.
    pub seconds: Histogram,
    /// Handshakes under way.
    pub under_way: Gauge,
    /// Files read again because they changed; count with `refreshed`.
    refreshes: Group,
    /// Files whose present content cannot be used, so that an earlier one is served.
    pub stale_files: Gauge,
    /// Certificates with a fresh OCSP response.
    pub stapled: Gauge,
    orders: Group,
    order_failures: Group,
    /// When the next order is due, in seconds since 1970.
    pub order_next: Gauge,
    /// Revocation lists that are over.
    pub stale_lists: Gauge,
    /// Requests that asked for a host the certificates here are not for.
    pub misdirected: Counter,
}

impl TlsFamilies {
    pub(super) fn register(book: &Book) -> prometheus::Result<Self> {
        let counters = |d| book.counted::<CounterCell>(d);
        let gauges = |d| book.gauge(d);
        let histograms = |d| book.counted::<HistogramCell>(d);
        let groups = |d| book.counted::<GroupCell>(d);
        Ok(Self {
            handshakes: groups(&declare::TLS_HANDSHAKES)?,
            ciphers: groups(&declare::TLS_CIPHERS)?,
            groups: groups(&declare::TLS_GROUPS)?,
            failures: groups(&declare::TLS_FAILURES)?,
            seconds: histograms(&declare::TLS_SECONDS)?,
            under_way: gauges(&declare::TLS_UNDER_WAY)?,
            not_after: gauges(&declare::TLS_NOT_AFTER)?,
            refreshes: groups(&declare::TLS_REFRESHES)?,
            stale: gauges(&declare::TLS_STALE)?,
            stapled: gauges(&declare::TLS_STAPLED)?,
            orders: groups(&declare::ACME_ORDERS)?,
            order_failures: groups(&declare::ACME_FAILURES)?,
            order_next: gauges(&declare::ACME_NEXT)?,
            stale_lists: gauges(&declare::TLS_STALE_LISTS)?,
            misdirected: counters(&declare::TLS_MISDIRECTED)?,
        })
    }
}

impl Metrics {
    /// Handles of a `[[tls]]`.
    pub fn tls(&self, name: &str) -> TlsMetrics {
        let of = &self.tls;
        let handshakes = |version| of.handshakes.get(&[name, version]);
        TlsMetrics {
            handshakes: [handshakes("TLSv1.2"), handshakes("TLSv1.3")],
            ciphers: of.ciphers.get(&[name]),
            groups: of.groups.get(&[name]),
            failures: of.failures.get(&[name]),
            seconds: of.seconds.get(&[name]),
            under_way: of.under_way.get(&[name]),
            refreshes: of.refreshes.get(&[name]),
            stale_files: of.stale.get(&[name]),
            orders: of.orders.get(&[name]),
            order_failures: of.order_failures.get(&[name]),
            order_next: of.order_next.get(&[name]),
            stapled: of.stapled.get(&[name]),
            stale_lists: of.stale_lists.get(&[name]),
            misdirected: of.misdirected.get(&[name]),
        }
    }

    /// When a certificate of a `[[tls]]` ends: one series per certificate, found by its first name and kind of key.
    pub fn certificate_not_after(&self, tls: &str, name: &str, key: &'static str) -> Gauge {
        self.tls.not_after.get(&[tls, name, key])
    }
}

impl TlsMetrics {
    /// A handshake was completed: what was agreed, in the library's and IANA's names.
    pub fn completed(&self, version: &str, resumed: bool, cipher: &str, group: Option<&str>) {
        let place = |words: &[&str], word| words.iter().position(|one| *one == word);
        if let Some(handshakes) =
            place(VERSIONS, version).and_then(|version| self.handshakes.get(version))
        {
            handshakes.inc(usize::from(resumed));
        }
        let other = |words: &[&str]| words.len() - 1;
        self.ciphers
            .inc(place(CIPHERS, cipher).unwrap_or(other(CIPHERS)));
        // A resumed session of TLS 1.2 exchanges no key.
        if let Some(group) = group {
            self.groups
                .inc(place(GROUPS, group).unwrap_or(other(GROUPS)));
        }
    }

    /// A handshake failed.
    pub fn failed(&self, failure: HandshakeFailure) {
        self.failures.inc(failure.index());
    }

    /// An order succeeded: the first one, or a renewal.
    pub fn order_done(&self, renewal: bool) {
        self.orders.inc(usize::from(renewal));
    }

    /// An order failed at this step, a word of [`ORDER_STAGES`].
    pub fn order_failed(&self, stage: &str) {
        let place = ORDER_STAGES.iter().position(|one| *one == stage);
        self.order_failures.inc(place.unwrap_or_default());
    }

    /// A changed file was read again, with this success.
    pub fn refreshed(&self, ok: bool) {
        self.refreshes.inc(usize::from(!ok));
    }
}
