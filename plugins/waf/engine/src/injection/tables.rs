//! The words and the fingerprints, made ready for lookups: built once, read without locks.

use std::sync::LazyLock;

use super::token::{Kind, TEXT_BYTES};

/// `k SELECT`: the letter of the kind, a space, a word or a phrase in capitals.
const WORDS: &str = include_str!("data/words.txt");

/// `S&1C`: the letters of the kinds in capitals, one to five of them.
const FINGERPRINTS: &str = include_str!("data/fingerprints.txt");

/// Places for words: more than twice as many as there are words, so that a search is short.
const WORD_SLOTS: usize = 4096;

/// Places for fingerprints: about twice as many as there are.
const FINGERPRINT_SLOTS: usize = 16384;

/// A word of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub text: &'static [u8],
    pub kind: Kind,
}

/// Both tables.
pub(super) struct Tables {
    words: Vec<Word>,
    /// One more than the place in `words`; zero is free.
    slots: Box<[u16; WORD_SLOTS]>,
    /// By first and last byte: bit n is set when there is a word of n bytes. Most words of a value
    /// are turned away here.
    word_lengths: Box<[u32; 1024]>,
    phrase_lengths: Box<[u32; 1024]>,
    /// By first byte: bit n is set when a phrase has a space after n bytes.
    phrase_starts: [u32; 32],
    /// By the first (8 of them) and the second byte: operators of two bytes.
    pairs: Box<[[Kind; 128]; 8]>,
    /// By the codes of the first three letters.
    fingerprint_starts: Box<[u64; 512]>,
    /// Packed fingerprints; zero is free.
    fingerprints: Box<[u32; FINGERPRINT_SLOTS]>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::build);

/// The tables. The first call builds them: about a millisecond.
#[inline]
pub(super) fn tables() -> &'static Tables {
    &TABLES
}

impl Tables {
    fn build() -> Self {
        let mut tables = Self {
            words: Vec::new(),
            slots: Box::new([0; WORD_SLOTS]),
            word_lengths: Box::new([0; 1024]),
            phrase_lengths: Box::new([0; 1024]),
            phrase_starts: [0; 32],
            pairs: Box::new([[Kind::None; 128]; 8]),
            fingerprint_starts: Box::new([0; 512]),
            fingerprints: Box::new([0; FINGERPRINT_SLOTS]),
        };
        for line in WORDS.lines() {
            if let [letter, b' ', text @ ..] = line.as_bytes()
                && let Some(kind) = Kind::of_word(*letter)
            {
                tables.add_word(Word { text, kind });
            }
        }
        for line in FINGERPRINTS.lines() {
            tables.add_fingerprint(pack(line.bytes()));
        }
        tables
    }

    fn add_word(&mut self, word: Word) {
        self.words.push(word);
        let mut slot = hash(word.text) & (WORD_SLOTS - 1);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (WORD_SLOTS - 1);
        }
        self.slots[slot] = u16::try_from(self.words.len()).unwrap_or(0);
        let ends = ends(word.text);
        if let [first, second] = *word.text
            && let Some(row) = pair_row(first)
        {
            self.pairs[row][usize::from(second & 0x7f)] = word.kind;
        }
        if word.text.contains(&b' ') {
            self.phrase_lengths[ends] |= 1 << word.text.len();
            for (at, byte) in word.text.iter().enumerate() {
                if *byte == b' ' {
                    self.phrase_starts[ends >> 5] |= 1 << at;
                }
            }
        } else {
            self.word_lengths[ends] |= 1 << word.text.len();
        }
    }

    fn add_fingerprint(&mut self, packed: u32) {
        let start = (packed & 0x7fff) as usize;
        self.fingerprint_starts[start >> 6] |= 1 << (start & 63);
        let mut slot = spread(packed);
        while self.fingerprints[slot] != 0 {
            slot = (slot + 1) & (FINGERPRINT_SLOTS - 1);
        }
        self.fingerprints[slot] = packed;
    }

    /// The kind of a word, not a phrase, in any case.
    #[inline]
    pub(super) fn word(&self, text: &[u8]) -> Option<Kind> {
        if text.len() > TEXT_BYTES || self.word_lengths[ends(text)] & (1 << text.len()) == 0 {
            return None;
        }
        self.find(text).map(|word| word.kind)
    }

    /// True if a name in ticks is that of a function; it may be a phrase.
    pub(super) fn is_function(&self, name: &[u8]) -> bool {
        if name.contains(&b' ') {
            self.find(name)
                .is_some_and(|phrase| phrase.kind == Kind::Function)
        } else {
            self.word(name) == Some(Kind::Function)
        }
    }

    /// The phrase that two tokens make with a space between them.
    #[inline]
    pub(super) fn phrase(&self, first: &[u8], second: &[u8]) -> Option<Word> {
        let bytes = first.len() + 1 + second.len();
        if bytes > TEXT_BYTES {
            return None;
        }
        let front = first.first().copied().unwrap_or(b' ');
        if self.phrase_starts[usize::from(front & 31)] & (1 << first.len()) == 0 {
            return None;
        }
        let back = second.last().copied().unwrap_or(b' ');
        let ends = usize::from(front & 31) << 5 | usize::from(back & 31);
        if self.phrase_lengths[ends] & (1 << bytes) == 0 {
            return None;
        }
        let mut text = [b' '; TEXT_BYTES + 1];
        text.get_mut(..first.len())?.copy_from_slice(first);
        text.get_mut(first.len() + 1..bytes)?
            .copy_from_slice(second);
        self.find(text.get(..bytes)?)
    }

    fn find(&self, text: &[u8]) -> Option<Word> {
        let mut slot = hash(text) & (WORD_SLOTS - 1);
        loop {
            let place = usize::from(self.slots[slot]);
            // Zero is a free slot: nothing stands before the first word.
            let word = self.words.get(place.wrapping_sub(1))?;
            if word.text.eq_ignore_ascii_case(text) {
                return Some(*word);
            }
            slot = (slot + 1) & (WORD_SLOTS - 1);
        }
    }

    /// The kind of an operator of two bytes; the first is one of `!&*:<=>|`.
    #[inline]
    pub(super) fn pair(&self, first: u8, second: u8) -> Option<Kind> {
        if second > 0x7f {
            return None;
        }
        let kind = self.pairs[pair_row(first)?][usize::from(second & 0x7f)];
        (kind != Kind::None).then_some(kind)
    }

    /// True for the fingerprint of an attack; at most five letters, in the case of the kinds.
    #[inline]
    pub(super) fn is_fingerprint(&self, letters: &[u8]) -> bool {
        let packed = pack(letters.iter().map(u8::to_ascii_uppercase));
        let start = (packed & 0x7fff) as usize;
        if packed == 0 || self.fingerprint_starts[start >> 6] & (1 << (start & 63)) == 0 {
            return false;
        }
        let mut slot = spread(packed);
        loop {
            match self.fingerprints[slot] {
                0 => return false,
                found if found == packed => return true,
                _ => slot = (slot + 1) & (FINGERPRINT_SLOTS - 1),
            }
        }
    }
}

/// Five bits a letter, the first letter lowest; zero when a letter stands in no fingerprint.
#[inline]
fn pack(letters: impl Iterator<Item = u8>) -> u32 {
    let mut packed = 0;
    for (at, letter) in letters.take(5).enumerate() {
        let code = CODES[usize::from(letter)];
        if code == 0 {
            return 0;
        }
        packed |= u32::from(code) << (5 * at);
    }
    packed
}

/// A number from 1 for each letter that stands in a fingerprint.
const CODES: [u8; 256] = {
    let letters = b"&(),1:;ABCEFKNOSTUVX";
    let mut codes = [0; 256];
    let mut at = 0;
    while at < letters.len() {
        codes[letters[at] as usize] = at as u8 + 1;
        at += 1;
    }
    codes
};

fn spread(packed: u32) -> usize {
    (packed.wrapping_mul(0x9e37_79b1) >> 18) as usize & (FINGERPRINT_SLOTS - 1)
}

/// First and last byte, five bits each: letters are equal in both cases.
#[inline]
fn ends(text: &[u8]) -> usize {
    match text {
        [first, .., last] => usize::from(first & 31) << 5 | usize::from(last & 31),
        [only] => usize::from(only & 31) << 5 | usize::from(only & 31),
        [] => 0,
    }
}

/// The row of an operator's first byte.
#[inline]
fn pair_row(first: u8) -> Option<usize> {
    Some(match first {
        b'!' => 0,
        b'&' => 1,
        b'*' => 2,
        b':' => 3,
        b'<' => 4,
        b'=' => 5,
        b'>' => 6,
        b'|' => 7,
        _ => return None,
    })
}

/// Equal for texts that differ only in the case of letters.
#[inline]
fn hash(text: &[u8]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) & 0xdfdf_dfdf_dfdf_dfdf;
    let short = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes) & 0xdfdf_dfdf);
    let mixed = if let (Some(front), Some(back)) = (text.first_chunk(), text.last_chunk()) {
        fold(front).wrapping_mul(MIX) ^ fold(back).rotate_left(29)
    } else if let (Some(front), Some(back)) = (text.first_chunk(), text.last_chunk()) {
        short(front) | short(back) << 32
    } else {
        text.iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(byte & 0xdf))
    };
    let mixed = (mixed ^ text.len() as u64).wrapping_mul(MIX);
    (mixed >> 40) as usize
}

/// All words, for tests.
#[cfg(test)]
pub(super) fn words() -> &'static [Word] {
    &TABLES.words
}

/// All fingerprints in capitals, for tests.
#[cfg(test)]
pub(super) fn fingerprints() -> impl Iterator<Item = &'static [u8]> {
    FINGERPRINTS.lines().map(str::as_bytes)
}
