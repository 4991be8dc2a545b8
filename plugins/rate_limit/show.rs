//! What people may see of keys and limits: in `farmgate explain` and `status`.

use std::net::IpAddr;
use std::time::Instant;

use farmgate_plugin_api::units::Cidr;
use farmgate_plugin_api::{Facts, Source};

use super::fields::seconds;
use super::gcra::Check;
use super::tier::{Limit, Tier};
use super::top::Limited;

/// Longest part of a key that is shown, in characters.
const MOST_CHARS: usize = 64;
/// IPv6 addresses are counted by networks of this prefix.
const SUBSCRIBER: u8 = 64;

/// A key as it may be shown. What clients write into fields, queries and cookies may be a credential:
/// unless the limit says otherwise, a tag stands for it that only this process can make.
pub(super) fn key(limit: &Limit, facts: &dyn Facts) -> Box<str> {
    let open = match &limit.source {
        Source::ClientIp => {
            return match facts.client_ip().to_canonical() {
                IpAddr::V4(ip) => ip.to_string().into(),
                ip @ IpAddr::V6(_) => Cidr::containing(ip, SUBSCRIBER).to_string().into(),
            };
        }
        Source::Host
        | Source::Path
        | Source::Method
        | Source::Global
        | Source::Consumer
        | Source::ConsumerPlan
        | Source::ClientSan => true,
        Source::Header(_) | Source::Query(_) | Source::Cookie(_) => limit.reveal,
    };
    if !open {
        let tag = limit.source.with_key(facts, |bytes| limit.store.tag(bytes));
        return format!("#{:016x}", tag.unwrap_or(0)).into();
    }
    let mut scratch = String::new();
    let text = limit.source.read(facts, &mut scratch).unwrap_or_default();
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MOST_CHARS).map(clean).collect()
}

/// Where a request stands with each limit of its tier.
pub(super) fn standing(tier: &Tier, facts: &dyn Facts, now: Instant) -> Vec<String> {
    let mut lines = Vec::new();
    for limit in &tier.limits {
        let name = &limit.name;
        let Some(check) = limit.peek(facts, now) else {
            lines.push(format!("{name}: does not count it, it has no such value"));
            continue;
        };
        let key = key(limit, facts);
        lines.push(match check {
            Check::Allow {
                remaining,
                reset_ns,
                ..
            } => format!(
                "{name}: passes as {key}, then {remaining} left, all back in {} s",
                seconds(reset_ns)
            ),
            Check::Deny { retry_ns, .. } => format!(
                "{name}: would refuse {key}, there is room in {} s",
                seconds(retry_ns)
            ),
        });
    }
    for gate in &tier.gates {
        let name = &gate.name;
        let key = gate.source.with_key(facts, |bytes| gate.table.key(bytes));
        lines.push(match key {
            Some(key) => {
                let count = gate.table.count(key);
                format!("{name}: {count} of {} in flight", gate.most)
            }
            None => format!("{name}: does not count it, it has no such value"),
        });
    }
    lines
}

/// The most limited keys, a line each.
pub(super) fn limited(all: &[Limited], missed: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for one in all {
        let Limited {
            limit,
            shown,
            count,
            error,
        } = one;
        lines.push(match error {
            0 => format!("limited of late: {limit} {shown}, {count} times"),
            _ => format!(
                "limited of late: {limit} {shown}, {} to {count} times",
                count - error
            ),
        });
    }
    if missed > 0 {
        lines.push(format!(
            "{missed} refusals since the start are not in these counts: they came at the same moment as another"
        ));
    }
    lines
}
