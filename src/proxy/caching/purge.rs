//! PURGE: what an allowed client of a route may take out of the cache.

use std::fmt::Write as _;

use farmgate_plugin_api::Reply;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::cache::purge::{LONGEST_TAG, MOST_TAGS};
use crate::cache::shared::{Kind, Scope};
use crate::cache::{SharedCache, purge};
use crate::proxy::ctx::Ctx;
use crate::proxy::exchange::scheme;

/// The method.
const PURGE: &str = "PURGE";
/// What of the URL is meant: `url` (the default), `prefix`, `host`, `all`.
const SCOPE: HeaderName = HeaderName::from_static("purge-scope");
/// Tags instead of the URL.
const TAG: HeaderName = HeaderName::from_static("purge-tag");
/// `1`: what is purged becomes stale, and may stand in for errors.
const SOFT: HeaderName = HeaderName::from_static("purge-soft");

/// True for a request that is none for the origin: a PURGE on a route that says who may send it.
pub fn is_purge(cx: &Ctx) -> bool {
    let route = cx.route.as_deref();
    route.is_some_and(|route| route.purge.is_some()) && cx.method.as_str() == PURGE
}

/// Purges, and says so once that survives a crash.
pub async fn answer(cx: &Ctx, fields: &HeaderMap) -> Box<Reply> {
    let rights = cx.route.as_deref().and_then(|route| route.purge.as_ref());
    let rights = rights.filter(|rights| rights.from.iter().any(|net| net.contains(cx.client)));
    let Some(rights) = rights else {
        let mut reply = problem(StatusCode::METHOD_NOT_ALLOWED, "purge_not_allowed");
        reply
            .headers
            .push((http::header::ALLOW, HeaderValue::from_static("GET, HEAD")));
        return reply;
    };
    let (Some(shared), Some(query)) = (
        cx.start.snapshot.cache.as_deref(),
        cx.route.as_deref().and_then(|route| route.cache.as_ref()),
    ) else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "no_cache");
    };
    let host = super::key_host(cx);
    let wanted = scopes(fields);
    let may = match &wanted {
        Err(_) => true,
        Ok(Wanted::Tags(_)) => rights.tag,
        Ok(Wanted::All) => rights.all,
        Ok(Wanted::Host) => rights.host,
        Ok(Wanted::Prefix) => rights.prefix,
        Ok(Wanted::Url) => rights.url,
    };
    if !may {
        return problem(StatusCode::FORBIDDEN, "purge_scope_not_allowed");
    }
    let scopes = match wanted {
        Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
        Ok(Wanted::Tags(tags)) => tags,
        Ok(Wanted::All) => vec![Scope::All],
        Ok(Wanted::Host) => vec![purge::host(&host)],
        Ok(Wanted::Prefix) => vec![purge::prefix(&host, cx.path())],
        Ok(Wanted::Url) => vec![purge::url(
            scheme(cx),
            &host,
            cx.path(),
            cx.query(),
            &query.plan.policy.key.query,
        )],
    };
    let kind = match fields.get(SOFT).map(HeaderValue::as_bytes) {
        Some(b"1") => Kind::Soft,
        _ => Kind::Hard,
    };
    run(shared, &scopes, kind).await
}

/// Purges scopes and waits for the journal, and for the other processes of the node.
async fn run(shared: &SharedCache, scopes: &[Scope], kind: Kind) -> Box<Reply> {
    let Ok(ordered) = shared.purge_all(scopes, kind).await else {
        let mut reply = problem(StatusCode::SERVICE_UNAVAILABLE, "purge_handing_over");
        let soon = HeaderValue::from_static("1");
        reply.headers.push((http::header::RETRY_AFTER, soon));
        return reply;
    };
    if ordered.journal.is_err() {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "purge_not_journalled");
    }
    if let Err(why) = ordered.others {
        log::warn!("a purge is in force in this process, and perhaps not in another one: {why}");
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "purge_not_confirmed");
    }
    let word = match kind {
        Kind::Hard => "hard",
        Kind::Soft => "soft",
    };
    let mut body = String::with_capacity(64);
    // Writing to a String cannot fail.
    let _ = writeln!(
        body,
        "{{\"purged\":{},\"kind\":\"{word}\",\"number\":{}}}",
        scopes.len(),
        ordered.number
    );
    let json = HeaderValue::from_static("application/json");
    Box::new(
        Reply::new(StatusCode::OK, "purge")
            .header(CONTENT_TYPE, json)
            .body(body),
    )
}

enum Wanted {
    Url,
    Prefix,
    Host,
    All,
    Tags(Vec<Scope>),
}

fn scopes(fields: &HeaderMap) -> Result<Wanted, &'static str> {
    if fields.contains_key(TAG) {
        let lines = fields.get_all(TAG).iter();
        let tags = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let tags: Vec<&[u8]> = tags
            .map(<[u8]>::trim_ascii)
            .filter(|tag| !tag.is_empty())
            .collect();
        let bounded = tags.len() <= MOST_TAGS && tags.iter().all(|tag| tag.len() <= LONGEST_TAG);
        if tags.is_empty() || !bounded {
            return Err("purge_tags");
        }
        return Ok(Wanted::Tags(tags.into_iter().map(purge::tag).collect()));
    }
    match fields.get(SCOPE).map(HeaderValue::as_bytes) {
        None | Some(b"url") => Ok(Wanted::Url),
        Some(b"prefix") => Ok(Wanted::Prefix),
        Some(b"host") => Ok(Wanted::Host),
        Some(b"all") => Ok(Wanted::All),
        Some(_) => Err("purge_scope"),
    }
}

fn problem(status: StatusCode, detail: &'static str) -> Box<Reply> {
    let mut reply = Reply::new(status, detail);
    reply.problem = true;
    Box::new(reply)
}
