//! Bad bodies: JSON, XML, multipart.

use super::Case;
use super::corpus::{ARGUMENTS, letters, numbered, post, repeat};

pub(super) fn documents(size: usize, words: &[Vec<u8>]) -> Vec<Case> {
    let json = "application/json";
    let xml = "text/xml";
    let room = size.saturating_sub(16);
    let keys = numbered(room, ARGUMENTS - 1, |n| format!("\"{}\":1,", letters(n)));
    let depth = (room / 12).min(500);
    let deep = [
        repeat(b"{\"a\":", depth * 5),
        b"[".to_vec(),
        repeat(b"1,", ARGUMENTS * 2 - 3)
            .into_iter()
            .chain([b'1'])
            .collect(),
        b"]".to_vec(),
        repeat(b"}", depth),
    ]
    .concat();
    let long_key = [
        b"{\"",
        &repeat(b"select'<", room.saturating_sub(ARGUMENTS * 2).max(16))[..],
        b"\":[",
        &repeat(b"1,", ARGUMENTS * 2 - 3),
        b"1]}",
    ]
    .concat();
    let strings = numbered(room, ARGUMENTS - 1, |n| {
        let word = words.get(n).map_or(&b"x"[..], Vec::as_slice);
        format!("\"\\u003c{} '{n}\",", String::from_utf8_lossy(word))
    });
    let attributes = numbered(room, usize::MAX, |n| format!(" {}=''", letters(n)));
    let values = numbered(room, usize::MAX, |n| format!(" {0}='{0}'", letters(n)));
    let texts = numbered(room, usize::MAX, |n| format!("<a>{}</a>", letters(n)));
    let marks = numbered(room, usize::MAX, |n| format!("<a>'{n}-</a>"));
    vec![
        post(
            "JSON keys",
            "the cost of a name",
            json,
            [b"{", &keys[..], b"\"z\":1}"].concat(),
        ),
        post(
            "JSON deep names",
            "names as long as their depth",
            json,
            deep,
        ),
        post(
            "JSON long name",
            "one name before many values",
            json,
            long_key,
        ),
        post(
            "JSON strings",
            "escapes, short attacks",
            json,
            [b"[", &strings[..], b"1]"].concat(),
        ),
        post("JSON brackets", "depth", json, repeat(b"[", size)),
        post(
            "XML attributes",
            "empty values",
            xml,
            [b"<a", &attributes[..], b"/>"].concat(),
        ),
        post(
            "XML values",
            "short values without a bound",
            xml,
            [b"<a", &values[..], b"/>"].concat(),
        ),
        post(
            "XML texts",
            "short values without a bound",
            xml,
            [b"<r>", &texts[..], b"</r>"].concat(),
        ),
        post(
            "XML attacks",
            "short values that pass filters",
            xml,
            [b"<r>", &marks[..], b"</r>"].concat(),
        ),
        post(
            "XML long text",
            "every filter at once",
            xml,
            [b"<r>", &repeat(&words.join(&b' '), room)[..], b"</r>"].concat(),
        ),
    ]
}

pub(super) fn parts(size: usize) -> Vec<Case> {
    let media = "multipart/form-data; boundary=b";
    let end = &b"--b--\r\n"[..];
    let parts = numbered(size, ARGUMENTS, |n| {
        format!(
            "--b\r\nContent-Disposition: form-data; name={}\r\n\r\n{n}\r\n",
            letters(n)
        )
    });
    let headers = numbered(size, usize::MAX, |n| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=a\r\nX-{}: <{n}\r\n\r\n\r\n",
            letters(n)
        )
    });
    let files = numbered(size, usize::MAX, |n| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=f; filename={}.php\r\n\r\n\r\n",
            letters(n)
        )
    });
    let near = repeat(b"\r\n--", size);
    let begin = &b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n"[..];
    vec![
        post(
            "multipart parts",
            "the cost of a part",
            media,
            [&parts[..], end].concat(),
        ),
        post(
            "multipart headers",
            "headers of parts",
            media,
            [&headers[..], end].concat(),
        ),
        post(
            "multipart files",
            "names of files",
            media,
            [&files[..], end].concat(),
        ),
        post(
            "multipart near boundaries",
            "the search for boundaries",
            media,
            [begin, &near, b"\r\n", end].concat(),
        ),
    ]
}
