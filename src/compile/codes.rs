//! The diagnostics of this chapter: code, title, what to do. The generated reference prints them.

/// A diagnostic that may be met.
pub struct Code {
    /// As `E-ROUTE-001`.
    pub code: &'static str,
    /// What it says, in short.
    pub title: &'static str,
    /// Why it matters and what to do.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $explanation:literal;)*) => {
        $(#[doc = $title] pub const $name: &str = $code;)*
        /// All of them, in order.
        pub const ALL: &[Code] = &[$(Code { code: $code, title: $title, explanation: $explanation },)*];
    };
}

codes! {
    LISTENER_ADDRESS "E-LISTEN-001" "two listeners have the same address" "The address is a listener's identity over reloads; give each its own.";
    LISTENER_NONE "E-LISTEN-002" "there is no listener" "Without a listener nothing is served. Add [[listener]] with a name and an address.";
    LISTENER_PROTOCOL "E-LISTEN-003" "a protocol cannot be served here" "`h2` is agreed on within TLS and needs `tls`; `h2c` is HTTP/2 without TLS by prior knowledge.";
    LISTENER_HEALTH "E-LISTEN-004" "health_path is no path" "It must begin with `/` and be written in normalised form.";
    LISTENER_TRUST "E-LISTEN-005" "PROXY headers are read, but nobody is trusted" "Without trusted_proxies every connection that sends a PROXY header is refused.";
    LISTENER_PHASE "E-LISTEN-006" "a plugin of this place wants the accept phase" "Connections are accepted before a route is known: put the plugin on the listener.";
    LISTENER_TLS "E-LISTEN-007" "a listener refers to a [[tls]] that is not defined" "It must be defined in one of the files loaded together.";
    TLS_CERTIFICATE "E-TLS-001" "a certificate or its key cannot be used" "The message names the file and what is wrong with it. While a node runs, the pair that was read before stays in force.";
    TLS_EXPIRED "E-TLS-002" "a certificate has expired" "It is served all the same, since nothing better is there, but clients refuse it.";
    TLS_EMPTY "E-TLS-003" "a [[tls]] has no certificates" "No handshake could succeed.";
    TLS_DEFAULT "E-TLS-004" "no certificate is for the default name" "`default` is one of the names that stand in the certificates; without it clients without a fitting name are refused.";
    TLS_SECRETS "E-TLS-005" "the secrets of session tickets cannot be used" "One secret of at least 32 bytes a line, newest first, in a file that only its owner may read.";
    TLS_SHADOWED "E-TLS-006" "a certificate is never served for one of its names" "Of two certificates with the same kind of key for one name, the one that lasts longer is served.";
    TLS_FORWARD "E-TLS-007" "identities are forwarded, but no certificate is asked for" "forward_identity says how an origin is told who the client is; client_auth finds that out.";
    TLS_UNUSED "E-TLS-008" "no listener uses this [[tls]]" "It costs nothing, but it may be a typing mistake.";
    TLS_LIBRARY "E-TLS-009" "the TLS library gave up" "It has no memory or no randomness left.";
    TLS_CLIENTS "E-TLS-010" "the authorities or revocation lists of client_auth cannot be used" "The message names the file and what is wrong with it. Every list must be signed by an authority of the bundle.";
    TLS_CLIENT_SAN "E-TLS-011" "a name of client_auth cannot be matched" "A DNS name, `*.` and a name for one label before it, a URI, or a URI that ends in `/*`.";
    TLS_STALE_LIST "E-TLS-012" "a revocation list is over" "Whether a certificate is revoked cannot be known then, so clients of its authority are refused.";
    TLS_OCSP "E-TLS-013" "an OCSP response is not stapled" "Only what a careful client would take is stapled: a good answer about this certificate, signed by its issuer, of now.";
    TLS_ACME "E-TLS-014" "certificates cannot be ordered like this" "The message names the word and what is wrong with it. Nothing is asked of the authority before the node runs.";
    ADMIN_OPEN "E-ADMIN-001" "the admin address is not on loopback and allows nobody" "Say who may ask: allow = [\"10.0.0.0/8\"].";
    UPSTREAM_EMPTY "E-UPSTREAM-001" "an upstream has no endpoint" "Every request to it would get 503.";
    UPSTREAM_ENDPOINT "E-UPSTREAM-002" "an endpoint cannot be used" "Written twice, a weight out of range, or too many of them.";
    UPSTREAM_KEY "E-UPSTREAM-003" "the key of consistent_hash is no source" "Sources are client_ip, host, path, method, global, consumer, consumer.plan, client_san, header:NAME, query:NAME, cookie:NAME.";
    UPSTREAM_UNUSED "E-UPSTREAM-004" "no route uses this upstream" "It costs nothing, but it may be a typing mistake.";
    UPSTREAM_WEIGHT "E-UPSTREAM-005" "all endpoints have weight 0" "None of them would get a request.";
    UPSTREAM_HEALTH "E-UPSTREAM-006" "a check of endpoints cannot be made like this" "The message names the word and what is wrong with it.";
    UPSTREAM_BREAKER "E-UPSTREAM-007" "a word of the breaker does nothing" "The message says what is missing.";
    UPSTREAM_FALLBACK "E-UPSTREAM-008" "a fallback cannot be used" "It is one of stale, upstream and status; upstreams may not fall back to each other in a circle.";
    UPSTREAM_DISCOVERY "E-UPSTREAM-009" "endpoints cannot be discovered like this" "The message names the word and what is wrong with it. No source is asked before the node runs.";
    UPSTREAM_REPLAY "E-UPSTREAM-010" "replay_body is above what can be kept" "At most 64KiB of a body are kept for another attempt.";
    UPSTREAM_PROXY "E-UPSTREAM-011" "proxy_protocol and protocol do not go together" "The header names one client, and HTTP/2 carries requests of many on one connection.";
    UPSTREAM_TLS_CA "E-TLS-101" "the authorities that an upstream believes cannot be read" "Without `ca` the system's are believed. The message names the file and what is wrong with it.";
    UPSTREAM_TLS_CERTIFICATE "E-TLS-102" "the certificate that an upstream's endpoints are shown cannot be used" "Certificate and key must fit, in PEM form, the certificate first; a warning if it has expired.";
    UPSTREAM_TLS_NAME "E-TLS-103" "a name in an upstream's TLS is no name" "sni is one DNS name; san holds DNS names, `*.` and a name, URIs and addresses.";
    UPSTREAM_TLS_UNVERIFIED "E-TLS-104" "an upstream's endpoints are not verified" "TLS without it keeps nobody out who can reach the connection.";
    ROUTE_REFERENCE "E-ROUTE-001" "a route refers to a name that is not defined" "Listeners and upstreams must be defined in one of the files loaded together.";
    ROUTE_HOST "E-ROUTE-002" "a host cannot be matched" "Hosts are exact names, or `*.` and a name for one or more labels before it; no port.";
    ROUTE_PATH "E-ROUTE-003" "a path cannot be matched" "Paths begin with `/`; `{name}` stands for one segment, a closing `/*` for the rest.";
    ROUTE_CONDITION "E-ROUTE-004" "a condition cannot be matched" "Methods and field names are tokens; regexes must compile; { present = false } is not supported.";
    ROUTE_NOWHERE "E-ROUTE-005" "a route leads nowhere" "It has neither an upstream nor a plugin that could answer.";
    ROUTE_SPLIT "E-ROUTE-006" "the weights of a route cannot be used" "At least one must be above 0, and no upstream may be named twice.";
    ROUTE_STICKY "E-ROUTE-007" "sticky cannot be used like this" "It is \"cookie:NAME\", on a route with several upstreams.";
    ROUTE_UNREACHABLE "E-ROUTE-008" "a route can never win" "Other routes take all of its requests.";
    ROUTE_ORDER "E-ROUTE-009" "only the order of writing decides between two routes" "Add a condition to one of them, so that moving a file does not change the routing.";
    ROUTE_COSTLY "E-ROUTE-010" "a lookup can become slow" "Many routes have literals and {name} at the same places, in all combinations.";
    ROUTE_TOO_MANY "E-ROUTE-011" "there are too many routes" "The tables hold a bounded number of hosts times paths.";
    ROUTE_CAPTURE "E-ROUTE-012" "a template names a capture that the route's paths do not make" "It would be empty for every request.";
    ROUTE_EMPTY "E-ROUTE-013" "a list of a route's match is empty" "Taking the last entry out must not turn a route into one that fits everything.";
    ROUTE_SAN "E-ROUTE-014" "a route wants a client's certificate where none is asked for" "`client_san` looks at the certificate that a [[tls]] with client_auth verified.";
    ROUTE_TENANT "E-ROUTE-015" "a limit of tenants cannot be kept" "`tenant` says what tells them apart, `in_flight_per_tenant` how much one may have.";
    ROUTE_CONSUMER "E-ROUTE-016" "a route wants a consumer where none is found" "A route is chosen after the listener's plugins and before its own: only a plugin on the listener can name the consumer that a route matches.";
    PLUGIN_NAME "E-PLUGIN-001" "no plugin has this name" "Define it with [[plugin]], or write the kind inline: { kind = \"...\" }.";
    PLUGIN_KIND "E-PLUGIN-002" "there is no such plugin kind" "`farmgate plugins` lists the kinds of this build.";
    PLUGIN_UNUSED "E-PLUGIN-003" "a plugin is used nowhere" "It costs nothing, but it may be a typing mistake.";
    PLUGIN_WHEN "E-PLUGIN-004" "a condition of `when` cannot be read" "See docs/operate/conditions.md for the language.";
    PLUGIN_TRIAL "E-PLUGIN-005" "a condition of `when` has no answer for a plain request" "Ask with has(...) first. An error at run time counts as the plugin's `fail`.";
    CACHE_REFERENCE "E-CACHE-001" "a route names a cache policy that is not defined" "It must be defined, as [[cache_policy]], in one of the files loaded together.";
    CACHE_NOWHERE "E-CACHE-002" "a route with `cache` has no upstream" "Only answers of an origin are kept; those of plugins are made here anyway.";
    CACHE_NONE "E-CACHE-003" "a route has `cache`, but there is no [cache]" "The memory is a hard limit that somebody has to choose: [cache] with `memory`.";
    CACHE_PURGE "E-CACHE-004" "a route has `purge` and no `cache`" "There is nothing to purge, and PURGE would never reach the origin.";
    CACHE_DISKS "E-CACHE-005" "two folders of the cache are one, or one lies in the other" "Each is a part of the store with a size and a lock of its own; a device needs one only.";
    CACHE_FOLDER "E-CACHE-006" "a folder of the cache cannot be used" "It is an error where no folder can be, and a warning where the user who checks may not write. A node that cannot open its folders serves with the cache in memory alone.";
    CACHE_ROOM "E-CACHE-007" "a device has too little room for the cache" "What is free and what the cache has there already are less than `size`. A full device costs the copies on disk, no request.";
    CACHE_UNUSED "E-CACHE-008" "no route uses this cache policy" "It costs nothing, but it may be a typing mistake.";
    CACHE_OBJECT "E-CACHE-009" "max_object is above what the memory takes" "An object may have a quarter of the memory, on its way to disk as well; larger ones pass through whole.";
    CACHE_KEY "E-CACHE-010" "a part of the key is never met" "Parameters are names, or their beginning and `*`; cookies are names.";
    CACHE_COMPRESS "E-CACHE-011" "two words say what a cache keeps compressed" "On a route with a cache the words of its compression plugin hold for what the cache keeps; `codings` and `min` of the policy's `compress` must not say otherwise.";
    BODY_MEMORY "E-LIMIT-002" "the memory for bodies is out of range" "body_memory bounds bodies that are held back, over all requests; it is at least 1MiB.";
    OVERLOAD_LAG "E-LIMIT-003" "the lag that counts as overload is out of range" "loop_lag is how late tasks of the serving threads may run, from 1ms to 1m; 0s turns it off.";
    LIMIT_FILES "E-LIMIT-001" "limits are beyond the limit of open files" "Every client connection may need a second descriptor towards an endpoint. Raise LimitNOFILE or lower limits.connections.";
    TIME_ORDER "E-TIME-001" "timeouts stand in a wrong order" "The shorter one always fires first, so the longer one never does what it says.";
    TIME_ZERO "E-TIME-002" "a time of 0 is not possible here" "It would end every request at once.";
    LOG_HEADER "E-LOG-001" "a field cannot be logged" "It is no field name, or it carries credentials.";
    LOG_OPEN "E-LOG-002" "the access log cannot be opened" "Its folder must exist and be writable for this user.";
    BIND_FAILED "E-BIND-001" "an address cannot be bound" "Another process holds it, it is not an address of this machine, or the right to bind is missing.";
    DRAINING "E-RELOAD-002" "the node is going down" "A drain cannot be taken back; start the node again.";
    NEEDS_UPGRADE "E-RELOAD-001" "this cannot change in a running process" "Threads, control socket, state folder, admin address, and the cache's folders with their durability are fixed at start: use `farmgate upgrade`.";
}
