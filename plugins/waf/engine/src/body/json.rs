//! JSON bodies (RFC 8259): every leaf becomes an argument named by its path.
//!
//! Names are ModSecurity v3's: `json.a.array_0.b`; an empty key is written `empty-key`; `null` is an empty
//! value, numbers and the words stand as written; empty arrays and objects leave nothing. Keys may come
//! twice: both are seen, in order.
//!
//! Two deviations from yajl, the parser inside ModSecurity, both because its reading hides bytes from the
//! rules: a lone high surrogate becomes `?` but does not swallow the character behind it, and two escapes
//! are joined only when the second is a low surrogate. And bytes that are no UTF-8 (overlong forms too)
//! are an error everywhere.

use super::Sink;
use super::urlencoded::hex;

/// Why a body is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Bytes before the place.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// The error of a body that is nested deeper than allowed.
pub const TOO_DEEP: &str = "nested deeper than allowed";

/// The error of a body whose names, written out for every leaf, are far longer than itself: one long key
/// around thousands of small leaves.
pub const NAMES_TOO_LONG: &str = "the names of the values are far longer than the document";

/// How many bytes of names a byte of the document may cause, beyond a start of [`NAMES_FREE`] bytes.
const NAMES_PER_BYTE: usize = 8;

/// See [`NAMES_PER_BYTE`].
const NAMES_FREE: usize = 32 * 1024;

/// Hands every leaf of `input` to `sink`. `depth` is the most arrays and objects inside each other.
///
/// What stands before an error has been handed over. An empty body is no error (as in v3). When the sink
/// stops the walk the rest is not looked at, and the result is `Ok`.
pub fn json(input: &[u8], depth: u32, sink: &mut dyn Sink) -> Result<(), JsonError> {
    if input.is_empty() {
        return Ok(());
    }
    let names = input
        .len()
        .saturating_mul(NAMES_PER_BYTE)
        .saturating_add(NAMES_FREE);
    let mut walker = Walker {
        input,
        at: 0,
        path: b"json".to_vec(),
        open: Vec::new(),
        text: Vec::new(),
        names,
        sink,
    };
    if let Err(bad) = std::str::from_utf8(input) {
        // What stands before is read first: an error there comes earlier, and its leaves are shown.
        walker.input = input.get(..bad.valid_up_to()).unwrap_or_default();
        return match walker.document(depth) {
            Err(Stop::Error(error)) if error.offset < bad.valid_up_to() => Err(error),
            Err(Stop::Sink) => Ok(()),
            _ => Err(JsonError {
                offset: bad.valid_up_to(),
                reason: "not UTF-8",
            }),
        };
    }
    match walker.document(depth) {
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Sink) | Ok(()) => Ok(()),
    }
}

enum Stop {
    Error(JsonError),
    Sink,
}

/// An open array or object. `prefix` is the length of the path up to and with its own name.
struct Open {
    prefix: usize,
    /// The next element's number; `None` in an object.
    element: Option<u64>,
}

struct Walker<'a> {
    input: &'a [u8],
    at: usize,
    /// The name of the value at hand.
    path: Vec<u8>,
    open: Vec<Open>,
    /// A string with its escapes decoded.
    text: Vec<u8>,
    /// Bytes of names that may still be handed over.
    names: usize,
    sink: &'a mut dyn Sink,
}

impl Walker<'_> {
    fn document(&mut self, depth: u32) -> Result<(), Stop> {
        self.skip_space();
        loop {
            // A value is due, and `path` is its name.
            let closed = match self.peek() {
                Some(b'{') => self.begin(depth, None)?,
                Some(b'[') => self.begin(depth, Some(0))?,
                _ => {
                    self.leaf()?;
                    true
                }
            };
            if closed && self.after_value()? {
                break;
            }
        }
        self.skip_space();
        if self.at < self.input.len() {
            return Err(self.error("something follows the document"));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn error(&self, reason: &'static str) -> Stop {
        Stop::Error(JsonError {
            offset: self.at,
            reason,
        })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Opens an array or object; true when it is empty and thus closed again.
    fn begin(&mut self, depth: u32, element: Option<u64>) -> Result<bool, Stop> {
        if self.open.len() >= usize::try_from(depth).unwrap_or(usize::MAX) {
            return Err(self.error(TOO_DEEP));
        }
        self.at += 1;
        self.skip_space();
        let end = if element.is_some() { b']' } else { b'}' };
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(true);
        }
        self.open.push(Open {
            prefix: self.path.len(),
            element,
        });
        self.name_next()?;
        Ok(false)
    }

    /// Behind a value: closes what ends here, reads up to the next value. True at the document's end.
    fn after_value(&mut self) -> Result<bool, Stop> {
        loop {
            self.skip_space();
            let Some(open) = self.open.last_mut() else {
                return Ok(true);
            };
            let end = match &mut open.element {
                Some(element) => {
                    *element = element.saturating_add(1);
                    b']'
                }
                None => b'}',
            };
            let prefix = open.prefix;
            self.path.truncate(prefix);
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    self.name_next()?;
                    return Ok(false);
                }
                Some(byte) if byte == end => {
                    self.at += 1;
                    self.open.pop();
                }
                Some(_) if end == b']' => return Err(self.error("expected , or ]")),
                Some(_) => return Err(self.error("expected , or }")),
                None => return Err(self.error("the document ends too early")),
            }
        }
    }

    /// Appends the name of the next value to the path, which means reading the key in an object.
    fn name_next(&mut self) -> Result<(), Stop> {
        match self.open.last().and_then(|open| open.element) {
            Some(element) => {
                self.path.extend_from_slice(b".array_");
                push_number(&mut self.path, element);
            }
            None => {
                if self.peek() != Some(b'"') {
                    return Err(self.error("expected a key in quotes"));
                }
                self.string()?;
                self.path.push(b'.');
                if self.text.is_empty() {
                    self.path.extend_from_slice(b"empty-key");
                } else {
                    self.path.extend_from_slice(&self.text);
                }
                self.skip_space();
                if self.peek() != Some(b':') {
                    return Err(self.error("expected : behind a key"));
                }
                self.at += 1;
                self.skip_space();
            }
        }
        Ok(())
    }

    fn leaf(&mut self) -> Result<(), Stop> {
        let Some(left) = self.names.checked_sub(self.path.len()) else {
            return Err(self.error(NAMES_TOO_LONG));
        };
        self.names = left;
        let wanted = match self.peek() {
            Some(b'"') => {
                self.string()?;
                self.sink.argument(&self.path, &self.text)
            }
            Some(b't') => {
                self.word(b"true")?;
                self.sink.argument(&self.path, b"true")
            }
            Some(b'f') => {
                self.word(b"false")?;
                self.sink.argument(&self.path, b"false")
            }
            Some(b'n') => {
                self.word(b"null")?;
                self.sink.argument(&self.path, b"")
            }
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                self.number()?;
                self.sink.argument(
                    &self.path,
                    self.input.get(start..self.at).unwrap_or_default(),
                )
            }
            Some(_) => return Err(self.error("expected a value")),
            None => return Err(self.error("the document ends too early")),
        };
        if wanted { Ok(()) } else { Err(Stop::Sink) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Stop> {
        if !self.rest().starts_with(word) {
            return Err(self.error("not a word of JSON"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.error("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let count = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count == 0 {
            return Err(self.error("expected a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// Reads a string into `text`. The place is on its opening quote.
    fn string(&mut self) -> Result<(), Stop> {
        self.at += 1;
        self.text.clear();
        loop {
            let rest = self.input.get(self.at..).unwrap_or_default();
            let Some(run) = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            else {
                self.at = self.input.len();
                return Err(self.error("a string has no end"));
            };
            self.text
                .extend_from_slice(rest.get(..run).unwrap_or_default());
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.error("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        let byte = match self.input.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error("not an escape of JSON")),
        };
        self.text.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Stop> {
        let Some(first) = self.four_digits() else {
            return Err(self.error("not four hexadecimal digits behind \\u"));
        };
        self.at += 6;
        let mut code = first;
        if first & 0xfc00 == 0xd800 {
            match self.four_digits() {
                Some(second) if second & 0xfc00 == 0xdc00 => {
                    self.at += 6;
                    code = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
                }
                _ => code = u32::from(b'?'),
            }
        }
        push_code(&mut self.text, code);
        Ok(())
    }

    /// The number of the `\uXXXX` at the place, if there is one.
    fn four_digits(&self) -> Option<u32> {
        let [b'\\', b'u', digits @ ..] = self.rest().get(..6)? else {
            return None;
        };
        digits.iter().try_fold(0u32, |number, digit| {
            digit
                .is_ascii_hexdigit()
                .then(|| (number << 4) | u32::from(hex(*digit)))
        })
    }
}

/// Appends `code` as UTF-8; a lone low surrogate in the three bytes that its number would have.
fn push_code(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low = |shift: u32| u8::try_from((code >> shift) & 0x3f).unwrap_or_default() | 0x80;
            out.extend_from_slice(&[
                u8::try_from((code >> 12) & 0xf).unwrap_or_default() | 0xe0,
                low(6),
                low(0),
            ]);
        }
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
