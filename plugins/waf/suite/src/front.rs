//! What a server of HTTP/1 refuses before any rule sees the request (RFC 9112, 2.2 to 3.2, 5.1, 6.3),
//! for subjects that have no server in front of them.

/// Why the request is refused with 400; none when it is passed on.
pub fn refusal(bytes: &[u8]) -> Option<&'static str> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(head) = end.and_then(|end| bytes.get(..end)) else {
        return Some("the head has no end");
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Some("the first line has not three words");
    };
    if !is_token(method) {
        return Some("the method is no token");
    }
    if let Some(reason) = target_refusal(method, target) {
        return Some(reason);
    }
    if !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        return Some("the version is not 1.0 or 1.1");
    }
    lines.find_map(|line| field_refusal(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn target_refusal(method: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.iter().any(|byte| byte.is_ascii_control()) {
        return Some("the target has control characters");
    }
    let is_right = match method {
        b"CONNECT" => {
            let port = target
                .rsplit(|byte| *byte == b':')
                .next()
                .unwrap_or_default();
            port.len() < target.len() && !port.is_empty() && port.iter().all(u8::is_ascii_digit)
        }
        b"OPTIONS" if target == b"*" => true,
        _ => [&b"/"[..], b"http://", b"https://"]
            .iter()
            .any(|start| target.starts_with(start)),
    };
    (!is_right).then_some("the target has none of the four forms")
}

fn field_refusal(line: &[u8]) -> Option<&'static str> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Some("a field has no colon");
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if !is_token(name) {
        return Some("a field's name is no token");
    }
    if value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Some("a field's value has control characters");
    }
    let is_length = name.eq_ignore_ascii_case(b"content-length");
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    (is_length && !is_number).then_some("Content-Length is no number")
}

fn is_token(word: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn good_heads_pass() {
        for head in [
            "GET / HTTP/1.1\r\nA: b\tc\r\n\r\n",
            "OPTIONS * HTTP/1.0\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nContent-Length: 3\r\nx_y.z:\r\n\r\nabc",
        ] {
            assert_eq!(refusal(head.as_bytes()), None, "{head}");
        }
    }

    #[test]
    fn bad_heads_do_not() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "\tGET / HTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET \\ HTTP/1.1\r\n\r\n",
            "CONNECT a HTTP/1.1\r\n\r\n",
            "GET / HTTP/0.9\r\n\r\n",
            "GET / HTTP/1.1\r\na b: c\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3;\r\n\r\n",
        ] {
            assert!(refusal(head.as_bytes()).is_some(), "{head}");
        }
    }
}
