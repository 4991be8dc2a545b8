//! A set of address ranges that answers "is this address in it?" for a million of them.
//!
//! A set needs no longest prefix: an address is in or out. So the prefixes become sorted, disjoint
//! ranges, where overlapping and neighbouring ones are joined, and a look-up is a search in one
//! array. That is smaller and quicker than a trie of nodes: 8 bytes a range for IPv4 and 32 for
//! IPv6. A table over the first bits (IPv4) or a static B-tree (IPv6) keeps the search in a few cache
//! lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use farmgate_plugin_api::units::Cidr;

/// Most entries of one set.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// Keys of the IPv6 index that are looked at together: four cache lines.
const FAN: usize = 16;
/// IPv6 ranges that are looked at together: four cache lines.
const LEAF: usize = 8;

/// Sorted, disjoint ranges of both families. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Default)]
pub(super) struct CidrSet {
    v4: Box<[(u32, u32)]>,
    /// For each value of the first 16 bits: the first range that does not end before it.
    v4_first: Box<[u32]>,
    v6: Box<[(u128, u128)]>,
    v6_index: Index,
}

/// A static B-tree over sorted ranges: the start of every 8th range, and above that the start of
/// every 16th below, up to a level of 16 at most.
#[derive(Debug, Default)]
struct Index {
    /// The largest level first, the top last.
    levels: Vec<Box<[u128]>>,
}

impl Index {
    fn new(ranges: &[(u128, u128)]) -> Self {
        let first = ranges.iter().map(|range| range.0).step_by(LEAF);
        let mut levels: Vec<Box<[u128]>> = vec![first.collect()];
        while let Some(below) = levels.last().filter(|below| below.len() > FAN) {
            let above = below.iter().copied().step_by(FAN).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// Where the eight ranges begin of which one may hold `value`.
    fn find(&self, value: u128) -> Option<usize> {
        let mut from = 0;
        let mut found = 0;
        for level in self.levels.iter().rev() {
            let node = level.get(from..level.len().min(from + FAN))?;
            // Counting all of them takes no branch that could be guessed wrong.
            let not_above = node.iter().filter(|start| **start <= value).count();
            found = (from + not_above).checked_sub(1)?;
            from = found * FAN;
        }
        Some(found * LEAF)
    }
}

/// Collects prefixes for a [`CidrSet`].
#[derive(Debug, Default)]
pub(super) struct Builder {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Builder {
    /// Adds a prefix.
    pub(super) fn add(&mut self, cidr: Cidr) {
        let prefix = cidr.prefix();
        match cidr.addr() {
            IpAddr::V4(ip) => self.add_v4(ip, prefix),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(v4) if prefix >= 96 => self.add_v4(v4, prefix - 96),
                _ => {
                    let mask = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                    let first = ip.to_bits() & !mask;
                    self.v6.push((first, first | mask));
                }
            },
        }
    }

    fn add_v4(&mut self, ip: Ipv4Addr, prefix: u8) {
        let mask = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        let first = ip.to_bits() & !mask;
        self.v4.push((first, first | mask));
    }

    /// Prefixes added so far.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Sorts and joins what was added.
    pub(super) fn build(mut self) -> CidrSet {
        join(&mut self.v4, |end| end.checked_add(1));
        join(&mut self.v6, |end| end.checked_add(1));
        let mut v4_first = Vec::new();
        if !self.v4.is_empty() {
            let mut at = 0_u32;
            let mut ranges = self.v4.iter().peekable();
            for high in 0..=u32::from(u16::MAX) {
                while ranges.next_if(|(_, end)| *end < high << 16).is_some() {
                    at += 1;
                }
                v4_first.push(at);
            }
        }
        CidrSet {
            v4_first: v4_first.into(),
            v4: self.v4.into(),
            v6_index: Index::new(&self.v6),
            v6: self.v6.into(),
        }
    }
}

impl CidrSet {
    /// True when the address lies in one of the ranges. Does not allocate.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.contains_v4(ip),
            IpAddr::V6(ip) => self.contains_v6(ip),
        }
    }

    fn contains_v4(&self, ip: Ipv4Addr) -> bool {
        let ip = ip.to_bits();
        let high = usize::try_from(ip >> 16).unwrap_or(0);
        // The first range that may hold addresses of these 16 bits, and the first of the next.
        let Some(&from) = self.v4_first.get(high) else {
            return false;
        };
        let to = self.v4_first.get(high + 1).copied();
        let from = usize::try_from(from).unwrap_or(0);
        // The range at `to` may begin before the next 16 bits do, so it is searched too.
        let to = to.map_or(self.v4.len(), |to| usize::try_from(to).unwrap_or(0) + 1);
        let ranges = self.v4.get(from..to.min(self.v4.len()));
        holds(ranges.unwrap_or_default(), ip)
    }

    fn contains_v6(&self, ip: Ipv6Addr) -> bool {
        let ip = ip.to_bits();
        let leaf = self.v6_index.find(ip);
        let ranges = leaf.and_then(|from| self.v6.get(from..self.v6.len().min(from + LEAF)));
        holds(ranges.unwrap_or_default(), ip)
    }

    /// Ranges held after joining.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.v4)
            + size_of_val(&*self.v4_first)
            + size_of_val(&*self.v6)
            + self
                .v6_index
                .levels
                .iter()
                .map(|l| size_of_val(&**l))
                .sum::<usize>()
    }
}

/// True when one of these sorted, disjoint ranges holds `value`.
fn holds<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= value);
    let before = after.checked_sub(1).and_then(|at| ranges.get(at));
    before.is_some_and(|(_, end)| value <= *end)
}

/// Sorts ranges and joins those that overlap or touch.
fn join<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, kept| {
        let touches = next(kept.1).is_none_or(|follows| later.0 <= follows);
        if touches {
            kept.1 = kept.1.max(later.1);
        }
        touches
    });
    ranges.shrink_to_fit();
}

/// Reads a list: one CIDR or address a line, `#` begins a comment, empty lines are skipped.
///
/// # Errors
/// Names the first bad line, or says that there are more than [`MAX_ENTRIES`].
pub(super) fn parse_list(bytes: &[u8]) -> Result<CidrSet, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.split(|b| *b == b'\n').count();
        format!("line {line}: not UTF-8")
    })?;
    let mut builder = Builder::default();
    for (index, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        if builder.len() >= MAX_ENTRIES {
            let line = index + 1;
            return Err(format!("line {line}: more than {MAX_ENTRIES} entries"));
        }
        match Cidr::from_str(entry) {
            Ok(cidr) => builder.add(cidr),
            Err(error) => {
                let reason = error.lines().next().unwrap_or_default();
                return Err(format!("line {}: {reason}", index + 1));
            }
        }
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests;
