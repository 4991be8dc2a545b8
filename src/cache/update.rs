//! What a 304 tells about a stored response (RFC 9111 sections 3.2 and 4.3.4).

use http::HeaderValue;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, SET_COOKIE,
};

use super::fields;
use super::freshness::Received;
use super::meta::Flags;
use super::meta::head::StoredHead;
use super::policy::{Policy, SetCookie};
use super::shared::compress::Wanted;
use super::storable::{Refusal, Response, plan};

/// Fields that describe the stored bytes: a 304 has no bytes, so it cannot change them. RFC 9111 section 3.2 names
/// Content-Length and leaves the rest to what the cache depends on.
static OF_THE_BODY: [HeaderName; 9] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("accept-ranges"),
];

/// Replaces the fields of a stored response by those of a 304 to our own validators: every field the 304 has, all its
/// lines, except those of the connection and those that describe the stored bytes. What it does not have stays.
///
/// A 304 whose ETag differs from the stored one confirms it nevertheless: we ask with one tag, so there is nothing
/// else it could have confirmed. The stored tag stays, as it names the stored bytes.
pub fn merge(stored: &HeaderMap, mut not_modified: HeaderMap) -> HeaderMap {
    fields::strip(&mut not_modified, &[]);
    for name in &OF_THE_BODY {
        // A tag or the like where there was none is news about these bytes, except where it speaks of other ones.
        let news = *name == ETAG && !stored.contains_key(ETAG);
        if !news {
            not_modified.remove(name);
        }
    }
    let mut merged = HeaderMap::with_capacity(stored.len() + not_modified.len());
    for (name, value) in stored {
        if !not_modified.contains_key(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &not_modified {
        merged.append(name.clone(), value.clone());
    }
    merged
}

/// A stored response after a 304 to our own validators, judged anew: the 304 may forbid what was permitted before, and
/// then the object goes. `authenticated` is of the request that was answered with 304.
///
/// Set-Cookie of a 304 is for the client that asked; it enters the stored copy only where the policy keeps cookies. A 304
/// without a Date was made when it came: the stored Date would make the confirmed response as old as before.
///
/// # Errors
/// Why it may not be stored any longer; the merged fields still answer the request that asked.
pub fn confirm(
    stored: &StoredHead,
    mut not_modified: HeaderMap,
    received: Received,
    authenticated: bool,
    policy: &Policy,
) -> Result<StoredHead, (Refusal, HeaderMap)> {
    if policy.set_cookie != SetCookie::Keep {
        not_modified.remove(SET_COOKIE);
    }
    fields::ensure_date(&mut not_modified, received.wall_s);
    // Its Age counts for the new lifetime, though it is not kept as a field.
    let ages: Vec<HeaderValue> = not_modified.get_all(AGE).iter().cloned().collect();
    let mut merged = merge(&stored.fields, not_modified);
    for age in ages {
        merged.append(AGE, age);
    }
    let Some(key) = stored.key.read() else {
        // Cannot be: the key was read when the object was found.
        return Err((Refusal::Partial, merged));
    };
    let response = Response {
        status: stored.status,
        fields: &merged,
        received,
    };
    let authenticated = authenticated || stored.meta.flags.has(Flags::AUTHENTICATED);
    match plan(authenticated, &response, &key, policy) {
        Ok(plan) => {
            fields::strip(&mut merged, &plan.left_out);
            Ok(StoredHead {
                meta: plan.meta,
                status: stored.status,
                fields: merged,
                key: stored.key.clone(),
                variants: None,
                wanted: Wanted::default(),
            })
        }
        Err(refusal) => {
            merged.remove(AGE);
            Err((refusal, merged))
        }
    }
}

#[cfg(test)]
mod tests;
