//! Sending the client elsewhere.

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::template::{Part, Template};
use farmgate_plugin_api::{Answer, Facts, Filter, Phases, Reply, Source};
use http::{HeaderValue, StatusCode, header};

/// Redirects every request it sees.
#[derive(Debug)]
pub(super) struct RedirectFilter {
    pub(super) to: Template,
    pub(super) status: StatusCode,
    /// Append the client's query.
    pub(super) keep_query: bool,
    /// Leave requests alone that came over TLS.
    pub(super) only_plain: bool,
}

impl Filter for RedirectFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn captures(&self) -> Vec<&str> {
        self.to.captures().collect()
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if self.only_plain && request.scheme() == "https" {
            return Answer::CONTINUE;
        }
        let Some(location) = self.location(&*request) else {
            let status = StatusCode::BAD_REQUEST;
            return Answer::reply(Reply::problem(status, "redirect_refused"));
        };
        Answer::reply(Reply::new(self.status, "redirect").header(header::LOCATION, location))
    }
}

impl RedirectFilter {
    /// The new place; none when the request's values make no safe one.
    fn location(&self, facts: &dyn Facts) -> Option<HeaderValue> {
        if self.uses(&Source::Path) && !facts.path().starts_with('/') {
            return None;
        }
        if self.uses(&Source::Host) && !is_host(facts.host()) {
            return None;
        }
        let mut out = String::with_capacity(128);
        self.to.render_url(facts, &mut out);
        if out.starts_with('/') {
            // `//name` and `/\name` are read as another host by browsers.
            let rest = out.trim_start_matches(['/', '\\']).len();
            let slashes = out.len() - rest;
            if slashes > 1 {
                out.replace_range(..slashes, "/");
            }
        }
        if self.keep_query
            && let Some(query) = facts.query()
        {
            out.push('?');
            out.push_str(query);
        }
        HeaderValue::from_maybe_shared(Bytes::from(out)).ok()
    }

    fn uses(&self, source: &Source) -> bool {
        let mut parts = self.to.parts().iter();
        parts.any(|part| matches!(part, Part::Source(used) if used == source))
    }
}

/// True for a host that can stand in a URL: an empty one would turn the path into a host.
fn is_host(host: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !host.is_empty() && host.bytes().all(legal)
}
