//! Every odd case by hand: `vectors.tsv`, a line each of word, input, result, and what it shows.

use crate::escape::{escape, unescape};
use farmgate_waf::transform::{ByteSet, Transformation};

pub(crate) struct Vector {
    pub(crate) word: String,
    pub(crate) input: String,
    pub(crate) result: String,
    pub(crate) shows: String,
}

pub(crate) fn read() -> Vec<Vector> {
    include_str!("vectors.tsv")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [word, input, result, shows] = fields[..] else {
                panic!("{line:?} has not four fields");
            };
            Vector {
                word: word.to_owned(),
                input: input.to_owned(),
                result: result.to_owned(),
                shows: shows.to_owned(),
            }
        })
        .collect()
}

#[test]
fn vectors_come_out_as_written() {
    let mut out = b"left over".to_vec();
    for vector in read() {
        let transformation = Transformation::from_word(&vector.word).expect(&vector.word);
        let input = unescape(&vector.input);
        let changed = transformation.apply(&input, &mut out);
        let result = if changed { out.as_slice() } else { &input };
        assert_eq!(
            escape(result),
            vector.result,
            "{} of {:?}: {}",
            vector.word,
            vector.input,
            vector.shows
        );
        assert_eq!(changed, vector.input != vector.result, "{}", vector.shows);
        assert!(!changed || transformation.may_change(&ByteSet::of(&input)));
    }
}

#[test]
fn every_transformation_has_vectors() {
    let vectors = read();
    for (_, word) in Transformation::ALL {
        let own = vectors.iter().filter(|vector| vector.word == *word);
        assert!(own.count() >= 3, "{word}");
    }
}

#[test]
fn words_are_read_in_any_case() {
    for (transformation, word) in Transformation::ALL {
        assert_eq!(Transformation::from_word(word), Some(*transformation));
        let capitals = word.to_ascii_uppercase();
        assert_eq!(Transformation::from_word(&capitals), Some(*transformation));
    }
    for word in ["", "none", "lower", "lowercases", "utf8"] {
        assert_eq!(Transformation::from_word(word), None, "{word}");
    }
}
