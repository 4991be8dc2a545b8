//! Where a request's body ends, and whether it is well formed (RFC 9112 sections 6 and 7).

use super::classes::is_value_byte;
use super::error::{Reason, Reject};
use super::head::Framing;
use super::trailers::Trailers;

/// Most bytes of chunk extensions over the whole body. They carry nothing that anybody uses, and a limit
/// per chunk would let a body of one-byte chunks cost without end (CVE-2023-39326 in Go).
pub const MAX_EXTENSION_BYTES: u32 = 8 * 1024;

/// Most hexadecimal digits of a chunk size: those of 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Follows the raw bytes of a connection behind a request's head.
///
/// It copies nothing and skips payload by counting, so its cost is that of the chunk heads.
#[derive(Clone, Debug)]
pub struct BodyGuard {
    state: State,
    /// Payload bytes that were fed.
    payload: u64,
    /// Payload bytes that were fed or announced by chunk heads.
    announced: u64,
    limit: u64,
    extension_bytes: u32,
}

#[derive(Clone, Debug)]
enum State {
    Length { left: u64 },
    Size { value: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers(Trailers),
    Done,
    Failed(Reject),
}

impl BodyGuard {
    /// Starts behind a head. `limit` is the most payload bytes.
    ///
    /// A length over the limit is refused by the first [`feed`](Self::feed), also by one without bytes: call
    /// that before the head is sent on.
    pub fn new(framing: Framing, limit: u64) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) if length > limit => {
                State::Failed(Reject::new(Reason::BodyTooLarge))
            }
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
        };
        Self {
            state,
            payload: 0,
            announced: 0,
            limit,
            extension_bytes: 0,
        }
    }

    /// Changes the limit: it is known for certain only once a route is chosen. What was announced
    /// before counts.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Takes the next bytes of the connection and says how many of them are this body's. Fewer than given
    /// means that the body is done and the rest belongs to the next request.
    ///
    /// # Errors
    /// A refusal is final: every later call returns the same one.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Reject> {
        let mut rest = bytes;
        loop {
            match &mut self.state {
                State::Done => break,
                State::Failed(reject) => return Err(*reject),
                State::Length { left } | State::Data { left } => {
                    let available = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    let taken = available.min(*left);
                    *left -= taken;
                    let finished = *left == 0;
                    self.payload += taken;
                    let taken = usize::try_from(taken).unwrap_or(rest.len());
                    rest = rest.get(taken..).unwrap_or_default();
                    if !finished {
                        break;
                    }
                    self.state = match self.state {
                        State::Data { .. } => State::DataCr,
                        _ => State::Done,
                    };
                }
                _ => {
                    let Some((&byte, behind)) = rest.split_first() else {
                        break;
                    };
                    rest = behind;
                    if let Err(reason) = self.step(byte) {
                        let reject = Reject::new(reason);
                        self.state = State::Failed(reject);
                        return Err(reject);
                    }
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// True when the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Payload bytes seen so far: without chunk heads, line ends and trailers.
    pub fn payload_bytes(&self) -> u64 {
        self.payload
    }

    /// Takes one byte of the chunked coding that is not payload.
    fn step(&mut self, byte: u8) -> Result<(), Reason> {
        match &mut self.state {
            State::Size { value, digits } => {
                if let Some(digit) = hex_value(byte) {
                    if *digits == MAX_SIZE_DIGITS {
                        return Err(Reason::BadChunk);
                    }
                    *value = (*value << 4) | u64::from(digit);
                    *digits += 1;
                    return Ok(());
                }
                let size = *value;
                if *digits == 0 {
                    return Err(Reason::BadChunk);
                }
                self.state = match byte {
                    b'\r' => State::SizeLf { size },
                    b';' => State::Extension { size },
                    b'\n' => return Err(Reason::BareLf),
                    _ => return Err(Reason::BadChunk),
                };
            }
            State::Extension { size } => match byte {
                b'\r' => self.state = State::SizeLf { size: *size },
                b'\n' => return Err(Reason::BareLf),
                _ => {
                    self.extension_bytes += 1;
                    if !is_value_byte(byte) || self.extension_bytes > MAX_EXTENSION_BYTES {
                        return Err(Reason::BadChunkExtension);
                    }
                }
            },
            State::SizeLf { size } => {
                let size = *size;
                if byte != b'\n' {
                    return Err(Reason::BareCr);
                }
                self.state = if size == 0 {
                    State::Trailers(Trailers::new())
                } else {
                    self.announce(size)?;
                    State::Data { left: size }
                };
            }
            State::DataCr => match byte {
                b'\r' => self.state = State::DataLf,
                b'\n' => return Err(Reason::BareLf),
                _ => return Err(Reason::BadChunk),
            },
            State::DataLf => match byte {
                b'\n' => {
                    self.state = State::Size {
                        value: 0,
                        digits: 0,
                    }
                }
                _ => return Err(Reason::BareCr),
            },
            State::Trailers(trailers) => {
                if trailers.push(byte)? {
                    self.state = State::Done;
                }
            }
            State::Length { .. } | State::Data { .. } | State::Done | State::Failed(_) => {}
        }
        Ok(())
    }

    /// Counts a chunk before its data comes.
    fn announce(&mut self, size: u64) -> Result<(), Reason> {
        match self.announced.checked_add(size) {
            Some(sum) if sum <= self.limit => {
                self.announced = sum;
                Ok(())
            }
            _ => Err(Reason::BodyTooLarge),
        }
    }
}

fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
