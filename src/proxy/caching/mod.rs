//! Step 8: what the cache does with a request.
//!
//! ```text
//! request -> begin: look up, decide -> send what is stored               (deliver)
//!                        |   ^
//!                        |   +-- wait for somebody's fetch, look again
//!                        +-----> fetch, a task of its own                (fetch) -> store -> all who wait
//!                        +-----> past the cache: another method, ...     (passed)
//! ```
//!
//! A fetch belongs to nobody's connection: who asked for it reads what it stores like everybody else, and may go away
//! without harm to others. Engines carry it: they give what comes to [`fetch::Fetch`], and send a [`deliver::Delivery`].
//! Why it is so, and not by Pingora's own cache: docs/decisions/0006-the-cache-is-ours.md.

pub mod deliver;
pub mod fetch;
pub mod note;
pub mod order;
pub mod passed;
pub mod purge;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use farmgate_plugin_api::Headers;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, HeaderMap};

use super::ctx::Ctx;
use super::exchange::scheme;
use crate::cache::asked::{Asked, Bypass, Identity, Request, Verb};
use crate::cache::guard;
use crate::cache::key::{self, Key, KeyParts};
use crate::cache::serve::{self, Ask, Forward, Serve};
use crate::cache::shared::compress::Coding;
use crate::cache::shared::{Found, Hit, Joined, Landed, Lookup, Place};
use crate::cache::vary::Encodings;
use crate::cache::{Now, SharedCache, decide};
use crate::snapshot::{CachePlan, Route};
use crate::telemetry::Reason;
use crate::telemetry::cache::CacheAnswer;
use deliver::{Delivery, Said};
use order::Order;

/// What a request on a route with a cache knows of it.
pub struct CacheCx {
    /// What it asks of the cache.
    pub asked: Asked,
    /// What it is about; none where it is not looked up.
    pub key: Option<Key>,
    /// How it is answered.
    pub answer: CacheAnswer,
    /// What Cache-Status says.
    pub said: Said,
}

/// What is to be done.
pub enum Step {
    /// Ask the origin as without a cache.
    Pass,
    /// Send this; where there is an order, somebody is to renew it meanwhile.
    Send(Box<Delivery>, Option<Box<Order>>),
    /// Fetch, and send what becomes of it.
    Fetch(Box<Order>),
    /// The error of this reason.
    Fail(Reason),
}

/// What belongs to the decision about one request, on its way through [`begin`].
struct Look<'a> {
    shared: &'a Arc<SharedCache>,
    route: &'a Arc<Route>,
    plan: &'a CachePlan,
    key: &'a Key,
    asked: Asked,
}

/// Decides. Waits for a disk, and for somebody else's fetch, each for a bounded time.
pub async fn begin(cx: &mut Ctx, fields: &HeaderMap, has_body: bool) -> Step {
    let (Some(route), Some(shared)) = (cx.route.clone(), cx.start.snapshot.cache.clone()) else {
        return Step::Pass;
    };
    let Some(plan) = route.cache.as_ref().map(|cache| Arc::clone(&cache.plan)) else {
        return Step::Pass;
    };
    let asked = read(cx, fields, has_body, &plan);
    let bypass = match asked.may_look_up() {
        Err(bypass) => Some(bypass),
        Ok(()) if cx.upgrade => Some(Bypass::Method),
        Ok(()) => None,
    };
    if let Some(bypass) = bypass {
        let why = match bypass {
            Bypass::Method => Forward::Method,
            Bypass::Body | Bypass::Condition => Forward::Bypass,
        };
        cx.cache = Some(past(asked, None, why));
        return Step::Pass;
    }
    let key = key(cx, fields, &route, &plan);
    let look = Look {
        shared: &shared,
        route: &route,
        plan: &plan,
        key: &key,
        asked,
    };
    let step = look.decide(cx, fields).await;
    let cache = cx
        .cache
        .get_or_insert_with(|| past(asked, None, Forward::Bypass));
    cache.key = Some(key);
    step
}

fn past(asked: Asked, detail: Option<&'static str>, why: Forward) -> CacheCx {
    CacheCx {
        asked,
        key: None,
        answer: CacheAnswer::Bypass,
        said: Said {
            forward: Some(why),
            detail,
            ..Said::default()
        },
    }
}

fn read(cx: &Ctx, fields: &HeaderMap, has_body: bool, plan: &CachePlan) -> Asked {
    let request = Request {
        method: &cx.method,
        fields,
        target_bytes: cx.raw().len(),
        has_body,
        identity: identity(cx),
    };
    Asked::read(&request, plan.policy.key.consumer)
}

/// Who authenticated the request. A client certificate counts on its own: origins may be told of it.
fn identity(cx: &Ctx) -> Identity {
    match &cx.consumer {
        Some(consumer) if consumer.by_authorization => Identity::KnownByAuthorization,
        Some(_) => Identity::Known,
        None if certified(cx).is_some() => Identity::Known,
        None => Identity::None,
    }
}

/// The fingerprint of the client's verified certificate.
fn certified(cx: &Ctx) -> Option<&[u8; 32]> {
    let tls = cx.start.connection.tls.as_ref()?;
    tls.identity.as_ref().map(|identity| &identity.fingerprint)
}

/// A certificate as a consumer of its own; no consumer of a plugin has a name with a colon in front.
fn certificate(fingerprint: &[u8; 32]) -> String {
    let digits = fingerprint.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once(":".to_owned()).chain(digits).collect()
}

/// The host as keys and purges have it.
fn key_host(cx: &Ctx) -> Cow<'_, str> {
    key::key_host(cx.https, &cx.host, cx.port)
}

fn key(cx: &Ctx, fields: &HeaderMap, route: &Route, plan: &CachePlan) -> Key {
    let certified = match &cx.consumer {
        None if plan.policy.key.consumer => certified(cx).map(certificate),
        _ => None,
    };
    Key::build(
        &KeyParts {
            scheme: scheme(cx),
            host: &key_host(cx),
            path: cx.path(),
            query: cx.query(),
            route: &route.name,
            side: cx.upstream.as_deref().map_or("", |plan| plan.name()),
            fields,
            consumer: match &cx.consumer {
                Some(consumer) => Some(&consumer.name),
                None => certified.as_deref(),
            },
        },
        &plan.policy.key,
    )
}

/// What `explain` tells of a request and the access log does not: whether the answer was stored, and the key. Read by
/// [`Kept::read`].
pub fn kept_for_explain(cx: &Ctx) -> [&[u8]; 2] {
    let Some(cache) = &cx.cache else {
        return [&[], &[]];
    };
    let key = cache.key.as_ref().map_or(&[] as &[u8], |key| &key.text);
    [if cache.said.stored { b"+" } else { b"-" }, key]
}

/// What was kept so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Whether the origin's answer was stored.
    pub stored: bool,
    /// The text of the key; empty where the request was not looked up.
    pub key: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Reads it; none of a request on a route without a cache.
    pub fn read(behind: &'a [u8]) -> Option<Self> {
        let (first, key) = behind.split_first()?;
        Some(Self {
            stored: *first == b'+',
            key,
        })
    }
}

/// The fetch found that the answer is not for the store.
pub fn unshared(cx: &mut Ctx, passing: &fetch::Passing) {
    if let Some(cache) = &mut cx.cache {
        cache.said.detail = Some(passing.why.as_str());
    }
}

/// The origin failed, and what is stale is sent instead.
/// `status` is what it answered with, if it did.
pub fn stale(cx: &mut Ctx, found: Found, status: Option<StatusCode>) -> Delivery {
    let shared = cx.start.snapshot.cache.as_ref();
    let now = shared.map(|shared| shared.now()).unwrap_or_default();
    let why = cx.cache.as_ref().and_then(|cache| cache.said.forward);
    let why = why.unwrap_or(Forward::Stale);
    let said = Said::stale_if_error(found.meta(), why, status, now);
    Delivery::stale(found.hit, said, now)
}

/// Takes out of a request what clients must not choose for others ([`crate::cache::guard`]).
pub fn drop_unkeyed(cx: &Ctx, upstream: &mut (dyn Headers + '_)) {
    let Some(cache) = cx.route.as_deref().and_then(|route| route.cache.as_ref()) else {
        return;
    };
    for name in guard::unkeyed(&cache.plan.policy.key.headers) {
        upstream.remove(name);
    }
}

impl Look<'_> {
    async fn decide(&self, cx: &mut Ctx, fields: &HeaderMap) -> Step {
        let Self { shared, asked, .. } = *self;
        // Why the fetch was needed that this request waited for.
        let mut waited = None;
        let mut waits = 0;
        loop {
            let now = shared.now();
            let Lookup { place, found } = shared
                .lookup(self.key, fields, &self.plan.policy.vary)
                .await;
            let (serve, found) = match found {
                Ok(found) => (
                    decide(&asked, found.meta(), found.purged(), now),
                    Some(found),
                ),
                Err(why) => (serve::without(&asked, why), None),
            };
            let (why, ask, found) = match (serve, found) {
                (Serve::Hit(hit), Some(found)) => {
                    return self.hit(cx, fields, hit, found, place, now, waited);
                }
                (Serve::OnlyIfCached, _) => {
                    cx.cache = Some(CacheCx {
                        answer: CacheAnswer::Refused,
                        ..past(asked, Some("only-if-cached"), Forward::Bypass)
                    });
                    return Step::Fail(Reason::OnlyIfCached);
                }
                (Serve::Revalidate(ask), Some(found)) => (ask.why, Some(ask), Some(found)),
                (Serve::Fetch(why), _) => (why, None, None),
                // Neither can be without a stored response.
                (Serve::Hit(_) | Serve::Revalidate(_), None) => (Forward::Miss, None, None),
            };
            // Neither leaves anything behind; what is stored already is asked about as for a GET.
            if (asked.verb == Verb::Head || asked.no_store) && found.is_none() {
                cx.cache = Some(past(asked, None, why));
                return Step::Pass;
            }
            if found.is_none()
                && let Some(unstored) = shared.unstored().get(&place, now)
            {
                cx.cache = Some(past(asked, Some(unstored.why.as_str()), why));
                return Step::Pass;
            }
            // One that others may not share, or that wants an answer of its own, neither waits nor lets wait. A second
            // wait is for those alone who learnt from the first that there are variants.
            let learnt = why == Forward::VaryMiss && waits == 1;
            let alone = (waited.is_some() && !learnt)
                || asked.authenticated
                || asked.no_store
                || why == Forward::Request;
            let lead = if alone {
                Joined::Lead(shared.flights().alone(place.primary))
            } else {
                shared.flights().join(&place)
            };
            let waiting = match lead {
                Joined::Lead(lead) => {
                    let order = self.order(cx, fields, place, lead, found, ask, why);
                    cx.cache = Some(CacheCx {
                        answer: CacheAnswer::Miss,
                        ..past(asked, None, why)
                    });
                    return Step::Fetch(Box::new(order));
                }
                Joined::Wait(waiting) => waiting,
            };
            waited = Some(why);
            waits += 1;
            // Half of the time that is left at most: the other half is for a fetch of its own.
            let left = cx.deadline().saturating_duration_since(Instant::now()) / 2;
            let landed = Box::pin(waiting.landed(self.plan.wait.min(left), self.plan.wait)).await;
            let pass = |detail| CacheCx {
                answer: CacheAnswer::Miss,
                ..past(asked, Some(detail), why)
            };
            let failed = match landed {
                Some(Landed::Look) => continue,
                Some(Landed::Error) => None,
                Some(Landed::Failed(reason)) => Some(reason),
                Some(Landed::Unshared) => {
                    cx.cache = Some(pass("unshared"));
                    return Step::Pass;
                }
                None => {
                    cx.cache = Some(pass("lock-timeout"));
                    return Step::Pass;
                }
            };
            return self.failed(cx, failed, found, ask, why, now);
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call, of what one decision knows"
    )]
    fn hit(
        &self,
        cx: &mut Ctx,
        fields: &HeaderMap,
        hit: serve::Hit,
        found: Found,
        place: Place,
        now: Now,
        waited: Option<Forward>,
    ) -> Step {
        let order = match hit {
            // One that may not be stored for others cannot renew what is.
            serve::Hit::StaleWhileRevalidate if self.asked.authenticated || self.asked.no_store => {
                None
            }
            serve::Hit::StaleWhileRevalidate => match self.shared.flights().join(&place) {
                // Somebody renews it already.
                Joined::Wait(_) => None,
                Joined::Lead(lead) => {
                    let again = self.again(&place);
                    let order = self.order(cx, fields, place, lead, again, None, Forward::Stale);
                    Some(Box::new(order.in_background()))
                }
            },
            serve::Hit::Fresh | serve::Hit::MaxStale => None,
        };
        let shared = waited.is_some() || found.hit.tier() == crate::cache::shared::Tier::Fill;
        let mut said = Said::hit(hit, found.meta(), now);
        if let Some(why) = waited {
            // It was no hit when it came (RFC 9211 sections 2.1 and 2.6).
            said.hit = false;
            said.forward = Some(why);
            said.collapsed = true;
        }
        let answer = match hit {
            serve::Hit::Fresh if shared => CacheAnswer::Collapsed,
            serve::Hit::Fresh => CacheAnswer::Hit,
            serve::Hit::StaleWhileRevalidate | serve::Hit::MaxStale => CacheAnswer::Stale,
        };
        cx.cache = Some(CacheCx {
            answer,
            said,
            ..past(self.asked, None, Forward::Bypass)
        });
        let coded = self.coded(fields, &found);
        let delivery = Delivery::stored(found.hit, now).coded(coded);
        Step::Send(Box::new(delivery), order)
    }

    /// The compressed body of what was found, where there is one that the client takes. Ranges are cut out of the plain
    /// one.
    fn coded(&self, fields: &HeaderMap, found: &Found) -> Option<(Coding, Hit)> {
        let rules = self.plan.compress.as_ref()?;
        let wishes = !self.asked.ranged && fields.contains_key(ACCEPT_ENCODING);
        if !wishes || !rules.suits(found.hit.head()) {
            return None;
        }
        let takes = Encodings::of_request(fields);
        self.shared.coded(found, takes, rules)
    }

    /// What is stored there once more: one goes to the client, the other is confirmed.
    fn again(&self, place: &Place) -> Option<Found> {
        let store = self.shared.store();
        let key = store.key(&place.primary.0, place.variance());
        let hit = store.lookup(&key).hit()?;
        Some(Found { hit, key })
    }

    /// The origin failed while this request waited for it: what is stale may stand in, or it fails as well.
    fn failed(
        &self,
        cx: &mut Ctx,
        reason: Option<Reason>,
        found: Option<Found>,
        ask: Option<Ask>,
        why: Forward,
        now: Now,
    ) -> Step {
        let covers = ask.is_some_and(|ask| ask.stale_if_error);
        let mut cache = past(self.asked, Some("collapsed-failure"), why);
        cache.said.collapsed = true;
        match (found, reason) {
            (Some(found), _) if covers => {
                cache.said = Said {
                    collapsed: true,
                    ..Said::stale_if_error(found.meta(), why, None, now)
                };
                cache.answer = CacheAnswer::Stale;
                cx.cache = Some(cache);
                Step::Send(Box::new(Delivery::stored(found.hit, now)), None)
            }
            // It went down, or its client's listener did: that is no word about the origin.
            (_, None | Some(Reason::Internal | Reason::Draining)) => {
                cache.answer = CacheAnswer::Miss;
                cx.cache = Some(cache);
                Step::Pass
            }
            (_, Some(reason)) => {
                cache.answer = CacheAnswer::Failed;
                cx.cache = Some(cache);
                Step::Fail(reason)
            }
        }
    }
}
