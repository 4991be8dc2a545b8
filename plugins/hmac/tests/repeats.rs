use std::time::Duration;

use farmgate_plugin_api::compliance::FakeResponse;
use farmgate_plugin_api::filter::Outcome;
use http::StatusCode;

use super::*;

fn end(built: &Built, request: &mut FakeRequest, status: u16) {
    let outcome = Outcome {
        status: StatusCode::from_u16(status).ok(),
        reason: "ok",
        bytes_in: 0,
        bytes_out: 0,
        total_us: 0,
    };
    built.filter.log(request, &outcome);
}

#[test]
fn the_window_is_open_to_both_sides_and_no_further() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\ntolerance = '60s'"));
    for (n, time) in [NOW - 60, NOW, NOW + 60].into_iter().enumerate() {
        assert_eq!(
            send(&built, &mut signed(&format!("in_{n}"), time, BODY), BODY),
            (0, ""),
            "{time}"
        );
    }
    for time in [NOW - 61, NOW + 61, 0, 999_999_999_999] {
        assert_eq!(
            send(&built, &mut signed("out", time, BODY), BODY).0,
            403,
            "{time}"
        );
    }
    assert_eq!(services.metric_by("refused", "stale"), 4);
}

#[test]
fn what_comes_again_is_refused_as_long_as_it_could() {
    let services = FakeServices::new();
    let built = build(&services, STANDARD);
    let mut first = signed("msg_1", NOW, BODY);
    assert_eq!(send(&built, &mut first, BODY), (0, ""));
    // While the first is under way, and after it, and over a reload.
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    end(&built, &mut first, 204);
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    let built = build(&services, &format!("{STANDARD}\nconsumer = 'x'"));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    // The same id at another time, with another signature, is the same message.
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW + 1, BODY), BODY),
        (403, "signature_replayed")
    );
    // Over an upgrade.
    let next = FakeServices::new();
    let after = build(&next, STANDARD);
    next.restore(&services.save(1 << 20), Duration::from_secs(1))
        .unwrap();
    assert_eq!(
        send(&after, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    services.clock.advance(Duration::from_secs(300));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_refused"),
        "too old now"
    );
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW + 301, BODY), BODY),
        (0, ""),
        "long forgotten"
    );
    assert_eq!(services.metric_by("refused", "replayed"), 5);
}

#[test]
fn what_the_origin_did_not_take_may_come_again() {
    let services = FakeServices::new();
    let built = build(&services, STRIPE);
    let request = || stripe(NOW, &format!("v1={STRIPE_SIGNATURE}"));
    for status in [500, 404, 301, 0] {
        let mut request = request();
        assert_eq!(send(&built, &mut request, BODY), (0, ""), "{status}");
        assert_eq!(services.metric("seen"), 1);
        end(&built, &mut request, status);
        assert_eq!(services.metric("seen"), 0);
    }
    // It may from the moment on that the answer is known, and the end of the first does not touch the second.
    let mut failed = request();
    assert_eq!(send(&built, &mut failed, BODY), (0, ""));
    let mut response = FakeResponse::new(failed, StatusCode::BAD_GATEWAY);
    assert_eq!(
        verdict(compliance::verdict(
            built.filter.response_head(&mut response)
        )),
        (0, "")
    );
    let mut taken = request();
    assert_eq!(send(&built, &mut taken, BODY), (0, ""));
    end(&built, &mut response.request, 502);
    let mut response = FakeResponse::new(taken, StatusCode::OK);
    assert_eq!(
        verdict(compliance::verdict(
            built.filter.response_head(&mut response)
        )),
        (0, "")
    );
    end(&built, &mut response.request, 200);
    // A refused repetition ends with 403 and forgets nothing.
    let mut again = request();
    assert_eq!(send(&built, &mut again, BODY), (403, "signature_replayed"));
    end(&built, &mut again, 403);
    assert_eq!(
        send(&built, &mut request(), BODY),
        (403, "signature_replayed")
    );
}

#[test]
fn repetitions_may_be_confirmed() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\nrepeats = 'confirm'"));
    assert_eq!(send(&built, &mut signed("msg_1", NOW, BODY), BODY), (0, ""));
    let mut again = signed("msg_1", NOW + 5, BODY);
    assert_eq!(send(&built, &mut again, BODY), (204, "signature_replayed"));
    assert_eq!(services.metric("confirmed"), 1);
    assert_eq!(
        send(
            &built,
            &mut standard("msg_1", NOW, STANDARD_SIGNATURE),
            "{}"
        )
        .0,
        403
    );
}

#[test]
fn the_table_of_what_was_seen_is_bounded() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\nmax_seen = 100"));
    for n in 0..150_u64 {
        assert_eq!(
            send(&built, &mut signed(&format!("m{n}"), NOW + n, BODY), BODY),
            (0, "")
        );
    }
    assert_eq!(
        (services.metric("seen"), services.metric("evicted")),
        (100, 50)
    );
    assert_eq!(send(&built, &mut signed("m149", NOW, BODY), BODY).0, 403);
}
