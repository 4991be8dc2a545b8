//! Transformations: what a value becomes before an operator looks at it. Bytes to bytes, exact as
//! ModSecurity v3 does them, for its rules depend on every odd case.

mod byte_set;

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
