//! The values of a transaction's variables: every byte once, in one arena; entries point into it.

use crate::seclang::Variable;

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A value with the name it has in its collection (empty for a variable that is no collection).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Bytes and entries. Every variable's entries lie together, as each is filled once.
#[derive(Debug)]
pub(crate) struct Values {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    ranges: [(u32, u32); Variable::ALL.len()],
}

impl Values {
    pub(crate) fn new() -> Self {
        Self {
            arena: Vec::with_capacity(8 * 1024),
            entries: Vec::with_capacity(192),
            ranges: [(0, 0); Variable::ALL.len()],
        }
    }

    /// Copies bytes into the arena. What does not fit into 4 GiB is left out; bodies are far smaller.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Span {
        let (Ok(start), Ok(len)) = (u32::try_from(self.arena.len()), u32::try_from(bytes.len()))
        else {
            return Span::default();
        };
        self.arena.extend_from_slice(bytes);
        Span { start, len }
    }

    /// Lets `write` append to the arena and gives what it wrote.
    pub(crate) fn keep_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let before = self.arena.len();
        write(&mut self.arena);
        let (Ok(start), Ok(len)) = (
            u32::try_from(before),
            u32::try_from(self.arena.len().saturating_sub(before)),
        ) else {
            return Span::default();
        };
        Span { start, len }
    }

    /// The bytes of a range.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.arena
            .get(start..start.saturating_add(span.len as usize))
            .unwrap_or_default()
    }

    /// Begins a variable; what it had is forgotten. Entries pushed until the next `begin` are its own.
    pub(crate) fn begin(&mut self, variable: Variable) {
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.ranges[variable as usize] = (at, at);
    }

    /// Adds an entry to the variable begun last.
    pub(crate) fn push(&mut self, variable: Variable, name: Span, value: Span) {
        self.entries.push(Entry { name, value });
        self.ranges[variable as usize].1 = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
    }

    /// Sets a variable that is no collection.
    pub(crate) fn set(&mut self, variable: Variable, value: &[u8]) {
        let value = self.keep(value);
        self.set_span(variable, value);
    }

    /// Sets a variable that is no collection to bytes that are in the arena already.
    pub(crate) fn set_span(&mut self, variable: Variable, value: Span) {
        self.begin(variable);
        self.push(variable, Span::default(), value);
    }

    /// Sets a variable to a number.
    pub(crate) fn set_number(&mut self, variable: Variable, number: i64) {
        let value = self.keep_with(|arena| super::tx::write_number(number, arena));
        self.set_span(variable, value);
    }

    /// The entries of a variable, and the number of the first.
    pub(crate) fn of(&self, variable: Variable) -> (u32, &[Entry]) {
        let (start, end) = self.ranges[variable as usize];
        (
            start,
            self.entries
                .get(start as usize..end as usize)
                .unwrap_or_default(),
        )
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first value of a variable.
    pub(crate) fn first(&self, variable: Variable) -> Option<&[u8]> {
        let (_, entries) = self.of(variable);
        entries.first().map(|entry| self.bytes(entry.value))
    }
}
