//! Giving requests their variant.

use std::sync::Arc;

use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Counter, CounterBy, Random};
use farmgate_plugin_api::{
    Answer, Credential, Explained, Facts, Filter, Phases, Source, UpstreamRequest,
};
use http::{HeaderName, HeaderValue, header};

use super::cohort::Cohorts;
use super::force::{Asked, Force};
use super::visitor::Visitor;

/// An experiment at work.
pub(super) struct ExperimentFilter {
    pub(super) key: Option<Source>,
    pub(super) visitor: Option<Visitor>,
    pub(super) cohorts: Cohorts,
    /// In the order of the cohorts.
    pub(super) variants: Box<[Variant]>,
    /// The field that carries the variant: one, as it is an identity.
    pub(super) header: [HeaderName; 1],
    pub(super) force: Option<Force>,
    pub(super) credentials: Vec<Credential>,
    pub(super) random: Arc<dyn Random>,
    pub(super) metrics: Metrics,
}

/// One variant.
pub(super) struct Variant {
    pub(super) name: Box<str>,
    pub(super) value: HeaderValue,
    /// What `explain` shows of a request that belongs to it.
    pub(super) note: Box<str>,
    /// What it shows of one that a tester put there.
    pub(super) forced_note: Box<str>,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) assigned: Arc<dyn CounterBy>,
    pub(super) forced: Arc<dyn CounterBy>,
    pub(super) outside: Arc<dyn Counter>,
    pub(super) no_key: Arc<dyn Counter>,
    pub(super) visitors: Arc<dyn Counter>,
    pub(super) not_forced: Arc<dyn Counter>,
}

/// What becomes of a request.
#[derive(Clone, Copy)]
enum Place<'v> {
    /// It belongs to this variant.
    In(&'v Variant),
    /// A tester put it there.
    Forced(&'v Variant),
    /// It takes no part.
    Outside,
}

impl Filter for ExperimentFilter {
    fn phases(&self) -> Phases {
        match self.force {
            Some(_) => Phases::REQUEST_HEAD.and(Phases::UPSTREAM_REQUEST),
            None => Phases::REQUEST_HEAD,
        }
    }

    fn identity_headers(&self) -> &[HeaderName] {
        &self.header
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let place = match self.forced(&*request) {
            Some(variant) => Place::Forced(variant),
            None => match self.belongs(&*request) {
                Some(place) => place,
                None => match &self.visitor {
                    Some(visitor) => self.welcome(visitor, request),
                    None => {
                        self.metrics.no_key.add(1);
                        Place::Outside
                    }
                },
            },
        };
        self.mark(place, request);
        Answer::CONTINUE
    }

    fn upstream_request<'a>(&'a self, request: &'a mut dyn UpstreamRequest) -> Answer<'a> {
        if let Some(force) = &self.force {
            request.edit().remove(&force.header);
        }
        Answer::CONTINUE
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        if let Some(Asked::For(name)) = self.asked(request.facts)
            && let Some(variant) = self.named(name)
        {
            return vec![variant.forced_note.to_string()];
        }
        let text = match self.belongs(request.facts) {
            Some(Place::In(variant) | Place::Forced(variant)) => variant.note.to_string(),
            Some(Place::Outside) => "its key takes no part".to_owned(),
            None if self.visitor.is_some() => {
                "a new visitor: a cookie is set, and its number decides".to_owned()
            }
            None => "it has no key, and takes no part".to_owned(),
        };
        vec![text]
    }
}

impl ExperimentFilter {
    fn asked<'f>(&self, facts: &'f dyn Facts) -> Option<Asked<'f>> {
        self.force.as_ref().map(|force| force.asked(facts))
    }

    fn named(&self, name: &[u8]) -> Option<&Variant> {
        let mut variants = self.variants.iter();
        variants.find(|variant| variant.name.as_bytes() == name)
    }

    /// The variant that a tester asks for.
    fn forced(&self, facts: &dyn Facts) -> Option<&Variant> {
        let named = match self.asked(facts)? {
            Asked::Nothing => return None,
            Asked::For(name) => self.named(name),
            Asked::Unasked => None,
        };
        if named.is_none() {
            self.metrics.not_forced.add(1);
        }
        named
    }

    /// Where a request belongs by its key, or by the cookie that it brings along; none if it has neither.
    fn belongs(&self, facts: &dyn Facts) -> Option<Place<'_>> {
        let by_key = self
            .key
            .as_ref()
            .and_then(|key| key.with_key(facts, |key| (!key.is_empty()).then(|| self.place(key))));
        by_key.flatten().or_else(|| {
            let number = self.visitor.as_ref()?.known(facts)?;
            Some(self.place(number))
        })
    }

    fn place(&self, key: &[u8]) -> Place<'_> {
        let at = self.cohorts.pick(key);
        match at.and_then(|at| self.variants.get(at)) {
            Some(variant) => Place::In(variant),
            None => Place::Outside,
        }
    }

    /// Gives a new visitor a number.
    fn welcome(&self, visitor: &Visitor, request: &mut dyn Request) -> Place<'_> {
        self.metrics.visitors.add(1);
        let number = Visitor::draw(&*self.random);
        if let Some(field) = visitor.field(&number, request.scheme() == "https") {
            request.add_response_header(header::SET_COOKIE, field);
        }
        self.place(number.as_bytes())
    }

    fn mark(&self, place: Place<'_>, request: &mut dyn Request) {
        let [header] = &self.header;
        match place {
            Place::In(variant) => {
                self.metrics.assigned.add(&variant.name, 1);
                request.edit().set(header, variant.value.clone());
                request.note(&variant.note);
            }
            Place::Forced(variant) => {
                self.metrics.forced.add(&variant.name, 1);
                request.edit().set(header, variant.value.clone());
                request.note(&variant.forced_note);
            }
            Place::Outside => {
                self.metrics.outside.add(1);
                // What a client sent was removed already; here only another plugin can have written it.
                request.edit().remove(header);
            }
        }
    }
}
