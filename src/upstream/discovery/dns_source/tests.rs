use std::time::Instant;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType as Kind;

use super::*;
use crate::upstream::discovery::allow::{Refusal, judge, refusal};

#[path = "../../../../tests/harness/dns.rs"]
#[allow(dead_code)]
mod server;

use server::{DnsServer, Reply, address, alias, service};

mod addresses;
mod faults;
mod services;

const NAME: &str = "orders.test";

/// Asks these servers, with more time for each than any that is well will take.
fn source(record: Record, servers: &[&DnsServer]) -> DnsSource {
    patient(record, servers, Duration::from_secs(10))
}

/// Asks these servers, two seconds each: for tests of silence.
fn hasty(record: Record, servers: &[&DnsServer]) -> DnsSource {
    patient(record, servers, Duration::from_secs(2))
}

fn patient(record: Record, servers: &[&DnsServer], patience: Duration) -> DnsSource {
    let port = (record != Record::Srv).then_some(80);
    let mut options = DnsOptions::new(NAME, record, port);
    options.resolvers = servers.iter().map(|server| server.address).collect();
    DnsSource::with_patience(options, patience, 5 * patience).unwrap()
}

/// "address:port weight priority" of each endpoint.
fn told(answer: &DnsAnswer) -> Vec<String> {
    let each = answer.discovered.endpoints.iter();
    each.map(|one| format!("{} {} {}", one.address, one.weight, one.priority))
        .collect()
}

fn seconds(answer: &DnsAnswer) -> u64 {
    assert_eq!(answer.again.subsec_nanos(), 0);
    answer.again.as_secs()
}

#[test]
fn options_that_cannot_work_say_what_to_write() {
    let fault = |change: &dyn Fn(&mut DnsOptions)| {
        let mut options = DnsOptions::new(NAME, Record::A, Some(80));
        change(&mut options);
        match DnsSource::new(options) {
            Ok(_) => "none".to_string(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(fault(&|_| {}), "none");
    assert_eq!(
        fault(&|o| o.name = "10.0.0.1".into()),
        "DNS name \"10.0.0.1\": this is an address; write it in `endpoints`"
    );
    for name in ["", ".", "a..b", &"x".repeat(64)] {
        assert_ne!(fault(&|o| o.name = name.into()), "none", "{name:?}");
    }
    for name in ["_http._tcp.orders.test", "Orders.Test.", "bücher.test", "a"] {
        assert_eq!(fault(&|o| o.name = name.into()), "none", "{name:?}");
    }
    let second = Duration::from_secs(1);
    type Change<'a> = &'a dyn Fn(&mut DnsOptions);
    let faults: [(Change<'_>, &str); 8] = [
        (&|o| o.port = None, "write the `port`"),
        (&|o| o.port = Some(0), "write the `port`"),
        (&|o| o.record = Record::Srv, "no use with SRV"),
        (
            &|o| o.resolvers = vec!["127.0.0.1:53".parse().unwrap(); 9],
            "more than 8",
        ),
        (
            &|o| o.resolvers = vec!["127.0.0.1:0".parse().unwrap()],
            "port 0",
        ),
        (&|o| o.min_ttl = second / 2, "below 1s"),
        (
            &|o| (o.min_ttl, o.max_ttl) = (2 * second, second),
            "may not be below",
        ),
        (
            &|o| (o.min_ttl, o.negative_ttl) = (2 * second, second),
            "may not be below",
        ),
    ];
    for (change, text) in faults {
        let said = fault(change);
        assert!(said.contains(text), "{said:?} has no {text:?}");
    }
}
