//! Whether there is room for a request: the node's own load by class, the route's places, the tenant's.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use farmgate_plugin_api::Headers;

use super::ctx::Ctx;
use super::exchange::RequestExchange;
use crate::snapshot::route::RouteBulkhead;
use crate::telemetry::Reason;
use crate::upstream::balance::random::next_u64;
use crate::upstream::hash::stable_hash;
use crate::upstream::limits::{Class, Occupied};

/// Which share of each class is turned away, since the node has too much to do. Set by the node's guard, read by every
/// request: one load.
#[derive(Debug, Default)]
pub struct Shedding {
    shares: [AtomicU8; 3],
    closes: AtomicBool,
}

impl Shedding {
    /// So many of 255 requests of a class are turned away.
    pub fn set(&self, class: Class, share: u8) {
        if let Some(place) = self.shares.get(class as usize) {
            place.store(share, Ordering::Relaxed);
        }
    }

    /// The share of a class that is turned away, of 255.
    pub fn share(&self, class: Class) -> u8 {
        let place = self.shares.get(class as usize);
        place.map_or(0, |place| place.load(Ordering::Relaxed))
    }

    /// Whether who is turned away is to close the connection too: when memory or descriptors are short, which requests
    /// alone do not give back.
    pub fn set_closes(&self, closes: bool) {
        self.closes.store(closes, Ordering::Relaxed);
    }

    /// True if this request is turned away.
    fn turns_away(&self, class: Class) -> bool {
        match self.share(class) {
            0 => false,
            share => next_u64() % 255 < u64::from(share),
        }
    }
}

/// The places of a request.
#[derive(Debug, Default)]
pub struct Places {
    _route: Option<Occupied>,
    _tenant: Option<Occupied>,
}

/// Takes the request's places on its route.
///
/// # Errors
/// There is none, or the node turns it away.
pub fn admit(cx: &mut Ctx, headers: &mut (dyn Headers + '_)) -> Result<(), Reason> {
    let Some(route) = cx.route.clone() else {
        return Ok(());
    };
    if cx.start.node.shedding.turns_away(route.class) {
        cx.retry_after = Some(std::time::Duration::from_secs(1));
        if cx.start.node.shedding.closes.load(Ordering::Relaxed) {
            cx.start.connection.close.store(true, Ordering::Relaxed);
        }
        return Err(Reason::Overload);
    }
    if let Some(bulkhead) = &route.bulkhead {
        cx.places = Some(occupy(cx, headers, bulkhead)?);
    }
    Ok(())
}

fn occupy(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    bulkhead: &RouteBulkhead,
) -> Result<Places, Reason> {
    let mut places = Places::default();
    if let Some((source, most)) = &bulkhead.tenant {
        let facts = RequestExchange {
            cx: &mut *cx,
            headers,
            filter: u16::MAX,
        };
        // A request that names no tenant is no tenant's.
        let key = source.with_key(&facts, |tenant| {
            stable_hash(&bulkhead.key.to_le_bytes()).rotate_left(17) ^ stable_hash(tenant)
        });
        if let Some(key) = key {
            places._tenant = Some(
                bulkhead
                    .places
                    .try_enter(key, *most)
                    .ok_or(Reason::TenantLimit)?,
            );
        }
    }
    if let Some(most) = bulkhead.most {
        let place = bulkhead.places.try_enter(bulkhead.key, most);
        places._route = Some(place.ok_or(Reason::RouteLimit)?);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::{Class, Shedding};

    #[test]
    fn classes_are_turned_away_by_their_share() {
        let shedding = Shedding::default();
        shedding.set(Class::Bulk, 255);
        shedding.set(Class::Default, 127);
        let turned = |class| (0..4000).filter(|_| shedding.turns_away(class)).count();
        assert_eq!((turned(Class::Critical), turned(Class::Bulk)), (0, 4000));
        let half = turned(Class::Default);
        assert!((1800..2200).contains(&half), "{half}");
    }
}
