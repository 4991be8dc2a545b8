use super::*;
use crate::cache::cases;
use crate::cache::meta::Meta;
use http::StatusCode;

fn merged(stored: &str, new: &str) -> HeaderMap {
    merge(&cases::fields(stored), cases::fields(new))
}

#[test]
fn every_field_of_a_304_replaces_the_stored_ones() {
    let got = merged(
        "A: 1\nA: 2\nB: 3\nCache-Control: max-age=1\nContent-Type: text/plain",
        "A: 4\nC: 5\nC: 6\nCache-Control: max-age=2\nContent-Type: text/html\nSet-Cookie: a=b\nContent-Location: /x",
    );
    let want = cases::fields(
        "A: 4\nB: 3\nC: 5\nC: 6\nCache-Control: max-age=2\nContent-Type: text/html\nSet-Cookie: a=b\nContent-Location: /x",
    );
    assert_eq!(got, want);
}

#[test]
fn what_describes_the_bytes_stays() {
    let stored = "ETag: \"a\"\nContent-Length: 5\nContent-Encoding: gzip\nContent-Range: x\nContent-MD5: a\nDigest: a\nContent-Digest: a\nRepr-Digest: a";
    let new = "ETag: \"b\"\nContent-Length: 0\nContent-Encoding: br\nContent-Range: y\nContent-MD5: b\nDigest: b\nContent-Digest: b\nRepr-Digest: b";
    assert_eq!(merged(stored, new), cases::fields(stored));
    // Nor does it come anew.
    assert_eq!(
        merged("A: 1", "Content-Length: 0\nContent-Encoding: br"),
        cases::fields("A: 1")
    );
    assert_eq!(
        merged("A: 1", "ETag: \"b\""),
        cases::fields("A: 1\nETag: \"b\"")
    );
}

#[test]
fn fields_of_the_connection_and_named_ones_stay_away() {
    assert_eq!(
        merged(
            "A: 1",
            "Connection: x\nX: 1\nKeep-Alive: 5\nTransfer-Encoding: chunked\nAge: 3"
        ),
        cases::fields("A: 1")
    );
}

fn stored(text: &str, flags: Flags) -> StoredHead {
    StoredHead {
        meta: Meta {
            flags,
            ..Meta::default()
        },
        status: StatusCode::OK,
        fields: cases::fields(text),
        key: cases::key("/", None, "r"),
        variants: None,
        wanted: Wanted::default(),
    }
}

fn confirmed(stored: &StoredHead, new: &str, policy: &Policy) -> Result<StoredHead, Refusal> {
    let received = Received {
        request_ms: 2_000_000,
        response_ms: 2_000_000,
        wall_s: 1_767_225_600,
    };
    confirm(stored, cases::fields(new), received, false, policy).map_err(|(refusal, _)| refusal)
}

#[test]
fn a_confirmed_response_lives_anew() {
    let old = stored(
        "Cache-Control: max-age=60\nETag: \"a\"\nDate: Thu, 01 Jan 2015 00:00:00 GMT",
        Flags::default(),
    );
    let policy = Policy::default();
    let new = confirmed(&old, "", &policy).expect("stored");
    assert_eq!((new.meta.lifetime_s, new.meta.initial_age_ms), (60, 0));
    assert_eq!(
        new.fields.get("date").map(|date| date.as_bytes()),
        Some(&b"Thu, 01 Jan 2026 00:00:00 GMT"[..])
    );
    // The age it has already counts, and is not kept as a field.
    let new = confirmed(
        &old,
        "Age: 50\nCache-Control: max-age=70\nVary: Foo",
        &policy,
    )
    .expect("stored");
    assert_eq!((new.meta.lifetime_s, new.meta.initial_age_ms), (70, 50_000));
    assert!(!new.fields.contains_key(AGE));
    assert_eq!(new.meta.vary.names().len(), 1);
}

#[test]
fn a_304_may_take_the_permission_back() {
    let policy = Policy::default();
    let old = stored("Cache-Control: max-age=60\nETag: \"a\"", Flags::default());
    for (new, want) in [
        ("Cache-Control: no-store", Refusal::NoStore),
        ("Cache-Control: private", Refusal::Private),
        ("Vary: *", Refusal::VaryAny),
    ] {
        assert_eq!(confirmed(&old, new, &policy), Err(want), "{new}");
    }
    // It was stored for an authenticated request because it was public; now it is not.
    let old = stored(
        "Cache-Control: max-age=60, public\nETag: \"a\"",
        Flags::AUTHENTICATED,
    );
    assert!(confirmed(&old, "", &policy).is_ok());
    assert_eq!(
        confirmed(&old, "Cache-Control: max-age=60", &policy),
        Err(Refusal::Authenticated)
    );
}

#[test]
fn a_cookie_of_a_304_is_for_the_one_that_asked() {
    let old = stored("Cache-Control: max-age=60\nETag: \"a\"", Flags::default());
    for (set_cookie, want) in [
        (SetCookie::Bypass, false),
        (SetCookie::Strip, false),
        (SetCookie::Keep, true),
    ] {
        let policy = Policy {
            set_cookie,
            ..Policy::default()
        };
        let new = confirmed(&old, "Set-Cookie: a=b", &policy).expect("stored");
        assert_eq!(new.fields.contains_key(SET_COOKIE), want, "{set_cookie:?}");
    }
}

fn any_fields() -> impl proptest::strategy::Strategy<Value = HeaderMap> {
    use proptest::prelude::*;
    let name = prop_oneof![
        Just("a"),
        Just("b"),
        Just("connection"),
        Just("etag"),
        Just("age"),
        Just("content-length"),
        Just("set-cookie"),
        Just("cache-control"),
        Just("vary"),
    ];
    prop::collection::vec((name, "[ab, ]{0,4}"), 0..8).prop_map(|list| {
        let mut fields = HeaderMap::new();
        for (name, value) in list {
            fields.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(&value).expect("ASCII"),
            );
        }
        fields
    })
}

proptest::proptest! {
    /// The same 304 again changes nothing, except that a first ETag is news only once.
    #[test]
    fn merging_twice_is_merging_once(stored in any_fields(), new in any_fields()) {
        let once = merge(&stored, new.clone());
        proptest::prop_assert_eq!(&merge(&once, new), &once);
    }

    /// A stored body keeps its description.
    #[test]
    fn the_stored_tag_and_length_stay(stored in any_fields(), new in any_fields()) {
        let merged = merge(&stored, new);
        let lines = |fields: &HeaderMap, name: HeaderName| fields.get_all(name).iter().cloned().collect::<Vec<_>>();
        proptest::prop_assert_eq!(lines(&merged, CONTENT_LENGTH), lines(&stored, CONTENT_LENGTH));
        if stored.contains_key(ETAG) {
            proptest::prop_assert_eq!(lines(&merged, ETAG), lines(&stored, ETAG));
        }
    }
}
