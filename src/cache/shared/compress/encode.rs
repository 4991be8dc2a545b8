//! The codecs. Slow and small: each result is made once and sent often.

use std::io::{self, Write};

use bytes::Bytes;

use super::Coding;

/// Bodies up to here get the best levels; larger ones would hold a core for many seconds.
const SMALL: usize = 1 << 20;

/// Bytes of brotli's working buffer.
const BUFFER: usize = 64 << 10;

/// A body in a coding; none if it would not save a tenth.
///
/// # Errors
/// The codec failed, for want of memory for example.
pub(super) fn encode(coding: Coding, pieces: &[Bytes]) -> io::Result<Option<Bytes>> {
    let plain: usize = pieces.iter().map(Bytes::len).sum();
    let small = plain <= SMALL;
    let out = Vec::with_capacity(plain / 3);
    let out = match coding {
        Coding::Br => {
            let quality = if small { 11 } else { 6 };
            let mut writer = brotli::CompressorWriter::new(out, BUFFER, quality, 22);
            write(&mut writer, pieces)?;
            writer.into_inner()
        }
        Coding::Zstd => {
            let mut writer = zstd::Encoder::new(out, if small { 19 } else { 9 })?;
            // Browsers refuse windows above 8 MiB (RFC 9659).
            writer.window_log(23)?;
            writer.include_contentsize(true)?;
            writer.set_pledged_src_size(Some(plain as u64))?;
            write(&mut writer, pieces)?;
            writer.finish()?
        }
        Coding::Gzip => {
            let level = flate2::Compression::new(if small { 9 } else { 6 });
            let mut writer = flate2::write::GzEncoder::new(out, level);
            write(&mut writer, pieces)?;
            writer.finish()?
        }
    };
    let worth = out.len() < plain - plain / 10;
    Ok(worth.then(|| {
        // Exactly as many bytes as are charged for it.
        let exact: Box<[u8]> = out.into_boxed_slice();
        Bytes::from(exact)
    }))
}

fn write(writer: &mut impl Write, pieces: &[Bytes]) -> io::Result<()> {
    for piece in pieces {
        writer.write_all(piece)?;
    }
    writer.flush()
}
