//! What the parsers give, as lines to compare.

use std::fmt::Write;

use crate::body::*;

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Collects what a parser hands over.
pub(super) struct Lines {
    pub(super) word: &'static str,
    pub(super) lines: Vec<String>,
}

impl Lines {
    pub(super) fn new(word: &'static str) -> Self {
        Self {
            word,
            lines: Vec::new(),
        }
    }

    fn pair(&mut self, word: &str, name: &[u8], value: &[u8]) -> bool {
        self.lines
            .push(format!("{word} {} {}", hex(name), hex(value)));
        true
    }
}

impl Sink for Lines {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.pair(self.word, name, value)
    }

    fn part_header(&mut self, part_name: &[u8], line: &[u8]) -> bool {
        self.pair("PART_HEADER", part_name, line)
    }

    fn file(&mut self, file: &File<'_>) -> bool {
        self.pair("FILES", file.name, file.filename);
        self.pair("FILES_NAMES", file.name, file.name);
        self.pair("FILES_SIZES", file.name, file.size.to_string().as_bytes())
    }

    fn part_name(&mut self, name: &[u8]) -> bool {
        self.pair("NAME", name, name)
    }

    fn part_filename(&mut self, filename: &[u8]) -> bool {
        self.pair("FILENAME", filename, filename)
    }
}

impl XmlSink for Lines {
    fn text(&mut self, text: &[u8]) -> bool {
        self.lines.push(format!("XML {}", hex(text)));
        true
    }

    fn attribute(&mut self, value: &[u8]) -> bool {
        self.lines.push(format!("XMLATTR {}", hex(value)));
        true
    }
}

/// The flags in the words of the reference program.
pub(super) fn flags(flags: &MultipartFlags) -> Vec<String> {
    let bits = [
        ("STRICT_ERROR", flags.strict_error()),
        ("BOUNDARY_QUOTED", flags.boundary_quoted),
        ("BOUNDARY_WHITESPACE", flags.boundary_whitespace),
        ("DATA_BEFORE", flags.data_before),
        ("DATA_AFTER", flags.data_after),
        ("HEADER_FOLDING", flags.header_folding),
        ("INVALID_HEADER_FOLDING", flags.invalid_header_folding),
        ("LF_LINE", flags.lf_line),
        ("CRLF_LF_LINES", flags.mixed_lines()),
        ("MISSING_SEMICOLON", flags.missing_semicolon),
        ("INVALID_QUOTING", flags.invalid_quoting),
        ("INVALID_PART", flags.invalid_part),
    ];
    bits.iter()
        .map(|(word, bit)| format!("{word} {}", u8::from(*bit)))
        .chain([
            format!("UNMATCHED_BOUNDARY {}", flags.unmatched_boundary),
            format!("FILES_COMBINED_SIZE {}", flags.files_bytes),
            format!("REQBODY_ERROR {}", u8::from(flags.error.is_some())),
        ])
        .collect()
}

/// Reads a multipart body that comes in `pieces`.
pub(super) fn multipart(content_type: &[u8], pieces: &[&[u8]]) -> Vec<String> {
    let mut lines = Lines::new("ARGS_POST");
    let seen = match Multipart::new(content_type, MultipartLimits::default()) {
        Ok(mut parser) => {
            for piece in pieces {
                parser.push(piece, &mut lines);
            }
            parser.finish(&mut lines)
        }
        Err(seen) => seen,
    };
    lines.lines.extend(flags(&seen));
    lines.lines
}

fn urlencoded_lines(word: &'static str, input: &[u8]) -> Vec<String> {
    let mut lines = Lines::new(word);
    if urlencoded(input, b'&', &mut lines).invalid_escapes > 0 {
        lines.lines.push("URLENCODED_ERROR 1".into());
    }
    lines.lines
}

/// What a case (see `cases.txt`) gives.
pub(super) fn case(kind: u8, content_type: &[u8], body: &[u8]) -> Vec<String> {
    match (kind, Kind::of(content_type)) {
        (b'Q', _) => urlencoded_lines("ARGS_GET", body),
        (b'C', _) => {
            let mut lines = Lines::new("COOKIE");
            cookies(body, &mut |name, value| {
                lines.argument(name, value);
            });
            lines.lines
        }
        (_, Some(Kind::UrlEncoded)) => urlencoded_lines("ARGS_POST", body),
        (_, Some(Kind::Multipart)) => multipart(content_type, &[body]),
        (_, Some(Kind::Json)) => {
            let mut lines = Lines::new("ARGS");
            let failed = json(body, 512, &mut lines).is_err();
            lines
                .lines
                .push(format!("REQBODY_ERROR {}", u8::from(failed)));
            lines.lines
        }
        (_, Some(Kind::Xml)) => {
            let mut lines = Lines::new("ARGS");
            let failed = xml(body, XmlLimits::default(), &mut lines).is_err();
            lines
                .lines
                .push(format!("REQBODY_ERROR {}", u8::from(failed)));
            lines.lines
        }
        (_, None) => Vec::new(),
    }
}
