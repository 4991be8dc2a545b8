//! What a message says about a name: records, an alias that leads elsewhere, or that there is nothing. Pure.
//!
//! Only records of class IN whose owner is the name, or the end of its chain of aliases, count. A server may put
//! others into its answer, and they are nobody's business.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record};

use super::Nothing;

/// Most aliases followed, in one message and over several; a loop ends here.
pub(super) const MAX_ALIASES: usize = 8;

/// What was read. Times to live are the least along the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// The values of the records, in the order they came. Never empty.
    Found { values: Vec<T>, ttl: Duration },
    /// The chain of aliases ends outside of the message: ask for this name.
    Alias { to: Name, ttl: Duration },
    /// There is nothing. The time is from the zone's SOA, where it was sent (RFC 2308).
    Nothing { why: Nothing, ttl: Option<Duration> },
}

/// Reads the records that `pick` takes, of `name`. None: more aliases than are followed.
pub(super) fn read<T>(
    message: &Message,
    name: &Name,
    pick: impl Fn(&RData) -> Option<T>,
) -> Option<Read<T>> {
    let mut owner = name;
    let mut least = Duration::MAX;
    for _ in 0..=MAX_ALIASES {
        let mut values = Vec::new();
        let mut alias = None;
        for record in message.answers.iter().filter(|record| is_of(record, owner)) {
            if let Some(value) = pick(&record.data) {
                least = least.min(ttl(record));
                values.push(value);
            } else if let RData::CNAME(to) = &record.data {
                alias = Some((&to.0, ttl(record)));
            }
        }
        if !values.is_empty() {
            return Some(Read::Found { values, ttl: least });
        }
        let Some((to, ttl)) = alias else {
            return Some(end(message, name, owner, least));
        };
        owner = to;
        least = least.min(ttl);
    }
    None
}

/// No record at the end of the chain.
fn end<T>(message: &Message, name: &Name, owner: &Name, least: Duration) -> Read<T> {
    let negative = negative_ttl(message).map(|ttl| ttl.min(least));
    if message.metadata.response_code == ResponseCode::NXDomain {
        let why = Nothing::NoSuchName;
        return Read::Nothing { why, ttl: negative };
    }
    if owner == name || negative.is_some() {
        let why = Nothing::NoRecords;
        return Read::Nothing { why, ttl: negative };
    }
    let to = owner.clone();
    Read::Alias { to, ttl: least }
}

/// The addresses of `name` that came along in the additional section, and their least time to live.
pub(super) fn additional<T>(
    records: &[Record],
    name: &Name,
    pick: impl Fn(&RData) -> Option<T>,
) -> Option<(Vec<T>, Duration)> {
    let mut least = Duration::MAX;
    let mut values = Vec::new();
    for record in records.iter().filter(|record| is_of(record, name)) {
        if let Some(value) = pick(&record.data) {
            least = least.min(ttl(record));
            values.push(value);
        }
    }
    (!values.is_empty()).then_some((values, least))
}

fn is_of(record: &Record, owner: &Name) -> bool {
    record.dns_class == DNSClass::IN && record.name == *owner
}

/// A time to live with the highest bit set is 0 (RFC 2181, 8).
fn ttl(record: &Record) -> Duration {
    let ttl = i32::try_from(record.ttl).map_or(0, i32::unsigned_abs);
    Duration::from_secs(u64::from(ttl))
}

fn negative_ttl(message: &Message) -> Option<Duration> {
    message
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => {
                let minimum = Duration::from_secs(u64::from(soa.minimum));
                Some(ttl(record).min(minimum))
            }
            _ => None,
        })
}
