//! What a breaker does, what an operator wants of it, and both in one word.

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// All go through.
    Closed = 0,
    /// None goes through.
    Open = 1,
    /// A few go through, to see whether it may close.
    HalfOpen = 2,
}

impl Phase {
    /// The word for logs, metrics and operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The phase of a word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Closed, Self::Open, Self::HalfOpen];
        all.into_iter().find(|phase| phase.word() == word)
    }
}

/// What an operator wants of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Manual {
    /// It decides by itself.
    #[default]
    Auto = 0,
    /// It stays open.
    Open = 1,
    /// It stays closed, and goes on counting.
    Close = 2,
}

impl Manual {
    /// The word for operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Close => "close",
        }
    }

    /// What an operator's word means.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Auto, Self::Open, Self::Close];
        all.into_iter().find(|manual| manual.word() == word)
    }
}

const MANUAL_BITS: u32 = 2;
const PHASE_BITS: u32 = 2;

/// What a breaker does, as one number that is read at once.
///
/// Bits 0..2: [`Manual`]. Bits 2..4: [`Phase`]. Above: the number of changes of phase so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// Number and kind of the phase, without the operator's wish.
    pub(super) fn key(self) -> u64 {
        self.0 >> MANUAL_BITS
    }

    pub(super) fn phase(self) -> Phase {
        phase_of(self.key())
    }

    pub(super) fn epoch(self) -> u64 {
        epoch_of(self.key())
    }

    pub(super) fn manual(self) -> Manual {
        match self.0 & ((1 << MANUAL_BITS) - 1) {
            1 => Manual::Open,
            2 => Manual::Close,
            _ => Manual::Auto,
        }
    }

    pub(super) fn with_manual(self, manual: Manual) -> Self {
        Self((self.key() << MANUAL_BITS) | u64::from(manual as u8))
    }

    /// The word after one change of phase.
    pub(super) fn changed_to(self, phase: Phase) -> Self {
        let key = ((self.epoch() + 1) << PHASE_BITS) | u64::from(phase as u8);
        Self(key << MANUAL_BITS).with_manual(self.manual())
    }
}

/// The phase in a key.
pub(super) fn phase_of(key: u64) -> Phase {
    match key & ((1 << PHASE_BITS) - 1) {
        1 => Phase::Open,
        2 => Phase::HalfOpen,
        _ => Phase::Closed,
    }
}

/// The number of the phase in a key.
pub(super) fn epoch_of(key: u64) -> u64 {
    key >> PHASE_BITS
}
