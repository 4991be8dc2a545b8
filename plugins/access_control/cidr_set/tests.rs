use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn set(networks: &[&str]) -> CidrSet {
    let mut builder = Builder::default();
    for network in networks {
        builder.add(network.parse().unwrap());
    }
    builder.build()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_edges_of_ranges() {
    let set = set(&[
        "10.0.0.0/8",
        "192.0.2.7",
        "198.51.100.128/25",
        "2001:db8::/32",
        "::1",
    ]);
    for inside in [
        "10.0.0.0",
        "10.255.255.255",
        "192.0.2.7",
        "198.51.100.128",
        "198.51.100.255",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "::1",
        "::ffff:10.1.2.3",
    ] {
        assert!(set.contains(ip(inside)), "{inside}");
    }
    for outside in [
        "9.255.255.255",
        "11.0.0.0",
        "192.0.2.6",
        "192.0.2.8",
        "198.51.100.127",
        "198.51.101.0",
        "2001:db7:ffff::",
        "2001:db9::",
        "::",
        "::2",
        "::ffff:11.1.2.3",
    ] {
        assert!(!set.contains(ip(outside)), "{outside}");
    }
}

#[test]
fn empty_and_everything() {
    assert!(!set(&[]).contains(ip("0.0.0.0")));
    assert!(!set(&[]).contains(ip("::")));
    let v4 = set(&["0.0.0.0/0"]);
    assert!(v4.contains(ip("0.0.0.0")) && v4.contains(ip("255.255.255.255")));
    assert!(!v4.contains(ip("::")));
    let v6 = set(&["::/0"]);
    assert!(v6.contains(ip("::")) && v6.contains(ip("ffff::")));
    assert!(!v6.contains(ip("1.2.3.4")) && !v6.contains(ip("::ffff:1.2.3.4")));
    // A mapped prefix is an IPv4 one.
    assert!(set(&["::ffff:10.0.0.0/104"]).contains(ip("10.1.1.1")));
}

#[test]
fn neighbours_and_nests_are_joined() {
    let joined = set(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "11.0.0.0/8"]);
    assert_eq!(joined.len(), 1);
    let top = set(&["255.255.255.255", "255.255.255.254"]);
    assert_eq!(top.len(), 1);
    assert!(top.contains(ip("255.255.255.255")));
}

#[test]
fn lists_have_comments_and_their_errors_a_line() {
    let list = b"# bad ones\n\n 10.0.0.0/8 # office\r\n2001:db8::1\n";
    let set = parse_list(list).unwrap();
    assert!(set.contains(ip("10.1.1.1")) && set.contains(ip("2001:db8::1")));
    for (list, error) in [
        (&b"10.0.0.0/8\n\nnonsense\n"[..], "line 3: "),
        (b"10.0.0.1/8", "line 1: "),
        (b"10.0.0.0/33", "line 1: "),
        (b"1.1.1.1\n\xff\n", "line 2: not UTF-8"),
    ] {
        let text = parse_list(list).unwrap_err();
        assert!(text.starts_with(error) && !text.contains('\n'), "{text}");
    }
    let many = "10.0.0.1\n".repeat(MAX_ENTRIES + 1);
    let error = parse_list(many.as_bytes()).unwrap_err();
    assert!(error.starts_with("line 1000001: more than"), "{error}");
}

/// SplitMix64.
fn mix(step: u64) -> u64 {
    let mut z = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn a_million_entries_fit_and_are_found() {
    let (mut v4, mut v6) = (Builder::default(), Builder::default());
    let four = |n: u64| Ipv4Addr::from_bits(u32::try_from(mix(n) >> 32).unwrap());
    let six = |n: u64| Ipv6Addr::from_bits(0x2001 << 112 | u128::from(mix(n)) << 40);
    for n in 0..1_000_000 {
        v4.add(Cidr::containing(four(n).into(), 32));
        v6.add(Cidr::containing(six(n).into(), 96));
    }
    let (v4, v6) = (v4.build(), v6.build());
    assert!(v4.bytes() < 9 << 20, "{} bytes", v4.bytes());
    assert!(v6.bytes() < 35 << 20, "{} bytes", v6.bytes());
    let began = Instant::now();
    for n in 0..1_000_000 {
        assert!(v4.contains(four(n).into()));
    }
    let middle = Instant::now();
    for n in 0..1_000_000 {
        assert!(v6.contains(six(n).into()));
    }
    // Printed, not asserted: a busy machine must not fail a build.
    println!(
        "v4 {:?}, v6 {:?} a look-up",
        (middle - began) / 1_000_000,
        middle.elapsed() / 1_000_000
    );
}

proptest! {
    #[test]
    fn agrees_with_a_plain_scan(
        nets in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
        nets6 in prop::collection::vec((any::<u128>(), 0_u8..=128), 0..200),
        probes in prop::collection::vec(any::<u32>(), 50),
        near in -2_i64..3,
    ) {
        let four = |(bits, prefix): &(u32, u8)| Cidr::containing(Ipv4Addr::from_bits(*bits).into(), *prefix);
        let six = |(bits, prefix): &(u128, u8)| Cidr::containing(Ipv6Addr::from_bits(*bits).into(), *prefix);
        let all: Vec<Cidr> = nets.iter().map(four).chain(nets6.iter().map(six)).collect();
        let mut builder = Builder::default();
        all.iter().for_each(|cidr| builder.add(*cidr));
        let set = builder.build();
        let edges = nets.iter().map(|(bits, _)| bits.wrapping_add_signed(i32::try_from(near).unwrap()));
        let probes = probes.iter().copied().chain(edges).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let probes6 = nets6.iter().map(|(bits, _)| {
            IpAddr::V6(Ipv6Addr::from_bits(bits.wrapping_add_signed(i128::from(near))))
        });
        for ip in probes.chain(probes6) {
            prop_assert_eq!(set.contains(ip), all.iter().any(|cidr| cidr.contains(ip)), "{}", ip);
        }
    }
}
