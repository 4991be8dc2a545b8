//! Transformations: what a value becomes before an operator looks at it. Bytes to bytes, exact as
//! ModSecurity v3 does them, for its rules depend on every odd case.
//!
//! The yardstick is libmodsecurity 3.0.9, asked by `tests/transform/library.rs`. Where it errs and a later
//! release has put it right, the later behaviour counts:
//!
//! | transformation | 3.0.9 | here, as 3.0.13 |
//! |---|---|---|
//! | `cssDecode` | the result ends at the first NUL, so `\0` hides what follows | NUL is a byte like any other |
//! | `sqlHexDecode` | the last byte is lost, NUL ends the input and the result | nothing is lost |
//!
//! Where a later release errs, 3.0.9 counts: `htmlEntityDecode` of 3.0.13 passes by
//! numbers with leading zeros (CVE-2025-27110).
//!
//! `urlDecodeUni` has the map of code points for US-ASCII built in that ModSecurity's recommended
//! configuration loads (`SecUnicodeMapFile unicode.mapping 20127`): U+2019, a curly quote, is an
//! apostrophe.

mod backslash;
mod base64;
mod blank;
mod byte_set;
mod command;
mod comments;
mod copying;
mod entities;
mod hex;
mod hexadecimal;
mod path;
mod percent;
mod presence;
mod single;
mod unicode;
mod us_ascii;

pub use byte_set::ByteSet;

macro_rules! transformations {
    ($($variant:ident $word:literal,)+) => {
        /// A transformation (`t:name`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Transformation {
            $(#[doc = concat!("`t:", $word, "`.")] $variant,)+
        }

        impl Transformation {
            /// All of them, as written in rules. `t:none` is not one: it empties the list.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $word),)+];
        }
    };
}

transformations! {
    Base64Decode "base64Decode",
    Base64DecodeExt "base64DecodeExt",
    Base64Encode "base64Encode",
    CmdLine "cmdLine",
    CompressWhitespace "compressWhitespace",
    CssDecode "cssDecode",
    EscapeSeqDecode "escapeSeqDecode",
    HexDecode "hexDecode",
    HexEncode "hexEncode",
    HtmlEntityDecode "htmlEntityDecode",
    JsDecode "jsDecode",
    Length "length",
    Lowercase "lowercase",
    Md5 "md5",
    NormalizePath "normalizePath",
    NormalizePathWin "normalizePathWin",
    ParityEven7bit "parityEven7bit",
    ParityOdd7bit "parityOdd7bit",
    ParityZero7bit "parityZero7bit",
    RemoveComments "removeComments",
    RemoveCommentsChar "removeCommentsChar",
    RemoveNulls "removeNulls",
    RemoveWhitespace "removeWhitespace",
    ReplaceComments "replaceComments",
    ReplaceNulls "replaceNulls",
    Sha1 "sha1",
    SqlHexDecode "sqlHexDecode",
    Trim "trim",
    TrimLeft "trimLeft",
    TrimRight "trimRight",
    Uppercase "uppercase",
    UrlDecode "urlDecode",
    UrlDecodeUni "urlDecodeUni",
    UrlEncode "urlEncode",
    Utf8toUnicode "utf8toUnicode",
}

impl Transformation {
    /// The one that a rule names, in any case of its letters.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(word))
            .map(|(transformation, _)| *transformation)
    }

    /// Transforms `input`. True if the result differs from it: then `out`, cleared first, holds the
    /// result. False if it is the same: then `out` holds nothing of meaning.
    ///
    /// Time and memory are linear in the input ([`Self::growth`]); nothing is copied where no byte
    /// occurs that the transformation looks for.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        self.function()(input, out) && out.as_slice() != input
    }

    /// The result is at most this many times as long as the input, and [`Self::SPARE`] bytes.
    pub const fn growth(self) -> usize {
        match self {
            Self::Utf8toUnicode => 4,
            Self::UrlEncode => 3,
            Self::Base64Encode | Self::HexEncode => 2,
            Self::Length | Self::Md5 | Self::Sha1 => 0,
            _ => 1,
        }
    }

    /// Bytes that a result may have beyond [`Self::growth`]: a digest, a number, padding.
    pub const SPARE: usize = 20;

    /// True if it changes nothing but the case of ASCII letters.
    pub const fn only_changes_case(self) -> bool {
        matches!(self, Self::Lowercase | Self::Uppercase)
    }

    /// Writes the result, or returns false if it has found that nothing changes.
    fn function(self) -> fn(&[u8], &mut Vec<u8>) -> bool {
        match self {
            Self::Base64Decode => base64::base64_decode,
            Self::Base64DecodeExt => base64::base64_decode_ext,
            Self::Base64Encode => base64::base64_encode,
            Self::CmdLine => command::cmd_line,
            Self::CompressWhitespace => blank::compress_whitespace,
            Self::CssDecode => backslash::css_decode,
            Self::EscapeSeqDecode => backslash::escape_seq_decode,
            Self::HexDecode => hexadecimal::hex_decode,
            Self::HexEncode => hexadecimal::hex_encode,
            Self::HtmlEntityDecode => entities::html_entity_decode,
            Self::JsDecode => backslash::js_decode,
            Self::Length => single::length,
            Self::Lowercase => single::lowercase,
            Self::Md5 => single::md5,
            Self::NormalizePath => path::normalize_path,
            Self::NormalizePathWin => path::normalize_path_win,
            Self::ParityEven7bit => single::parity_even,
            Self::ParityOdd7bit => single::parity_odd,
            Self::ParityZero7bit => single::parity_zero,
            Self::RemoveComments => comments::remove_comments,
            Self::RemoveCommentsChar => comments::remove_comments_char,
            Self::RemoveNulls => blank::remove_nulls,
            Self::RemoveWhitespace => blank::remove_whitespace,
            Self::ReplaceComments => comments::replace_comments,
            Self::ReplaceNulls => blank::replace_nulls,
            Self::Sha1 => single::sha1,
            Self::SqlHexDecode => hexadecimal::sql_hex_decode,
            Self::Trim => blank::trim,
            Self::TrimLeft => blank::trim_left,
            Self::TrimRight => blank::trim_right,
            Self::Uppercase => single::uppercase,
            Self::UrlDecode => percent::url_decode,
            Self::UrlDecodeUni => percent::url_decode_uni,
            Self::UrlEncode => percent::url_encode,
            Self::Utf8toUnicode => unicode::utf8_to_unicode,
        }
    }
}
