//! How many requests a route, and one tenant on it, may have at a time.

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::Diagnostics;

use super::{World, codes};
use crate::config::words::RouteConfig;
use crate::snapshot::route::RouteBulkhead;
use crate::upstream::hash::stable_hash;

/// The limits of requests at a time.
pub(super) fn compile(
    words: &RouteConfig,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Option<RouteBulkhead> {
    let limits = &words.limits;
    let tenant = match (&limits.tenant, &limits.in_flight_per_tenant) {
        (None, None) => None,
        (Some(source), Some(most)) => match Source::parse(&source.value) {
            Ok(source) => Some((source, most.value)),
            Err(error) => {
                diagnostics.error(codes::ROUTE_TENANT, &source.place, error.to_string());
                None
            }
        },
        (Some(alone), None) => {
            let message = "`tenant` does nothing without `in_flight_per_tenant`";
            diagnostics.error(codes::ROUTE_TENANT, &alone.place, message);
            None
        }
        (None, Some(alone)) => {
            let message = "`in_flight_per_tenant` wants `tenant`, which tells tenants apart";
            diagnostics.error(codes::ROUTE_TENANT, &alone.place, message);
            None
        }
    };
    let most = limits.in_flight.as_ref().map(|most| most.value);
    (most.is_some() || tenant.is_some()).then(|| RouteBulkhead {
        places: world.store().bulkhead(),
        key: stable_hash(words.name.value.as_bytes()),
        most,
        tenant,
    })
}
