//! Every unit: what is read, how it prints, what is refused.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use super::{Cidr, Duration, Ratio, Size};

fn good<T: FromStr<Err = String> + Display>(text: &str, prints: &str) -> T {
    let unit: T = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(unit.to_string(), prints);
    unit
}

fn bad<T: FromStr<Err = String> + Debug>(text: &str) -> String {
    let error = text.parse::<T>().expect_err(text);
    assert!(error.contains('\n'), "{text}: no help in {error:?}");
    error
}

#[test]
fn a_share_takes_its_part() {
    for (text, expected) in [("0%", 0), ("0.5%", 500), ("20%", 20_000), ("100%", 100_000)] {
        let share: super::Ratio = text.parse().unwrap();
        // Evenly spread numbers: the golden ratio's multiples.
        let taken = (0..100_000_u64)
            .filter(|n| share.takes(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .count();
        assert!(taken.abs_diff(expected) <= 3, "{text}: {taken}");
        assert_eq!(share.takes(u64::MAX), text == "100%");
        assert_eq!(share.takes(0), text != "0%");
    }
}

#[test]
fn durations() {
    for (text, prints, ms) in [
        ("0s", "0s", 0),
        ("80ms", "80ms", 80),
        ("5s", "5s", 5_000),
        ("90s", "1m30s", 90_000),
        ("5m", "5m", 300_000),
        ("1h30m", "1h30m", 5_400_000),
        ("2d", "2d", 172_800_000),
        ("1d2h3m4s5ms", "1d2h3m4s5ms", 93_784_005),
        ("36525d", "36525d", 36_525 * 86_400_000),
    ] {
        assert_eq!(good::<Duration>(text, prints).as_ms(), ms);
    }
    for text in [
        "",
        "5",
        "s",
        "5 s",
        "5sec",
        "1.5s",
        "-5s",
        "1s1h",
        "1s1s",
        "36526d",
        "5S",
        "99999999999999999999s",
        "18446744073709551615d",
        "5s ",
        "é",
    ] {
        bad::<Duration>(text);
    }
}

#[test]
fn sizes() {
    for (text, prints, bytes) in [
        ("0B", "0B", 0),
        ("512B", "512B", 512),
        ("64KiB", "64KiB", 65_536),
        ("10MiB", "10MiB", 10 << 20),
        ("1GiB", "1GiB", 1 << 30),
        ("1024KiB", "1MiB", 1 << 20),
        ("10KB", "10KB", 10_000),
        ("1MB", "1MB", 1_000_000),
    ] {
        assert_eq!(good::<Size>(text, prints).bytes(), bytes);
    }
    for text in [
        "",
        "64",
        "KiB",
        "64K",
        "64kb",
        "1.5MiB",
        "-1B",
        "16777216TiB",
    ] {
        bad::<Size>(text);
    }
}

#[test]
fn ratios() {
    for (text, prints, millionths) in [
        ("0%", "0%", 0),
        ("20%", "20%", 200_000),
        ("0.5%", "0.5%", 5_000),
        ("12.3400%", "12.34%", 123_400),
        ("100%", "100%", 1_000_000),
    ] {
        assert_eq!(good::<Ratio>(text, prints).millionths(), millionths);
    }
    for text in [
        "", "%", "20", "101%", "100.1%", "-1%", "1.23456%", ".5%", "1.%", "+1%",
    ] {
        bad::<Ratio>(text);
    }
}

#[test]
fn networks() {
    for (text, prints) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ] {
        good::<Cidr>(text, prints);
    }
    for text in [
        "",
        "10.0.0.0/33",
        "::/129",
        "10.0.0/8",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "x",
        "1.2.3.4/-1",
    ] {
        bad::<Cidr>(text);
    }
    assert!(bad::<Cidr>("10.1.2.3/8").contains("write \"10.0.0.0/8\""));
}

#[test]
fn a_network_contains_its_addresses_only() {
    let network: Cidr = "10.0.0.0/9".parse().expect("a network");
    for (addr, inside) in [
        ("10.0.0.0", true),
        ("10.127.255.255", true),
        ("10.128.0.0", false),
        ("::ffff:10.1.1.1", true),
        ("::1", false),
    ] {
        assert_eq!(
            network.contains(addr.parse().expect("an address")),
            inside,
            "{addr}"
        );
    }
    let all: Cidr = "0.0.0.0/0".parse().expect("a network");
    assert!(all.contains("255.255.255.255".parse().expect("an address")));
    assert!(!all.contains("::".parse().expect("an address")));
    let six: Cidr = "2001:db8::/32".parse().expect("a network");
    assert!(six.contains("2001:db8:ffff::1".parse().expect("an address")));
}
