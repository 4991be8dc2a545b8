//! Changing what the origin is asked for.

use std::borrow::Cow;

use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::source::percent_decode;
use farmgate_plugin_api::template::{Escape, Template, is_pchar, percent_encode};
use farmgate_plugin_api::{Answer, Facts, Filter, Phases, Reply};
use http::StatusCode;
use regex::Regex;

/// Longest target that a rewrite may make, in bytes.
pub(super) const MAX_TARGET_BYTES: usize = 64 * 1024;

/// Rewrites target and host towards the origin.
#[derive(Debug, Default)]
pub(super) struct RewriteFilter {
    pub(super) path: PathEdit,
    pub(super) query_remove: Box<[Box<str>]>,
    pub(super) query_set: Box<[Parameter]>,
    pub(super) host: Option<FieldValue>,
}

/// What happens to the path.
#[derive(Debug, Default)]
pub(super) struct PathEdit {
    /// Replaces the path; the other edits are then empty.
    pub(super) template: Option<Template>,
    /// Without a slash at its end.
    pub(super) strip_prefix: Option<Box<str>>,
    /// Without a slash at its end.
    pub(super) add_prefix: Option<Box<str>>,
    pub(super) regex: Option<(Regex, Box<str>)>,
}

/// A query parameter that is set.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: Box<str>,
    /// The name as it stands in a query.
    pub(super) escaped: Box<str>,
    pub(super) value: Template,
}

impl Filter for RewriteFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn captures(&self) -> Vec<&str> {
        let path = self.path.template.iter().flat_map(Template::captures);
        let query = self.query_set.iter().flat_map(|set| set.value.captures());
        let host = self.host.iter().flat_map(FieldValue::captures);
        path.chain(query).chain(host).collect()
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if self.changes_target() {
            let target = self.target(&*request, request.target());
            match target {
                Some(target) if request.set_target(&target) => {}
                _ => return refuse(),
            }
        }
        if let Some(host) = &self.host {
            match host.make(&*request) {
                Some(host) if is_host(host.as_bytes()) => request.set_upstream_host(host),
                _ => return refuse(),
            }
        }
        Answer::CONTINUE
    }
}

impl RewriteFilter {
    fn changes_target(&self) -> bool {
        self.path.changes() || !self.query_remove.is_empty() || !self.query_set.is_empty()
    }

    /// The new target; none when the request's values would make it invalid.
    fn target(&self, facts: &dyn Facts, old: &str) -> Option<String> {
        let (path, query) = match old.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (old, None),
        };
        let path = self.path.apply(facts, path)?;
        if !is_normal_path(&path) {
            return None;
        }
        let mut out = String::with_capacity(old.len() + 64);
        out.push_str(&path);
        self.append_query(facts, query, &mut out);
        (out.len() <= MAX_TARGET_BYTES).then_some(out)
    }

    fn append_query(&self, facts: &dyn Facts, query: Option<&str>, out: &mut String) {
        let edits = !self.query_remove.is_empty() || !self.query_set.is_empty();
        let Some(query) = query.filter(|_| !edits) else {
            let mut mark = '?';
            for pair in query.unwrap_or_default().split('&') {
                if !pair.is_empty() && !self.drops(pair) {
                    out.push(mark);
                    out.push_str(pair);
                    mark = '&';
                }
            }
            for set in &self.query_set {
                out.push(mark);
                out.push_str(&set.escaped);
                out.push('=');
                set.value.render(facts, Escape::QueryValue, out);
                mark = '&';
            }
            return;
        };
        out.push('?');
        out.push_str(query);
    }

    fn drops(&self, pair: &str) -> bool {
        let key = percent_decode(pair.split('=').next().unwrap_or_default());
        let removed = self.query_remove.iter().map(|name| name.as_bytes());
        let set = self.query_set.iter().map(|set| set.name.as_bytes());
        removed.chain(set).any(|name| *name == *key)
    }
}

impl PathEdit {
    fn changes(&self) -> bool {
        self.template.is_some()
            || self.strip_prefix.is_some()
            || self.add_prefix.is_some()
            || self.regex.is_some()
    }

    fn apply<'p>(&self, facts: &dyn Facts, path: &'p str) -> Option<Cow<'p, str>> {
        if let Some(template) = &self.template {
            let mut out = String::with_capacity(path.len() + 32);
            template.render(facts, Escape::PathSegment, &mut out);
            return Some(Cow::Owned(out));
        }
        let mut path = Cow::Borrowed(path);
        if let Some(prefix) = &self.strip_prefix {
            // Whole segments only: `/v1` is no prefix of `/v10`.
            match path.strip_prefix(&**prefix) {
                Some("") => path = Cow::Borrowed("/"),
                Some(rest) if rest.starts_with('/') => path = Cow::Owned(rest.to_owned()),
                Some(_) | None => {}
            }
        }
        if let Some(prefix) = &self.add_prefix {
            path = Cow::Owned([prefix, &*path].concat());
        }
        if let Some((regex, to)) = &self.regex {
            path = Cow::Owned(replace(regex, to, &path)?);
        }
        Some(path)
    }
}

/// Replaces every match; none when the result is too long. Bytes that no path may hold are escaped,
/// so that a replacement can begin neither a query nor a second request.
fn replace(regex: &Regex, to: &str, path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len() + to.len());
    let mut done = 0;
    for found in regex.captures_iter(path) {
        let whole = found.get(0)?;
        plain.push_str(path.get(done..whole.start())?);
        found.expand(to, &mut plain);
        done = whole.end();
        if plain.len() > MAX_TARGET_BYTES {
            return None;
        }
    }
    plain.push_str(path.get(done..)?);
    let mut out = String::with_capacity(plain.len());
    percent_encode(&plain, true, &mut out, |b| is_pchar(b) || b == b'/');
    Some(out)
}

/// True for a path that begins with `/`, holds only what a path may hold, and has no dot segment,
/// escaped or not (RFC 3986, sections 3.3 and 5.2.4).
pub(super) fn is_normal_path(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|b| is_pchar(b) || matches!(b, b'/' | b'%'))
        && !path.split('/').any(is_dot_segment)
}

fn is_dot_segment(segment: &str) -> bool {
    // `%2e%2e` is the longest way to write one.
    let plain = segment.len() <= 6 && segment.starts_with(['.', '%']);
    plain && matches!(&*percent_decode(segment), b"." | b"..")
}

/// True for what a Host field may hold: a name or address, and a port.
pub(super) fn is_host(host: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
    !host.is_empty() && host.iter().all(legal)
}

/// The client's own values would have led the request out of the path it was given.
fn refuse<'a>() -> Answer<'a> {
    Answer::reply(Reply::problem(StatusCode::BAD_REQUEST, "rewrite_refused"))
}
