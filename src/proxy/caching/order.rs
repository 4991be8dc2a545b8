//! A fetch that is to be made: what the origin is asked, and in which context.

use std::sync::Arc;

use http::Method;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;

use super::Look;
use super::fetch::{Fetch, Listener, News, State};
use super::note::Note;
use crate::cache::asked::{Asked, Identity, Request, Verb};
use crate::cache::conditional::{CLIENT_CONDITIONS, Validators};
use crate::cache::serve::{Ask, Forward};
use crate::cache::shared::{Found, Lead, Place};
use crate::cache::vary::Encodings;
use crate::proxy::ctx::Ctx;

/// News that wait for a slow client; a fetch waits then, as any answer would.
const NEWS: usize = 4;

/// A fetch that is to be made.
pub struct Order {
    /// The request's fields that change on the way to the origin; without a value they go.
    pub edits: Vec<(HeaderName, Option<HeaderValue>)>,
    /// What becomes of the answer.
    pub fetch: Fetch,
    /// The context it is made in.
    pub context: Box<Ctx>,
    /// What it tells; none in the background.
    pub news: Option<mpsc::Receiver<News>>,
    /// What it does, for the log of the request.
    pub note: Arc<Note>,
}

impl Order {
    /// Nobody listens.
    pub(super) fn in_background(mut self) -> Self {
        self.news = None;
        self.fetch.news = None;
        // What is sent meanwhile is better than an error, which would take its place.
        self.fetch.covers = true;
        self
    }
}

impl Look<'_> {
    #[allow(
        clippy::too_many_arguments,
        reason = "one call, of what one decision knows"
    )]
    pub(super) fn order(
        &self,
        cx: &Ctx,
        fields: &HeaderMap,
        place: Place,
        lead: Lead,
        stale: Option<Found>,
        ask: Option<Ask>,
        why: Forward,
    ) -> Order {
        let mut edits: Vec<_> = CLIENT_CONDITIONS
            .iter()
            .filter(|name| fields.contains_key(*name))
            .map(|name| (name.clone(), None))
            .collect();
        if self.plan.policy.vary.normalise_encoding && fields.contains_key(ACCEPT_ENCODING) {
            let set = Encodings::of_request(fields).canonical();
            let value = (!set.is_empty()).then(|| HeaderValue::from_static(set));
            edits.push((ACCEPT_ENCODING, value));
        }
        let mut asks = false;
        if let Some(found) = &stale {
            let head = found.hit.head();
            for (name, value) in Validators::of_stored(&head.fields, &head.meta).fields() {
                asks = true;
                edits.push((name, Some(value.clone())));
            }
        }
        let request = Request {
            method: &Method::GET,
            fields,
            target_bytes: cx.raw().len(),
            has_body: false,
            identity: Identity::None,
        };
        let (sender, news) = mpsc::channel(NEWS);
        let note = Arc::new(Note::default());
        let fetch = Fetch {
            shared: Arc::clone(self.shared),
            route: Arc::clone(self.route),
            key: self.key.clone(),
            // A HEAD is asked as a GET: what comes is for both.
            asked: Asked {
                verb: Verb::Get,
                ..self.asked
            },
            odd: request.is_odd(),
            fields: fields.clone(),
            asks,
            covers: ask.is_some_and(|ask| ask.stale_if_error),
            stale,
            why,
            start: self.shared.store().start(),
            begun: self.shared.now(),
            place,
            lead: Some(lead),
            news: Listener::of(sender),
            note: Arc::clone(&note),
            state: State::Head,
        };
        if fetch.covers && fetch.stale.is_some() {
            note.covered();
        }
        if let Some(cache) = &self.route.cache {
            cache.metrics.forwarded(why);
        }
        Order {
            edits,
            fetch,
            context: Box::new(Ctx::fetching(cx, Arc::clone(&note))),
            news: Some(news),
            note,
        }
    }
}
