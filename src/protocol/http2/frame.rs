//! Frame heads out of a stream of bytes that is cut anywhere.

/// The length of the connection preface a client sends first (RFC 9113 section 3.4).
const PREFACE_BYTES: u32 = 24;
/// The length of a frame's head.
const HEAD: usize = 9;
/// Bytes kept of a payload: enough for the fields of RST_STREAM and WINDOW_UPDATE, and for the words a GOAWAY carries.
const KEPT: usize = 32;

/// Types of frames (RFC 9113 section 6).
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// RST_STREAM.
    pub const RST_STREAM: u8 = 3;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE.
    pub const WINDOW_UPDATE: u8 = 8;
}

/// The head of a frame, and of some kinds the beginning of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type; see [`kind`].
    pub kind: u8,
    /// Flags of that type.
    pub flags: u8,
    /// The stream; 0 for the connection.
    pub stream: u32,
    /// Bytes of payload.
    pub length: u32,
    kept: u8,
    payload: [u8; KEPT],
}

impl Frame {
    /// The bytes of the payload that were kept: of RST_STREAM, WINDOW_UPDATE and GOAWAY up to 32, of others none.
    pub fn payload(&self) -> &[u8] {
        self.payload
            .get(..usize::from(self.kept))
            .unwrap_or_default()
    }

    /// The 32 bits at `at` of what was kept; none if the payload is shorter.
    pub fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.payload().get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// END_STREAM is set, of a kind that has it.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & 1 != 0
    }
}

/// Finds the frames of one direction of a connection. Holds 48 bytes, allocates nothing.
#[derive(Clone, Debug)]
pub struct FrameReader {
    partial: [u8; HEAD + KEPT],
    have: usize,
    /// Bytes that are passed over before the next head.
    skip: u32,
}

impl FrameReader {
    /// Of what a client sends: the preface, then frames.
    pub fn of_client() -> Self {
        Self {
            skip: PREFACE_BYTES,
            ..Self::of_server()
        }
    }

    /// Of what a server sends: frames.
    pub fn of_server() -> Self {
        Self {
            partial: [0; HEAD + KEPT],
            have: 0,
            skip: 0,
        }
    }

    /// The next frame of which enough has come; takes what it looked at off `bytes`. None: `bytes` is used up.
    #[inline]
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        if self.skip > 0 {
            let passed = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            *bytes = bytes.get(passed..).unwrap_or_default();
            self.skip -= u32::try_from(passed).unwrap_or(0);
            if self.skip > 0 {
                return None;
            }
        }
        if self.have == 0
            && let Some(frame) = bytes.first_chunk::<HEAD>().map(head)
            && wanted(&frame) == 0
        {
            *bytes = bytes.get(HEAD..).unwrap_or_default();
            self.skip = frame.length;
            return Some(frame);
        }
        self.gather(bytes)
    }

    /// The slow way: a head that is cut, or a kind whose payload is looked at.
    fn gather(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.fill(HEAD, bytes)?;
        let mut frame = self.partial.first_chunk::<HEAD>().map(head)?;
        let wanted = wanted(&frame);
        self.fill(HEAD + wanted, bytes)?;
        let payload = self.partial.get(HEAD..HEAD + wanted)?;
        frame.payload.get_mut(..wanted)?.copy_from_slice(payload);
        frame.kept = u8::try_from(wanted).unwrap_or(0);
        self.have = 0;
        self.skip = frame.length - u32::from(frame.kept);
        Some(frame)
    }

    /// Takes bytes until `until` of them are held; none if there are not so many.
    fn fill(&mut self, until: usize, bytes: &mut &[u8]) -> Option<()> {
        let missing = until.saturating_sub(self.have).min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(missing)?;
        self.partial
            .get_mut(self.have..self.have + missing)?
            .copy_from_slice(taken);
        self.have += missing;
        *bytes = rest;
        (self.have >= until).then_some(())
    }
}

#[inline]
fn head(bytes: &[u8; HEAD]) -> Frame {
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
    Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        length: u32::from_be_bytes([0, l0, l1, l2]),
        kept: 0,
        payload: [0; KEPT],
    }
}

/// Bytes of the payload that are waited for.
#[inline]
fn wanted(frame: &Frame) -> usize {
    let most = match frame.kind {
        kind::RST_STREAM | kind::WINDOW_UPDATE => 4,
        kind::GOAWAY => KEPT,
        _ => 0,
    };
    usize::try_from(frame.length).unwrap_or(0).min(most)
}
