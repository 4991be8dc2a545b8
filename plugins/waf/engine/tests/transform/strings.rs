//! Strings that provoke: built from the pieces that a transformation looks for, whole and broken.

use farmgate_waf::transform::Transformation;

/// SplitMix64: the same numbers everywhere and for ever.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Pieces of every string.
const ANY: &[&[u8]] = &[
    b"\0",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"\x0b",
    b"\x0c",
    b"\x80",
    b"\xa0",
    b"\xff",
    b"\xc2\xa0",
    b"\xc3\xa9",
    b"a",
    b"Z",
    b"0",
    b"7",
    b"9",
    b"f",
    b"x",
    b"_",
    b".",
    b"/",
    b"\\",
    b"%",
    b"&",
    b";",
    b"-",
    b"*",
    b"#",
    b"+",
    b"=",
    b"'",
    b"\"",
    b"<script>",
    b"select",
];
const DIGITS: &[&[u8]] = &[
    b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"a", b"b", b"c", b"d", b"e", b"f",
    b"A", b"B", b"C", b"D", b"E", b"F", b"g", b"ff", b"FF", b"00", b"5e", b"5f", b"01",
];
const PERCENT: &[&[u8]] = &[
    b"%", b"+", b"%u", b"%U", b"%uff", b"%uFF", b"%u00", b"%2", b"%zz", b"%00", b"%25", b"%%", b"u",
];
const BACKSLASH: &[&[u8]] = &[
    b"\\", b"\\x", b"\\X", b"\\u", b"\\uff", b"\\0", b"\\3", b"\\4", b"\\77", b"\\a", b"\\b",
    b"\\f", b"\\n", b"\\r", b"\\t", b"\\v", b"\\?", b"\\'", b"\\\"", b"\\\n", b"\\ff", b"\\00ff",
    b"\\0ff", b"\\\\", b" ", b"\t",
];
const ENTITY: &[&[u8]] = &[
    b"&",
    b"&#",
    b"&#x",
    b"&#X",
    b";",
    b"&lt",
    b"&GT;",
    b"&amp;",
    b"&quot",
    b"&nbsp;",
    b"&Lt;",
    b"&ltx",
    b"&copy;",
    b"&#9223372036854775807",
    b"&#x8000000000000000",
    b"&#0",
    b"quot",
];
const PATH: &[&[u8]] = &[
    b"/", b"//", b".", b"..", b"/.", b"/..", b"./", b"../", b"\\", b"\\\\", b"\\..", b"...", b"a",
    b"b", b"dir", b"/\\", b"\\/", b"///",
];
const COMMENT: &[&[u8]] = &[
    b"/*", b"*/", b"/", b"*", b"<!--", b"-->", b"--", b"-", b">", b"<", b"!", b"#", b"/**/",
    b"/*!", b"x", b"<!-",
];
const COMMAND: &[&[u8]] = &[
    b"\"", b"'", b"\\", b"^", b" ", b",", b";", b"\t", b"\r", b"\n", b"/", b"(", b"C", b"cmd",
    b"NET", b"\x0b",
];
const BLANK: &[&[u8]] = &[
    b" ", b"  ", b"\t", b"\n", b"\x0b", b"\x0c", b"\r", b"\0", b"\xa0", b"\x85", b"\x1f", b"x",
];
const BASE64: &[&[u8]] = &[
    b"A",
    b"b",
    b"9",
    b"Z",
    b"z",
    b"0",
    b"+",
    b"/",
    b"=",
    b"==",
    b"-",
    b"_",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"aGVs",
    b"bG8=",
    b"Zm9vYmFy",
    b"\0",
];
const SQL: &[&[u8]] = &[b"0x", b"0X", b"0", b"x", b"0x0x", b"00x", b"0x41", b"\0"];
const UTF8: &[&[u8]] = &[
    b"\xc3",
    b"\xa9",
    b"\xc0",
    b"\x80",
    b"\xe2",
    b"\x82\xac",
    b"\xe0",
    b"\xed\xa0\x80",
    b"\xed",
    b"\xf0\x9f\x98\x80",
    b"\xf0",
    b"\xf4\x90",
    b"\xf5",
    b"\xf7\xbf\xbf\xbf",
    b"\xf8",
    b"\xff",
    b"\0",
    b"\xbf",
    b"\xef\xbc\x87",
    b"a",
    b"\xe0\x80\x80",
    b"\xf0\x8d\xa0\x80",
];

/// The families of pieces that matter to it.
fn pieces(transformation: Transformation) -> &'static [&'static [&'static [u8]]] {
    use Transformation as T;
    match transformation {
        T::UrlDecode | T::UrlDecodeUni | T::UrlEncode => &[PERCENT, DIGITS],
        T::CssDecode | T::JsDecode | T::EscapeSeqDecode => &[BACKSLASH, DIGITS],
        T::HtmlEntityDecode => &[ENTITY, DIGITS],
        T::NormalizePath | T::NormalizePathWin => &[PATH],
        T::RemoveComments | T::RemoveCommentsChar | T::ReplaceComments => &[COMMENT],
        T::CmdLine => &[COMMAND],
        T::Base64Decode | T::Base64DecodeExt => &[BASE64],
        T::HexDecode => &[DIGITS],
        T::SqlHexDecode => &[SQL, DIGITS],
        T::Utf8toUnicode => &[UTF8],
        T::Trim | T::TrimLeft | T::TrimRight => &[BLANK],
        T::CompressWhitespace | T::RemoveWhitespace | T::RemoveNulls | T::ReplaceNulls => &[BLANK],
        T::Base64Encode
        | T::HexEncode
        | T::Length
        | T::Lowercase
        | T::Md5
        | T::ParityEven7bit
        | T::ParityOdd7bit
        | T::ParityZero7bit
        | T::Sha1
        | T::Uppercase => &[ANY],
    }
}

/// String number `number` for a transformation.
pub(crate) fn string(transformation: Transformation, number: u64) -> Vec<u8> {
    let place = Transformation::ALL
        .iter()
        .position(|(known, _)| *known == transformation)
        .expect("all of them are in ALL") as u64;
    let mut random = Random::new(place << 32 | number);
    let families = pieces(transformation);
    // Mostly short, where the ends matter; a strange piece in every third string and fewer.
    let length = match random.below(16) {
        0 => random.below(2),
        1 => 20 + random.below(60),
        _ => 1 + random.below(12),
    };
    let foreign = match random.below(3) {
        0 => 5,
        1 => 60,
        _ => usize::MAX,
    };
    let mut text = Vec::new();
    for _ in 0..length {
        if random.below(foreign) == 0 {
            match random.below(4) {
                0 => text.push(random.next() as u8),
                _ => text.extend_from_slice(ANY[random.below(ANY.len())]),
            }
        } else {
            let family = families[random.below(families.len())];
            text.extend_from_slice(family[random.below(family.len())]);
        }
    }
    text
}
