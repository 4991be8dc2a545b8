//! Lists of addresses and networks.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::files;
use crate::seclang::Files;

/// Networks, sorted and without those that another one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of every IPv4 network; they do not overlap.
    v4: Vec<(u32, u32)>,
    /// The same for IPv6.
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Reads `ipMatch`'s list: addresses and networks, with commas.
    pub(super) fn compile(argument: &[u8]) -> Result<Self, String> {
        let mut networks = Self::default();
        networks
            .add(argument)
            .map_err(|error| format!("@ipMatch: {error}"))?;
        if networks == Self::default() {
            return Err(
                "@ipMatch has no address: write them like `192.0.2.0/24,2001:db8::1`".into(),
            );
        }
        networks.join();
        Ok(networks)
    }

    /// Reads the file of `ipMatchFromFile`: lists, one or more entries a line, `#` begins a comment.
    pub(super) fn compile_file(
        argument: &[u8],
        beside: &Path,
        from: &dyn Files,
    ) -> Result<Self, String> {
        let mut networks = Self::default();
        for (name, bytes) in files::read_all("@ipMatchFromFile", argument, beside, from)? {
            for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
                let text = text.split(|byte| *byte == b'#').next().unwrap_or_default();
                networks
                    .add(text)
                    .map_err(|error| format!("@ipMatchFromFile: {name}:{line}: {error}"))?;
            }
        }
        networks.join();
        Ok(networks)
    }

    fn add(&mut self, list: &[u8]) -> Result<(), String> {
        for entry in list.split(|byte| *byte == b',') {
            let entry = entry.trim_ascii();
            if entry.is_empty() {
                continue;
            }
            let network = std::str::from_utf8(entry).ok().and_then(|text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .ok()
            });
            match network {
                Some(IpNet::V4(network)) => self
                    .v4
                    .push((network.network().into(), network.broadcast().into())),
                Some(IpNet::V6(network)) => self
                    .v6
                    .push((network.network().into(), network.broadcast().into())),
                None => {
                    return Err(format!(
                        "`{}` is no address and no network: write `192.0.2.1`, `192.0.2.0/24` or \
                         `2001:db8::/32`",
                        entry.escape_ascii()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Sorts, and joins networks that overlap, so that one look into a sorted list decides.
    fn join(&mut self) {
        join(&mut self.v4);
        join(&mut self.v6);
    }

    /// True if the value is an address in one of them. As in ModSecurity an IPv6 address that holds
    /// an IPv4 one is compared with IPv6 networks.
    pub fn contain(&self, value: &[u8]) -> bool {
        // The longest address has 45 characters; anything longer is none.
        if value.len() > 45 {
            return false;
        }
        match std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            Some(IpAddr::V4(address)) => within(&self.v4, u32::from(address)),
            Some(IpAddr::V6(address)) => within(&self.v6, u128::from(address)),
            None => false,
        }
    }
}

fn join<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps && kept.1 < next.1 {
            kept.1 = next.1;
        }
        overlaps
    });
    ranges.shrink_to_fit();
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seclang::MapFiles;

    #[test]
    fn addresses_are_found_in_networks() {
        let networks =
            Networks::compile(b"10.0.0.0/8, 192.0.2.1,10.1.0.0/16,2001:db8::/32,::1,192.0.2.77/24")
                .unwrap();
        for (address, inside) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.200", true),
            ("192.0.3.0", false),
            ("2001:db8:ffff::", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::ffff:10.0.0.1", false),
            ("10.0.0.1 ", false),
            ("10.0.0", false),
            ("010.0.0.1", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(networks.contain(address.as_bytes()), inside, "{address}");
        }
        let all = Networks::compile(b"0.0.0.0/0,::/0").unwrap();
        assert!(all.contain(b"255.255.255.255") && all.contain(b"ffff::"));
    }

    #[test]
    fn bad_lists_are_named() {
        for wrong in ["", "10.0.0.0/33", "10.0.0", "host.example", "::/129"] {
            assert!(Networks::compile(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_holds_lists_and_comments() {
        let files = MapFiles(BTreeMap::from([(
            "rules/ips.txt".into(),
            b"# office\r\n192.0.2.0/24 # first\r\n\r\n10.0.0.1,2001:db8::1\n".to_vec(),
        )]));
        let networks = Networks::compile_file(b"ips.txt", Path::new("rules"), &files).unwrap();
        assert!(networks.contain(b"192.0.2.9") && networks.contain(b"2001:db8::1"));
        assert!(networks.contain(b"10.0.0.1") && !networks.contain(b"10.0.0.2"));
        let bad = MapFiles(BTreeMap::from([("a".into(), b"::1\nhello\n".to_vec())]));
        let error = Networks::compile_file(b"a", Path::new(""), &bad).unwrap_err();
        assert!(error.contains("a:2") && error.contains("hello"), "{error}");
        let error = Networks::compile_file(b"https://x/y", Path::new(""), &bad).unwrap_err();
        assert!(error.contains("network"), "{error}");
    }
}
