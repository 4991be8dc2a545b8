//! What the cache did with requests and responses: three closed sets, behind metrics, the access log, Cache-Status and
//! the documents.

use super::closed_set::closed_set;

closed_set! {
    /// How a request on a route with a cache was answered.
    CacheAnswer {
        /// True if no byte of the body came from the origin for this request.
        saves_origin: bool,
    }
    Hit "hit" "From what was stored, fresh." true;
    Collapsed "collapsed" "From what another request was just fetching." true;
    Stale "stale" "From what was stored, stale: while it is renewed in the background, because the client takes it so, or because the origin failed." true;
    Revalidated "revalidated" "From what was stored, after the origin had confirmed it with a 304." true;
    Miss "miss" "By the origin; the answer was stored or could not be." false;
    Bypass "bypass" "By the origin, past the cache: another method, a condition that only the origin can answer, a key whose answers cannot be stored." false;
    Refused "refused" "With 504: the client wanted nothing but a stored response, and there was none." true;
    Failed "failed" "With an error of ours: the origin failed, and nothing stored could stand in." false;
}

closed_set! {
    /// Why the origin is asked (RFC 9211 section 2.2); the tokens are those of Cache-Status.
    Forward {}
    Bypass "bypass" "The route has no cache, or the request is none for it.";
    Method "method" "The method.";
    UriMiss "uri-miss" "Nothing is stored under this key.";
    VaryMiss "vary-miss" "Something is, but for other request fields.";
    Miss "miss" "Something is, but a purge or a collision keeps it out; or it is not known what was missing.";
    Request "request" "The request asked for it.";
    Stale "stale" "What is stored is stale.";
    Partial "partial" "What is stored is a part.";
}

closed_set! {
    /// Why a response is not stored. The request's reasons first, then the response's, then the store's.
    Refusal {
        /// True if the next response to the same key will probably be refused too, whoever asks. Only then clients need
        /// not queue behind each other. What the request brought about is never remembered: else one odd request could
        /// switch the cache off for a URL.
        lasts: bool,
    }
    Method "method" "The request's method is not GET." false;
    RequestBody "request-body" "The request has a body." false;
    RequestCondition "request-condition" "The request has a condition that only the origin can answer." false;
    RequestNoStore "request-no-store" "The request said `no-store`." false;
    OddRequest "odd-request" "An error that an odd request drew." false;
    Partial "partial" "An interim response, a 206 or a 304: not a whole response." false;
    NoStore "no-store" "The response says `no-store`." true;
    Private "private" "The response says `private`." true;
    NotUnderstood "not-understood" "`must-understand` with a status we do not know." true;
    Authenticated "authenticated" "The request was authenticated, and the response does not say that it is for all." false;
    VaryAny "vary-any" "`Vary: *`, or a Vary that cannot be read." true;
    VaryClient "vary-client" "`Vary: Cookie` or `Vary: User-Agent` that the key does not hold." true;
    VaryMany "vary-many" "Vary has too many names." true;
    SetCookie "set-cookie" "Set-Cookie, and the policy says `bypass`." true;
    ContentType "content-type" "The type of the content does not fit the extension of the path." true;
    Tags "tags" "More tags than can be kept, or too long ones." true;
    TooLarge "too-large" "Larger than the policy's `max_object`, or than the store takes." true;
    NoFreshness "no-freshness" "Nobody said how long it may be reused." true;
    Stale "stale" "Stale when it came, and nothing to confirm it with." true;
    Invalidated "invalidated" "A purge, or an accepted unsafe request for the same URL, came while it was fetched." false;
    Incomplete "incomplete" "The origin ended it before its end." false;
    StandIn "stand-in" "It came from an upstream that stands in for the route's." false;
}

/// The three tables as Markdown, for the generated reference.
pub fn cache_markdown() -> String {
    let mut out = String::from(
        "How a request was answered (`cache` in the access log, `answer` of metrics):\n\n| answer | saves the origin the body | meaning |\n|---|---|---|\n",
    );
    for answer in CacheAnswer::ALL {
        let saves = if answer.saves_origin() { "yes" } else { "no" };
        out.push_str(&format!("| `{answer}` | {saves} | {} |\n", answer.help()));
    }
    out.push_str(
        "\nWhy the origin was asked (`cache_forward`, `why` of forwards, `fwd=` of Cache-Status):\n\n| why | meaning |\n|---|---|\n",
    );
    for forward in Forward::ALL {
        out.push_str(&format!("| `{forward}` | {} |\n", forward.help()));
    }
    out.push_str(
        "\nWhy an answer was not stored (`cache_detail`, `why` of refusals, `detail=` of Cache-Status):\n\n| why | remembered of the key | meaning |\n|---|---|---|\n",
    );
    for refusal in Refusal::ALL {
        let lasts = if refusal.lasts() { "yes" } else { "no" };
        out.push_str(&format!("| `{refusal}` | {lasts} | {} |\n", refusal.help()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_a_row_for_each_word() {
        let text = cache_markdown();
        let words = [CacheAnswer::TOKENS, Forward::TOKENS, Refusal::TOKENS];
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(
            rows.count(),
            words.iter().map(|set| set.len()).sum::<usize>()
        );
        // A table of Markdown ends where a cell has a bar of its own.
        let widths = text.lines().filter(|line| line.starts_with("| `"));
        assert!(
            widths
                .clone()
                .all(|row| (3..=4).contains(&row.matches('|').count()))
        );
        for (index, token) in Refusal::TOKENS.iter().enumerate() {
            assert_eq!(Refusal::ALL[index].as_str(), *token);
            assert_eq!(Refusal::ALL[index].index(), index);
        }
    }
}
