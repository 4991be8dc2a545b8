//! What requests are checked against: an OpenAPI document, or one schema for bodies.

use farmgate_plugin_api::Facts;
use http::{Method, header};

use super::body::{BodyRule, Chosen, MediaRule};
use super::document;
use super::fault::{Fault, Faults, Place, Reason, Refusal};
use super::json::Bounds;
use super::media::{Range, Reader};
use super::openapi::hint::Hint;
use super::openapi::parameter::Query;
use super::openapi::{self, OpenApi, Operation};
use super::schemas::Schemas;

/// What a file says of requests.
#[derive(Debug)]
pub(super) enum Contract {
    OpenApi(OpenApi),
    /// The rule for bodies of these methods.
    Body(Box<[Method]>, BodyRule),
}

/// What the configuration says beside the file.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) bounds: Bounds,
    pub(super) most_errors: usize,
    /// What stands before the paths of the document, without a closing slash.
    pub(super) base_path: Box<str>,
    pub(super) refuse_unknown: bool,
    pub(super) refuse_unknown_query: bool,
}

/// Where the rule for a body stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Path item and operation; none in a contract for bodies alone.
    at: Option<(usize, usize)>,
    pub(super) chosen: Option<Chosen>,
}

/// What a request's head says.
#[derive(Debug)]
pub(super) enum Head {
    /// The contract does not know it, and that is no fault.
    Unknown,
    /// It is as it should be, and no rule looks at its body.
    Valid,
    /// So far it is, and its body is to be looked at.
    Body(Pending),
    Refused(Box<Refusal>),
}

/// Compiles a file with an OpenAPI document.
///
/// # Errors
/// What is wrong with it, with the place in it.
pub(super) fn compile_openapi(bytes: &[u8], formats: bool) -> Result<Contract, String> {
    let document = document::parse(bytes)?;
    let schemas = Schemas::new(&document, formats)?;
    openapi::compile(&schemas).map(Contract::OpenApi)
}

/// Compiles a file with a JSON Schema.
///
/// # Errors
/// What is wrong with it, with the place in it.
pub(super) fn compile_schema(
    bytes: &[u8],
    formats: bool,
    methods: &[Method],
    ranges: &[Range],
    required: bool,
) -> Result<Contract, String> {
    let document = document::parse(bytes)?;
    let schemas = Schemas::new(&document, formats)?;
    let media = ranges.iter().map(|range| {
        Ok(MediaRule {
            range: range.clone(),
            reader: None,
            hint: Hint::of(&schemas, ""),
            schema: Some(schemas.compile("")?),
        })
    });
    let media = media.collect::<Result<_, String>>()?;
    Ok(Contract::Body(methods.into(), BodyRule { required, media }))
}

impl Contract {
    /// Looks at everything but the body.
    pub(super) fn head(&self, facts: &dyn Facts, rules: &Rules) -> Head {
        let (at, operation) = match self {
            Self::Body(methods, rule) => {
                if !methods.contains(facts.method()) {
                    return Head::Unknown;
                }
                return body_of(rule, None, facts);
            }
            Self::OpenApi(all) => match all.find(facts, rules) {
                Ok(Some((at, operation, captured))) => {
                    if let Some(refusal) = operation.check(facts, &captured, rules) {
                        return Head::Refused(Box::new(refusal));
                    }
                    (at, operation)
                }
                Ok(None) => return Head::Unknown,
                Err(refusal) => return Head::Refused(refusal),
            },
        };
        match &operation.body {
            Some(rule) => body_of(rule, Some(at), facts),
            None => Head::Valid,
        }
    }

    /// Looks at a body.
    pub(super) fn body(&self, pending: Pending, body: &[u8], rules: &Rules) -> Option<Refusal> {
        let rule = match (self, pending.at) {
            (Self::Body(_, rule), _) => rule,
            (Self::OpenApi(all), Some((item, operation))) => {
                let (_, operation) = all.items.get(item)?.operations.get(operation)?;
                operation.body.as_ref()?
            }
            (Self::OpenApi(_), None) => return None,
        };
        rule.check(pending.chosen, body, rules.bounds, rules.most_errors)
    }
}

fn body_of(rule: &BodyRule, at: Option<(usize, usize)>, facts: &dyn Facts) -> Head {
    let chosen = match rule.choose(facts.headers()) {
        Ok(chosen) => chosen,
        Err(refusal) => return Head::Refused(refusal),
    };
    if chosen.is_some_and(|chosen| chosen.reader == Reader::Opaque) {
        let length = facts.headers().get(header::CONTENT_LENGTH);
        let is_empty = length.is_some_and(|length| length.as_bytes() == b"0");
        return match is_empty && rule.required {
            true => Head::Refused(Box::new(Refusal::plain(Reason::BodyMissing))),
            false => Head::Valid,
        };
    }
    Head::Body(Pending { at, chosen })
}

type Found<'a, 'p> = ((usize, usize), &'a Operation, Vec<&'p str>);

impl OpenApi {
    /// The operation of a request; none if there is none and that is no fault.
    fn find<'a, 'p>(
        &'a self,
        facts: &'p dyn Facts,
        rules: &Rules,
    ) -> Result<Option<Found<'a, 'p>>, Box<Refusal>> {
        let unknown = |refusal: Refusal| match rules.refuse_unknown {
            true => Err(Box::new(refusal)),
            false => Ok(None),
        };
        let path = facts.path().strip_prefix(&*rules.base_path);
        let path = match path {
            Some("") => Some("/"),
            other => other,
        };
        let found = path.and_then(|path| self.paths.find(path));
        let Some((at, captured)) = found else {
            return unknown(Refusal::plain(Reason::UnknownPath));
        };
        let Some(item) = self.items.get(at) else {
            return unknown(Refusal::plain(Reason::UnknownPath));
        };
        let Some(operation) = item.operation(facts.method()) else {
            return unknown(Refusal {
                allow: item.allow.clone(),
                ..Refusal::plain(Reason::UnknownMethod)
            });
        };
        let mut all = item.operations.iter();
        let index = all.position(|(_, own)| std::ptr::eq(own, operation));
        Ok(Some(((at, index.unwrap_or(0)), operation, captured)))
    }
}

impl Operation {
    /// Checks the parameters.
    fn check(&self, facts: &dyn Facts, captured: &[&str], rules: &Rules) -> Option<Refusal> {
        let mut faults = Faults::new(rules.most_errors);
        let query = Query::parse(facts.query());
        let in_path = captured.iter().copied().map(Some);
        let texts = in_path.take(self.in_path).chain(std::iter::repeat(None));
        for (parameter, text) in self.parameters.iter().zip(texts) {
            parameter.check(facts, &query, text, rules.bounds, &mut faults);
        }
        let mut reason = Reason::Parameter;
        if rules.refuse_unknown_query {
            let is_known = |name: &str| self.parameters.iter().any(|one| one.takes(name));
            for name in query.names().filter(|name| !is_known(name)) {
                if faults.all.is_empty() {
                    reason = Reason::UnknownQuery;
                }
                let detail = "there is no such parameter";
                faults.push(Fault::own(Place::Query, name, "", "unknown", detail));
            }
        }
        faults.refusal(reason)
    }
}
