//! What protects upstreams, in closed sets of words: the values of metrics' labels, and the rows of documents.

use super::closed_set::closed_set;

closed_set! {
    /// How a first attempt, or the last one of a request, ended.
    Attempt {}
    Good "good" "An answer below 500.";
    ServerError "server_error" "An answer of 500 and above.";
    Failed "failed" "No answer.";
}

closed_set! {
    /// Why an attempt that the rules of retries allow was not made.
    NoRetry {}
    Budget "budget" "The upstream's budget of retries is used up.";
    Time "time" "The pause before it, or what Retry-After wants, does not fit into the time that is left.";
    Body "body" "The request's body is not at hand any more.";
}

closed_set! {
    /// What was done when there was no answer to give.
    FallbackKind {}
    Stale "stale" "What the cache still held.";
    Upstream "upstream" "Another upstream was asked.";
    Reply "reply" "An answer made here.";
}

closed_set! {
    /// Why an endpoint was left out for a while.
    Ejection {}
    Consecutive5xx "consecutive_5xx" "Answers of 500 and above, or none, in a row.";
    ConnectFailures "consecutive_connect_failures" "Connections in a row that could not be made.";
    SuccessRate "success_rate" "Far fewer good answers than its peers.";
    Latency "latency" "Far slower than its peers.";
}

closed_set! {
    /// What endpoints are discovered from.
    SourceKind {}
    Dns "dns" "A name: A, AAAA or SRV records.";
    File "file" "A file.";
    Http "http" "A document fetched over HTTP.";
    Etcd "etcd" "Keys in etcd.";
}

closed_set! {
    /// How a set of discovered endpoints changed.
    Churn {}
    Added "added" "An endpoint came.";
    Removed "removed" "An endpoint went.";
}

closed_set! {
    /// What a breaker came to.
    BreakerChange {}
    Closed "closed" "Requests go through.";
    Open "open" "Nothing is sent.";
    HalfOpen "half_open" "Probes go through.";
}
