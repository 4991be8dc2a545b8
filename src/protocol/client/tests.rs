use proptest::prelude::*;

use super::*;

fn trusted(nets: &[&str]) -> TrustedProxies {
    TrustedProxies::new(nets.iter().map(|net| net.parse().unwrap()))
}

fn find(peer: &str, forwarded_for: &[&str], forwarded: &[&str]) -> String {
    let lists = trusted(&["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]);
    let client = client_address(
        peer.parse().unwrap(),
        &lists,
        forwarded_for.iter().map(|line| line.as_bytes()),
        forwarded.iter().map(|line| line.as_bytes()),
    );
    match client.port {
        Some(port) => SocketAddr::new(client.ip, port).to_string(),
        None => client.ip.to_string(),
    }
}

#[test]
fn an_untrusted_peer_is_the_client() {
    assert_eq!(find("1.2.3.4", &["9.9.9.9"], &["for=9.9.9.9"]), "1.2.3.4");
    assert_eq!(find("::ffff:1.2.3.4", &["9.9.9.9"], &[]), "1.2.3.4");
}

#[test]
fn walks_trusted_hops_from_the_right() {
    for (lines, expected) in [
        (&[][..], "10.0.0.1"),
        (&["1.1.1.1"], "1.1.1.1"),
        (&["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (&["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        (&["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        (&["6.6.6.6, 1.1.1.1", "10.0.0.3,10.0.0.2"], "1.1.1.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["1.1.1.1,, ,"], "1.1.1.1"),
        (&["\t1.1.1.1 "], "1.1.1.1"),
        (&["1.1.1.1:8080"], "1.1.1.1:8080"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:443, fd00::7"], "[2001:db8::1]:443"),
        (&["::ffff:1.1.1.1"], "1.1.1.1"),
        (&["1.1.1.1, ::ffff:10.0.0.9"], "1.1.1.1"),
    ] {
        assert_eq!(find("10.0.0.1", lines, &[]), expected, "{lines:?}");
    }
}

#[test]
fn garbage_ends_the_walk() {
    for (lines, expected) in [
        (&["unknown"][..], "10.0.0.1"),
        (&["1.1.1.1, unknown"], "10.0.0.1"),
        (&["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["1.1.1.1, 10.0.0.2 10.0.0.3"], "10.0.0.1"),
        (&["1.1.1.999"], "10.0.0.1"),
        (&["01.1.1.1"], "10.0.0.1"),
        (&["1.1.1.1:"], "10.0.0.1"),
        (&["1.1.1.1:65536"], "10.0.0.1"),
        (&["1.1.1.1:+1"], "10.0.0.1"),
        (&["[::1"], "10.0.0.1"),
        (&["[::1]x"], "10.0.0.1"),
        (&["[1.1.1.1]"], "10.0.0.1"),
        (&["fe80::1%eth0"], "10.0.0.1"),
        (&["\"1.1.1.1\""], "10.0.0.1"),
    ] {
        assert_eq!(find("10.0.0.1", lines, &[]), expected, "{lines:?}");
    }
}

#[test]
fn reads_forwarded_without_x_forwarded_for() {
    for (lines, expected) in [
        (&["for=1.1.1.1"][..], "1.1.1.1"),
        (&["For=1.1.1.1;proto=https;by=10.0.0.1"], "1.1.1.1"),
        (&["proto=https; FOR=\"1.1.1.1:80\""], "1.1.1.1:80"),
        (&["for=\"[2001:db8::1]:4711\""], "[2001:db8::1]:4711"),
        (&["for=6.6.6.6, for=1.1.1.1, for=10.0.0.2"], "1.1.1.1"),
        (&["for=6.6.6.6", "for=1.1.1.1"], "1.1.1.1"),
        (&["for=1.1.1.1;host=\"a,b\", for=10.0.0.2"], "1.1.1.1"),
        (&["for=1.1.1.1, for=10.0.0.2;host=\"a\\\",b\""], "1.1.1.1"),
        (&["for=\"6.6.6.6, for=1.1.1.1"], "1.1.1.1"),
        (&["for=\"1.1.1.1:_hidden\""], "1.1.1.1"),
        (&["for=1.1.1.1, for=unknown"], "10.0.0.1"),
        (&["for=1.1.1.1, for=_secret, for=10.0.0.2"], "10.0.0.2"),
        (&["for=1.1.1.1, by=10.0.0.2"], "10.0.0.1"),
        (&["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1"),
        (&["for="], "10.0.0.1"),
        (&["for=\""], "10.0.0.1"),
    ] {
        assert_eq!(find("10.0.0.1", &[], lines), expected, "{lines:?}");
    }
    assert_eq!(find("10.0.0.1", &["1.1.1.1"], &["for=2.2.2.2"]), "1.1.1.1");
    assert_eq!(find("10.0.0.1", &["unknown"], &["for=2.2.2.2"]), "10.0.0.1");
}

#[test]
fn follows_a_bounded_number_of_hops() {
    let many = |hops: usize| format!("1.1.1.1{}", ",10.0.0.2".repeat(hops));
    assert_eq!(find("10.0.0.1", &[&many(MAX_HOPS - 1)], &[]), "1.1.1.1");
    assert_eq!(find("10.0.0.1", &[&many(MAX_HOPS)], &[]), "10.0.0.2");
}

#[test]
fn networks_are_merged_and_unmapped() {
    let list = trusted(&[
        "10.1.0.0/16",
        "10.0.0.0/8",
        "::ffff:192.168.0.0/112",
        "::1/128",
        "192.0.2.7/32",
    ]);
    for (ip, expected) in [
        ("10.255.0.1", true),
        ("11.0.0.0", false),
        ("9.255.255.255", false),
        ("192.168.9.9", true),
        ("192.169.0.0", false),
        ("::ffff:10.0.0.1", true),
        ("::1", true),
        ("::2", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
    ] {
        assert_eq!(list.contains(ip.parse().unwrap()), expected, "{ip}");
    }
    assert!(!trusted(&["::/0"]).contains("1.1.1.1".parse().unwrap()));
    assert!(TrustedProxies::default().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_a_plain_scan(
        nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..8),
        ip in any::<u32>(),
        near in 0usize..8,
    ) {
        let nets: Vec<IpNet> = nets
            .into_iter()
            .map(|(net, prefix)| IpNet::new(IpAddr::V4(net.into()), prefix).unwrap())
            .collect();
        let list = TrustedProxies::new(nets.iter().copied());
        let ip = nets.get(near).map_or(IpAddr::V4(ip.into()), |net| net.broadcast());
        prop_assert_eq!(list.contains(ip), nets.iter().any(|net| net.contains(&ip)));
    }

    #[test]
    fn what_a_client_writes_changes_nothing(junk in proptest::collection::vec(any::<u8>(), 0..60)) {
        // The trusted hop appended the true address, on the same line or on one of its own.
        let list = trusted(&["10.0.0.0/8"]);
        let peer = "10.0.0.1".parse().unwrap();
        let expected = ClientAddress { ip: "1.1.1.1".parse().unwrap(), port: None };
        let plain = [junk.as_slice(), b", 1.1.1.1"].concat();
        prop_assert_eq!(client_address(peer, &list, [plain.as_slice()], []), expected);
        let element = [junk.as_slice(), b", for=1.1.1.1"].concat();
        prop_assert_eq!(client_address(peer, &list, [], [element.as_slice()]), expected);
        prop_assert_eq!(client_address(peer, &list, [], [junk.as_slice(), b"for=1.1.1.1"]), expected);
    }
}
