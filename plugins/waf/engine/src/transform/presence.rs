//! Which bytes a string must have for a transformation to change it.

use super::{ByteSet, Transformation, blank, command, percent, single};

const BLANKS: ByteSet = ByteSet::from_bytes(b"\t\n\x0b\x0c\r ");
const DECIMAL: ByteSet = ByteSet::range(b'0', b'9');
const HEXADECIMAL: ByteSet = DECIMAL
    .union(&ByteSet::range(b'a', b'f'))
    .union(&ByteSet::range(b'A', b'F'));
const COMMAND: ByteSet = command_bytes();
const URL_ENCODED: ByteSet = encoded_bytes();

const fn command_bytes() -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let mut byte = 0;
    while byte < 0x80 {
        if command::matters(byte) {
            set = set.union(&ByteSet::range(byte, byte));
        }
        byte += 1;
    }
    set
}

const fn encoded_bytes() -> ByteSet {
    let mut set = ByteSet::range(0x80, 0xff);
    let mut byte = 0;
    while byte < 0x80 {
        if !percent::stays(byte) {
            set = set.union(&ByteSet::range(byte, byte));
        }
        byte += 1;
    }
    set
}

impl Transformation {
    /// False proves that [`Self::apply`] changes no string whose bytes all lie in `present`.
    pub fn may_change(self, present: &ByteSet) -> bool {
        let any = |set: ByteSet| present.meets(&set);
        let has = |byte: u8| present.contains(byte);
        let one_of = |bytes: &[u8]| bytes.iter().any(|byte| present.contains(*byte));
        let percent = || has(b'+') || (has(b'%') && any(HEXADECIMAL));
        let comment = || has(b'/') && has(b'*');
        match self {
            // The empty string has a length and a digest.
            Self::Length | Self::Md5 | Self::Sha1 => true,
            // What is decoded is shorter, what is encoded longer.
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode => *present != ByteSet::EMPTY,
            Self::CmdLine => any(COMMAND),
            Self::CompressWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => any(BLANKS),
            Self::RemoveWhitespace => {
                any(BLANKS) || one_of(&[blank::NO_BREAK_SPACE, blank::UTF8_LEAD])
            }
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => has(b'\\'),
            // A number, or a name: each of the five has a T or a P.
            Self::HtmlEntityDecode => {
                has(b'&')
                    && (one_of(b"tTpP")
                        || (has(b'#') && (any(DECIMAL) || (one_of(b"xX") && any(HEXADECIMAL)))))
            }
            Self::Lowercase => any(ByteSet::range(b'A', b'Z')),
            Self::NormalizePath => one_of(b"/."),
            Self::NormalizePathWin => one_of(b"/.\\"),
            Self::ParityEven7bit => any(single::NOT_EVEN),
            Self::ParityOdd7bit => any(single::NOT_ODD),
            Self::ParityZero7bit => any(ByteSet::range(0x80, 0xff)),
            Self::RemoveComments | Self::RemoveCommentsChar => one_of(b"-#") || comment(),
            Self::ReplaceComments => comment(),
            Self::RemoveNulls | Self::ReplaceNulls => has(0),
            Self::SqlHexDecode => has(b'0') && one_of(b"xX"),
            Self::Uppercase => any(ByteSet::range(b'a', b'z')),
            Self::UrlDecode | Self::UrlDecodeUni => percent(),
            Self::UrlEncode => any(URL_ENCODED),
            Self::Utf8toUnicode => has(0) || any(ByteSet::range(0xc0, 0xf7)),
        }
    }
}
