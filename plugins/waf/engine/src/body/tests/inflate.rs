//! Compressed bodies: every encoding whole and in pieces, bombs, cuts, and what follows the end.

use std::io::Write;

use crate::body::inflate::*;

fn coded(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    match encoding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(plain).expect("memory");
            writer.finish().expect("memory")
        }
        "zlib" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(plain).expect("memory");
            writer.finish().expect("memory")
        }
        "deflate" => {
            let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
            writer.write_all(plain).expect("memory");
            writer.finish().expect("memory")
        }
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            writer.write_all(plain).expect("memory");
            writer.into_inner()
        }
        _ => zstd::encode_all(plain, 3).expect("memory"),
    }
}

fn decoded(
    encoding: &str,
    body: &[u8],
    piece: usize,
    limits: InflateLimits,
) -> Result<Vec<u8>, InflateError> {
    let decoder = Decoder::new(encoding.as_bytes(), limits).expect("known");
    let mut decoder = decoder.expect("an encoding");
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

/// What is sent, and under which name.
const ENCODINGS: [(&str, &str); 5] = [
    ("gzip", "gzip"),
    ("zlib", "deflate"),
    ("deflate", "deflate"),
    ("br", "br"),
    ("zstd", "zstd"),
];

fn text() -> Vec<u8> {
    (0..6000u32)
        .flat_map(|number| format!("{} ", number.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn every_encoding_comes_back_whole_and_in_pieces() {
    for plain in [Vec::new(), b"a".to_vec(), text()] {
        for (sent, named) in ENCODINGS {
            let body = coded(sent, &plain);
            for piece in [1, 7, 4096, usize::MAX] {
                let back = decoded(named, &body, piece, InflateLimits::default());
                assert_eq!(back.as_ref(), Ok(&plain), "{sent} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn two_encodings_are_undone_in_turn_and_three_are_refused() {
    let body = coded("br", &coded("gzip", &text()));
    assert_eq!(
        decoded("gzip, BR", &body, 100, InflateLimits::default()),
        Ok(text())
    );
    assert_eq!(
        decoded("identity,gzip , br", &body, 100, InflateLimits::default()),
        Ok(text())
    );
    for unknown in ["gzip,gzip,gzip", "compress", "gzip;q=1", "*"] {
        assert_eq!(
            Decoder::new(unknown.as_bytes(), InflateLimits::default()).err(),
            Some(Unsupported)
        );
    }
    for none in ["", "identity", " , identity"] {
        assert!(matches!(
            Decoder::new(none.as_bytes(), InflateLimits::default()),
            Ok(None)
        ));
    }
}

#[test]
fn a_cut_body_is_truncated_and_bytes_behind_the_end_are_an_error() {
    let plain = text();
    for (sent, named) in ENCODINGS {
        let whole = coded(sent, &plain);
        for cut in [1, 2, whole.len() / 2, whole.len() - 1] {
            let result = decoded(named, &whole[..cut], 500, InflateLimits::default());
            assert_eq!(
                result,
                Err(InflateError::Truncated),
                "{sent} cut at {cut} of {}",
                whole.len()
            );
        }
        let longer = [&whole[..], b"<script>"].concat();
        let result = decoded(named, &longer, 500, InflateLimits::default());
        assert!(result.is_err(), "{sent} with a tail");
    }
}

#[test]
fn several_members_are_one_body() {
    for encoding in ["gzip", "zstd"] {
        let body = [coded(encoding, b"one "), coded(encoding, b"two")].concat();
        assert_eq!(
            decoded(encoding, &body, 3, InflateLimits::default()),
            Ok(b"one two".to_vec())
        );
    }
}

#[test]
fn a_bomb_ends_early() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let limits = InflateLimits {
        max_bytes: 1 << 30,
        ratio: 100,
    };
    for (sent, named) in ENCODINGS {
        let body = coded(sent, &zeros);
        let decoder = Decoder::new(named.as_bytes(), limits).expect("known");
        let mut decoder = decoder.expect("an encoding");
        let mut out = Vec::new();
        let result = body
            .chunks(1024)
            .try_for_each(|piece| decoder.push(piece, &mut out));
        assert_eq!(result, Err(InflateError::Bomb), "{sent}");
        assert!(
            out.len() <= 100 * body.len() + 64 * 1024,
            "{sent}: {} of {}",
            out.len(),
            body.len()
        );
        assert_eq!(
            decoder.push(b"more", &mut out),
            Err(InflateError::Bomb),
            "an error stays"
        );
    }
}

#[test]
fn the_size_is_bounded_at_every_layer() {
    let limits = InflateLimits {
        max_bytes: 1000,
        ratio: 1000,
    };
    for (sent, named) in ENCODINGS {
        assert_eq!(
            decoded(named, &coded(sent, &[b'a'; 1000]), 10, limits),
            Ok(vec![b'a'; 1000])
        );
        assert_eq!(
            decoded(named, &coded(sent, &[b'a'; 1001]), 10, limits),
            Err(InflateError::TooLarge)
        );
    }
    // The middle is large, the end is small.
    let middle = coded("gzip", &text());
    assert!(middle.len() > 1000);
    let body = coded("zstd", &middle);
    assert_eq!(
        decoded("gzip, zstd", &body, 100, limits),
        Err(InflateError::TooLarge)
    );
}

#[test]
fn bytes_that_are_not_compressed_are_broken() {
    for named in ["gzip", "deflate", "br", "zstd"] {
        let result = decoded(
            named,
            b"username=admin&password=1234567890 and some more",
            5,
            InflateLimits::default(),
        );
        assert!(
            matches!(result, Err(InflateError::Broken | InflateError::Truncated)),
            "{named}: {result:?}"
        );
    }
}
