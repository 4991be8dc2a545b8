//! Accept-Encoding (RFC 9110 section 12.5.3): what a client takes, and how gladly.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A content coding that bodies are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 8878, with a window that browsers take (RFC 9659).
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Reads a name; `x-gzip` is one of gzip's (RFC 9110 section 8.4.1.3).
    fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"zstd") {
            Some(Self::Zstd)
        } else if is(b"br") {
            Some(Self::Br)
        } else if is(b"gzip") || is(b"x-gzip") {
            Some(Self::Gzip)
        } else {
            None
        }
    }
}

/// What a client wishes, in thousandths; none where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    zstd: Option<u16>,
    br: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Wishes {
    /// Reads the fields of a request. Without the field nothing but identity is taken: the RFC would allow
    /// anything, but clients that say nothing are those that understand nothing.
    pub fn of(fields: &HeaderMap) -> Self {
        let lines = fields.get_all(ACCEPT_ENCODING).iter();
        Self::read(lines.map(|line| line.as_bytes()))
    }

    /// Reads lines. A weight that cannot be read counts as 0; of several for one coding 0 wins, else the largest.
    pub fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut wishes = Self::default();
        for line in lines {
            for member in line.split(|byte| *byte == b',') {
                let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let name = parts.next().unwrap_or_default();
                let slot = match Coding::of(name) {
                    Some(Coding::Zstd) => &mut wishes.zstd,
                    Some(Coding::Br) => &mut wishes.br,
                    Some(Coding::Gzip) => &mut wishes.gzip,
                    None if name.eq_ignore_ascii_case(b"identity") => &mut wishes.identity,
                    None if name == b"*" => &mut wishes.any,
                    None => continue,
                };
                let mut weight = 1000;
                for parameter in parts {
                    if let [b'q' | b'Q', b'=', text @ ..] = parameter {
                        weight = weight_of(text).unwrap_or(0).min(weight);
                    }
                }
                *slot = Some(match *slot {
                    None => weight,
                    Some(0) => 0,
                    Some(_) if weight == 0 => 0,
                    Some(known) => known.max(weight),
                });
            }
        }
        wishes
    }

    /// The weight of a coding; 0 where it is not taken.
    pub fn weight(&self, coding: Coding) -> u16 {
        let said = match coding {
            Coding::Zstd => self.zstd,
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
        };
        said.or(self.any).unwrap_or(0)
    }

    /// True if the client does not take the body as it is.
    pub fn refuses_identity(&self) -> bool {
        self.identity.or(self.any) == Some(0)
    }

    /// The coding that the client likes best; of equals the one that stands first. None where it takes none of
    /// them, or likes the body as it is more.
    pub fn best(&self, offered: &[Coding]) -> Option<Coding> {
        let mut best = None;
        let mut most = 0;
        for coding in offered {
            let weight = self.weight(*coding);
            if weight > most {
                (best, most) = (Some(*coding), weight);
            }
        }
        best.filter(|_| self.identity.is_none_or(|identity| identity <= most))
    }
}

/// A weight in thousandths (RFC 9110 section 12.4.2): `0` to `1` with up to three digits.
fn weight_of(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    let mut place = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * place;
        place /= 10;
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}
