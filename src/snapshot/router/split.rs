//! Weighted choice between the upstreams of one route, sticky by cookie.

use std::fmt;

use sha2::{Digest, Sha256};

/// The most sides of one split.
pub const MAX_SIDES: usize = 64;

/// Hexadecimal digits of a side's id.
const ID_BYTES: usize = 16;

/// The stable name of a side in a cookie: the first 64 bits of the SHA-256 of the upstream's
/// name, in hexadecimal. It is the same on every node and after every restart, does not spell the
/// upstream's name, and is no secret: knowing it lets a client choose its side, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SideId([u8; ID_BYTES]);

impl SideId {
    /// The id of the upstream with this name.
    pub fn new(upstream: &str) -> Self {
        let digest = Sha256::digest(upstream.as_bytes());
        let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut id = [0; ID_BYTES];
        for (slot, digit) in id.iter_mut().zip(digits) {
            *slot = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
        }
        Self(id)
    }

    /// The text that stands in the cookie.
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Why a split cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// No side, or more than [`MAX_SIDES`].
    Sides(usize),
    /// All weights are 0.
    NoWeight,
    /// Two sides name the same upstream (these two).
    Twice(usize, usize),
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sides(count) => {
                write!(
                    f,
                    "a route splits over 1 to {MAX_SIDES} upstreams, not {count}"
                )
            }
            Self::NoWeight => write!(f, "one weight at least must be greater than 0"),
            Self::Twice(first, second) => {
                write!(
                    f,
                    "sides {} and {} name the same upstream",
                    first + 1,
                    second + 1
                )
            }
        }
    }
}

impl std::error::Error for SplitError {}

/// The sides of a route that is split over several upstreams.
#[derive(Clone, Debug)]
pub struct Split {
    sides: Box<[Side]>,
    total: u64,
}

#[derive(Clone, Debug)]
struct Side {
    id: SideId,
    /// The sum of the weights up to this side, its own included.
    until: u64,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which side, counted from 0 in the order given.
    pub index: usize,
    /// The client does not carry this side's cookie: a sticky route sets it now.
    pub set_cookie: bool,
}

impl Split {
    /// Makes a split from names of upstreams and their weights. A side of weight 0 gets nobody
    /// new and keeps those whose cookie names it.
    pub fn new<'n>(sides: impl IntoIterator<Item = (&'n str, u32)>) -> Result<Self, SplitError> {
        let mut total = 0;
        let mut list: Vec<Side> = Vec::new();
        for (upstream, weight) in sides {
            let id = SideId::new(upstream);
            if let Some(first) = list.iter().position(|side| side.id == id) {
                return Err(SplitError::Twice(first, list.len()));
            }
            if list.len() == MAX_SIDES {
                return Err(SplitError::Sides(MAX_SIDES + 1));
            }
            total += u64::from(weight);
            list.push(Side { id, until: total });
        }
        match total {
            _ if list.is_empty() => Err(SplitError::Sides(0)),
            0 => Err(SplitError::NoWeight),
            _ => Ok(Self {
                sides: list.into(),
                total,
            }),
        }
    }

    /// Chooses a side: the one that the cookie names, else by `random`, which must be evenly
    /// distributed over all 64 bits. Pass no cookie for a route that is not sticky.
    pub fn choose(&self, cookie: Option<&str>, random: u64) -> Choice {
        let named =
            cookie.and_then(|value| self.sides.iter().position(|side| side.id.as_str() == value));
        if let Some(index) = named {
            return Choice {
                index,
                set_cookie: false,
            };
        }
        // The high half of the product spreads 64 random bits evenly over 0..total.
        let point = (u128::from(random) * u128::from(self.total)) >> 64;
        let index = self
            .sides
            .partition_point(|side| u128::from(side.until) <= point);
        Choice {
            index,
            set_cookie: true,
        }
    }

    /// The id of a side, for its cookie.
    pub fn id(&self, index: usize) -> Option<SideId> {
        self.sides.get(index).map(|side| side.id)
    }

    /// The share of new clients that a side gets, from 0 to 1.
    pub fn share(&self, index: usize) -> Option<f64> {
        let until = self.sides.get(index)?.until;
        let before = index.checked_sub(1).and_then(|at| self.sides.get(at));
        let weight = until - before.map_or(0, |side| side.until);
        Some(weight as f64 / self.total as f64)
    }
}
