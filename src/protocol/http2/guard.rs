//! Who does too much of what is allowed.
//!
//! Two budgets for a connection. *Resets*: streams that end by RST_STREAM before they were answered, whether the
//! client sends it (CVE-2023-44487) or makes us send it (CVE-2025-8671). *Control frames*: what costs us work and
//! moves no request on. Both are earned back by work that is done, so that a busy connection may do more of both than
//! an idle one: honest clients cancel, ping and open windows in proportion to what they are served.

use std::time::{Duration, Instant};

use super::budget::Budget;
use super::frame::{Frame, FrameReader, kind};

/// What a reset costs; a stream answered to its end earns 1.
const RESET: u64 = 10;
/// What a control frame costs; a DATA frame that we send earns as much, plus its bytes.
const CONTROL: u64 = 64;
/// What the head of a response earns: the PRIORITY, PRIORITY_UPDATE and WINDOW_UPDATE frames around a request.
const ANSWER: u64 = 4 * CONTROL;
/// A window opened by fewer bytes costs twice: nobody is served by dribbling (CVE-2019-9511).
const DRIBBLE_BYTES: u32 = 64;
/// Streams whose end is remembered; a power of two.
const REMEMBERED: u32 = 1024;

/// Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7).
mod code {
    pub(super) const NO_ERROR: u32 = 0;
    pub(super) const INTERNAL_ERROR: u32 = 2;
    pub(super) const STREAM_CLOSED: u32 = 5;
    pub(super) const REFUSED_STREAM: u32 = 7;
    pub(super) const CANCEL: u32 = 8;
}

/// So many per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Streams that end early by RST_STREAM, and in which time.
    pub resets: (u32, Duration),
    /// Control frames, and in which time.
    pub control_frames: (u32, Duration),
}

/// The budget that was overrun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// The client resets its streams (Rapid Reset).
    RapidReset,
    /// The client makes us reset its streams (MadeYouReset).
    MadeYouReset,
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, CONTINUATION, unknown frames, refused streams.
    ControlFlood,
}

/// A GOAWAY that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    frame: Frame,
}

impl GoAway {
    /// The error code.
    pub fn code(&self) -> u32 {
        self.frame.number(4).unwrap_or(code::NO_ERROR)
    }

    /// The beginning of what it says besides.
    pub fn words(&self) -> &[u8] {
        self.frame.payload().get(8..).unwrap_or_default()
    }
}

/// Watches both directions of one connection. About 400 bytes; allocates nothing.
#[derive(Clone, Debug)]
pub struct FrameGuard {
    incoming: FrameReader,
    outgoing: FrameReader,
    resets: Budget,
    control: Budget,
    /// The highest stream the client opened.
    newest: u32,
    answered: Answered,
    said: Option<GoAway>,
}

impl FrameGuard {
    /// For a connection that begins now, with the client's preface.
    pub fn new(limits: &GuardLimits, now: Instant) -> Self {
        let (resets, resets_per) = limits.resets;
        let (control, control_per) = limits.control_frames;
        Self {
            incoming: FrameReader::of_client(),
            outgoing: FrameReader::of_server(),
            resets: Budget::new(u64::from(resets) * RESET, resets_per, now),
            control: Budget::new(u64::from(control) * CONTROL, control_per, now),
            newest: 0,
            answered: Answered([0; REMEMBERED as usize / 64]),
            said: None,
        }
    }

    /// Bytes came from the client: how many frames they begin. After a breach no more are looked at.
    ///
    /// # Errors
    /// A budget is overrun.
    #[inline]
    pub fn received(&mut self, mut bytes: &[u8], now: fn() -> Instant) -> Result<u32, Breach> {
        let mut frames = 0;
        while let Some(frame) = self.incoming.next(&mut bytes) {
            self.take(&frame, now)?;
            frames += 1;
        }
        Ok(frames)
    }

    /// Bytes go to the client.
    ///
    /// # Errors
    /// A budget is overrun, by what the client made us send.
    #[inline]
    pub fn sent(&mut self, mut bytes: &[u8], now: fn() -> Instant) -> Result<(), Breach> {
        while let Some(frame) = self.outgoing.next(&mut bytes) {
            self.give(&frame, now)?;
        }
        Ok(())
    }

    /// A GOAWAY that was sent since this was asked last; of several the last.
    pub fn take_said(&mut self) -> Option<GoAway> {
        self.said.take()
    }

    #[inline]
    fn take(&mut self, frame: &Frame, now: fn() -> Instant) -> Result<(), Breach> {
        let within = match frame.kind {
            kind::DATA if frame.length > 0 || frame.ends_stream() => return Ok(()),
            kind::HEADERS => {
                // Else these are trailers.
                if frame.stream > self.newest {
                    self.newest = frame.stream;
                    self.answered.opened(frame.stream);
                }
                return Ok(());
            }
            // Who takes back what was answered takes nothing back.
            kind::RST_STREAM if !self.answered.has(frame.stream) => {
                return match self.resets.charge(RESET, now) {
                    true => Ok(()),
                    false => Err(Breach::RapidReset),
                };
            }
            kind::WINDOW_UPDATE if frame.number(0).is_some_and(|by| by < DRIBBLE_BYTES) => {
                self.control.charge(2 * CONTROL, now)
            }
            _ => self.control.charge(CONTROL, now),
        };
        match within {
            true => Ok(()),
            false => Err(Breach::ControlFlood),
        }
    }

    #[inline]
    fn give(&mut self, frame: &Frame, now: fn() -> Instant) -> Result<(), Breach> {
        match frame.kind {
            kind::DATA => self.control.credit(CONTROL + u64::from(frame.length)),
            kind::HEADERS => self.control.credit(ANSWER),
            kind::RST_STREAM => return self.reset(frame, now),
            kind::GOAWAY => self.said = Some(GoAway { frame: *frame }),
            _ => {}
        }
        if frame.ends_stream() {
            self.resets.credit(1);
            self.answered.ended(frame.stream);
        }
        Ok(())
    }

    /// We reset a stream: some codes are our own doing, the others answer what the client did.
    fn reset(&mut self, frame: &Frame, now: fn() -> Instant) -> Result<(), Breach> {
        match frame.number(0).unwrap_or(code::NO_ERROR) {
            // An answer that came before the end of the request; a stream that we gave up.
            code::NO_ERROR | code::INTERNAL_ERROR | code::CANCEL => Ok(()),
            // Nothing was begun for it, or nothing of it was left.
            code::REFUSED_STREAM | code::STREAM_CLOSED => match self.control.charge(CONTROL, now) {
                true => Ok(()),
                false => Err(Breach::ControlFlood),
            },
            _ => match self.resets.charge(RESET, now) {
                true => Ok(()),
                false => Err(Breach::MadeYouReset),
            },
        }
    }
}

/// Which of the latest streams were answered to their end: one bit for each, shared by streams that lie far apart.
#[derive(Clone, Debug)]
struct Answered([u64; REMEMBERED as usize / 64]);

impl Answered {
    #[inline]
    fn bit(stream: u32) -> (usize, u64) {
        // Streams of clients are odd.
        let at = (stream >> 1) % REMEMBERED;
        ((at / 64) as usize, 1 << (at % 64))
    }

    #[inline]
    fn opened(&mut self, stream: u32) {
        let (word, bit) = Self::bit(stream);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    #[inline]
    fn ended(&mut self, stream: u32) {
        let (word, bit) = Self::bit(stream);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn has(&self, stream: u32) -> bool {
        let (word, bit) = Self::bit(stream);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}
