use super::*;

fn headers(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
    headers
}

fn bounded(value: &str) -> Option<String> {
    let mut headers = headers(value);
    bound_pause(&mut headers);
    let value = headers.get(RETRY_AFTER)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn no_pause_is_longer_than_a_day_and_none_stops_a_clock() {
    assert_eq!(bounded("5").as_deref(), Some("5"));
    assert_eq!(bounded(" 0 ").as_deref(), Some("0"));
    assert_eq!(bounded("86401").as_deref(), Some("86400"));
    assert_eq!(bounded(&i64::MAX.to_string()).as_deref(), Some("86400"));
    assert_eq!(
        bounded("Fri, 31 Dec 9999 23:59:59 GMT").as_deref(),
        Some("86400")
    );
    assert_eq!(
        bounded("Sun, 06 Nov 1994 08:49:37 GMT").as_deref(),
        Some("0")
    );
    for nonsense in ["", "-1", "soon", &u64::MAX.to_string()] {
        assert_eq!(bounded(nonsense), None, "{nonsense:?}");
    }
}

#[test]
fn only_https_with_a_host_is_asked() {
    let of = |text: &str| target(&text.parse().unwrap());
    assert_eq!(of("https://ca.test/dir"), Ok(("ca.test".to_owned(), 443)));
    assert_eq!(
        of("https://[::1]:14000/dir"),
        Ok(("::1".to_owned(), 14_000))
    );
    for other in [
        "http://ca.test/dir",
        "/dir",
        "ca.test:443",
        "ftp://ca.test/",
    ] {
        assert!(of(other).is_err(), "{other}");
    }
}

#[test]
fn a_request_goes_in_origin_form_and_says_who_asks() {
    let uri: Uri = "https://ca.test:14000/order?x=1".parse().unwrap();
    let mut request = Request::new(BodyWrapper::default());
    request
        .headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static("library/1"));
    address(&mut request, &uri).unwrap();
    assert_eq!(request.uri(), "/order?x=1");
    assert_eq!(request.headers()[HOST], "ca.test:14000");
    let agent = request.headers()[USER_AGENT].to_str().unwrap();
    assert!(
        agent.starts_with("farmgate/") && agent.ends_with(" library/1"),
        "{agent}"
    );
}

#[test]
fn a_ca_file_that_is_no_good_is_named() {
    let error = Transport::new(Some(Path::new("/nowhere/ca.pem")))
        .err()
        .unwrap();
    assert_eq!(error.stage, Stage::Directory);
    assert!(error.message.starts_with("/nowhere/ca.pem: "), "{error}");
}
