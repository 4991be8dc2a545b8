//! Which addresses of a source are used. A poisoned answer must not turn the proxy against its own machine, its
//! cloud's metadata service or another network (DNS rebinding, OWASP's notes on server-side request forgery).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::source::Found;

/// Addresses where clouds hand credentials and configuration to a machine. None of them is ever an origin.
const METADATA: [IpAddr; 6] = [
    // AWS, Azure, GCP, OpenStack and most others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure's agent.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // AWS over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // GCP over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No endpoint can have it: unspecified, multicast, broadcast or port 0. Not even `allow` helps.
    Unusable,
    /// Outside `allow`.
    NotAllowed,
    /// Link-local, and there is no `allow`.
    LinkLocal,
    /// A metadata service, and there is no `allow`.
    Metadata,
}

impl Refusal {
    /// For labels and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unusable => "unusable",
            Self::NotAllowed => "not_allowed",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
        }
    }
}

/// Sorts out what may be used of `found`: those, in the order they came, and how many were refused.
///
/// With `allow` the list decides; without it link-local addresses and those of metadata services are refused. IPv4
/// addresses in IPv6 dress are plain IPv4 afterwards, and an address that came twice is there once, the first time.
pub fn judge(found: Vec<Found>, allow: Option<&[IpNet]>) -> (Vec<Found>, usize) {
    let mut kept = Vec::with_capacity(found.len());
    let mut seen = HashSet::with_capacity(found.len());
    let mut refused = 0;
    for mut one in found {
        one.address.set_ip(plain(one.address.ip()));
        if !seen.insert(one.address) {
            continue;
        }
        match refusal(one.address, allow) {
            Some(_) => refused += 1,
            None => kept.push(one),
        }
    }
    (kept, refused)
}

/// Why `address` may not be used; none if it may.
pub fn refusal(address: SocketAddr, allow: Option<&[IpNet]>) -> Option<Refusal> {
    let ip = plain(address.ip());
    if address.port() == 0 || is_unusable(ip) {
        return Some(Refusal::Unusable);
    }
    if let Some(nets) = allow {
        let is_listed = nets.iter().any(|net| net.contains(&ip));
        return (!is_listed).then_some(Refusal::NotAllowed);
    }
    // What a translator would make of it counts too: 64:ff9b::a9fe:a9fe reaches 169.254.169.254.
    let behind = translated(ip).map(IpAddr::V4);
    let mut faces = [Some(ip), behind].into_iter().flatten();
    faces.find_map(|face| match face {
        _ if METADATA.contains(&face) => Some(Refusal::Metadata),
        _ if is_link_local(face) => Some(Refusal::LinkLocal),
        _ if is_unusable(face) => Some(Refusal::Unusable),
        _ => None,
    })
}

/// IPv4 where the address only wraps it (`::ffff:1.2.3.4`), so that one endpoint has one identity.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The IPv4 address behind one of NAT64 (RFC 6052, 64:ff9b::/96), 6to4 (RFC 3056, 2002::/16) or the old "compatible"
/// form (`::1.2.3.4`).
fn translated(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(six) = address else {
        return None;
    };
    let four = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match six.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(four(high, low)),
        [0x2002, high, low, ..] => Some(four(high, low)),
        // Not ::1, which is loopback.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(four(high, low)),
        _ => None,
    }
}

/// 0.0.0.0/8 is "this network": a connection to 0.0.0.0 reaches this machine.
fn is_unusable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.octets().starts_with(&[0]) || four.is_multicast() || four.is_broadcast()
        }
        IpAddr::V6(six) => six.is_unspecified() || six.is_multicast(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Vec<Found> {
        let each = addresses.iter();
        each.map(|text| Found::at(text.parse().unwrap())).collect()
    }

    fn why(address: &str, allow: Option<&[&str]>) -> Option<&'static str> {
        let nets: Option<Vec<IpNet>> =
            allow.map(|list| list.iter().map(|net| net.parse().unwrap()).collect());
        let (kept, refused) = judge(found(&[address]), nets.as_deref());
        let why = refusal(address.parse().unwrap(), nets.as_deref());
        assert_eq!(
            (kept.len(), refused),
            (1 - refused, usize::from(why.is_some()))
        );
        why.map(Refusal::word)
    }

    #[test]
    fn without_a_list_metadata_and_link_local_are_refused() {
        for address in [
            "10.0.0.1:80",
            "127.0.0.1:80",
            "192.0.2.1:80",
            "[2001:db8::1]:80",
            "[::1]:80",
        ] {
            assert_eq!(why(address, None), None, "{address}");
        }
        for address in [
            "169.254.169.254:80",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
            "[fd20:ce::254]:80",
            "192.0.0.192:80",
            "168.63.129.16:80",
            "[::ffff:169.254.169.254]:80",
            "[64:ff9b::169.254.169.254]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[::169.254.169.254]:80",
        ] {
            assert_eq!(why(address, None), Some("metadata"), "{address}");
        }
        assert_eq!(why("169.254.0.7:80", None), Some("link_local"));
        assert_eq!(why("[fe80::1]:80", None), Some("link_local"));
        assert_eq!(why("[64:ff9b::169.254.0.7]:80", None), Some("link_local"));
        assert_eq!(why("[64:ff9b::10.0.0.1]:80", None), None);
    }

    #[test]
    fn a_list_decides_alone() {
        assert_eq!(why("10.1.2.3:80", Some(&["10.0.0.0/8"])), None);
        assert_eq!(
            why("11.1.2.3:80", Some(&["10.0.0.0/8"])),
            Some("not_allowed")
        );
        assert_eq!(
            why("169.254.169.254:80", Some(&["10.0.0.0/8"])),
            Some("not_allowed")
        );
        assert_eq!(
            why("169.254.169.254:80", Some(&["169.254.169.254/32"])),
            None
        );
        assert_eq!(why("[::ffff:10.0.0.1]:80", Some(&["10.0.0.0/8"])), None);
        assert_eq!(
            why("[2001:db8::1]:80", Some(&["10.0.0.0/8", "2001:db8::/32"])),
            None
        );
        assert_eq!(why("10.0.0.1:80", Some(&[])), Some("not_allowed"));
    }

    #[test]
    fn what_no_endpoint_can_have_is_refused_with_any_list() {
        for address in [
            "0.0.0.0:80",
            "0.1.2.3:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::]:80",
            "[ff02::1]:80",
            "10.0.0.1:0",
        ] {
            assert_eq!(why(address, None), Some("unusable"), "{address}");
            assert_eq!(
                why(address, Some(&["0.0.0.0/0", "::/0"])),
                Some("unusable"),
                "{address}"
            );
        }
    }

    #[test]
    fn the_order_stays_and_each_is_there_once() {
        let all = found(&[
            "10.0.0.9:80",
            "169.254.169.254:80",
            "[::ffff:192.0.2.1]:80",
            "10.0.0.1:80",
            "192.0.2.1:80",
            "169.254.1.1:80",
            "169.254.1.1:80",
        ]);
        let (kept, refused) = judge(all, None);
        let kept: Vec<String> = kept.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(kept, ["10.0.0.9:80", "192.0.2.1:80", "10.0.0.1:80"]);
        assert_eq!(refused, 2);
    }
}
