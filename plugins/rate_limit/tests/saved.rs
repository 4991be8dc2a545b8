//! Limits that go along with an upgrade.

use std::time::Duration;

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices};
use proptest::prelude::*;

use super::{ask, build, user};

const LIMIT: &str = "limits = [{ key = 'header:x-user', rate = 4, per = '1m' }]";

/// Two processes and one that never changed hands decide alike. Some names are longer than 15 bytes: those are hashed.
fn name(n: u8) -> String {
    format!("{n}{}", "-".repeat(usize::from(n % 4) * 8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decisions_are_the_same_as_if_nothing_had_moved(
        before in prop::collection::vec((0..12_u8, 0..9_000_u64), 0..80),
        after in prop::collection::vec((0..12_u8, 0..9_000_u64), 0..80),
        age_ms in 0..20_000_u64,
    ) {
        let [old, new, model] = [(); 3].map(|()| FakeServices::new());
        let [here, there, same] = [&old, &new, &model].map(|services| build(LIMIT, services));
        // The clocks of two processes have nothing in common.
        new.clock.advance(Duration::from_secs(777));
        for (who, pause) in before {
            for services in [&old, &model] {
                services.clock.advance(Duration::from_millis(pause));
            }
            let who = name(who);
            prop_assert_eq!(ask(&here, &mut user(&who)), ask(&same, &mut user(&who)));
        }
        let age = Duration::from_millis(age_ms);
        model.clock.advance(age);
        new.restore(&old.save(1 << 20), age).unwrap();
        for (who, pause) in after {
            for services in [&new, &model] {
                services.clock.advance(Duration::from_millis(pause));
            }
            let who = name(who);
            prop_assert_eq!(ask(&there, &mut user(&who)), ask(&same, &mut user(&who)));
        }
    }
}

#[test]
fn without_room_those_stay_who_used_most() {
    let (old, new) = (FakeServices::new(), FakeServices::new());
    let limit = "limits = [{ key = 'client_ip', rate = 60, per = '1h', burst = 60 }]";
    let (here, there) = (build(limit, &old), build(limit, &new));
    let from = |n: u16| FakeRequest::get("/").client_ip([10, 0, (n >> 8) as u8, n as u8]);
    for n in 0..1_000 {
        ask(&here, &mut from(n));
    }
    for _ in 0..60 {
        ask(&here, &mut from(7));
    }
    let saved = old.save(4_000);
    let kept: Vec<_> = saved
        .values()
        .map(|one| (one.entries, one.left_out))
        .collect();
    assert_eq!(kept.len(), 1);
    let (entries, left_out) = kept[0];
    assert!(entries > 100 && entries + left_out == 1_000, "{kept:?}");
    assert_eq!(new.restore(&saved, Duration::ZERO), Ok(entries));
    assert_eq!(ask(&there, &mut from(7)).0, 429);
}

#[test]
fn a_smaller_table_takes_what_has_room() {
    let (old, new) = (FakeServices::new(), FakeServices::new());
    let (here, _there) = (
        build(LIMIT, &old),
        build(&format!("{LIMIT}\nmax_keys = 100"), &new),
    );
    for n in 0..1_000 {
        ask(&here, &mut user(&n.to_string()));
    }
    assert_eq!(new.restore(&old.save(1 << 20), Duration::ZERO), Ok(100));
}
