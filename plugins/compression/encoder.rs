//! The codecs, fed piece by piece, each with a window that bounds its memory.
//!
//! | coding | window | memory of a response, about |
//! |---|---|---|
//! | zstd | 128 KiB | 1.2 MiB |
//! | br | 256 KiB | 0.2 MiB at levels 0 and 1, 2.5 MiB up to 4, 4.5 MiB at 6 |
//! | gzip | 32 KiB | 0.35 MiB |
//!
//! Measured by the resident memory of fifty of them, each amid a page of 2 MiB.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation, OutBuffer};

use super::accept::Coding;

/// Most bytes that a codec takes at a time: what comes of them is moved on before the next.
const PIECE: usize = 16 * 1024;

/// 2 to the power of it is zstd's window. Larger ones cost memory for each response and win little on pages.
const ZSTD_WINDOW_LOG: u32 = 17;

/// The same of zstd's tables, of four bytes an entry: without a bound the higher levels take 10 MiB.
const ZSTD_HASH_LOG: u32 = 17;
const ZSTD_CHAIN_LOG: u32 = 16;

/// The same of brotli's window. Not smaller: from level 5 on it has tables of 34 MiB for windows up to 64 KiB.
const BROTLI_WINDOW_LOG: u32 = 18;

/// Bytes of brotli's buffer between codec and output.
const BROTLI_BUFFER: usize = 16 * 1024;

/// How hard the codecs try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) zstd: u8,
    pub(super) br: u8,
    pub(super) gzip: u8,
}

/// A response that is being compressed.
pub(super) enum Encoder {
    Zstd(ZstdEncoder<'static>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// Starts one. `length` is the body's, where it is known: small bodies take less memory.
    pub(super) fn new(coding: Coding, levels: Levels, length: Option<u64>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(i32::from(levels.zstd))?;
                let window = window_log(length);
                for parameter in [
                    CParameter::WindowLog(window),
                    CParameter::HashLog(window.min(ZSTD_HASH_LOG)),
                    CParameter::ChainLog(window.min(ZSTD_CHAIN_LOG)),
                ] {
                    encoder.set_parameter(parameter)?;
                }
                Self::Zstd(encoder)
            }
            Coding::Br => {
                let (quality, window) = (u32::from(levels.br), BROTLI_WINDOW_LOG);
                let writer =
                    brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, quality, window);
                Self::Br(Box::new(writer))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(u32::from(levels.gzip));
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
        })
    }

    /// Compresses a piece of the body. `flush`: the client can read all of it from what is given.
    pub(super) fn push(&mut self, piece: &[u8], flush: bool, out: &mut Vec<u8>) -> io::Result<()> {
        for part in piece.chunks(PIECE) {
            self.part(part, out)?;
        }
        if flush && !piece.is_empty() {
            match self {
                Self::Zstd(encoder) => while zstd_run(out, |to| encoder.flush(to))? > 0 {},
                Self::Br(writer) => {
                    writer.flush()?;
                    out.append(writer.get_mut());
                }
                Self::Gzip(writer) => {
                    writer.flush()?;
                    out.append(writer.get_mut());
                }
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => {
                let mut from = InBuffer::around(part);
                while from.pos() < part.len() {
                    zstd_run(out, |to| encoder.run(&mut from, to))?;
                }
            }
            Self::Br(writer) => {
                writer.write_all(part)?;
                out.append(writer.get_mut());
            }
            Self::Gzip(writer) => {
                writer.write_all(part)?;
                out.append(writer.get_mut());
            }
        }
        Ok(())
    }

    /// The body is over: gives the rest.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Zstd(mut encoder) => while zstd_run(out, |to| encoder.finish(to, true))? > 0 {},
            Self::Br(writer) => out.append(&mut writer.into_inner()),
            Self::Gzip(writer) => out.append(&mut writer.finish()?),
        }
        Ok(())
    }
}

/// The smallest window of zstd that holds a body of this length.
fn window_log(length: Option<u64>) -> u32 {
    const LEAST: u32 = 10;
    let fits = |length: u64| u64::BITS - length.saturating_sub(1).leading_zeros();
    let wanted = length.map_or(ZSTD_WINDOW_LOG, fits);
    wanted.clamp(LEAST, ZSTD_WINDOW_LOG)
}

/// Room for what a step may write. What a step leaves, the next one takes.
const STEP: usize = 16 * 1024;

/// Runs one step of zstd with room behind what is there; gives what zstd says is left.
fn zstd_run(
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    let start = out.len();
    out.reserve(STEP);
    let mut to = OutBuffer::around_pos(out, start);
    step(&mut to)
}
