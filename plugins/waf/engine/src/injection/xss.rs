//! The verdict on cross-site scripting: the value is read as HTML from up to five places.

use memchr::{memchr, memchr2};

use super::html::{Found, Html, Place};

/// True if a browser may run a script of the value, or load something active, wherever a page shows
/// it: as text, in a tag, in a value with any quotes.
///
/// Linear in its length, for any bytes; nothing is allocated.
pub fn xss(value: &[u8]) -> bool {
    // Tags, comments and declarations begin with <; any other attack is a value behind a =.
    let Some(first) = memchr2(b'<', b'=', value) else {
        return false;
    };
    let has_tag = value.get(first) == Some(&b'<') || memchr(b'<', value).is_some();
    // Without its quote there is one value only, and it belongs to an attribute that is not known.
    (has_tag && at(value, Place::Text))
        || at(value, Place::Tag)
        || [b'\'', b'"', b'`']
            .iter()
            .any(|quote| memchr(*quote, value).is_some() && at(value, Place::Quotes(*quote)))
}

/// What may become of the value behind an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Harmless,
    /// A script, a style, or a name space.
    Active,
    /// It is an address.
    Address,
    /// It is the name of another attribute.
    Name,
}

/// True if the value is an attack when it is written to this place.
pub(super) fn at(value: &[u8], place: Place) -> bool {
    let mut html = Html::new(value, place);
    let mut attribute = Attribute::Harmless;
    while let Some(found) = html.next() {
        let before = std::mem::replace(&mut attribute, Attribute::Harmless);
        let active = match found {
            Found::Doctype => true,
            Found::Tag(name) => is_active_tag(name),
            Found::Comment(text) => is_active_comment(text),
            Found::Attribute(name) => {
                attribute = attribute_of(name);
                false
            }
            Found::Value(value) => match before {
                Attribute::Harmless => false,
                Attribute::Active => true,
                Attribute::Address => is_active_address(value),
                Attribute::Name => attribute_of(value) != Attribute::Harmless,
            },
        };
        if active {
            return true;
        }
    }
    false
}

/// A name in capitals without its zero bytes, which browsers leave out; empty when it is longer than
/// any name that matters.
struct Name {
    bytes: [u8; Self::MOST],
    count: usize,
}

impl Name {
    /// `ATTRIBUTENAME`.
    const MOST: usize = 13;

    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::MOST];
        let mut count = 0;
        for byte in name.iter().filter(|byte| **byte != 0) {
            let Some(place) = bytes.get_mut(count) else {
                return Self { bytes, count: 0 };
            };
            *place = byte.to_ascii_uppercase();
            count += 1;
        }
        Self { bytes, count }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }
}

/// True if the bytes start so, in any case.
fn starts(bytes: &[u8], word: &[u8]) -> bool {
    bytes
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn is_active_tag(name: &[u8]) -> bool {
    if name.len() < 3 {
        return false;
    }
    let active = matches!(
        Name::new(name).as_bytes(),
        b"APPLET"
            | b"BASE"
            | b"COMMENT"
            | b"EMBED"
            | b"FRAME"
            | b"FRAMESET"
            | b"HANDLER"
            | b"IFRAME"
            | b"IMPORT"
            | b"ISINDEX"
            | b"LINK"
            | b"LISTENER"
            | b"META"
            | b"NOSCRIPT"
            | b"OBJECT"
            | b"SCRIPT"
            | b"STYLE"
            | b"VMLFRAME"
            | b"XML"
            | b"XSS"
    );
    active || starts(name, b"SVG") || starts(name, b"XSL")
}

fn attribute_of(name: &[u8]) -> Attribute {
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    // Events; and name spaces, which make tags of any name.
    if name.len() >= 5 && (starts(name, b"ON") || starts(name, b"XMLNS") || starts(name, b"XLINK"))
    {
        return Attribute::Active;
    }
    match Name::new(name).as_bytes() {
        b"DATAFORMATAS" | b"DATASRC" | b"FILTER" | b"STYLE" => Attribute::Active,
        b"ACTION" | b"BY" | b"BACKGROUND" | b"DYNSRC" | b"FORMACTION" | b"FOLDER" | b"FROM"
        | b"HANDLER" | b"HREF" | b"LOWSRC" | b"POSTER" | b"SRC" | b"TO" | b"VALUES"
        | b"XLINK:HREF" => Attribute::Address,
        b"ATTRIBUTENAME" => Attribute::Name,
        _ => Attribute::Harmless,
    }
}

fn is_active_comment(text: &[u8]) -> bool {
    // Internet Explorer ends a comment at a tick, and reads conditional ones.
    memchr(b'`', text).is_some()
        || (text.len() > 3 && (starts(text, b"[IF") || starts(text, b"XML")))
        || (text.len() > 5 && (starts(text, b"IMPORT") || starts(text, b"ENTITY")))
}

fn is_active_address(value: &[u8]) -> bool {
    // Browsers skip control bytes, some of them also those of other character sets.
    let start = value
        .iter()
        .position(|byte| matches!(byte, 0x21..=0x7e))
        .unwrap_or(value.len());
    let address = value.get(start..).unwrap_or_default();
    let schemes: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];
    schemes.iter().any(|scheme| starts_decoded(address, scheme))
}

/// True if the text starts with this word in any case once its numeric references are decoded, white
/// space in front, zeros and line feeds left out.
fn starts_decoded(text: &[u8], word: &[u8]) -> bool {
    let mut rest = text;
    let mut wanted = word.iter();
    let Some(mut next) = wanted.next() else {
        return true;
    };
    let mut leads = true;
    while !rest.is_empty() {
        let (code, bytes) = decode(rest);
        rest = rest.get(bytes..).unwrap_or_default();
        if (leads && code <= 32) || matches!(code, 0 | 10) {
            continue;
        }
        leads = false;
        // Only the low byte is compared, so that &#x144; is a D; but only ASCII has two cases.
        let byte = match code {
            0x61..=0x7a => code as u8 - 0x20,
            _ => code as u8,
        };
        if byte != *next {
            return false;
        }
        match wanted.next() {
            Some(byte) => next = byte,
            None => return true,
        }
    }
    false
}

/// The first character and how many bytes it takes: a byte, or `&#65;` and `&#x41;`, with or without
/// the semicolon. The text is not empty.
fn decode(text: &[u8]) -> (u32, usize) {
    /// What is larger is no reference.
    const MOST: u32 = 0x1000ff;
    let (radix, digits, front) = match text {
        [b'&', b'#', b'x' | b'X', digits @ ..] => (16, digits, 3),
        [b'&', b'#', digits @ ..] => (10, digits, 2),
        [byte, ..] => return (u32::from(*byte), 1),
        [] => return (0, 1),
    };
    let mut code = 0;
    let mut bytes = front;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break;
        };
        // The first digit is never too large, and the code stays far below 2^32.
        code = code * radix + digit;
        if code > MOST {
            return (u32::from(b'&'), 1);
        }
        bytes += 1;
    }
    if bytes == front {
        return (u32::from(b'&'), 1);
    }
    if text.get(bytes) == Some(&b';') {
        bytes += 1;
    }
    (code, bytes)
}
