//! The rules for state that goes along with an upgrade: bounded, and safe against any bytes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::services::Saved;

use super::host::FakeServices;

/// Looks at what the built plugin keeps; `fresh` is a host in which the same plugin was built and did nothing yet.
pub(super) fn check(services: &FakeServices, fresh: &FakeServices, wrong: &mut Vec<String>) {
    let mut run = |what: &str, call: &mut dyn FnMut() -> Option<String>| {
        // A value is only looked at again after a panic to see whether the next call panics too.
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(None) => {}
            Ok(Some(text)) => wrong.push(format!("{what}: {text}")),
            Err(_) => wrong.push(format!("{what}: panics")),
        }
    };
    for (key, value) in services.kept_values() {
        for most_bytes in [0, 1, 100, 1 << 20] {
            run("save", &mut || {
                let saved = value.save(most_bytes).bytes.len();
                let is_over = saved > most_bytes;
                is_over.then(|| format!("`{key}` takes {saved} bytes of {most_bytes}"))
            });
        }
        let saved = value.save(1 << 20);
        run("restore", &mut || {
            let all = BTreeMap::from([(key.clone(), saved.clone())]);
            match fresh.restore(&all, Duration::ZERO) {
                Ok(taken) if taken == saved.entries => None,
                Ok(taken) => Some(format!("`{key}` takes {taken} of {}", saved.entries)),
                Err(why) => Some(format!("`{key}` refuses what it saved: {why}")),
            }
        });
        for bytes in hostile(&saved) {
            run("restore", &mut || {
                let taken = value.restore(&bytes, Duration::from_secs(1));
                let is_wrong = taken.is_ok() && bytes.first() == Some(&u8::MAX);
                is_wrong.then(|| format!("`{key}` takes a version from far ahead"))
            });
        }
    }
}

/// Nothing, cut short, too long, another version, noise.
fn hostile(saved: &Saved) -> Vec<Vec<u8>> {
    let bytes = &saved.bytes;
    let mut all = vec![Vec::new(), vec![0], vec![u8::MAX; 64]];
    for part in 1..4 {
        all.push(bytes.iter().copied().take(bytes.len() * part / 4).collect());
    }
    all.push(bytes.iter().copied().chain([0xff; 40]).collect());
    let first = bytes.first().copied().unwrap_or(1);
    for seed in 0..64_u8 {
        let noise = (0..97_u8).map(|n| n.wrapping_mul(seed).wrapping_add(seed ^ n.rotate_left(3)));
        all.push([first].into_iter().chain(noise).collect());
    }
    all
}
