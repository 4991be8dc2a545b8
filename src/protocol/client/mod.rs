//! Who the client is, behind proxies that are trusted to say so.
//!
//! Anybody can write X-Forwarded-For, so only its right end is worth anything: each trusted hop appended the
//! address that it saw. The walk goes from the right for as long as the hop that wrote an entry is trusted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// Most hops that are followed. Nobody has that many proxies.
pub const MAX_HOPS: usize = 64;

/// The networks whose word on a client is believed.
///
/// Sorted and disjoint, so that a look-up is a binary search. IPv4 addresses mapped into IPv6 count as IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    nets: Box<[IpNet]>,
}

impl TrustedProxies {
    /// From networks in any order; overlaps are merged.
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let plain: Vec<_> = nets.into_iter().map(unmap).collect();
        let mut nets = IpNet::aggregate(&plain);
        nets.sort_unstable();
        Self { nets: nets.into() }
    }

    /// True when this address belongs to one of the networks.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let after = self.nets.partition_point(|net| net.network() <= ip);
        after
            .checked_sub(1)
            .and_then(|at| self.nets.get(at))
            .is_some_and(|net| net.contains(&ip))
    }

    /// True when nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmap(net: IpNet) -> IpNet {
    let (IpAddr::V6(address), Some(prefix)) = (net.network(), net.prefix_len().checked_sub(96))
    else {
        return net.trunc();
    };
    match address
        .to_ipv4_mapped()
        .and_then(|v4| Ipv4Net::new(v4, prefix).ok())
    {
        Some(v4) => IpNet::V4(v4.trunc()),
        None => net.trunc(),
    }
}

/// The client as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address; IPv4 mapped into IPv6 is given as IPv4.
    pub ip: IpAddr,
    /// The port, when a header told it. The peer's own port is the caller's to know.
    pub port: Option<u16>,
}

/// Finds the client from the peer of the connection (or the source that a PROXY header told) and the header
/// lines that proxies write, each in the order received.
///
/// An untrusted peer is the client, whatever it sends. Otherwise the entries are walked from the right; the
/// first one that is not a trusted proxy is the client. An entry that is no address (`unknown`, an obfuscated
/// name, garbage) ends the walk at the last good one. Forwarded (RFC 7239) is read only when there is no
/// X-Forwarded-For. At most [`MAX_HOPS`] entries are read. Never allocates.
pub fn client_address<'a, X, F>(
    peer: IpAddr,
    trusted: &TrustedProxies,
    forwarded_for: X,
    forwarded: F,
) -> ClientAddress
where
    X: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    F: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
{
    let peer = ClientAddress {
        ip: peer.to_canonical(),
        port: None,
    };
    if !trusted.contains(peer.ip) {
        return peer;
    }
    let mut lines = forwarded_for.into_iter().rev().peekable();
    if lines.peek().is_some() {
        let entries = lines.flat_map(|line| line.rsplit(|&byte| byte == b','));
        return walk(peer, trusted, entries, read_address);
    }
    let elements = forwarded.into_iter().rev().flat_map(ElementsFromRight);
    walk(peer, trusted, elements, read_for)
}

fn walk<'a>(
    peer: ClientAddress,
    trusted: &TrustedProxies,
    entries: impl Iterator<Item = &'a [u8]>,
    read: impl Fn(&'a [u8]) -> Option<ClientAddress>,
) -> ClientAddress {
    let mut client = peer;
    // Empty list members mean nothing (RFC 9110 section 5.6.1), but they count.
    for entry in entries.take(MAX_HOPS).map(<[u8]>::trim_ascii) {
        if entry.is_empty() {
            continue;
        }
        match read(entry) {
            Some(hop) => client = hop,
            None => break,
        }
        if !trusted.contains(client.ip) {
            break;
        }
    }
    client
}

/// Reads an address as proxies write it: `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`.
/// An obfuscated port (RFC 7239 section 6.2) is dropped.
fn read_address(entry: &[u8]) -> Option<ClientAddress> {
    let text = std::str::from_utf8(entry).ok()?;
    let found = |ip: IpAddr, port| ClientAddress {
        ip: ip.to_canonical(),
        port,
    };
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(found(ip, None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']')?;
        let ip = IpAddr::V6(inner.parse::<Ipv6Addr>().ok()?);
        return match after.strip_prefix(':') {
            Some(port) => Some(found(ip, read_port(port)?)),
            None => after.is_empty().then(|| found(ip, None)),
        };
    }
    if let Ok(SocketAddr::V4(address)) = text.parse() {
        return Some(found(IpAddr::V4(*address.ip()), Some(address.port())));
    }
    let (ip, port) = text.split_once(':')?;
    Some(found(ip.parse().ok()?, read_port(port)?))
}

/// A port of digits, or none for an obfuscated one. The outer option is false for anything else.
#[allow(clippy::option_option)]
fn read_port(port: &str) -> Option<Option<u16>> {
    if let Some(name) = port.strip_prefix('_') {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        return (!name.is_empty() && name.bytes().all(legal)).then_some(None);
    }
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        port.parse().ok().map(Some)
    } else {
        None
    }
}

/// Reads the `for` parameter of an element of Forwarded (RFC 7239 section 4). Two of them are no answer.
fn read_for(element: &[u8]) -> Option<ClientAddress> {
    let mut node = None;
    for pair in element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
        let Some((name, value)) = pair.split_at_checked(4) else {
            continue;
        };
        if !name.eq_ignore_ascii_case(b"for=") {
            continue;
        }
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            bare => bare,
        };
        if node.replace(value).is_some() {
            return None;
        }
    }
    read_address(node?)
}

/// The elements of one Forwarded line from the right. Commas within quoted strings separate nothing.
///
/// Read from the right, so that an unbalanced quote that the client wrote cannot swallow what the proxies
/// appended after it.
struct ElementsFromRight<'a>(&'a [u8]);

impl<'a> Iterator for ElementsFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut quoted = false;
        let mut at = self.0.len();
        while let Some((&byte, before)) = self.0.get(..at).and_then(<[u8]>::split_last) {
            at = before.len();
            match byte {
                b'"' => {
                    let escapes = before
                        .iter()
                        .rev()
                        .take_while(|&&byte| byte == b'\\')
                        .count();
                    if !quoted || escapes % 2 == 0 {
                        quoted = !quoted;
                    }
                }
                b',' if !quoted => {
                    let element = self.0.get(at + 1..);
                    self.0 = before;
                    return element;
                }
                _ => {}
            }
        }
        Some(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests;
