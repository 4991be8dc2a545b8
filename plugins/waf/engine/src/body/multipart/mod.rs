//! `multipart/form-data` (RFC 7578), read as ModSecurity v3 reads it, with all its strict flags.
//!
//! A push parser: bodies pass through in pieces of any size, and where they are cut changes nothing. Lines
//! are gathered up to [`LINE`] bytes; field values are kept up to the caller's limit; the content of files
//! is counted, never kept.
//!
//! It shows more than v3 in one case: the parts of a body whose final boundary is missing are handed over
//! all the same, also the last one as far as it came, because servers take them and because a body may
//! have been cut by the caller.

mod boundary;
mod disposition;
mod part;

use memchr::memmem::Finder;

use super::cookies::is_space;
use super::{File, Sink};
use part::Part;

/// The longest line that is looked at as a whole, and the limit for header lines, in bytes.
pub const LINE: usize = 4096;

/// Bytes of a file's start that are kept to tell its type.
pub const HEAD: usize = 64;

/// Bounds that the caller sets.
#[derive(Clone, Copy, Debug)]
pub struct MultipartLimits {
    /// Bytes of header lines and field values that are kept, together, in the whole body.
    pub inspect: usize,
    /// Header lines in one part; more is an error.
    pub header_lines: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self {
            inspect: 128 * 1024,
            header_lines: 64,
        }
    }
}

/// What was noticed: the `MULTIPART_*` variables of ModSecurity v3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultipartFlags {
    /// The body could not be read (`REQBODY_ERROR`), and why (`REQBODY_ERROR_MSG`); the last reason counts.
    pub error: Option<&'static str>,
    /// The error ended the parsing, which counts as a strict error too.
    pub fatal: bool,
    /// `MULTIPART_BOUNDARY_QUOTED`.
    pub boundary_quoted: bool,
    /// `MULTIPART_BOUNDARY_WHITESPACE`.
    pub boundary_whitespace: bool,
    /// `MULTIPART_DATA_BEFORE`.
    pub data_before: bool,
    /// `MULTIPART_DATA_AFTER`.
    pub data_after: bool,
    /// `MULTIPART_HEADER_FOLDING`.
    pub header_folding: bool,
    /// `MULTIPART_INVALID_HEADER_FOLDING`.
    pub invalid_header_folding: bool,
    /// `MULTIPART_LF_LINE`.
    pub lf_line: bool,
    /// A line ended with CR LF; together with `lf_line` this is `MULTIPART_CRLF_LF_LINES`.
    pub crlf_line: bool,
    /// `MULTIPART_MISSING_SEMICOLON`.
    pub missing_semicolon: bool,
    /// `MULTIPART_INVALID_QUOTING`.
    pub invalid_quoting: bool,
    /// `MULTIPART_INVALID_PART`.
    pub invalid_part: bool,
    /// `MULTIPART_UNMATCHED_BOUNDARY`: 0, 1, or 2 when a matching boundary came behind the suspicious line.
    pub unmatched_boundary: u8,
    /// Bytes of all files together (`FILES_COMBINED_SIZE`).
    pub files_bytes: u64,
    /// Bytes of header lines and field values seen; above the limit the rest was not kept.
    pub inspected_bytes: u64,
    /// The sink wanted no more.
    pub stopped: bool,
}

impl MultipartFlags {
    /// `MULTIPART_CRLF_LF_LINES`.
    pub fn mixed_lines(&self) -> bool {
        self.crlf_line && self.lf_line
    }

    /// `MULTIPART_STRICT_ERROR`.
    pub fn strict_error(&self) -> bool {
        self.fatal
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
    }

    fn fail(&mut self, reason: &'static str) {
        self.error = Some(reason);
        self.fatal = true;
    }
}

/// The parser of one body.
pub struct Multipart {
    boundary: Vec<u8>,
    /// Looks for `--` and the boundary anywhere in a line.
    delimiter: Finder<'static>,
    limits: MultipartLimits,
    flags: MultipartFlags,
    /// The line at hand as far as it came, or a piece of a line longer than [`LINE`].
    line: Vec<u8>,
    /// `line` begins where a line begins.
    at_line_start: bool,
    part: Option<Part>,
    /// Buffers of the last part, to be used again.
    spare: Part,
    boundaries: u32,
    seen_data: bool,
    complete: bool,
}

impl Multipart {
    /// Takes the boundary from a `Content-Type` field. The error holds the flags as v3 sets them then.
    pub fn new(content_type: &[u8], limits: MultipartLimits) -> Result<Self, MultipartFlags> {
        let mut flags = MultipartFlags::default();
        match boundary::find(content_type, &mut flags) {
            Ok(boundary) => Ok(Self {
                delimiter: Finder::new(&[b"--", boundary].concat()).into_owned(),
                boundary: boundary.to_vec(),
                limits,
                flags,
                line: Vec::with_capacity(LINE),
                at_line_start: true,
                part: None,
                spare: Part::default(),
                boundaries: 0,
                seen_data: false,
                complete: false,
            }),
            Err(reason) => {
                flags.fail(reason);
                Err(flags)
            }
        }
    }

    /// What was noticed so far.
    pub fn flags(&self) -> &MultipartFlags {
        &self.flags
    }

    /// True when what follows changes nothing any more.
    pub fn is_done(&self) -> bool {
        self.flags.fatal || self.flags.stopped
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8], sink: &mut dyn Sink) {
        self.seen_data |= !piece.is_empty();
        let mut rest = piece;
        while !rest.is_empty() && !self.is_done() {
            if self.complete {
                self.flags.data_after = true;
                return;
            }
            let room = LINE.saturating_sub(self.line.len());
            let window = rest.get(..room).unwrap_or(rest);
            let (count, flush) = match memchr::memchr(b'\n', window) {
                Some(at) => (at + 1, true),
                None if window.len() < room => (window.len(), false),
                // A full buffer never ends with CR: it stays together with its LF.
                None if window.last() == Some(&b'\r') => (room.saturating_sub(1), true),
                None => (room, true),
            };
            let Some((taken, behind)) = rest.split_at_checked(count) else {
                return;
            };
            rest = behind;
            self.line.extend_from_slice(taken);
            if flush {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, sink);
                self.at_line_start = line.last() == Some(&b'\n');
                self.line = line;
                self.line.clear();
            }
        }
    }

    /// The body is over.
    pub fn finish(mut self, sink: &mut dyn Sink) -> MultipartFlags {
        if self.seen_data && !self.complete && !self.is_done() {
            let line = std::mem::take(&mut self.line);
            if self.boundaries == 0 {
                self.flags.error = Some("no boundary in the body");
            } else if self.at_line_start && self.is_final(&line) {
                self.boundary_follows();
            } else {
                self.flags.error = Some("the final boundary is missing");
                if let Some(part) = self.part.as_mut().filter(|part| part.in_body) {
                    part.data(&line, &self.limits, &mut self.flags);
                }
            }
        }
        self.end_part(sink);
        self.flags
    }

    /// True for the final boundary without a line end.
    fn is_final(&self, line: &[u8]) -> bool {
        let behind_dashes = line.strip_prefix(b"--");
        behind_dashes.and_then(|rest| rest.strip_prefix(self.boundary.as_slice())) == Some(b"--")
    }

    fn take_line(&mut self, line: &[u8], sink: &mut dyn Sink) {
        // v3 works on C strings: what looks like a boundary is judged up to the first NUL.
        let text = line.split(|byte| *byte == 0).next().unwrap_or_default();
        if self.at_line_start && text.len() > 3 && text.starts_with(b"--") {
            if self.boundary_line(text, sink) {
                return;
            }
        } else if self.at_line_start && self.delimiter.find(line).is_some() {
            self.flags.unmatched_boundary = 1;
        }
        if self.is_done() {
            return;
        }
        let Some(part) = &mut self.part else {
            self.flags.data_before = true;
            return;
        };
        if part.in_body {
            part.data(line, &self.limits, &mut self.flags);
        } else if line.len() >= LINE || line.last() != Some(&b'\n') {
            self.flags.fail("a header line of a part is too long");
        } else if !part.header(line, &self.limits, &mut self.flags, sink) {
            self.flags.stopped = true;
        }
    }

    /// Looks at a line that begins with `--`; true when it was a boundary.
    fn boundary_line(&mut self, line: &[u8], sink: &mut dyn Sink) -> bool {
        let behind_dashes = line.get(2..).unwrap_or_default();
        let Some(behind) = behind_dashes.strip_prefix(self.boundary.as_slice()) else {
            self.suspicious_line(behind_dashes);
            return false;
        };
        if !self.boundary_follows() {
            return false;
        }
        if self.boundaries > 0 {
            self.flags.unmatched_boundary = 2;
        }
        let (is_final, end) = match behind.strip_prefix(b"--") {
            Some(end) => (true, end),
            None => (false, behind),
        };
        match end {
            b"\r\n" => self.flags.crlf_line = true,
            b"\n" => self.flags.lf_line = true,
            _ => {
                self.flags.fail("a boundary line ends badly");
                return true;
            }
        }
        self.end_part(sink);
        self.boundaries = self.boundaries.saturating_add(1);
        self.complete = is_final;
        if !is_final {
            let mut part = std::mem::take(&mut self.spare);
            part.clear();
            self.part = Some(part);
        }
        true
    }

    /// Judges the place before a boundary. The line end there belongs to the boundary: where none is, or
    /// where the headers are not over, the boundary is content to v3.
    fn boundary_follows(&mut self) -> bool {
        let Some(part) = &self.part else { return true };
        match part.line_end() {
            Some(end) => {
                self.flags.lf_line |= end == b"\n";
                true
            }
            None => {
                self.flags.invalid_part = true;
                false
            }
        }
    }

    /// A line that begins with `--` but not with the boundary: an attempt to write it in another way?
    fn suspicious_line(&mut self, behind_dashes: &[u8]) {
        let boundary = self.boundary.as_slice();
        if self.flags.boundary_quoted
            && behind_dashes
                .strip_prefix(b"\"")
                .is_some_and(|rest| rest.starts_with(boundary))
        {
            self.flags.fail("a boundary in quotes");
            return;
        }
        let spaces = behind_dashes
            .iter()
            .take_while(|byte| is_space(**byte))
            .count();
        if spaces > 0
            && behind_dashes
                .get(spaces..)
                .is_some_and(|rest| rest.starts_with(boundary))
        {
            self.flags.fail("a boundary behind white space");
            return;
        }
        self.flags.unmatched_boundary = 1;
    }

    /// Hands over the part at hand, whose headers are over.
    fn end_part(&mut self, sink: &mut dyn Sink) {
        let Some(part) = self.part.take() else { return };
        if !part.in_body || self.flags.stopped {
            // Nothing can be said about it, or nothing more is wanted.
        } else if part.is_file() {
            self.flags.files_bytes = self.flags.files_bytes.saturating_add(part.bytes);
            let file = File {
                name: &part.name,
                filename: &part.filename,
                size: part.bytes,
                head: &part.value,
            };
            self.flags.stopped = !sink.file(&file);
        } else {
            self.flags.stopped = !sink.argument(&part.name, &part.value);
        }
        self.spare = part;
    }
}
