//! Where in a value a literal may begin, told by three or four bytes. Small tables answer for most of a value's
//! bytes, so that the automaton, whose states fill megabytes, is asked only where there may be something to find (Wu and
//! Manber, "A fast algorithm for multi-pattern searching", 1994, with the automaton in place of their comparison).

/// Bits of a class.
const BITS: u32 = 6;
/// Classes of bytes; 0 is that of bytes which stand in no literal.
const CLASSES: usize = 1 << BITS;
/// All bits of three classes.
const THREE: u32 = (1 << (3 * BITS)) - 1;
/// Bits of the hash of four classes.
const FOUR: u32 = 17;

/// The beginnings of literals.
pub(super) struct Starts {
    classes: [u8; 256],
    /// By three classes: a literal begins with them.
    begins: Bits,
    /// One that has no more bytes does.
    is_short: Bits,
    /// By the hash of four classes: a literal begins with them.
    begins_four: Bits,
}

/// A bit for each number up to a bound.
struct Bits(Box<[u64]>);

impl Bits {
    fn new(bits: u32) -> Self {
        Self(vec![0; (1 << bits) / 64].into())
    }

    fn set(&mut self, number: u32) {
        self.0[(number / 64) as usize] |= 1 << (number % 64);
    }

    #[inline]
    fn has(&self, number: u32) -> bool {
        let word = self.0.get((number / 64) as usize);
        word.is_some_and(|word| word >> (number % 64) & 1 != 0)
    }
}

impl Starts {
    /// For literals of two bytes and more, whatever their letter case.
    pub(super) fn new<'l>(literals: impl Iterator<Item = &'l [u8]> + Clone) -> Self {
        let mut classes = [0u8; 256];
        let mut next = 0;
        for byte in literals.clone().flatten().map(u8::to_ascii_lowercase) {
            if classes[usize::from(byte)] == 0 {
                // Beyond the last class the bytes share classes: more places are asked, none less.
                let class = (next % (CLASSES - 1) + 1) as u8;
                next += 1;
                classes[usize::from(byte)] = class;
                classes[usize::from(byte.to_ascii_uppercase())] = class;
            }
        }
        let mut starts = Self {
            classes,
            begins: Bits::new(3 * BITS),
            is_short: Bits::new(3 * BITS),
            begins_four: Bits::new(FOUR),
        };
        literals.for_each(|literal| starts.add(literal));
        starts
    }

    fn add(&mut self, literal: &[u8]) {
        let window = |bytes: &[u8]| {
            let classes = bytes.iter().map(|byte| self.class(*byte));
            classes.fold(0, |window, class| window << BITS | class)
        };
        match literal {
            [_, _] => {
                let two = window(literal) << BITS;
                for third in 0..CLASSES as u32 {
                    self.begins.set(two | third);
                    self.is_short.set(two | third);
                }
            }
            [first @ .., last] if first.len() == 2 => {
                let three = window(first) << BITS | self.class(*last);
                self.begins.set(three);
                self.is_short.set(three);
            }
            _ => {
                let (three, four) = literal.split_at(3);
                let three = window(three);
                let four = hash(three, four.first().map_or(0, |byte| self.class(*byte)));
                self.begins.set(three);
                self.begins_four.set(four);
            }
        }
    }

    #[inline]
    fn class(&self, byte: u8) -> u32 {
        u32::from(self.classes[usize::from(byte)])
    }

    /// The first place from `from` on where a literal may begin; none is said of the last two bytes.
    #[inline]
    pub(super) fn next(&self, value: &[u8], from: usize) -> Option<usize> {
        let [first, second, rest @ ..] = value.get(from..)? else {
            return None;
        };
        let mut window = self.class(*first) << BITS | self.class(*second);
        for (at, byte) in rest.iter().enumerate() {
            window = (window << BITS | self.class(*byte)) & THREE;
            if !self.begins.has(window) {
                continue;
            }
            // At the end the fourth byte may be still to come.
            let may = rest.get(at + 1).is_none_or(|fourth| {
                self.begins_four.has(hash(window, self.class(*fourth))) || self.is_short.has(window)
            });
            if may {
                return Some(from + at);
            }
        }
        None
    }
}

/// Of three classes and the fourth.
#[inline]
fn hash(three: u32, fourth: u32) -> u32 {
    (three << BITS | fourth).wrapping_mul(0x9e37_79b1) >> (32 - FOUR)
}

#[cfg(test)]
mod tests {
    use super::Starts;

    #[test]
    fn every_place_where_a_literal_begins_is_found() {
        let literals: [&[u8]; 4] = [b"select", b"on", b"/*", b"Cat"];
        let starts = Starts::new(literals.into_iter());
        let places = |value: &[u8]| {
            let mut places = Vec::new();
            let mut from = 0;
            while let Some(at) = starts.next(value, from) {
                places.push(at);
                from = at + 1;
            }
            places
        };
        assert_eq!(places(b"a SELector ON /* cat"), [2, 11, 14, 17]);
        assert_eq!(places(b"se lect sela /"), []);
        assert_eq!(places(b"a sel"), [2], "it may go on");
        assert_eq!(places(b"on"), [], "two bytes are not looked at");
        assert_eq!(places(b""), []);
    }

    #[test]
    fn bytes_without_a_class_of_their_own_are_found_too() {
        let literals: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte, 0, byte]).collect();
        let starts = Starts::new(literals.iter().map(Vec::as_slice));
        for literal in &literals {
            let mut value = b"..".to_vec();
            value.extend_from_slice(literal);
            let mut from = 0;
            while starts.next(&value, from).expect("found") != 2 {
                from += 1;
            }
        }
    }
}
