//! What a head says beyond its verdict, limits at their edges, and properties over arbitrary bytes.

use proptest::prelude::*;

use super::{Framing, Head, HeadLimits, HeadStatus, Reason, TargetForm, Version, parse_head};

fn read(bytes: &[u8]) -> Head {
    let mut head = Head::default();
    assert_eq!(
        parse_head(bytes, &HeadLimits::default(), &mut head),
        HeadStatus::Complete { len: bytes.len() },
        "{}",
        bytes.escape_ascii()
    );
    head
}

fn reason(bytes: &[u8], limits: &HeadLimits) -> Option<Reason> {
    match parse_head(bytes, limits, &mut Head::default()) {
        HeadStatus::Reject(reject) => {
            assert_eq!(reject.status, reject.reason.status());
            Some(reject.reason)
        }
        _ => None,
    }
}

#[test]
fn tells_where_things_are() {
    let bytes = b"\r\nPUT http://a.test:80/x?y HTTP/1.1\r\nX: 1\r\nHost: \t A.test \r\n\r\n";
    let head = read(bytes);
    assert_eq!(head.method.of(bytes), b"PUT");
    assert_eq!(head.target.of(bytes), b"http://a.test:80/x?y");
    assert_eq!(head.authority.unwrap().of(bytes), b"a.test:80");
    assert_eq!(head.host.unwrap().of(bytes), b"A.test");
    assert_eq!(head.form, TargetForm::AbsoluteHttp);
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.headers, 2);
    assert!(head.keep_alive);
    assert_eq!(head.target.of(b"short"), b"");
}

#[test]
fn tells_the_framing() {
    let framing =
        |field: &str| read(format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n").as_bytes()).framing;
    assert_eq!(framing(""), Framing::None);
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(
        framing("content-length: 18446744073709551615\r\n"),
        Framing::Length(u64::MAX)
    );
    assert_eq!(framing("TRANSFER-ENCODING: Chunked\r\n"), Framing::Chunked);
}

#[test]
fn tells_the_wishes_of_the_client() {
    let head = |version: &str, fields: &str| {
        read(format!("GET / {version}\r\nHost: a\r\n{fields}\r\n").as_bytes())
    };
    assert!(head("HTTP/1.1", "Expect: 100-Continue\r\n").expect_continue);
    assert!(!head("HTTP/1.0", "Expect: 100-continue\r\n").expect_continue);
    assert!(!head("HTTP/1.1", "Expect: 100\r\n").expect_continue);

    let websocket = head(
        "HTTP/1.1",
        "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n",
    );
    assert!(websocket.upgrade && websocket.websocket && websocket.keep_alive);
    let h2c = head("HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n");
    assert!(h2c.upgrade && !h2c.websocket);
    let both = head(
        "HTTP/1.1",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    );
    assert!(both.upgrade && !both.websocket);
    assert!(!head("HTTP/1.1", "Upgrade: websocket\r\n").upgrade);
    assert!(!head("HTTP/1.1", "Connection: upgrade\r\n").upgrade);
    assert!(!head("HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n").upgrade);

    assert!(!head("HTTP/1.1", "Connection: close\r\n").keep_alive);
    assert!(!head("HTTP/1.0", "").keep_alive);
    assert!(head("HTTP/1.0", "Connection: Keep-Alive\r\n").keep_alive);
}

#[test]
fn names_the_reason() {
    let limits = HeadLimits::default();
    for (fields, expected) in [
        ("Host: a\r\nHost: a\r\n", Reason::DuplicateHost),
        ("Host: a b\r\n", Reason::BadHost),
        ("X: 1\r\n", Reason::MissingHost),
        ("X : 1\r\n", Reason::SpaceBeforeColon),
        ("X\r: 1\r\n", Reason::BareCr),
        ("X: \0\r\n", Reason::BadHeaderValue),
        ("X: 1\n", Reason::BareLf),
        (" X: 1\r\n", Reason::ObsFold),
        ("X\r\n", Reason::BadHeaderName),
        ("Content-Length: 1,1\r\n", Reason::DuplicateContentLength),
        ("Content-Length: +1\r\n", Reason::BadContentLength),
        ("Transfer-Encoding: x\r\n", Reason::BadTransferEncoding),
        ("Connection: host\r\n", Reason::BadConnection),
        (
            "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Reason::LengthWithTransferEncoding,
        ),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(
            reason(bytes.as_bytes(), &limits),
            Some(expected),
            "{fields:?}"
        );
    }
    for (line, expected) in [
        ("GET /", Reason::BadRequestLine),
        ("GET / HTTP/2.0", Reason::UnsupportedVersion),
        ("GET / HTTP/x", Reason::BadVersion),
        ("G<T / HTTP/1.1", Reason::BadMethod),
        ("CONNECT a:1 HTTP/1.1", Reason::ConnectNotAllowed),
        ("GET /#x HTTP/1.1", Reason::BadTarget),
        ("GET /\r HTTP/1.1", Reason::BareCr),
        ("GET http://b/ HTTP/1.1", Reason::HostMismatch),
    ] {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(
            reason(bytes.as_bytes(), &limits),
            Some(expected),
            "{line:?}"
        );
    }
}

#[test]
fn holds_its_limits_exactly() {
    let bytes = b"GET /abcd HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
    let exact = HeadLimits {
        headers: 2,
        header_bytes: bytes.len(),
        uri_bytes: 5,
    };
    assert_eq!(reason(bytes, &exact), None);
    let fewer = |change: fn(&mut HeadLimits)| {
        let mut limits = exact;
        change(&mut limits);
        reason(bytes, &limits)
    };
    assert_eq!(fewer(|l| l.headers = 1), Some(Reason::TooManyHeaders));
    assert_eq!(fewer(|l| l.header_bytes -= 1), Some(Reason::HeadTooLarge));
    assert_eq!(fewer(|l| l.uri_bytes = 4), Some(Reason::UriTooLong));
}

#[test]
fn refuses_what_is_not_http_at_its_first_byte() {
    let limits = HeadLimits::default();
    assert_eq!(reason(b"\x16", &limits), Some(Reason::BadMethod));
    assert_eq!(reason(b"\n", &limits), Some(Reason::BareLf));
    assert_eq!(reason(b"\r\n ", &limits), Some(Reason::BadMethod));
    assert_eq!(reason(b"", &limits), None);
    assert_eq!(reason(b"\r", &limits), None);
}

/// Bytes that look like requests often enough to reach the deeper rules.
fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /x HTTP/1.0\r\n",
            "GET http://a/ HTTP/1.1\r\n",
            "Host: a\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close, upgrade\r\n",
            "\r\n",
            "\n",
            "\r",
            " ",
            ":",
            "X: y",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts(bytes in request_like(), small in any::<bool>()) {
        let limits = if small {
            HeadLimits { headers: 2, header_bytes: 48, uri_bytes: 6 }
        } else {
            HeadLimits::default()
        };
        let mut whole = Head::default();
        let expected = parse_head(&bytes, &limits, &mut whole);
        let mut head = Head::default();
        let mut last = HeadStatus::Partial;
        for end in 0..=bytes.len() {
            last = parse_head(&bytes[..end], &limits, &mut head);
            if last != HeadStatus::Partial {
                break;
            }
        }
        prop_assert_eq!(last, expected);
        if let HeadStatus::Complete { len } = expected {
            prop_assert!(len <= limits.header_bytes.min(bytes.len()));
            prop_assert_eq!(head.framing, whole.framing);
            prop_assert_eq!(head.host, whole.host);
            // A peer's parser finds the same end.
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let other = httparse::Request::new(&mut fields).parse(&bytes);
            prop_assert_eq!(other, Ok(httparse::Status::Complete(len)));
        }
    }
}
