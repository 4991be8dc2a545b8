//! One part of a multipart body.

use super::super::Sink;
use super::super::cookies::is_space;
use super::disposition::{self, Parameter};
use super::{HEAD, LINE, MultipartFlags, MultipartLimits};

/// A part while it is read. Its buffers serve the next part too.
#[derive(Default)]
pub(super) struct Part {
    /// Empty until its headers are over.
    pub(super) name: Vec<u8>,
    /// Not empty for a file.
    pub(super) filename: Vec<u8>,
    /// The headers are over.
    pub(super) in_body: bool,
    /// Its Content-Disposition was read in vain: not again at every empty line that follows.
    unreadable: bool,
    /// Bytes of content.
    pub(super) bytes: u64,
    /// A field's value, or the first bytes of a file.
    pub(super) value: Vec<u8>,
    /// The end of the last line: content if another line follows, part of the boundary otherwise.
    held: &'static [u8],
    /// Header lines one behind the other, folded ones joined.
    lines: Vec<u8>,
    /// Where each line ends in `lines`, and the length of its name.
    ends: Vec<(usize, usize)>,
}

impl Part {
    pub(super) fn clear(&mut self) {
        self.name.clear();
        self.filename.clear();
        self.in_body = false;
        self.unreadable = false;
        self.bytes = 0;
        self.value.clear();
        self.held = b"";
        self.lines.clear();
        self.ends.clear();
    }

    /// The end of the last line of the content; only behind one a boundary may follow.
    pub(super) fn line_end(&self) -> Option<&'static [u8]> {
        Some(self.held).filter(|held| self.in_body && !held.is_empty())
    }

    pub(super) fn is_file(&self) -> bool {
        !self.filename.is_empty()
    }

    /// Takes a line, or a piece of a long line, of the content.
    pub(super) fn data(
        &mut self,
        line: &[u8],
        limits: &MultipartLimits,
        flags: &mut MultipartFlags,
    ) {
        let held = std::mem::take(&mut self.held);
        let content = match line {
            [content @ .., b'\r', b'\n'] => {
                self.held = b"\r\n";
                content
            }
            [content @ .., b'\n'] => {
                self.held = b"\n";
                content
            }
            _ => line,
        };
        for piece in [held, content] {
            let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(bytes);
            let room = if self.is_file() {
                HEAD.saturating_sub(self.value.len())
            } else {
                let room = limits
                    .inspect
                    .saturating_sub(usize::try_from(flags.inspected_bytes).unwrap_or(usize::MAX));
                flags.inspected_bytes = flags.inspected_bytes.saturating_add(bytes);
                room
            };
            self.value
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    /// Takes a whole line of the headers; false when the sink wants no more.
    pub(super) fn header(
        &mut self,
        line: &[u8],
        limits: &MultipartLimits,
        flags: &mut MultipartFlags,
        sink: &mut dyn Sink,
    ) -> bool {
        if line.contains(&0) {
            flags.error = Some("a NUL byte in the headers of a part");
            return true;
        }
        flags.inspected_bytes = flags
            .inspected_bytes
            .saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        if line.ends_with(b"\r\n") {
            flags.crlf_line = true;
        } else {
            flags.lf_line = true;
        }
        if matches!(line, b"\r\n" | b"\n") {
            return self.end_headers(flags, sink);
        }
        let mut text = line;
        while let [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        let result = if line.first().is_some_and(|byte| is_space(*byte)) {
            self.folded(text, flags)
        } else if self.ends.len() >= limits.header_lines {
            flags.fail("too many header lines in a part");
            Ok(())
        } else {
            self.new_header(text)
        };
        if let Err(reason) = result {
            flags.error = Some(reason);
        }
        true
    }

    fn new_header(&mut self, text: &[u8]) -> Result<(), &'static str> {
        let colon = memchr::memchr(b':', text).ok_or("a header line of a part has no colon")?;
        let name = text.get(..colon).unwrap_or_default();
        if name.is_empty() {
            return Err("a header line of a part has no name");
        }
        let twice = self
            .headers()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        self.lines.extend_from_slice(text);
        self.ends.push((self.lines.len(), colon));
        if twice {
            return Err("a header stands twice in a part");
        }
        Ok(())
    }

    fn folded(&mut self, text: &[u8], flags: &mut MultipartFlags) -> Result<(), &'static str> {
        flags.header_folding = true;
        let blanks = text.iter().take_while(|byte| is_space(**byte)).count();
        let (blanks, text) = text.split_at_checked(blanks).unwrap_or_default();
        // In a line of nothing but white space v3 takes its end for a wrong blank.
        if text.is_empty() || blanks.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            flags.invalid_header_folding = true;
        }
        let before = self.ends.iter().rev().nth(1).map_or(0, |(end, _)| *end);
        let Some((end, _)) = self.ends.last_mut() else {
            return Err("a continuation line before the first header of a part");
        };
        self.lines.push(b' ');
        self.lines.extend_from_slice(text);
        *end = self.lines.len();
        if *end - before > LINE {
            flags.fail("a header of a part is too long");
        }
        Ok(())
    }

    /// Each header's name and its whole line.
    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(end, name)| {
            let line = self.lines.get(start..*end)?;
            start = *end;
            Some((line.get(..*name)?, line))
        })
    }

    /// The empty line behind the headers.
    fn end_headers(&mut self, flags: &mut MultipartFlags, sink: &mut dyn Sink) -> bool {
        let wanted = match self.disposition(flags, sink) {
            Ok(wanted) => wanted,
            Err(reason) => {
                flags.error = Some(reason);
                return true;
            }
        };
        self.in_body = true;
        wanted
            && self
                .headers()
                .all(|(_, line)| sink.part_header(&self.name, line))
    }

    /// Reads name and file name; false when the sink wants no more.
    fn disposition(
        &mut self,
        flags: &mut MultipartFlags,
        sink: &mut dyn Sink,
    ) -> Result<bool, &'static str> {
        let (name, line) = self
            .headers()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"content-disposition"))
            .ok_or("a part has no Content-Disposition")?;
        if self.unreadable {
            return Err("the Content-Disposition of a part cannot be read");
        }
        let value = disposition::skip_blanks(line.get(name.len() + 1..).unwrap_or_default());
        let has_filename = memchr::memmem::find(value, b"filename=").is_some();
        let mut wanted = true;
        let (found, result) = disposition::parse(value, &mut |parameter, value| {
            wanted &= match parameter {
                Parameter::Name => sink.part_name(value),
                Parameter::Filename => sink.part_filename(value),
            };
        });
        flags.invalid_quoting |= found.invalid_quoting;
        self.unreadable = true;
        self.name = found.name;
        self.filename = found.filename;
        result?;
        if self.name.is_empty() {
            return Err("the Content-Disposition of a part has no name");
        }
        // Servers with crude parsers look for the word: a file that they would not see is suspicious.
        if self.filename.is_empty() && found.has_extended || self.is_file() && !has_filename {
            return Err("the file name of a part is hidden");
        }
        self.unreadable = false;
        Ok(wanted)
    }
}
