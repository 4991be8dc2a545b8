use super::*;

fn http() -> Probe {
    HealthOptions::default().probe
}

/// The default with one thing changed.
fn with(change: impl FnOnce(&mut HealthOptions)) -> HealthOptions {
    let mut options = HealthOptions::default();
    change(&mut options);
    options
}

/// The default's HTTP probe with one thing changed.
fn asking(
    change: impl FnOnce(&mut String, &mut String, &mut Vec<(String, String)>),
) -> HealthOptions {
    with(|options| {
        if let Probe::Http {
            method,
            path,
            headers,
            ..
        } = &mut options.probe
        {
            change(method, path, headers);
        }
    })
}

fn expecting(wanted: RangeInclusive<u16>, text: Option<&[u8]>) -> HealthOptions {
    with(|options| {
        if let Probe::Http { status, body, .. } = &mut options.probe {
            *status = vec![wanted];
            *body = text.map(Into::into);
        }
    })
}

#[test]
fn what_can_be_asked_is_taken() {
    for options in [
        HealthOptions::default(),
        with(|options| options.probe = Probe::Tcp),
        with(|options| {
            options.probe = Probe::Grpc {
                service: "orders.v1".into(),
            };
        }),
        with(|options| options.timeout = options.interval),
        asking(|method, path, headers| {
            *method = "PURGE".into();
            *path = "/a%20b?c={d}".into();
            headers.push(("authorization".into(), "Bearer s3cret".into()));
        }),
        expecting(599..=599, Some(&[b'x'; MAX_BODY_BYTES])),
    ] {
        assert_eq!(options.check(), Ok(()), "{options:?}");
    }
}

#[test]
fn what_cannot_is_refused_with_the_way_out() {
    for (options, says) in [
        (
            asking(|method, _, _| *method = "G T".into()),
            "write \"GET\"",
        ),
        (
            asking(|_, path, _| *path = "healthz".into()),
            "\"/healthz\"",
        ),
        (asking(|_, path, _| *path = "/a#b".into()), "\"/healthz\""),
        (
            asking(|_, _, headers| headers.push(("host".into(), "a".into()))),
            "a word of its own",
        ),
        (
            asking(|_, _, headers| headers.push(("x".into(), "s3cret\n".into()))),
            "header \"x\"",
        ),
        (
            asking(|_, _, headers| *headers = vec![("x".into(), "y".into()); MAX_HEADERS + 1]),
            "at most 32",
        ),
        (expecting(100..=299, None), "within 200-599"),
        (expecting(200..=600, None), "within 200-599"),
        (
            expecting(RangeInclusive::new(300, 200), None),
            "within 200-599",
        ),
        (expecting(200..=299, Some(b"")), "leave the word out"),
        (
            expecting(200..=299, Some(&[b'x'; MAX_BODY_BYTES + 1])),
            "1 to 65536",
        ),
        (
            with(|options| options.interval = Duration::from_millis(99)),
            "interval must be within 100ms to 1h",
        ),
        (
            with(|options| options.timeout = options.interval + Duration::from_millis(1)),
            "timeout must be within 10ms to the interval",
        ),
        (with(|options| options.rise = 0), "rise"),
        (with(|options| options.fall = 101), "fall"),
        (with(|options| options.jitter = f32::NAN), "jitter"),
        (with(|options| options.port = Some(0)), "port"),
        (
            with(|options| {
                options.probe = Probe::Grpc {
                    service: "a\r\nb".into(),
                };
            }),
            "gRPC service",
        ),
    ] {
        let mut mistakes = options.check().unwrap_err();
        // A timeout is held against an interval that is wrong itself.
        mistakes.truncate(1);
        let text = mistakes[0].to_string();
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("s3cret"));
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let mut options = asking(|method, path, _| (*method, *path) = ("HEAD ".into(), String::new()));
    options.rise = 0;
    options.fall = 0;
    assert_eq!(options.check().unwrap_err().len(), 4);
    let head = with(|options| {
        if let Probe::Http { method, body, .. } = &mut options.probe {
            *method = "HEAD".into();
            *body = Some(b"ok".as_slice().into());
        }
    });
    let text = head.check().unwrap_err()[0].to_string();
    assert!(text.contains("HEAD has no body"), "{text}");
}

#[test]
fn debug_output_tells_no_header_value() {
    let options = asking(|_, _, headers| headers.push(("authorization".into(), "s3cret".into())));
    let text = format!("{options:?}");
    assert!(
        text.contains("authorization") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn only_probe_and_port_make_another_question() {
    let first = HealthOptions::default();
    let other = with(|options| {
        options.interval *= 2;
        options.timeout *= 2;
        (options.rise, options.fall, options.jitter) = (9, 9, 0.0);
    });
    assert!(first.asks_the_same(&other));
    assert!(!first.asks_the_same(&with(|options| options.port = Some(1))));
    assert!(!first.asks_the_same(&expecting(200..=200, None)));
    assert_eq!(http().word(), "http");
}
