//! The fuzz target's own function over its seeds and over simple changes of them.

use super::hostile::{KEY, TOKEN, any};
use super::*;

#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/jwt");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        count += 1;
        any(KIND, &seed);
        for cut in (0..seed.len()).step_by(11) {
            any(KIND, &seed[..cut]);
        }
    }
    assert!(count >= 4, "{count} seeds");
}

#[test]
fn the_token_of_the_seeds_is_a_good_one() {
    let services = FakeServices::new();
    let keys = format!("{{\"keys\":[{KEY}]}}");
    let table =
        format!("[[providers]]\nissuer = 'i'\naudiences = ['api']\njwks = {{ inline = '{keys}' }}");
    let built = build(&table, &services);
    assert_eq!(ask(&built, &mut with_token(TOKEN)), "pass");
}
