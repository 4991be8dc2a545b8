//! SRV records.

use super::*;
use crate::upstream::discovery::ask::Source;

fn records() -> Vec<hickory_resolver::proto::rr::Record> {
    vec![
        service(NAME, 60, (20, 5, 8082), "c.test"),
        service(NAME, 60, (10, 60, 8080), "a.test"),
        service(NAME, 60, (10, 20, 8081), "b.test"),
    ]
}

#[tokio::test]
async fn targets_are_looked_up_and_the_least_time_to_live_counts() {
    let server = DnsServer::start().await;
    server.set(NAME, Kind::SRV, Reply::Records(records()));
    for (name, ttl, ip) in [
        ("a.test", 50, "10.0.0.1"),
        ("b.test", 12, "10.0.0.2"),
        ("c.test", 50, "10.0.0.3"),
    ] {
        let four = vec![address(name, ttl, ip)];
        server.set(name, Kind::A, Reply::Records(four));
        server.set(name, Kind::AAAA, Reply::Nothing(Some(3600)));
    }
    let answer = source(Record::Srv, &[&server]).ask().await.unwrap();
    let expected = [
        "10.0.0.1:8080 60 0",
        "10.0.0.2:8081 20 0",
        "10.0.0.3:8082 5 1",
    ];
    assert_eq!(told(&answer), expected);
    assert_eq!(seconds(&answer), 12);
    assert_eq!(answer.partial, None);
    assert_eq!(server.asked().len(), 1 + 3 * 2);
}

#[tokio::test]
async fn additional_records_spare_the_questions() {
    let server = DnsServer::start().await;
    let additional = vec![
        address("a.test", 40, "10.0.0.1"),
        address("a.test", 30, "2001:db8::1"),
        address("b.test", 40, "10.0.0.2"),
        address("evil.test", 1, "10.6.6.6"),
    ];
    server.set(
        NAME,
        Kind::SRV,
        Reply::WithAdditional(records(), additional),
    );
    let four = vec![address("c.test", 55, "10.0.0.3")];
    server.set("c.test", Kind::A, Reply::Records(four));
    server.set("c.test", Kind::AAAA, Reply::Nothing(None));
    let answer = source(Record::Srv, &[&server]).ask().await.unwrap();
    let expected = [
        // One target with two addresses: 60 for the target, 20 for the other.
        "10.0.0.1:8080 60 0",
        "10.0.0.2:8081 40 0",
        "[2001:db8::1]:8080 60 0",
        "10.0.0.3:8082 5 1",
    ];
    assert_eq!(told(&answer), expected);
    assert_eq!(seconds(&answer), 30);
    let asked: Vec<String> = server.asked().into_iter().map(|q| q.name).collect();
    assert_eq!(asked, ["orders.test.", "c.test.", "c.test."]);
}

#[tokio::test]
async fn a_service_that_is_not_there_says_how() {
    let server = DnsServer::start().await;
    let source = source(Record::Srv, &[&server]);
    let none = vec![service(NAME, 60, (0, 0, 0), ".")];
    let lost = vec![service(NAME, 60, (1, 1, 80), "gone.test")];
    server.set("gone.test", Kind::A, Reply::NoSuchName(Some(9)));
    server.set("gone.test", Kind::AAAA, Reply::NoSuchName(Some(9)));
    let replies = vec![
        Reply::NoSuchName(Some(4)),
        Reply::Nothing(Some(5)),
        Reply::Records(none),
        Reply::Records(lost),
    ];
    server.script(NAME, Kind::SRV, replies);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = source.ask().await.unwrap();
        assert_eq!(answer.discovered, Discovered::default());
        seen.push((answer.nothing.unwrap(), seconds(&answer)));
    }
    let expected = [
        (Nothing::NoSuchName, 4),
        (Nothing::NoRecords, 5),
        (Nothing::NotOffered, 30),
        (Nothing::NoAddress, 9),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_target_without_addresses_leaves_the_others() {
    let server = DnsServer::start().await;
    server.set(NAME, Kind::SRV, Reply::Records(records()));
    for (name, ip) in [("a.test", "10.0.0.1"), ("c.test", "10.0.0.3")] {
        let four = vec![address(name, 60, ip)];
        server.set(name, Kind::A, Reply::Records(four));
    }
    let answer = source(Record::Srv, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:8080 60 0", "10.0.0.3:8082 5 1"]);
    // "b.test" may come back as soon as its zone says.
    assert_eq!((seconds(&answer), answer.partial), (5, None));
}

#[tokio::test]
async fn an_alias_may_stand_before_the_service_and_before_a_target() {
    let server = DnsServer::start().await;
    let real = vec![
        alias(NAME, 60, "real.test"),
        service("real.test", 60, (1, 1, 80), "a.test"),
        service("real.test", 60, (1, 2, 80), "b.test"),
    ];
    server.set(NAME, Kind::SRV, Reply::Records(real));
    for (name, to, ip) in [
        ("a.test", "x.test", "10.0.0.1"),
        ("b.test", "y.test", "10.0.0.2"),
    ] {
        let chain = vec![alias(name, 60, to), address(to, 60, ip)];
        server.set(name, Kind::A, Reply::Records(chain));
    }
    let answer = source(Record::Srv, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0", "10.0.0.2:80 2 0"]);
}

#[tokio::test]
async fn five_hundred_services_come_at_once() {
    let server = DnsServer::start().await;
    let services = (0..500).map(|n| service(NAME, 60, (1, 1, 8000 + n), &format!("t{n}.test")));
    let services: Vec<_> = services.collect();
    let ip = |n: u16| format!("10.0.{}.{}", n / 250, n % 250 + 1);
    let additional = (0..500).map(|n| address(&format!("t{n}.test"), 60, &ip(n)));
    let with = Reply::WithAdditional(services.clone(), additional.collect());
    server.set(NAME, Kind::SRV, with);
    let source = source(Record::Srv, &[&server]);
    let first = source.ask().await.unwrap();
    assert_eq!(first.discovered.endpoints.len(), 500);
    assert_eq!(server.asked().len(), 2, "over UDP, then over TCP");

    server.set(NAME, Kind::SRV, Reply::Records(services));
    for n in 0..500 {
        let name = format!("t{n}.test");
        let four = vec![address(&name, 60, &ip(n))];
        server.set(&name, Kind::A, Reply::Records(four));
        server.set(&name, Kind::AAAA, Reply::Nothing(Some(60)));
    }
    let second = source.ask().await.unwrap();
    assert_eq!(second.partial, None);
    assert_eq!(second.discovered, first.discovered);
}

#[tokio::test]
async fn a_target_that_fails_keeps_its_last_addresses() {
    let server = DnsServer::start().await;
    server.set(NAME, Kind::SRV, Reply::Records(records()));
    for (name, ip) in [
        ("a.test", "10.0.0.1"),
        ("b.test", "10.0.0.2"),
        ("c.test", "10.0.0.3"),
    ] {
        let four = vec![address(name, 60, ip)];
        server.set(name, Kind::A, Reply::Records(four));
        server.set(name, Kind::AAAA, Reply::Nothing(Some(60)));
    }
    let source = source(Record::Srv, &[&server]);
    let whole = source.ask().await.unwrap();
    let broken = Reply::Code(ResponseCode::ServFail);
    server.set("b.test", Kind::A, broken.clone());
    // Twice: what stood in once stands in again.
    for _ in 0..2 {
        let answer = source.ask().await.unwrap();
        assert_eq!(answer.discovered, whole.discovered);
        let said = answer.partial.clone().unwrap().to_string();
        assert!(said.starts_with("A of b.test.: "), "{said}");
        assert!(said.contains("answered ServFail"), "{said}");
        assert_eq!(seconds(&answer), 30, "asked again before the records' 60 s");
    }
    // Never known: the others are used, and what is missing is said.
    let answer = super::source(Record::Srv, &[&server]).ask().await.unwrap();
    assert_eq!(answer.discovered.endpoints.len(), 2);
    assert!(answer.partial.is_some());

    // Gone for good is no failure.
    server.set("b.test", Kind::A, Reply::NoSuchName(Some(60)));
    let answer = source.ask().await.unwrap();
    assert_eq!(answer.discovered.endpoints.len(), 2);
    assert_eq!(answer.partial, None);
    // And is not remembered.
    server.set("b.test", Kind::A, broken.clone());
    let answer = source.ask().await.unwrap();
    assert_eq!(answer.discovered.endpoints.len(), 2);

    // All targets fail and nothing is known: no answer, not an empty one.
    for name in ["a.test", "c.test"] {
        server.set(name, Kind::A, broken.clone());
    }
    assert!(super::source(Record::Srv, &[&server]).ask().await.is_err());
}

#[tokio::test]
async fn followed_it_says_what_an_answer_lacked() {
    let server = DnsServer::start().await;
    let lost = vec![
        service(NAME, 60, (1, 1, 80), "a.test"),
        service(NAME, 60, (1, 1, 80), "b.test"),
    ];
    server.set("a.test", Kind::A, Reply::Code(ResponseCode::ServFail));
    server.set("a.test", Kind::AAAA, Reply::Nothing(None));
    let four = vec![address("b.test", 60, "10.0.0.2")];
    server.set("b.test", Kind::A, Reply::Records(four));
    server.set("b.test", Kind::AAAA, Reply::Nothing(None));
    let replies = vec![
        Reply::NoSuchName(Some(4)),
        Reply::Code(ResponseCode::ServFail),
        Reply::Records(lost),
    ];
    server.script(NAME, Kind::SRV, replies);
    let mut followed = DnsFollowed::from(source(Record::Srv, &[&server]));

    let (set, again) = followed.next().await.unwrap();
    assert_eq!((set.endpoints.len(), again), (0, Duration::from_secs(4)));
    let lack = followed.left_out().unwrap();
    assert_eq!(lack, "the name does not exist");

    assert!(followed.next().await.is_err());
    assert_eq!(followed.left_out(), None);

    let (set, _) = followed.next().await.unwrap();
    assert_eq!(set.endpoints.len(), 1);
    let lack = followed.left_out().unwrap();
    assert!(
        lack.starts_with("a part failed, and what it said last is used: A of a.test.: "),
        "{lack}"
    );
}
