//! One pass over a value for the literals of all rules.

use std::collections::HashMap;
use std::fmt;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, MatchKind, StartKind, dfa};

use super::literals::Clause;
use super::starts::Starts;
use crate::transform::ByteSet;

/// Finds which clauses a value meets.
pub(crate) struct Prefilter {
    /// Literals of two bytes and more.
    longer: Option<Longer>,
    /// The clauses of each pattern of the automaton.
    clauses: Vec<Box<[u32]>>,
    /// Literals of one byte: which there are, in both letter cases, and their clauses by byte, a bit each.
    single: ByteSet,
    of_single: Box<[Box<[u64]>]>,
    words: usize,
}

impl fmt::Debug for Prefilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefilter")
            .field("literals", &self.clauses.len())
            .finish_non_exhaustive()
    }
}

impl Prefilter {
    /// Builds the automaton. Clauses are numbered in the order given.
    pub(crate) fn new(clauses: &[Clause]) -> Result<Self, String> {
        let mut by_literal: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (clause, number) in clauses.iter().zip(0u32..) {
            for literal in clause {
                by_literal.entry(literal).or_default().push(number);
            }
        }
        let mut literals: Vec<(&[u8], Vec<u32>)> = by_literal.into_iter().collect();
        literals.sort_unstable();
        let (single, longer): (Vec<_>, Vec<_>) = literals
            .into_iter()
            .partition(|(literal, _)| literal.len() == 1);
        let automaton = match longer.is_empty() {
            true => None,
            false => Some(Longer::new(longer.iter().map(|(literal, _)| *literal))?),
        };
        let mut bytes = ByteSet::EMPTY;
        let words = clauses.len().div_ceil(64);
        let mut of_single = vec![Box::<[u64]>::default(); 256];
        for (literal, clauses) in single {
            for byte in literal
                .iter()
                .flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()])
            {
                bytes.insert(byte);
                if let Some(place) = of_single.get_mut(usize::from(byte)) {
                    let mut bits = vec![0; words];
                    meet(Some(&clauses.as_slice().into()), &mut bits);
                    *place = bits.into();
                }
            }
        }
        Ok(Self {
            longer: automaton,
            clauses: longer
                .into_iter()
                .map(|(_, clauses)| clauses.into())
                .collect(),
            single: bytes,
            of_single: of_single.into(),
            words,
        })
    }

    /// How many words [`Self::scan`] writes.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Bytes of memory that the automaton takes.
    pub(crate) fn memory(&self) -> usize {
        self.longer
            .as_ref()
            .map_or(0, |longer| longer.automaton.memory_usage())
    }

    /// Sets the bit of every clause that the value meets. Letter case does not matter.
    pub(crate) fn scan(&self, value: &[u8], present: &ByteSet, met: &mut [u64]) {
        self.walk(self.start(), value, met);
        self.meet_single(present, met);
    }

    fn start(&self) -> Option<StateID> {
        Some(self.longer.as_ref()?.start)
    }

    /// Goes on from a state over more of a value.
    fn walk(&self, state: Option<StateID>, value: &[u8], met: &mut [u64]) -> Option<StateID> {
        let longer = self.longer.as_ref()?;
        let found = |pattern| meet(self.clauses.get(pattern), met);
        Some(longer.walk(state?, value, found))
    }

    /// The clauses of literals of one byte.
    fn meet_single(&self, present: &ByteSet, met: &mut [u64]) {
        for byte in present.common(&self.single) {
            let bits = self
                .of_single
                .get(usize::from(byte))
                .map_or(&[][..], |bits| bits);
            for (word, bits) in met.iter_mut().zip(bits) {
                *word |= bits;
            }
        }
    }
}

/// Literals of two bytes and more.
struct Longer {
    automaton: dfa::DFA,
    start: StateID,
    starts: Starts,
    /// By state, a bit: at least [`DEEP`] bytes of a literal have been read.
    deep: Box<[u64]>,
    /// States are numbered in steps of this power of two.
    stride: u32,
}

/// So many bytes tell [`Starts`] where a literal may begin.
const DEEP: usize = 3;

impl Longer {
    fn new<'l>(literals: impl Iterator<Item = &'l [u8]> + Clone) -> Result<Self, String> {
        let failed = |error: &dyn fmt::Display| format!("the literals of the rules: {error}");
        let automaton = dfa::DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(literals.clone())
            .map_err(|error| failed(&error))?;
        let start = automaton
            .start_state(Anchored::No)
            .map_err(|error| failed(&error))?;
        // Fewer bytes than a state stands for do not lead to it: the first states that are met are the shallow ones.
        let mut shallow = vec![start];
        let mut begin = 0;
        for _ in 1..DEEP {
            for at in std::mem::replace(&mut begin, shallow.len())..shallow.len() {
                for byte in 0..=255 {
                    let next = automaton.next_state(Anchored::No, shallow[at], byte);
                    if !shallow.contains(&next) {
                        shallow.push(next);
                    }
                }
            }
        }
        let states = automaton.memory_usage() / size_of::<StateID>();
        let stride = shallow
            .iter()
            .fold(0, |all, state| all | state.as_usize())
            .trailing_zeros()
            .min(8);
        let mut deep = vec![u64::MAX; (states >> stride) / 64 + 1].into_boxed_slice();
        for state in shallow {
            let number = state.as_usize() >> stride;
            deep[number / 64] &= !(1 << (number % 64));
        }
        Ok(Self {
            automaton,
            start,
            starts: Starts::new(literals),
            deep,
            stride,
        })
    }

    fn is_deep(&self, state: StateID) -> bool {
        let number = state.as_usize() >> self.stride;
        self.deep
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// Goes on from a state over more of a value, and tells which literals are found.
    fn walk(&self, state: StateID, value: &[u8], mut found: impl FnMut(usize)) -> StateID {
        let automaton = &self.automaton;
        let mut state = state;
        // Where the automaton goes on, and up to where it does so whatever its state.
        let (mut at, mut least) = (0, DEEP - 1);
        loop {
            while let Some(byte) = value.get(at) {
                state = automaton.next_state(Anchored::No, state, *byte);
                at += 1;
                if automaton.is_special(state) && automaton.is_match(state) {
                    for number in 0..automaton.match_len(state) {
                        found(automaton.match_pattern(state, number).as_usize());
                    }
                }
                if at >= least && !self.is_deep(state) {
                    break;
                }
            }
            if at >= value.len() {
                return state;
            }
            // A literal that has begun has so few bytes yet that its beginning is looked for again.
            let end = value.len().saturating_sub(DEEP - 1);
            at = self.starts.next(value, at - (DEEP - 1)).unwrap_or(end);
            state = self.start;
            least = at + DEEP;
        }
    }
}

#[allow(clippy::borrowed_box)] // As the list has them.
fn meet(clauses: Option<&Box<[u32]>>, met: &mut [u64]) {
    for clause in clauses.map_or(&[][..], |clauses| clauses) {
        if let Some(word) = met.get_mut((clause >> 6) as usize) {
            *word |= 1 << (clause & 63);
        }
    }
}

/// A scan of a value that comes in pieces.
#[derive(Debug)]
pub(crate) struct Scan {
    state: Option<StateID>,
    present: ByteSet,
    met: Vec<u64>,
}

impl Scan {
    pub(crate) fn new(prefilter: &Prefilter) -> Self {
        Self {
            state: prefilter.start(),
            present: ByteSet::EMPTY,
            met: vec![0; prefilter.words],
        }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, prefilter: &Prefilter, piece: &[u8]) {
        self.state = prefilter.walk(self.state, piece, &mut self.met);
        self.present = self.present.union(&ByteSet::of(piece));
    }

    /// The bytes of the value, and the clauses that it meets.
    pub(crate) fn finish(mut self, prefilter: &Prefilter) -> (ByteSet, Vec<u64>) {
        prefilter.meet_single(&self.present, &mut self.met);
        (self.present, self.met)
    }
}

#[cfg(test)]
mod tests {
    use super::{Prefilter, Scan};
    use crate::transform::ByteSet;

    #[test]
    fn clauses_are_met_by_any_of_their_literals_whatever_the_case() {
        let clause = |literals: &[&str]| {
            literals
                .iter()
                .map(|l| l.as_bytes().into())
                .collect::<Vec<Box<[u8]>>>()
        };
        let clauses = [
            clause(&["select", "union"]),
            clause(&["<"]),
            clause(&["lec", "x"]),
            clause(&["on"]),
        ];
        let prefilter = Prefilter::new(&clauses).unwrap();
        for (value, expected) in [
            ("", 0b0000u64),
            ("SeLeCt", 0b0101),
            ("uniON", 0b1001),
            ("a < b", 0b0010),
            ("X", 0b0100),
            ("nothing", 0),
        ] {
            let mut met = vec![0u64; prefilter.words()];
            prefilter.scan(value.as_bytes(), &ByteSet::of(value.as_bytes()), &mut met);
            assert_eq!(met, [expected], "{value}");
            let mut scan = Scan::new(&prefilter);
            for piece in value.as_bytes().chunks(2) {
                scan.feed(&prefilter, piece);
            }
            assert_eq!(
                scan.finish(&prefilter),
                (ByteSet::of(value.as_bytes()), met),
                "{value} in pieces"
            );
        }
    }
}
