//! A fetch: what becomes of the origin's answer, piece by piece. A task of its own drives it; see [`super`].

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::Reply;
use http::StatusCode;
use http::header::{AGE, HeaderMap, SET_COOKIE, TRANSFER_ENCODING};
use tokio::sync::mpsc;

use super::deliver::{Delivery, Said};
use super::note::Note;
use crate::cache::asked::Asked;
use crate::cache::freshness::Received;
use crate::cache::key::Key;
use crate::cache::meta::head::{MOST_FIELDS, StoredHead};
use crate::cache::policy::SetCookie;
use crate::cache::serve::{Forward, is_error};
use crate::cache::shared::compress::Wanted;
use crate::cache::shared::keep::Keep;
use crate::cache::shared::{Fill, Finished, Found, Landed, Lead, NotStored, Place, Reader, Stamp};
use crate::cache::storable::{self, Refusal, Response};
use crate::cache::unstored::Unstored;
use crate::cache::{Now, SharedCache, fields, update};
use crate::snapshot::{CachePlan, Route};
use crate::telemetry::Reason;

/// What a fetch tells the request that it was begun for.
pub enum News {
    /// An interim response (RFC 9110 section 15.2).
    Interim(StatusCode, HeaderMap),
    /// It is being stored, or was confirmed: send this.
    Send(Box<Delivery>),
    /// It is not stored: here is its head, the body follows as [`News::Piece`] up to [`News::End`].
    Pass(Box<Passing>),
    /// A piece of it.
    Piece(Bytes),
    /// Its end.
    End(Option<HeaderMap>),
    /// A plugin answered instead of the origin.
    Reply(Box<Reply>),
    /// The origin failed, with this status if it answered, and this may stand in.
    Stale(Found, Option<StatusCode>),
    /// The origin failed.
    Failed(Reason),
}

/// A response that goes past the store.
pub struct Passing {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Why it is not stored.
    pub why: Refusal,
}

/// Whoever the fetch was begun for, while it listens. A place for the last word is kept from the start.
pub(super) struct Listener {
    news: mpsc::Sender<News>,
    last: Option<mpsc::OwnedPermit<News>>,
}

impl Listener {
    pub(super) fn of(news: mpsc::Sender<News>) -> Option<Self> {
        let last = news.clone().try_reserve_owned().ok();
        Some(Self { news, last })
    }

    fn last(&mut self, news: News) {
        if let Some(permit) = self.last.take() {
            drop(permit.send(news));
        }
    }
}

pub(super) enum State {
    /// Its head has not come.
    Head,
    /// It is stored.
    Filling(Box<Fill>),
    /// It goes past the store.
    Passing,
    /// What comes still is of no use.
    Over,
}

/// What becomes of the answer of an origin.
pub struct Fetch {
    pub(super) shared: Arc<SharedCache>,
    pub(super) route: Arc<Route>,
    pub(super) key: Key,
    pub(super) asked: Asked,
    pub(super) odd: bool,
    /// The client's fields: what tells its variant.
    pub(super) fields: HeaderMap,
    /// It was asked with our validators.
    pub(super) asks: bool,
    /// What is stored may stand in for an error.
    pub(super) covers: bool,
    pub(super) stale: Option<Found>,
    pub(super) why: Forward,
    /// When the origin was asked, in the order of fills and purges.
    pub(super) start: Stamp,
    pub(super) begun: Now,
    pub(super) place: Place,
    pub(super) lead: Option<Lead>,
    pub(super) news: Option<Listener>,
    pub(super) note: Arc<Note>,
    pub(super) state: State,
}

/// Nobody wants the rest.
#[derive(Clone, Copy, Debug)]
pub struct Unwanted;

impl Fetch {
    fn plan(&self) -> Option<Arc<CachePlan>> {
        let cache = self.route.cache.as_ref()?;
        Some(Arc::clone(&cache.plan))
    }

    /// A head came, interim or final.
    ///
    /// # Errors
    /// Nobody wants the body.
    pub async fn head(&mut self, status: StatusCode, head: HeaderMap) -> Result<(), Unwanted> {
        if status.is_informational() {
            if let Some(listener) = &self.news {
                // Whoever left does not miss it.
                drop(listener.news.send(News::Interim(status, head)).await);
            }
            return Ok(());
        }
        let Some(plan) = self.plan() else {
            return Err(Unwanted);
        };
        let now = self.shared.now();
        let received = Received {
            request_ms: self.begun.cache_ms,
            response_ms: now.cache_ms,
            wall_s: now.wall_s,
        };
        self.note.headed();
        if status == StatusCode::NOT_MODIFIED && self.asks {
            self.confirm(&plan, head, received, now);
            return Ok(());
        }
        if is_error(status) && self.covers {
            self.land(Landed::Error);
            self.state = State::Over;
            if let Some(stale) = self.stale.take() {
                self.tell_last(News::Stale(stale, Some(status)));
            }
            return Ok(());
        }
        let kept = match self.note.stands_in() {
            false => self.keep(&plan, status, &head, received, now).await,
            true => Err(Refusal::StandIn),
        };
        match kept {
            Ok(()) => Ok(()),
            Err(why) => self.pass(&plan, status, head, why, now).await,
        }
    }

    /// A 304 to our own question: what is stored is good, or not to be used any longer.
    fn confirm(&mut self, plan: &CachePlan, head: HeaderMap, received: Received, now: Now) {
        self.state = State::Over;
        let Some(stale) = self.stale.take() else {
            return;
        };
        let stored = Arc::clone(stale.hit.head());
        let cookies: Vec<_> = head.get_all(SET_COOKIE).iter().cloned().collect();
        let confirmed = update::confirm(
            &stored,
            head,
            received,
            self.asked.authenticated,
            &plan.policy,
        );
        let doomed = self.lead.as_ref().is_some_and(Lead::is_doomed);
        let said = Said {
            forward: Some(self.why),
            forward_status: Some(StatusCode::NOT_MODIFIED.as_u16()),
            ..Said::default()
        };
        let delivery = match confirmed {
            Ok(head) => {
                let id = stale.hit.id();
                let stored = !doomed
                    && self
                        .shared
                        .store()
                        .update_head(&stale.key, id, head.clone(), self.start);
                let said = Said { stored, ..said }.with_ttl(&head.meta, now);
                let mut own = head.fields.clone();
                if plan.policy.set_cookie == SetCookie::Bypass {
                    // It speaks to the client that asked, and is not kept.
                    for cookie in cookies {
                        own.append(SET_COOKIE, cookie);
                    }
                }
                Delivery::confirmed(stale.hit, Arc::new(head), said, now).with_own(own)
            }
            Err((why, merged)) => {
                // What lies in the request says nothing about what is stored.
                if why.lasts() {
                    self.shared.forget(&stale);
                }
                self.refused(plan, why, now);
                let head = StoredHead {
                    fields: merged,
                    ..(*stored).clone()
                };
                let said = Said {
                    detail: Some(why.as_str()),
                    ..said
                };
                Delivery::confirmed(stale.hit, Arc::new(head), said, now)
            }
        };
        self.land(if doomed {
            Landed::Unshared
        } else {
            Landed::Look
        });
        self.tell_last(News::Send(Box::new(delivery)));
    }

    /// Begins to store the response, if that may be.
    async fn keep(
        &mut self,
        plan: &CachePlan,
        status: StatusCode,
        head: &HeaderMap,
        received: Received,
        now: Now,
    ) -> Result<(), Refusal> {
        let policy = &plan.policy;
        let view = self.key.read().ok_or(Refusal::Partial)?;
        let response = Response {
            status,
            fields: head,
            received,
        };
        let judged = storable::judge(&self.asked, self.odd, &response, &view, policy)?;
        if self.lead.as_ref().is_some_and(Lead::is_doomed) {
            return Err(Refusal::Invalidated);
        }
        if head.len() > MOST_FIELDS {
            return Err(Refusal::TooLarge);
        }
        let length = storable::content_length(head);
        if length.is_some_and(|length| length > self.shared.store().most_body_bytes()) {
            return Err(Refusal::TooLarge);
        }
        let mut own = head.clone();
        own.remove(TRANSFER_ENCODING);
        own.remove(AGE);
        if policy.set_cookie == SetCookie::Strip {
            own.remove(SET_COOKIE);
        }
        let mut kept = head.clone();
        fields::strip(&mut kept, &judged.left_out);
        fields::ensure_date(&mut kept, now.wall_s);
        let head = StoredHead {
            meta: judged.meta,
            status,
            fields: kept,
            key: self.key.clone(),
            variants: None,
            wanted: Wanted::default(),
        };
        let keep = Keep {
            fields: &self.fields,
            rules: &policy.vary,
            start: self.start,
            length,
            most_bytes: policy.max_object_bytes,
            disk_uses: plan.min_uses_disk,
        };
        let mut said = Said {
            forward: Some(self.why),
            forward_status: self.stale.is_some().then_some(status.as_u16()),
            stored: true,
            ..Said::default()
        }
        .with_ttl(&head.meta, now);
        let (fill, place) = self.shared.keep(head, &keep).await?;
        // An unsafe request that was accepted since the look above found nothing here to take back. Others may read it
        // already, so it is sent to its end, and not stored. The list of variants may have been written again by us.
        if self.lead.as_ref().is_some_and(Lead::is_doomed) {
            said.stored = false;
            self.shared.take_back(&place);
        }
        let Some(hit) = fill.hit().filter(|_| fill.is_kept()) else {
            return Err(Refusal::TooLarge);
        };
        self.place = place;
        self.shared.unstored().forget(&place);
        self.state = State::Filling(Box::new(fill));
        self.land(Landed::Look);
        let delivery = Delivery::fetched(hit, said, now).with_own(own);
        self.tell_last(News::Send(Box::new(delivery)));
        Ok(())
    }

    /// Gives the response to the one who asked, and to nobody else.
    async fn pass(
        &mut self,
        plan: &CachePlan,
        status: StatusCode,
        fields: HeaderMap,
        why: Refusal,
        now: Now,
    ) -> Result<(), Unwanted> {
        self.refused(plan, why, now);
        // What is stored is not what the origin has any longer; but one client's errors, or what it alone gets, say
        // nothing about that.
        let news = !status.is_client_error() || matches!(status.as_u16(), 404 | 410);
        if let Some(stale) = self.stale.take()
            && why.lasts()
            && news
            && !status.is_server_error()
            && !self.asked.authenticated
        {
            self.shared.forget(&stale);
        }
        self.land(Landed::Unshared);
        self.state = State::Passing;
        let passing = Passing {
            status,
            fields,
            why,
        };
        self.tell(News::Pass(Box::new(passing))).await
    }

    fn refused(&self, plan: &CachePlan, why: Refusal, now: Now) {
        if let Some(cache) = &self.route.cache {
            cache.metrics.refused(why);
        }
        // What came for one who said who they are is no word about what others get.
        if !self.asked.authenticated
            && let Some(unstored) = Unstored::remember(why, &plan.policy, now)
        {
            self.shared.unstored().set(self.place, unstored, now);
        }
    }

    /// A piece of the body came.
    ///
    /// # Errors
    /// Nobody wants the rest.
    pub async fn piece(&mut self, piece: Bytes) -> Result<(), Unwanted> {
        match &mut self.state {
            State::Filling(fill) => {
                fill.append(piece);
                if !fill.is_wanted() {
                    self.state = State::Over;
                    return Err(Unwanted);
                }
                fill.room().await;
                Ok(())
            }
            State::Passing => self.tell(News::Piece(piece)).await,
            State::Head | State::Over => Ok(()),
        }
    }

    /// The body ended as it should.
    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Filling(fill) => {
                let why = match fill.finish() {
                    Finished::Stored(_) | Finished::Passed(NotStored::Overtaken) => return,
                    Finished::Passed(NotStored::TooLarge) => Refusal::TooLarge,
                    Finished::Passed(NotStored::Purged) => Refusal::Invalidated,
                    Finished::WrongLength => Refusal::Incomplete,
                };
                if let Some(plan) = self.plan() {
                    self.refused(&plan, why, self.shared.now());
                }
            }
            State::Passing => self.tell_last(News::End(trailers)),
            State::Head => self.state = State::Head,
            State::Over => {}
        }
    }

    async fn tell(&mut self, news: News) -> Result<(), Unwanted> {
        match &self.news {
            Some(listener) => listener.news.send(news).await.map_err(|_| Unwanted),
            None => Err(Unwanted),
        }
    }

    fn tell_last(&mut self, news: News) {
        if let Some(listener) = &mut self.news {
            listener.last(news);
        }
    }

    fn land(&mut self, landed: Landed) {
        if let Some(lead) = self.lead.take() {
            lead.land(landed);
        }
    }

    /// It ended without a head.
    fn failed(&mut self) {
        let (reason, reply) = self.note.take();
        if let Some(reply) = reply {
            self.land(Landed::Unshared);
            self.tell_last(News::Reply(reply));
            return;
        }
        let reason = reason.unwrap_or(Reason::Internal);
        self.land(Landed::Failed(reason));
        match self.stale.take().filter(|_| self.covers) {
            Some(stale) => self.tell_last(News::Stale(stale, None)),
            None => self.tell_last(News::Failed(reason)),
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        match self.state {
            State::Head => self.failed(),
            State::Filling(_) => {
                if let Some(cache) = &self.route.cache {
                    cache.metrics.refused(Refusal::Incomplete);
                }
            }
            // Without its end the listener knows that it was cut.
            State::Passing | State::Over => {}
        }
    }
}

/// A body that is read for one request.
pub type Body = Reader;
