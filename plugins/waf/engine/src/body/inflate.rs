//! Compressed request bodies: gzip, deflate, br and zstd, at most two inside each other.
//!
//! Output is bounded twice: by a number of bytes, and by how much one byte of input may become, so that a
//! bomb ends early. What a decoder holds is bounded as well: windows of at most 16 MiB (br) and 8 MiB
//! (zstd, as RFC 8878 advises). Bytes behind the end of the compressed data are an error, since receivers
//! disagree on them; several gzip members or zstd frames one behind the other are read as one body.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// Encodings inside each other.
const LAYERS: usize = 2;

/// Bytes that are decoded before the ratio is looked at: small bodies compress very well.
const RATIO_FREE: u64 = 64 * 1024;

/// The largest zstd window: 2 to the power of 23 bytes.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that a decoder writes at a time.
const BUFFER: usize = 16 * 1024;

/// A `Content-Encoding` that is not read: unknown, or too many inside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The bytes are no such compressed data, or something stands behind it.
    Broken,
    /// The body ends in the middle.
    Truncated,
    /// The decoded body is larger than allowed.
    TooLarge,
    /// The decoded body is so much larger than the compressed one that it must be a bomb.
    Bomb,
}

/// Bounds that the caller sets.
#[derive(Clone, Copy, Debug)]
pub struct InflateLimits {
    /// Bytes of the decoded body (and of the body between two encodings).
    pub max_bytes: u64,
    /// Bytes that one byte of input may become, all encodings together, beyond the first 64 KiB.
    pub ratio: u32,
}

impl Default for InflateLimits {
    /// Text seldom shrinks to a hundredth.
    fn default() -> Self {
        Self {
            max_bytes: 8 * 1024 * 1024,
            ratio: 200,
        }
    }
}

/// Decodes one body.
pub struct Decoder {
    /// The outermost encoding first.
    layers: Vec<Layer>,
    limits: InflateLimits,
    taken: u64,
    given: u64,
    failed: Option<InflateError>,
}

impl Decoder {
    /// Reads a `Content-Encoding` (several fields joined with `,`). `identity` and nothing at all are no
    /// encoding: `None`.
    pub fn new(
        content_encoding: &[u8],
        limits: InflateLimits,
    ) -> Result<Option<Self>, Unsupported> {
        let mut layers = Vec::new();
        for word in content_encoding.split(|byte| *byte == b',') {
            let word = word.trim_ascii();
            if word.is_empty() || word.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            if layers.len() == LAYERS {
                return Err(Unsupported);
            }
            layers.push(Layer::new(word, limits.max_bytes)?);
        }
        layers.reverse();
        if layers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            layers,
            limits,
            taken: 0,
            given: 0,
            failed: None,
        }))
    }

    /// Decodes a piece and appends to `out` what comes of it. After an error nothing more comes.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
        self.taken = self
            .taken
            .saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        self.through(piece, out, false)
    }

    /// The body is over.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        self.through(&[], out, true)
    }

    fn through(&mut self, piece: &[u8], out: &mut Vec<u8>, last: bool) -> Result<(), InflateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // What the ratio allows now, and then bytes as such.
        let allowed = self
            .taken
            .saturating_mul(u64::from(self.limits.ratio))
            .max(RATIO_FREE);
        let result = decode(&mut self.layers, piece, allowed, last);
        let result = result.map(|decoded| {
            self.given = self
                .given
                .saturating_add(u64::try_from(decoded.len()).unwrap_or(u64::MAX));
            out.extend_from_slice(&decoded);
        });
        self.failed = result.err();
        result
    }
}

fn decode(
    layers: &mut [Layer],
    piece: &[u8],
    allowed: u64,
    last: bool,
) -> Result<Vec<u8>, InflateError> {
    let mut bytes = None;
    for layer in layers {
        let input = bytes.as_deref().unwrap_or(piece);
        layer.room().allowed = allowed;
        bytes = Some(layer.push(input, last)?);
    }
    Ok(bytes.unwrap_or_default())
}

/// Where a decoder writes to: memory that refuses what is too much.
struct Room {
    bytes: Vec<u8>,
    /// Bytes written so far, over all pieces.
    written: u64,
    max_bytes: u64,
    /// Bytes that the ratio allows by now.
    allowed: u64,
    refused: Option<InflateError>,
}

impl Room {
    fn new(max_bytes: u64) -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            max_bytes,
            allowed: 0,
            refused: None,
        }
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self
            .written
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if written > self.max_bytes {
            self.refused = Some(InflateError::TooLarge);
        } else if written > self.allowed {
            self.refused = Some(InflateError::Bomb);
        } else {
            self.written = written;
            self.bytes.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Layer {
    Gzip(MultiGzDecoder<Room>),
    /// `deflate` means zlib, but raw data is sent under this name too: the first two bytes tell.
    Deflate {
        start: Vec<u8>,
        room: Room,
    },
    Flate(Flate),
    Brotli(Box<brotli::DecompressorWriter<Room>>),
    Zstd(Zstd),
}

/// zlib or raw deflate. The decoders that write elsewhere do not tell whether the data has ended.
struct Flate {
    decoder: Decompress,
    buffer: Vec<u8>,
    room: Room,
    ended: bool,
}

struct Zstd {
    decoder: ZstdDecoder<'static>,
    buffer: Vec<u8>,
    room: Room,
    /// A frame is complete, and no byte of another was seen.
    between: bool,
}

impl Layer {
    fn new(word: &[u8], max_bytes: u64) -> Result<Self, Unsupported> {
        let room = Room::new(max_bytes);
        let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
        if is(b"gzip") || is(b"x-gzip") {
            Ok(Self::Gzip(MultiGzDecoder::new(room)))
        } else if is(b"deflate") {
            Ok(Self::Deflate {
                start: Vec::new(),
                room,
            })
        } else if is(b"br") {
            Ok(Self::Brotli(Box::new(brotli::DecompressorWriter::new(
                room, BUFFER,
            ))))
        } else if is(b"zstd") {
            let mut decoder = ZstdDecoder::new().map_err(|_| Unsupported)?;
            let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
            decoder.set_parameter(window).map_err(|_| Unsupported)?;
            Ok(Self::Zstd(Zstd {
                decoder,
                buffer: vec![0; BUFFER],
                room,
                between: false,
            }))
        } else {
            Err(Unsupported)
        }
    }

    fn room(&mut self) -> &mut Room {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate { room, .. } => room,
            Self::Flate(decoder) => &mut decoder.room,
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => &mut decoder.room,
        }
    }

    fn push(&mut self, input: &[u8], last: bool) -> Result<Vec<u8>, InflateError> {
        if let Self::Deflate { start, room } = self {
            start.extend_from_slice(input);
            let [method, flags, ..] = start.as_slice() else {
                return if last {
                    Err(InflateError::Truncated)
                } else {
                    Ok(Vec::new())
                };
            };
            let is_zlib =
                method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31);
            let (start, room) = (std::mem::take(start), std::mem::replace(room, Room::new(0)));
            *self = Self::Flate(Flate {
                decoder: Decompress::new(is_zlib),
                buffer: vec![0; BUFFER],
                room,
                ended: false,
            });
            return self.push(&start, last);
        }
        let result = match self {
            Self::Gzip(decoder) => write(decoder, input, last, MultiGzDecoder::try_finish),
            Self::Deflate { .. } => Ok(()),
            Self::Flate(decoder) => decoder.push(input, last),
            Self::Brotli(decoder) => {
                write(decoder.as_mut(), input, last, |decoder| decoder.close())
            }
            Self::Zstd(decoder) => decoder.push(input, last),
        };
        let room = self.room();
        let bytes = std::mem::take(&mut room.bytes);
        match room.refused {
            Some(refused) => Err(refused),
            None => result.map(|()| bytes),
        }
    }
}

/// Gives a piece to a decoder that writes to a [`Room`].
fn write<W: Write>(
    decoder: &mut W,
    input: &[u8],
    last: bool,
    finish: impl FnOnce(&mut W) -> io::Result<()>,
) -> Result<(), InflateError> {
    decoder.write_all(input).map_err(|_| InflateError::Broken)?;
    decoder.flush().map_err(|_| InflateError::Broken)?;
    if last {
        finish(decoder).map_err(|_| InflateError::Truncated)?;
    }
    Ok(())
}

impl Flate {
    fn push(&mut self, mut input: &[u8], last: bool) -> Result<(), InflateError> {
        loop {
            if self.ended {
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(InflateError::Broken)
                };
            }
            let (taken, given) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self
                .decoder
                .decompress(input, &mut self.buffer, FlushDecompress::None)
                .map_err(|_| InflateError::Broken)?;
            let taken = usize::try_from(self.decoder.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(self.decoder.total_out() - given).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            let bytes = self.buffer.get(..given).unwrap_or_default();
            self.room
                .write_all(bytes)
                .map_err(|_| InflateError::Broken)?;
            self.ended = status == Status::StreamEnd;
            if !self.ended && taken == 0 && given == 0 {
                // Nothing moves any more: it wants more input.
                break;
            }
        }
        match (last, input.is_empty()) {
            (true, _) => Err(InflateError::Truncated),
            (false, true) => Ok(()),
            (false, false) => Err(InflateError::Broken),
        }
    }
}

impl Zstd {
    fn push(&mut self, input: &[u8], last: bool) -> Result<(), InflateError> {
        let mut input = InBuffer::around(input);
        loop {
            let before = input.pos();
            let mut output = OutBuffer::around(self.buffer.as_mut_slice());
            let hint = self
                .decoder
                .run(&mut input, &mut output)
                .map_err(|_| InflateError::Broken)?;
            let filled = output.pos();
            let full = filled == BUFFER;
            self.room
                .write_all(self.buffer.get(..filled).unwrap_or_default())
                .map_err(|_| InflateError::Broken)?;
            if input.pos() > before || filled > 0 {
                self.between = hint == 0;
            }
            if input.pos() == input.src.len() && !full {
                break;
            }
        }
        if last && !self.between {
            Err(InflateError::Truncated)
        } else {
            Ok(())
        }
    }
}
