//! Metrics: the registry of this process, the handles a snapshot holds, and the text a scrape gets.
//!
//! Labels are looked up when a configuration is compiled (`Metrics::route` and its like), never per request.
//! The `prometheus` crate keeps the registry and writes the text; the values are our own cells, since a series
//! must vanish with its last user and `max_series` must hold for all of them together (see `family`).

mod book;
mod cache;
mod cell;
mod declare;
mod discovery;
mod family;
mod guard;
mod handles;
mod moved;
mod plugin;
mod process;
pub mod store;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::{Arc, Weak};

use book::Book;

use crate::telemetry::guard::SourceKind;

pub use cache::RouteCacheMetrics;
pub use cell::{BOUNDS_NS, Cell, CounterCell, GaugeCell, GroupCell, HistogramCell};
pub use declare::{ALL, Declared, Kind, code_class, metrics_markdown};
pub use discovery::DiscoveryMetrics;
pub use family::{
    Counter, Family, Gauge, GaugeGuard, Group, Histogram, OTHER, Series, SeriesBudget,
};
pub use guard::GuardMetrics;
pub use handles::{
    AccessLogMetrics, ConfigMetrics, DrainMetrics, EndpointMetrics, ListenerMetrics, PluginSeries,
    RequestMetrics, RouteMetrics, UnderWay, UpstreamMetrics,
};
pub use moved::{Added, Counts, FamilyCounts, SeriesCounts, Tally};
pub use plugin::{CounterBy, PluginMetricError, PluginMetrics};
pub use store::{CacheFigures, CacheSource};
pub use tls::{ORDER_STAGES, TlsMetrics};

/// The content type of `render`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// The label value where no route or no upstream was chosen.
pub const NONE: &str = "none";

type Counters = Arc<Family<CounterCell>>;
type Gauges = Arc<Family<GaugeCell>>;
type Histograms = Arc<Family<HistogramCell>>;
type Groups = Arc<Family<GroupCell>>;

/// All metrics of the process. One per process (or per test); it outlives every snapshot.
pub struct Metrics {
    book: Book,
    plugins: plugin::PluginFamilies,
    tls: tls::TlsFamilies,
    guard: guard::GuardFamilies,
    discovery: discovery::DiscoveryFamilies,
    cache: cache::CacheFamilies,
    store: store::CacheSlot,
    requests: Groups,
    request_errors: Groups,
    requests_in_flight: Gauges,
    tunnels_open: Gauges,
    body_memory: Gauge,
    overload_pressure: Gauges,
    overload_shed: Gauges,
    requests_rejected: Groups,
    keepalive_requests: Counters,
    request_duration: Histograms,
    request_phase: Histograms,
    request_bytes: Counters,
    response_bytes: Counters,
    connections_open: Gauges,
    connections: Counters,
    connections_rejected: Groups,
    h2_ended: Groups,
    upstream_connections_open: Gauges,
    upstream_connections_opened: Counters,
    upstream_requests: Groups,
    upstream_requests_in_flight: Gauges,
    upstream_endpoint_drained: Gauges,
    plugin_off: Gauges,
    upstream_retries: Groups,
    upstream_tls_refreshes: Groups,
    upstream_tls_stale_files: Gauges,
    upstream_endpoint_errors: Groups,
    plugin_seconds: Histograms,
    plugin_errors: Groups,
    plugin_replies: Counters,
    config: ConfigMetrics,
    access_log: AccessLogMetrics,
    drain: DrainMetrics,
    _build: Gauge,
}

impl Metrics {
    /// Declares everything. `max_series` is the cap on exported series, `version` the one of the build.
    /// Fails only when a declaration is wrong, which a test rules out.
    pub fn new(max_series: usize, version: &str) -> prometheus::Result<Arc<Metrics>> {
        let book = Book::new(max_series);
        let counters = |d| book.counted::<CounterCell>(d);
        let gauges = |d| book.gauge(d);
        let histograms = |d| book.counted::<HistogramCell>(d);
        let groups = |d| book.counted::<GroupCell>(d);

        let processes = process::ProcessCollector::new()?;
        book.registry.register(Box::new(processes))?;
        let budget = process::BudgetCollector::new(book.budget.clone())?;
        book.registry.register(Box::new(budget))?;
        let store = store::CacheSlot::default();
        let figures = store::CacheCollector::new(store.clone())?;
        book.registry.register(Box::new(figures))?;
        let build = gauges(&declare::BUILD_INFO)?.get(&[version]);
        build.set(1);
        let config = ConfigMetrics {
            generation: gauges(&declare::CONFIG_GENERATION)?.get(&[]),
            generations_alive: gauges(&declare::CONFIG_GENERATIONS_ALIVE)?.get(&[]),
            reloads: groups(&declare::CONFIG_RELOADS)?.get(&[]),
            last_reload_success: gauges(&declare::CONFIG_LAST_RELOAD_SUCCESS)?.get(&[]),
            last_reload_timestamp: gauges(&declare::CONFIG_LAST_RELOAD_TIMESTAMP)?.get(&[]),
            upgrades: groups(&declare::UPGRADES)?.get(&[]),
            draining_processes: gauges(&declare::DRAINING_PROCESSES)?.get(&[]),
        };
        let access_log = AccessLogMetrics {
            records: counters(&declare::ACCESS_LOG_RECORDS)?.get(&[]),
            dropped: counters(&declare::ACCESS_LOG_DROPPED)?.get(&[]),
            write_errors: counters(&declare::ACCESS_LOG_WRITE_ERRORS)?.get(&[]),
        };
        // An alert on these needs a zero to compare with.
        for counter in [
            &access_log.records,
            &access_log.dropped,
            &access_log.write_errors,
        ] {
            counter.add(0);
        }
        let drain = DrainMetrics::new(groups(&declare::DRAIN_CUT)?.get(&[]));
        Ok(Arc::new(Metrics {
            requests: groups(&declare::REQUESTS)?,
            request_errors: groups(&declare::REQUEST_ERRORS)?,
            requests_in_flight: gauges(&declare::REQUESTS_IN_FLIGHT)?,
            tunnels_open: gauges(&declare::TUNNELS_OPEN)?,
            body_memory: gauges(&declare::BODY_MEMORY)?.get(&[]),
            overload_pressure: gauges(&declare::OVERLOAD_PRESSURE)?,
            overload_shed: gauges(&declare::OVERLOAD_SHED)?,
            requests_rejected: groups(&declare::REQUESTS_REJECTED)?,
            keepalive_requests: counters(&declare::KEEPALIVE_REQUESTS)?,
            request_duration: histograms(&declare::REQUEST_DURATION)?,
            request_phase: histograms(&declare::REQUEST_PHASE)?,
            request_bytes: counters(&declare::REQUEST_BYTES)?,
            response_bytes: counters(&declare::RESPONSE_BYTES)?,
            connections_open: gauges(&declare::CONNECTIONS_OPEN)?,
            connections: counters(&declare::CONNECTIONS)?,
            connections_rejected: groups(&declare::CONNECTIONS_REJECTED)?,
            h2_ended: groups(&declare::H2_ENDED)?,
            upstream_connections_open: gauges(&declare::UPSTREAM_CONNECTIONS_OPEN)?,
            upstream_connections_opened: counters(&declare::UPSTREAM_CONNECTIONS_OPENED)?,
            upstream_requests: groups(&declare::UPSTREAM_REQUESTS)?,
            upstream_requests_in_flight: gauges(&declare::UPSTREAM_REQUESTS_IN_FLIGHT)?,
            upstream_endpoint_drained: gauges(&declare::UPSTREAM_ENDPOINT_DRAINED)?,
            plugin_off: gauges(&declare::PLUGIN_OFF)?,
            upstream_retries: groups(&declare::UPSTREAM_RETRIES)?,
            upstream_tls_refreshes: groups(&declare::UPSTREAM_TLS_REFRESHES)?,
            upstream_tls_stale_files: gauges(&declare::UPSTREAM_TLS_STALE)?,
            upstream_endpoint_errors: groups(&declare::UPSTREAM_ENDPOINT_ERRORS)?,
            plugin_seconds: histograms(&declare::PLUGIN_SECONDS)?,
            plugin_errors: groups(&declare::PLUGIN_ERRORS_TOTAL)?,
            plugin_replies: counters(&declare::PLUGIN_REPLIES)?,
            plugins: plugin::PluginFamilies::new(),
            tls: tls::TlsFamilies::register(&book)?,
            guard: guard::GuardFamilies::register(&book)?,
            discovery: discovery::DiscoveryFamilies::register(&book)?,
            cache: cache::CacheFamilies::register(&book)?,
            store,
            config,
            access_log,
            drain,
            _build: build,
            book,
        }))
    }

    /// The cap on series, changed by a reload with `set_cap`.
    pub fn budget(&self) -> &SeriesBudget {
        &self.book.budget
    }

    /// Memory of bodies that are held back.
    pub fn body_memory(&self) -> Gauge {
        Arc::clone(&self.body_memory)
    }

    /// What is used of a resource over its limit, in thousandths.
    pub fn overload_pressure(&self, resource: &str) -> Gauge {
        self.overload_pressure.get(&[resource])
    }

    /// The share of a class that the node turns away, in thousandths.
    pub fn overload_shed(&self, class: &str) -> Gauge {
        self.overload_shed.get(&[class])
    }

    /// Handles of a listener.
    pub fn listener(&self, listener: &str) -> ListenerMetrics {
        ListenerMetrics {
            connections_open: self.connections_open.get(&[listener]),
            connections: self.connections.get(&[listener]),
            connections_rejected: self.connections_rejected.get(&[listener]),
            h2_ended: self.h2_ended.get(&[listener]),
            requests_rejected: self.requests_rejected.get(&[listener]),
            requests_in_flight: self.requests_in_flight.get(&[listener]),
            tunnels_open: self.tunnels_open.get(&[listener]),
            keepalive_requests: self.keepalive_requests.get(&[listener]),
        }
    }

    /// Handles of a route; `NONE` for requests that no route fits.
    pub fn route(&self, route: &str) -> RouteMetrics {
        RouteMetrics {
            duration: self.request_duration.get(&[route]),
            errors: self.request_errors.get(&[route]),
            request_bytes: self.request_bytes.get(&[route]),
            response_bytes: self.response_bytes.get(&[route]),
        }
    }

    /// Handles of a route's cache.
    pub fn route_cache(&self, route: &str) -> RouteCacheMetrics {
        self.cache.route(route)
    }

    /// From now on this is the cache of the process; `unopened` of its folders are configured and not in use (none:
    /// there is no cache). Being counted does not keep it.
    pub fn set_cache(&self, cache: Option<Weak<dyn CacheSource>>, unopened: Option<u64>) {
        self.store.set(cache, unopened);
    }

    /// What the cache of the process counts now.
    pub fn cache_figures(&self) -> Option<CacheFigures> {
        self.store.read().0
    }

    /// The request counter of a (listener, route, upstream); `NONE` where none was chosen.
    pub fn requests(&self, listener: &str, route: &str, upstream: &str) -> RequestMetrics {
        RequestMetrics {
            by_code: self.requests.get(&[listener, route, upstream]),
        }
    }

    /// Handles of an upstream.
    pub fn upstream(&self, upstream: &str) -> UpstreamMetrics {
        let phase = |phase| self.request_phase.get(&[upstream, phase]);
        UpstreamMetrics {
            queue: phase("queue"),
            connect: phase("connect"),
            first_byte: phase("first_byte"),
            total: phase("total"),
            connections_open: self.upstream_connections_open.get(&[upstream]),
            connections_opened: self.upstream_connections_opened.get(&[upstream]),
            requests: self.upstream_requests.get(&[upstream]),
            retries: self.upstream_retries.get(&[upstream]),
            tls_refreshes: self.upstream_tls_refreshes.get(&[upstream]),
            tls_stale_files: self.upstream_tls_stale_files.get(&[upstream]),
            guard: self.guard.upstream(upstream),
        }
    }

    /// Handles of the discovery of an upstream's endpoints.
    pub fn discovery(&self, upstream: &str, source: SourceKind) -> DiscoveryMetrics {
        self.discovery.upstream(upstream, source)
    }

    /// Handles of an endpoint.
    pub fn endpoint(&self, upstream: &str, endpoint: &str) -> EndpointMetrics {
        EndpointMetrics {
            in_flight: self.upstream_requests_in_flight.get(&[upstream, endpoint]),
            drained: self.upstream_endpoint_drained.get(&[upstream, endpoint]),
            errors: self.upstream_endpoint_errors.get(&[upstream, endpoint]),
        }
    }

    /// Handles of a plugin instance.
    pub fn plugin(&self, plugin: &str) -> PluginSeries {
        PluginSeries {
            errors: self.plugin_errors.get(&[plugin]),
            replies: self.plugin_replies.get(&[plugin]),
            off: self.plugin_off.get(&[plugin]),
        }
    }

    /// The time of a plugin in one phase. `phase` comes from the closed set of the plugin API.
    pub fn plugin_phase(&self, plugin: &str, phase: &'static str) -> Histogram {
        self.plugin_seconds.get(&[plugin, phase])
    }

    /// Counters and gauges that a plugin of this kind declares for itself.
    pub fn plugin_metrics(self: &Arc<Self>, kind: &'static str, plugin: &str) -> PluginMetrics {
        PluginMetrics::new(self.clone(), kind, plugin)
    }

    /// What a reload writes.
    pub fn config(&self) -> &ConfigMetrics {
        &self.config
    }

    /// What the access log's writer counts.
    pub fn access_log(&self) -> &AccessLogMetrics {
        &self.access_log
    }

    /// What is under way now, over all listeners.
    pub fn under_way(&self) -> UnderWay {
        let whole = |sum: i64| u64::try_from(sum).unwrap_or(0);
        let tunnels = whole(self.tunnels_open.sum());
        let requests = whole(self.requests_in_flight.sum());
        UnderWay {
            requests: requests.saturating_sub(tunnels),
            tunnels,
        }
    }

    /// What a drain counts.
    pub fn drain(&self) -> &DrainMetrics {
        &self.drain
    }

    /// Everything in Prometheus' text format 0.0.4 (`CONTENT_TYPE`).
    pub fn render(&self) -> Vec<u8> {
        use prometheus::Encoder;
        let mut out = Vec::with_capacity(64 * 1024);
        if let Err(error) =
            prometheus::TextEncoder::new().encode(&self.book.registry.gather(), &mut out)
        {
            log::error!("metrics cannot be written: {error}");
        }
        out
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("series", &self.book.budget.used())
            .finish_non_exhaustive()
    }
}
