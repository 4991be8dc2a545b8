//! SQL to tokens, in all dialects at once: what any of them takes for a string, a comment or a number
//! is one.

use memchr::{memchr, memmem};

use super::bytes::{
    AMOUNT, BIT, HEX, LETTER, SPACE, SPLIT, Start, VARIABLE_END, WORD_END, before, is, span, start,
};
use super::tables::Tables;
use super::token::{Kind, TEXT_BYTES, Token};

/// Reads tokens one after another. Each byte is looked at a bounded number of times.
pub(super) struct Lexer<'a> {
    value: &'a [u8],
    at: usize,
    /// A quote that the value is thought to stand behind; zero for none.
    quote: u8,
    /// Reads `#` and `--x` as MySQL does; else as the others.
    mysql: bool,
    tables: &'static Tables,
    /// Tokens read so far.
    pub tokens: usize,
    /// Something was read that MySQL reads in another way.
    pub ambiguous: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(tables: &'static Tables, value: &'a [u8], quote: u8, mysql: bool) -> Self {
        Self {
            value,
            at: 0,
            quote,
            mysql,
            tables,
            tokens: 0,
            ambiguous: false,
        }
    }

    /// The tables it looks words up in.
    pub(super) fn tables(&self) -> &'static Tables {
        self.tables
    }

    /// The next token; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        if self.at == 0 && self.quote != 0 && !self.value.is_empty() {
            self.tokens += 1;
            return Some(self.string(0, self.quote, 0));
        }
        loop {
            let byte = self.peek(0)?;
            let begins = start(byte);
            if begins != Start::White {
                self.tokens += 1;
                return Some(self.token(begins, byte));
            }
            self.at += 1;
        }
    }

    fn token(&mut self, begins: Start, byte: u8) -> Token<'a> {
        match begins {
            Start::Word | Start::White => self.word(),
            Start::Number => self.number(),
            Start::Single => self.take(single(byte), 1),
            Start::Operator => self.take(Kind::Operator, 1),
            Start::Pair => self.pair(byte),
            Start::Other => self.take(Kind::Unknown, 1),
            Start::Quote => self.string(self.at + 1, byte, byte),
            Start::Tick => self.tick(),
            Start::Dash => self.dash(),
            Start::Slash => self.slash(),
            Start::Hash => self.hash(),
            // MySQL's \N is a null.
            Start::Backslash if self.peek(1) == Some(b'N') => self.take(Kind::Number, 2),
            Start::Backslash => self.take(Kind::Backslash, 1),
            Start::Variable => self.variable(),
            Start::Money => self.money(),
            Start::Bracket => self.bracket(),
            Start::Bits => self.digits(BIT),
            Start::Hex => self.digits(HEX),
            Start::Escaped => self.escaped(),
            Start::National if self.has_text_quote() => self.escaped(),
            Start::National => self.oracle(1),
            Start::Oracle => self.oracle(0),
            Start::Unicode => self.unicode(),
        }
    }

    /// The byte so many places on.
    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.value.get(self.at + ahead).copied()
    }

    /// What is left from a place on.
    #[inline]
    fn rest(&self, from: usize) -> &'a [u8] {
        self.value.get(from..).unwrap_or(&[])
    }

    /// The text from a place on, `bytes` long, cut to what a token keeps.
    #[inline]
    fn text(&self, from: usize, bytes: usize) -> &'a [u8] {
        let rest = self.rest(from);
        let kept = bytes.min(TEXT_BYTES).min(rest.len());
        rest.get(..kept).unwrap_or(rest)
    }

    /// A token of the next bytes.
    #[inline]
    fn take(&mut self, kind: Kind, bytes: usize) -> Token<'a> {
        let token = Token::new(kind, self.text(self.at, bytes));
        self.at += bytes;
        token
    }

    /// A string: its text from a place on, the quotes, and where the reading goes on.
    fn quoted(&mut self, from: usize, bytes: usize, quotes: (u8, u8), next: usize) -> Token<'a> {
        let mut token = Token::new(Kind::String, self.text(from, bytes));
        (token.open, token.close) = quotes;
        self.at = next;
        token
    }

    /// A string whose text starts at `from`. A quote behind an odd number of backslashes, or doubled,
    /// does not end it.
    fn string(&mut self, from: usize, quote: u8, open: u8) -> Token<'a> {
        let mut search = from;
        while let Some(found) = memchr(quote, self.rest(search)) {
            let end = search + found;
            // The backslashes in front were not counted for a quote before this one.
            let escapes = self
                .text_between(from, end)
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\')
                .count();
            if escapes % 2 == 1 {
                search = end + 1;
            } else if self.value.get(end + 1) == Some(&quote) {
                search = end + 2;
            } else {
                return self.quoted(from, end - from, (open, quote), end + 1);
            }
        }
        let end = self.value.len();
        self.quoted(from, end.saturating_sub(from), (open, 0), end)
    }

    fn text_between(&self, from: usize, to: usize) -> &'a [u8] {
        self.value.get(from..to).unwrap_or(&[])
    }

    /// A word. It ends at once where a keyword stands before a dot or a tick.
    fn word(&mut self) -> Token<'a> {
        let rest = self.rest(self.at);
        // libinjection measures the whole word before it looks for such a keyword, again and again in
        // `LIKE.LIKE.LIKE...`: quadratic. Only the first bytes can decide, so they are asked first.
        let front = rest.get(..=TEXT_BYTES).unwrap_or(rest);
        let mut bytes = 0;
        for &byte in front {
            if is(byte, WORD_END | SPLIT) {
                if is(byte, WORD_END) {
                    break;
                }
                if bytes < TEXT_BYTES
                    && let Some(kind) = self.lookup(bytes)
                    && kind != Kind::Bareword
                {
                    return self.take(kind, bytes);
                }
            }
            bytes += 1;
        }
        if bytes > TEXT_BYTES {
            let more = before(rest.get(bytes..).unwrap_or(&[]), WORD_END);
            return self.take(Kind::Bareword, bytes + more);
        }
        let kind = self.lookup(bytes).unwrap_or(Kind::Bareword);
        self.take(kind, bytes)
    }

    #[inline]
    fn lookup(&self, bytes: usize) -> Option<Kind> {
        self.tables.word(self.text(self.at, bytes))
    }

    fn pair(&mut self, first: u8) -> Token<'a> {
        let Some(second) = self.peek(1) else {
            return self.take(Kind::Operator, 1);
        };
        if first == b'<' && second == b'=' && self.peek(2) == Some(b'>') {
            return self.take(Kind::Operator, 3);
        }
        match self.tables.pair(first, second) {
            Some(kind) => self.take(kind, 2),
            None if first == b':' => self.take(Kind::Colon, 1),
            None => self.take(Kind::Operator, 1),
        }
    }

    /// A name in ticks is a function if it is called like one, else a bare word.
    fn tick(&mut self) -> Token<'a> {
        let mut token = self.string(self.at + 1, b'`', b'`');
        token.kind = if self.tables.is_function(token.text) {
            Kind::Function
        } else {
            Kind::Bareword
        };
        token
    }

    fn line_comment(&mut self) -> Token<'a> {
        let rest = self.rest(self.at);
        let bytes = memchr(b'\n', rest).unwrap_or(rest.len());
        let token = self.take(Kind::Comment, bytes);
        self.at = (self.at + 1).min(self.value.len());
        token
    }

    /// Two dashes before white space or the end are a comment, for all but MySQL also before others.
    fn dash(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'-') {
            if self.peek(2).is_none_or(|byte| is(byte, SPACE)) {
                return self.line_comment();
            }
            if !self.mysql {
                self.ambiguous = true;
                return self.line_comment();
            }
        }
        self.take(Kind::Operator, 1)
    }

    fn hash(&mut self) -> Token<'a> {
        self.ambiguous = true;
        if self.mysql {
            self.line_comment()
        } else {
            self.take(Kind::Operator, 1)
        }
    }

    fn slash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'*') {
            return self.take(Kind::Operator, 1);
        }
        let inside = self.rest(self.at + 2);
        let end = memmem::find(inside, b"*/");
        // PostgreSQL nests comments, the others do not; MySQL executes /*! */.
        let nests =
            end.is_some_and(|end| memmem::find(inside.get(..=end).unwrap_or(&[]), b"/*").is_some());
        let kind = if nests || inside.first() == Some(&b'!') {
            Kind::Evil
        } else {
            Kind::Comment
        };
        self.take(kind, end.map_or(inside.len(), |end| end + 2) + 2)
    }

    /// `@name`, `@@name`, ``@`name` ``, `@'name'`.
    fn variable(&mut self) -> Token<'a> {
        self.at += if self.peek(1) == Some(b'@') { 2 } else { 1 };
        match self.peek(0) {
            Some(b'`') => Token {
                kind: Kind::Variable,
                ..self.string(self.at + 1, b'`', b'`')
            },
            Some(quote @ (b'\'' | b'"')) => Token {
                kind: Kind::Variable,
                ..self.string(self.at + 1, quote, quote)
            },
            _ => self.take(Kind::Variable, before(self.rest(self.at), VARIABLE_END)),
        }
    }

    /// `$1,000.00`, `$$text$$`, `$name$text$name$`, or only a dollar.
    fn money(&mut self) -> Token<'a> {
        let rest = self.rest(self.at + 1);
        let (from, len) = (self.at, self.value.len());
        match (span(rest, AMOUNT), rest) {
            (_, []) => self.take(Kind::Bareword, 1),
            (0, [b'$', inside @ ..]) => match memmem::find(inside, b"$$") {
                Some(end) => self.quoted(from + 2, end, (b'$', b'$'), from + end + 4),
                None => self.quoted(from + 2, inside.len(), (b'$', 0), len),
            },
            (0, _) => {
                let name = span(rest, LETTER);
                if name == 0 || rest.get(name) != Some(&b'$') {
                    return self.take(Kind::Bareword, 1);
                }
                let mark = name + 2;
                let inside = self.rest(from + mark);
                // No dollar stands within the mark, so this search is linear with any method.
                match memmem::find(inside, self.text_between(from, from + mark)) {
                    Some(end) => self.quoted(from + mark, end, (b'$', b'$'), from + 2 * mark + end),
                    None => self.quoted(from + mark, inside.len(), (b'$', 0), len),
                }
            }
            (1, [b'.', ..]) => self.word(),
            (amount, _) => self.take(Kind::Number, amount + 1),
        }
    }

    /// `[a name]` of SQL Server.
    fn bracket(&mut self) -> Token<'a> {
        let rest = self.rest(self.at);
        let bytes = memchr(b']', rest).map_or(rest.len(), |end| end + 1);
        self.take(Kind::Bareword, bytes)
    }

    /// A quote follows, and something behind it.
    #[inline]
    fn has_text_quote(&self) -> bool {
        self.peek(1) == Some(b'\'') && self.peek(2).is_some()
    }

    /// `B'0101'`, `X'7f'`.
    fn digits(&mut self, run: u8) -> Token<'a> {
        if self.has_text_quote() {
            let inside = self.rest(self.at + 2);
            let bytes = span(inside, run);
            if inside.get(bytes) == Some(&b'\'') {
                return self.take(Kind::Number, bytes + 3);
            }
        }
        self.word()
    }

    /// `E'text'`, `N'text'`.
    fn escaped(&mut self) -> Token<'a> {
        if self.has_text_quote() {
            self.string(self.at + 2, b'\'', b'\'')
        } else {
            self.word()
        }
    }

    /// `U&'text'`.
    fn unicode(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'&') || self.peek(2) != Some(b'\'') {
            return self.word();
        }
        let mut token = self.string(self.at + 3, b'\'', b'u');
        if token.close == b'\'' {
            token.close = b'u';
        }
        token
    }

    /// `Q'(text)'`, `NQ'!text!'`: any printable byte is a quote, brackets come in pairs.
    fn oracle(&mut self, letters: usize) -> Token<'a> {
        let close = match (
            self.peek(letters),
            self.peek(letters + 1),
            self.peek(letters + 2),
        ) {
            (Some(b'q' | b'Q'), Some(b'\''), Some(open)) => match open {
                b'(' => b')',
                b'[' => b']',
                b'{' => b'}',
                b'<' => b'>',
                b'!'..=0x7f => open,
                _ => return self.word(),
            },
            _ => return self.word(),
        };
        let from = self.at + letters + 3;
        let inside = self.rest(from);
        match memmem::find(inside, &[close, b'\'']) {
            Some(end) => self.quoted(from, end, (b'q', b'q'), from + end + 2),
            None => self.quoted(from, inside.len(), (b'q', 0), self.value.len()),
        }
    }

    fn number(&mut self) -> Token<'a> {
        let rest = self.rest(self.at);
        if let [b'0', letter, digits @ ..] = rest {
            let run = match letter {
                b'x' | b'X' => HEX,
                b'b' | b'B' => BIT,
                _ => 0,
            };
            if run != 0 {
                return match span(digits, run) {
                    0 => self.take(Kind::Bareword, 2),
                    bytes => self.take(Kind::Number, bytes + 2),
                };
            }
        }
        let byte = |at: usize| rest.get(at).copied().unwrap_or(b'$');
        let skip_digits = |mut at: usize| {
            while byte(at).is_ascii_digit() {
                at += 1;
            }
            at
        };
        let mut end = skip_digits(0);
        if byte(end) == b'.' {
            end = skip_digits(end + 1);
            if end == 1 {
                return self.take(Kind::Dot, 1);
            }
        }
        let mut kind = Kind::Number;
        if matches!(byte(end), b'e' | b'E') {
            let digits = end + 1 + usize::from(matches!(byte(end + 1), b'+' | b'-'));
            end = skip_digits(digits);
            if end == digits {
                kind = Kind::Bareword;
            }
        }
        // Oracle's suffix of floats, where the number ends or UNION follows at once.
        if matches!(byte(end), b'd' | b'D' | b'f' | b'F')
            && rest
                .get(end + 1)
                .is_none_or(|byte| is(*byte, SPACE) || matches!(byte, b';' | b'u' | b'U'))
        {
            end += 1;
        }
        self.take(kind, end)
    }
}

fn single(byte: u8) -> Kind {
    match byte {
        b'(' => Kind::LeftParens,
        b')' => Kind::RightParens,
        b'{' => Kind::LeftBrace,
        b'}' => Kind::RightBrace,
        b',' => Kind::Comma,
        _ => Kind::Semicolon,
    }
}
