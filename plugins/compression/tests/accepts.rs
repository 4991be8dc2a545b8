//! Accept-Encoding against what the RFC says of it.

use super::super::accept::{Coding, Wishes};

fn best(line: &str) -> Option<Coding> {
    Wishes::read([line.as_bytes()].into_iter()).best(&Coding::ALL)
}

#[test]
fn the_best_liked_coding_wins() {
    for (line, expected) in [
        ("gzip", Some(Coding::Gzip)),
        ("GZIP", Some(Coding::Gzip)),
        ("x-gzip", Some(Coding::Gzip)),
        ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
        ("gzip, deflate, br", Some(Coding::Br)),
        ("deflate, compress", None),
        ("", None),
        ("*", Some(Coding::Zstd)),
        ("*;q=0", None),
        ("*;q=0.1, gzip", Some(Coding::Gzip)),
        ("*, zstd;q=0", Some(Coding::Br)),
        ("gzip;q=1.0, br;q=0.9, *;q=0", Some(Coding::Gzip)),
        ("gzip;q=0.001, br;q=0.0", Some(Coding::Gzip)),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", Some(Coding::Gzip)),
        ("identity, gzip", Some(Coding::Gzip)),
        ("identity;q=0", None),
        ("gzip;Q=0.8 , br ; q=0.9", Some(Coding::Br)),
        ("gzip;q=2", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=", None),
        ("gzip;q=1.001", None),
        ("gzip, gzip;q=0", None),
        ("gzip;q=0.1, gzip;q=0.9, br;q=0.5", Some(Coding::Gzip)),
        ("gzip;level=9", Some(Coding::Gzip)),
        (",,;,gzip,;q=1", Some(Coding::Gzip)),
        ("gzip br", None),
    ] {
        assert_eq!(best(line), expected, "{line}");
    }
    let lines = [&b"gzip"[..], b"br;q=0", b"\xff\xfe"];
    let wishes = Wishes::read(lines.into_iter());
    assert_eq!(wishes.best(&Coding::ALL), Some(Coding::Gzip));
    // Of equals the one that stands first here.
    let both = Wishes::read([&b"br, gzip"[..]].into_iter());
    let offered = [Coding::Gzip, Coding::Br];
    assert_eq!(both.best(&offered), Some(Coding::Gzip));
}

#[test]
fn identity_is_refused_by_name_or_by_star() {
    for (line, refused) in [
        ("identity;q=0", true),
        ("gzip, identity;q=0", true),
        ("gzip, *;q=0", true),
        ("*;q=0, identity;q=0.1", false),
        ("gzip", false),
        ("", false),
        ("*", false),
    ] {
        let wishes = Wishes::read([line.as_bytes()].into_iter());
        assert_eq!(wishes.refuses_identity(), refused, "{line}");
    }
}
