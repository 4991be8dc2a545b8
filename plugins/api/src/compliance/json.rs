//! A reader for JSON, just strict enough to check that a schema is JSON and to look around in it.

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// A JSON value (RFC 8259). Numbers are kept as they are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`, `true`, `false` or a number, as written.
    Plain(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, in written order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text.
    ///
    /// # Errors
    /// The byte at which it stops to be JSON.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut reader = Reader {
            bytes: text.as_bytes(),
            at: 0,
        };
        match reader.value(0) {
            Some(value) if reader.peek().is_none() => Ok(value),
            _ => Err(reader.at),
        }
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let mut members = self.members().iter();
        members.find(|(name, _)| name == key).map(|(_, json)| json)
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            Self::Plain(_) | Self::Text(_) | Self::List(_) => &[],
        }
    }

    /// Calls `visit` for this value and every value in it.
    pub fn each(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Object(members) => members.iter().for_each(|(_, json)| json.each(visit)),
            Self::List(items) => items.iter().for_each(|json| json.each(visit)),
            Self::Plain(_) | Self::Text(_) => {}
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !b" \t\r\n".contains(byte) {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => {
                let mut members = Vec::new();
                self.series(b'{', b'}', |reader| {
                    let key = reader.text()?;
                    reader.take(b':')?;
                    members.push((key, reader.value(depth + 1)?));
                    Some(())
                })?;
                Some(Json::Object(members))
            }
            b'[' => {
                let mut items = Vec::new();
                self.series(b'[', b']', |reader| {
                    items.push(reader.value(depth + 1)?);
                    Some(())
                })?;
                Some(Json::List(items))
            }
            b'"' => self.text().map(Json::Text),
            _ => self.plain(),
        }
    }

    fn series(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.take(open)?;
        if self.peek()? == close {
            return self.take(close);
        }
        loop {
            item(self)?;
            if self.peek()? == close {
                return self.take(close);
            }
            self.take(b',')?;
        }
    }

    fn text(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = Vec::new();
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(out).ok(),
                b'\\' => {
                    let escaped = *self.bytes.get(self.at)?;
                    self.at += 1;
                    // Schemas need no other escapes; `\u` is not read.
                    match escaped {
                        b'"' | b'\\' | b'/' => out.push(escaped),
                        b'n' => out.push(b'\n'),
                        b't' => out.push(b'\t'),
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => out.push(byte),
            }
        }
    }

    fn plain(&mut self) -> Option<Json> {
        let start = self.at;
        let word = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
        while self.bytes.get(self.at).is_some_and(word) {
            self.at += 1;
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        let known = matches!(text, "null" | "true" | "false") || text.parse::<f64>().is_ok();
        known.then(|| Json::Plain(text.to_owned()))
    }
}
