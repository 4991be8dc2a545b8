//! Why a request ended as it did: a closed set, and the one table behind status, retry and Proxy-Status.
//!
//! Every error of the pipeline is one row here. The row says who caused it (source), where in the life of the
//! request (phase), the status a client gets, the error token of RFC 9209 section 2.3 and whether another
//! endpoint may be tried. Logs, metrics, error bodies and the generated reference all read this table.

/// Who caused the end of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody: an answer was delivered.
    None,
    /// The client or its connection.
    Downstream,
    /// The endpoint or the way to it.
    Upstream,
    /// A plugin of the configuration.
    Plugin,
    /// This proxy: its limits, its configuration, its own faults.
    Proxy,
}

/// Where in the life of the request it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepting the connection and its PROXY header.
    Accept,
    /// The TLS handshake with the client.
    Tls,
    /// Reading and checking the request's head.
    Head,
    /// Reading the request's body.
    Body,
    /// Choosing the route.
    Route,
    /// Choosing the endpoint.
    Endpoint,
    /// Connecting to the endpoint, TLS included.
    Connect,
    /// Sending the request to the endpoint.
    Send,
    /// Waiting for the head of the response.
    FirstByte,
    /// Reading the response or carrying a tunnel.
    Response,
    /// Delivering the response to the client.
    Deliver,
    /// Any of them.
    Any,
}

/// Whether another endpoint may be tried after this end. The configured `on` list narrows it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Never: the answer would be the same, or parts of it were already sent.
    Never,
    /// Always, since no byte of the request can have reached the endpoint.
    BeforeBytes,
    /// Only idempotent methods (RFC 9110 section 9.2.2), or the ones the configuration names.
    Idempotent,
}

impl Source {
    /// The word for documents and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::None => "none",
            Source::Downstream => "downstream",
            Source::Upstream => "upstream",
            Source::Plugin => "plugin",
            Source::Proxy => "proxy",
        }
    }
}

impl Phase {
    /// The word for documents and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Accept => "accept",
            Phase::Tls => "tls",
            Phase::Head => "head",
            Phase::Body => "body",
            Phase::Route => "route",
            Phase::Endpoint => "endpoint",
            Phase::Connect => "connect",
            Phase::Send => "send",
            Phase::FirstByte => "first_byte",
            Phase::Response => "response",
            Phase::Deliver => "deliver",
            Phase::Any => "any",
        }
    }
}

impl Retry {
    /// The word for documents and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::BeforeBytes => "any method",
            Retry::Idempotent => "idempotent methods",
        }
    }
}

/// One row of the table.
struct Row {
    reason: Reason,
    token: &'static str,
    source: Source,
    phase: Phase,
    /// 0: no status of our own (the response's stands, or the connection just closes).
    status: u16,
    /// Empty: no token fits, or no response of ours is sent.
    proxy_status: &'static str,
    retry: Retry,
    help: &'static str,
}

macro_rules! reasons {
    ($($name:ident $token:literal $source:ident $phase:ident $status:literal $proxy_status:literal $retry:ident $help:literal;)*) => {
        /// Why a request (or a connection before it) ended as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $help] $name,)* }

        const TABLE: &[Row] = &[$(Row {
            reason: Reason::$name, token: $token, source: Source::$source, phase: Phase::$phase, status: $status,
            proxy_status: $proxy_status, retry: Retry::$retry, help: $help,
        },)*];

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];
            /// The token of every reason, by index: the values of the metric label `reason`.
            pub const TOKENS: &'static [&'static str] = &[$($token,)*];

            const fn row(self) -> &'static Row {
                // An arm per reason instead of an index: total without a bounds check that could fail.
                match self { $(Reason::$name => const { &TABLE[Reason::$name as usize] },)* }
            }
        }
    };
}

reasons! {
    Ok "ok" None Any 0 "" Never "A response was delivered as the origin gave it.";
    PluginReply "plugin_reply" Plugin Any 0 "" Never "A plugin answered (redirect, denial, fixed response): a result, not a fault.";
    PluginError "plugin_error" Plugin Any 500 "proxy_internal_error" Never "A plugin failed and is configured to fail closed.";
    PluginPanic "plugin_panic" Plugin Any 500 "proxy_internal_error" Never "A plugin panicked and is configured to fail closed.";
    NoRoute "no_route" Proxy Route 404 "destination_not_found" Never "No route fits the request.";
    BadRequest "bad_request" Downstream Head 400 "http_request_error" Never "The head is malformed or its framing is ambiguous.";
    Misdirected "misdirected" Downstream Head 421 "http_request_denied" Never "No certificate of the connection's [[tls]] is for the host (RFC 9110 section 15.5.20): another connection may carry the request.";
    ClientCertificate "client_certificate" Downstream Head 421 "http_request_denied" Never "What the listener asks of client certificates changed since the connection was made and does not let it in any more: a new connection may carry the request.";
    UriTooLong "uri_too_long" Downstream Head 414 "http_request_error" Never "The target is longer than `uri_bytes`.";
    HeaderTooLarge "header_too_large" Downstream Head 431 "http_request_error" Never "The head is larger than `header_bytes` or has more fields than `headers`.";
    MethodNotAllowed "method_not_allowed" Downstream Head 405 "http_request_denied" Never "This method is not served here (CONNECT).";
    VersionNotSupported "version_not_supported" Downstream Head 505 "http_request_error" Never "The request names a protocol version that is not spoken here.";
    HeaderTimeout "header_timeout" Downstream Head 408 "http_request_error" Never "The head was not complete within `timeouts.header`.";
    BodyMemory "body_memory" Proxy Body 503 "proxy_internal_error" Never "Bodies that are held back take all of `server.body_memory`.";
    BodyTooLarge "body_too_large" Downstream Body 413 "http_request_error" Never "The body is larger than `body_bytes`.";
    BodyTimeout "body_timeout" Downstream Body 408 "http_request_error" Never "No byte of the body came for `timeouts.body_idle`.";
    BodyRateTooLow "body_rate_too_low" Downstream Body 408 "http_request_error" Never "The body came slower than `min_body_rate`.";
    LimitConnections "limit_connections" Proxy Accept 0 "" Never "The listener has `limits.connections` open connections.";
    LimitConnectionsPerIp "limit_connections_per_ip" Proxy Accept 0 "" Never "The address has `limits.connections_per_ip` open connections.";
    ConnectionRate "connection_rate" Proxy Accept 0 "" Never "Connections come faster than the configured rate.";
    ProxyProtocolInvalid "proxy_protocol_invalid" Downstream Accept 0 "" Never "The PROXY header is malformed, too long or too late.";
    ProxyProtocolUntrusted "proxy_protocol_untrusted" Downstream Accept 0 "" Never "A PROXY header came from an address outside `trusted_proxies`.";
    ProxyProtocolMissing "proxy_protocol_missing" Downstream Accept 0 "" Never "The listener requires a PROXY header and none came.";
    TlsHandshakeFailed "tls_handshake_failed" Downstream Tls 0 "" Never "The TLS handshake with the client failed or took too long.";
    ClientClosed "client_closed" Downstream Deliver 499 "" Never "The client closed the connection before the end. 499 stands in logs only.";
    ClientReset "client_reset" Downstream Deliver 499 "" Never "The client reset the stream or the connection. 499 stands in logs only.";
    ClientWriteTimeout "client_write_timeout" Downstream Deliver 499 "" Never "The client took no byte of the response for `timeouts.body_idle`. 499 stands in logs only.";
    NoEndpoint "upstream_no_endpoint" Upstream Endpoint 503 "destination_unavailable" Never "The upstream has no endpoint that may be used now.";
    BreakerOpen "upstream_breaker_open" Upstream Endpoint 503 "destination_unavailable" Never "The upstream's circuit breaker is open: nothing is sent until it lets a probe through.";
    QueueFull "upstream_queue_full" Upstream Endpoint 503 "destination_unavailable" Never "The upstream has `limits.in_flight` requests, and as many wait as may, or others of a higher class took the place.";
    QueueTimeout "upstream_queue_timeout" Upstream Endpoint 503 "destination_unavailable" Never "The request waited `limits.queue_timeout` for a place at the upstream.";
    UpstreamStatus "upstream_status" Upstream FirstByte 502 "http_response_incomplete" Idempotent "The endpoint answered with a status of `retry.on`; stands in the log when a fallback answered instead.";
    RouteLimit "route_limit" Proxy Route 503 "http_request_denied" Never "The route has `limits.in_flight` requests.";
    TenantLimit "tenant_limit" Proxy Route 503 "http_request_denied" Never "The tenant has `limits.in_flight_per_tenant` requests on this route.";
    Overload "overload" Proxy Route 503 "proxy_internal_response" Never "The node has too much to do, and the route's class is shed.";
    ConnectRefused "upstream_connect_refused" Upstream Connect 502 "connection_refused" BeforeBytes "The endpoint refused the connection.";
    ConnectTimeout "upstream_connect_timeout" Upstream Connect 504 "connection_timeout" BeforeBytes "TCP and TLS to the endpoint took longer than `timeouts.connect`.";
    ConnectFailed "upstream_connect_failed" Upstream Connect 502 "destination_unavailable" BeforeBytes "The connection to the endpoint failed in another way (unreachable, no local port).";
    UpstreamTlsTimeout "upstream_tls_timeout" Upstream Connect 504 "connection_timeout" BeforeBytes "The endpoint took the connection, but TLS was not done within `timeouts.connect`.";
    UpstreamTlsAlert "upstream_tls_alert" Upstream Connect 502 "tls_alert_received" BeforeBytes "The endpoint refused the TLS handshake, for example for want of a client certificate; the event log names its alert.";
    UpstreamProtocol "upstream_protocol" Upstream Connect 502 "tls_protocol_error" BeforeBytes "The endpoint does not speak the upstream's `protocol` (ALPN).";
    UpstreamTlsFailed "upstream_tls_failed" Upstream Connect 502 "tls_protocol_error" BeforeBytes "The TLS handshake with the endpoint failed.";
    UpstreamCertificateInvalid "upstream_certificate_invalid" Upstream Connect 502 "tls_certificate_error" BeforeBytes "The endpoint's certificate could not be verified.";
    UpstreamWriteTimeout "upstream_write_timeout" Upstream Send 504 "connection_write_timeout" Never "The endpoint took no byte of the request for `timeouts.write`.";
    FirstByteTimeout "upstream_first_byte_timeout" Upstream FirstByte 504 "http_response_timeout" Idempotent "No head of a response came within `timeouts.first_byte`, or within `retry.per_try`, which alone is followed by another try.";
    UpstreamReset "upstream_reset" Upstream FirstByte 502 "connection_terminated" Idempotent "The endpoint reset the connection or the stream before its response.";
    UpstreamClosed "upstream_closed" Upstream FirstByte 502 "connection_terminated" Idempotent "The endpoint closed the connection before its response.";
    RefusedStream "upstream_refused_stream" Upstream FirstByte 502 "connection_terminated" Idempotent "The endpoint refused the HTTP/2 stream or said GOAWAY before it (RFC 9113 section 8.7).";
    InvalidResponse "upstream_invalid_response" Upstream FirstByte 502 "http_protocol_error" Never "The endpoint's response is not valid HTTP.";
    UpstreamIdleTimeout "upstream_idle_timeout" Upstream Response 504 "connection_read_timeout" Never "No byte of the response came for `timeouts.idle`; after the head the response is cut.";
    UpstreamBodyCut "upstream_body_cut" Upstream Response 502 "http_response_incomplete" Never "The response ended before its declared length; after the head the response is cut.";
    UpgradeIdleTimeout "upgrade_idle_timeout" Proxy Response 0 "" Never "No byte passed the upgraded connection for `timeouts.upgrade_idle`.";
    UpgradeMaxAge "upgrade_max_age" Proxy Response 0 "" Never "The upgraded connection reached its maximum age.";
    RequestTimeout "request_timeout" Proxy Any 504 "http_response_timeout" Never "No head of a response was sent within `timeouts.request`.";
    OnlyIfCached "only_if_cached" Proxy Any 504 "http_request_denied" Never "The client wanted nothing but a stored response (`Cache-Control: only-if-cached`), and there was none.";
    Draining "draining" Proxy Any 503 "proxy_internal_response" Never "The node is going down and takes no new requests.";
    Internal "internal" Proxy Any 500 "proxy_internal_error" Never "A fault of this proxy.";
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The place in `ALL` and `TOKENS`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The token in logs, metrics and error bodies, as `upstream_connect_timeout`.
    pub const fn as_str(self) -> &'static str {
        self.row().token
    }

    /// Who caused it.
    pub const fn source(self) -> Source {
        self.row().source
    }

    /// Where it happened.
    pub const fn phase(self) -> Phase {
        self.row().phase
    }

    /// The status of our own response; none when the response's own status stands or nothing is answered.
    /// 499 (the client is gone) is for logs only and never sent.
    pub const fn status(self) -> Option<u16> {
        match self.row().status {
            0 => None,
            status => Some(status),
        }
    }

    /// The `error` token of the Proxy-Status field, RFC 9209 section 2.3.
    pub const fn proxy_status(self) -> Option<&'static str> {
        match self.row().proxy_status.len() {
            0 => None,
            _ => Some(self.row().proxy_status),
        }
    }

    /// Whether another endpoint may be tried.
    pub const fn retry(self) -> Retry {
        self.row().retry
    }

    /// One sentence for people.
    pub const fn help(self) -> &'static str {
        self.row().help
    }

    /// The reason with this token.
    pub fn parse(token: &str) -> Option<Reason> {
        TABLE
            .iter()
            .find(|row| row.token == token)
            .map(|row| row.reason)
    }

    /// True when nothing went wrong: an answer of the origin or of a plugin.
    pub const fn is_ok(self) -> bool {
        matches!(self, Reason::Ok | Reason::PluginReply)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The table as Markdown, for the generated reference.
pub fn reasons_markdown() -> String {
    let mut out = String::from(
        "| reason | source | phase | status | Proxy-Status error | retry | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for row in TABLE {
        let status = match row.status {
            0 => String::from("-"),
            status => status.to_string(),
        };
        let proxy_status = match row.proxy_status {
            "" => "-",
            token => token,
        };
        out.push_str(&format!(
            "| `{}` | {} | {} | {status} | {proxy_status} | {} | {} |\n",
            row.token,
            row.source.as_str(),
            row.phase.as_str(),
            row.retry.as_str(),
            row.help
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn table_index_and_token_agree() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(TABLE[index].reason, *reason);
            assert_eq!(Reason::TOKENS[index], reason.as_str());
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("nonsense"), None);
    }

    #[test]
    fn tokens_are_unique_and_snake_case() {
        let unique: HashSet<_> = Reason::TOKENS.iter().collect();
        assert_eq!(unique.len(), Reason::COUNT);
        for token in Reason::TOKENS {
            assert!(
                token.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{token}"
            );
        }
    }

    /// Only error types that RFC 9209 registers may be sent.
    #[test]
    fn proxy_status_tokens_are_registered() {
        const REGISTERED: &str = "dns_timeout dns_error destination_not_found destination_unavailable \
            destination_ip_prohibited destination_ip_unroutable connection_refused connection_terminated \
            connection_timeout connection_read_timeout connection_write_timeout connection_limit_reached \
            tls_protocol_error tls_certificate_error tls_alert_received http_request_error http_request_denied \
            http_response_incomplete http_response_header_section_size http_response_header_size \
            http_response_body_size http_response_trailer_section_size http_response_trailer_size \
            http_response_transfer_coding http_response_content_coding http_response_timeout http_upgrade_failed \
            http_protocol_error proxy_internal_response proxy_internal_error proxy_configuration_error \
            proxy_loop_detected";
        let registered: HashSet<_> = REGISTERED.split_whitespace().collect();
        for reason in Reason::ALL {
            if let Some(token) = reason.proxy_status() {
                assert!(registered.contains(token), "{reason}: {token}");
                assert!(reason.status().is_some(), "{reason} answers nothing");
            }
        }
    }

    #[test]
    fn only_upstream_faults_are_retried() {
        for reason in Reason::ALL {
            if reason.retry() != Retry::Never {
                assert_eq!(reason.source(), Source::Upstream, "{reason}");
            }
            if reason.retry() == Retry::BeforeBytes {
                assert_eq!(reason.phase(), Phase::Connect, "{reason}");
            }
        }
    }

    #[test]
    fn statuses_hold() {
        for (token, status) in [
            ("no_route", 404),
            ("uri_too_long", 414),
            ("header_too_large", 431),
            ("body_too_large", 413),
            ("header_timeout", 408),
            ("body_rate_too_low", 408),
            ("method_not_allowed", 405),
            ("version_not_supported", 505),
            ("client_closed", 499),
            ("upstream_no_endpoint", 503),
            ("upstream_connect_refused", 502),
            ("upstream_connect_timeout", 504),
            ("upstream_first_byte_timeout", 504),
            ("upstream_idle_timeout", 504),
            ("upstream_write_timeout", 504),
            ("upstream_reset", 502),
            ("request_timeout", 504),
            ("draining", 503),
            ("internal", 500),
        ] {
            assert_eq!(
                Reason::parse(token).and_then(Reason::status),
                Some(status),
                "{token}"
            );
        }
        assert_eq!(Reason::Ok.status(), None);
    }

    #[test]
    fn markdown_has_a_line_per_reason() {
        let text = reasons_markdown();
        assert_eq!(text.lines().count(), Reason::COUNT + 2);
        assert!(text.contains("| `upstream_closed` | upstream | first_byte | 502 |"));
    }
}
