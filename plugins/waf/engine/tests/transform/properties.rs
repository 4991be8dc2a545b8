//! What the engine relies on, on any bytes and on the strings that provoke.

use crate::strings::{Random, string};
use farmgate_waf::transform::{ByteSet, Transformation};
use proptest::prelude::*;

fn check(transformation: Transformation, input: &[u8], out: &mut Vec<u8>) {
    let changed = transformation.apply(input, out);
    let present = ByteSet::of(input);
    if changed {
        assert_ne!(out, input, "{transformation:?} reports a change");
        assert!(
            transformation.may_change(&present),
            "{transformation:?} of {input:?} was ruled out"
        );
        assert!(
            out.len() <= input.len() * transformation.growth() + Transformation::SPARE,
            "{transformation:?} made {} bytes of {}",
            out.len(),
            input.len()
        );
        if transformation.only_changes_case() {
            assert!(out.eq_ignore_ascii_case(input));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        for (transformation, _) in Transformation::ALL {
            check(*transformation, &input, &mut out);
        }
    }

    #[test]
    fn any_number_of_strings(first in any::<u64>(), second in any::<u64>()) {
        let mut out = Vec::new();
        for (transformation, _) in Transformation::ALL {
            let mut input = string(*transformation, first);
            input.extend(string(*transformation, second));
            for (other, _) in Transformation::ALL {
                check(*other, &input, &mut out);
            }
        }
    }
}

/// With few bytes present, `may_change` must still be right: all strings of up to six bytes over
/// three bytes that belong together.
#[test]
fn strings_over_three_bytes() {
    let alphabets: [&[u8; 3]; 12] = [
        b"%41", b"+%u", b"\\x7", b"\\0\n", b"&#3", b"&lt", b"/.a", b"\\./", b"/* ", b"<!-", b"0x4",
        b"=9A",
    ];
    let mut out = Vec::new();
    for alphabet in alphabets {
        for length in 0..=6u32 {
            for number in 0..3usize.pow(length) {
                let input: Vec<u8> = (0..length)
                    .map(|place| alphabet[number / 3usize.pow(place) % 3])
                    .collect();
                for (transformation, _) in Transformation::ALL {
                    check(*transformation, &input, &mut out);
                }
            }
        }
    }
}

/// What cannot occur in a plain word changes nothing, so that most values are passed by.
#[test]
fn plain_words_are_ruled_out() {
    let word = ByteSet::of(b"plain_word-42");
    let ruled_out = Transformation::ALL
        .iter()
        .filter(|(transformation, _)| !transformation.may_change(&word))
        .count();
    assert!(ruled_out >= 20, "{ruled_out}");
}

/// Long input of the worst shapes: the bound holds, and no shape takes more than linear steps,
/// which at this size would take minutes.
#[test]
fn long_input_of_bad_shapes() {
    let shapes: [&[u8]; 12] = [
        b"/*",
        b"<!--",
        b"../",
        b"a/../",
        b"/..",
        b"&#",
        b"%u",
        b"\\",
        b"0x",
        b"- ",
        b"\xf0\x80",
        b"\xc0\x80",
    ];
    let mut out = Vec::new();
    let mut random = Random::new(7);
    for shape in shapes {
        let mut input = shape.repeat((1 << 20) / shape.len());
        input.push(random.next() as u8);
        for (transformation, _) in Transformation::ALL {
            check(*transformation, &input, &mut out);
        }
    }
}
