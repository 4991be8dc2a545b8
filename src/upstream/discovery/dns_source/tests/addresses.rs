//! A and AAAA records.

use super::*;

#[tokio::test]
async fn both_kinds_are_one_set_with_the_least_time_to_live() {
    let server = DnsServer::start().await;
    let four = vec![
        address(NAME, 40, "10.0.0.2"),
        address(NAME, 30, "10.0.0.1"),
        address(NAME, 40, "10.0.0.2"),
    ];
    server.set(NAME, Kind::A, Reply::Records(four));
    let six = vec![address(NAME, 20, "2001:db8::1")];
    server.set(NAME, Kind::AAAA, Reply::Records(six));

    let both = source(Record::Both, &[&server]).ask().await.unwrap();
    assert_eq!(
        told(&both),
        ["10.0.0.1:80 1 0", "10.0.0.2:80 1 0", "[2001:db8::1]:80 1 0"]
    );
    assert_eq!(seconds(&both), 20);
    assert_eq!(both.server, Some(server.address));
    assert_eq!((both.nothing, &both.partial), (None, &None));

    let four = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(told(&four), ["10.0.0.1:80 1 0", "10.0.0.2:80 1 0"]);
    assert_eq!(seconds(&four), 30);
    let six = source(Record::Aaaa, &[&server]).ask().await.unwrap();
    assert_eq!(told(&six), ["[2001:db8::1]:80 1 0"]);
    assert_eq!(server.times(NAME, Kind::A), 2);
    assert_eq!(server.times(NAME, Kind::AAAA), 2);
}

#[tokio::test]
async fn one_kind_alone_is_enough() {
    let server = DnsServer::start().await;
    let four = vec![address(NAME, 60, "10.0.0.1")];
    server.set(NAME, Kind::A, Reply::Records(four));
    server.set(NAME, Kind::AAAA, Reply::Nothing(Some(15)));
    let answer = source(Record::Both, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0"]);
    // The lack of the other kind is no reason to ask sooner than the records say.
    assert_eq!((seconds(&answer), answer.nothing), (60, None));
}

#[tokio::test]
async fn the_pause_stays_within_its_bounds() {
    let server = DnsServer::start().await;
    for (ttl, expected) in [(0, 1), (1, 1), (299, 299), (9000, 300), (u32::MAX, 1)] {
        let records = vec![address(NAME, ttl, "10.0.0.1")];
        server.set(NAME, Kind::A, Reply::Records(records));
        let answer = source(Record::A, &[&server]).ask().await.unwrap();
        assert_eq!(seconds(&answer), expected, "time to live {ttl}");
        // RFC 2181: the highest bit means 0.
        let seen = if ttl == u32::MAX { 0 } else { u64::from(ttl) };
        assert_eq!(answer.ttl, Some(Duration::from_secs(seen)));
    }
}

#[tokio::test]
async fn a_time_to_live_of_zero_is_asked_again_each_time() {
    let server = DnsServer::start().await;
    let replies = (1..=3).map(|last| {
        let ip = format!("10.0.0.{last}");
        Reply::Records(vec![address(NAME, 0, &ip)])
    });
    server.script(NAME, Kind::A, replies.collect());
    let source = source(Record::A, &[&server]);
    for expected in ["10.0.0.1:80 1 0", "10.0.0.2:80 1 0", "10.0.0.3:80 1 0"] {
        let answer = source.ask().await.unwrap();
        assert_eq!(
            (told(&answer), seconds(&answer)),
            (vec![expected.into()], 1)
        );
    }
}

#[tokio::test]
async fn a_name_that_goes_and_comes_is_an_empty_answer_in_between() {
    let server = DnsServer::start().await;
    let here = || Reply::Records(vec![address(NAME, 60, "10.0.0.1")]);
    let replies = vec![
        here(),
        Reply::NoSuchName(Some(7)),
        Reply::NoSuchName(Some(900)),
        Reply::NoSuchName(None),
        Reply::Nothing(Some(0)),
        here(),
    ];
    server.script(NAME, Kind::A, replies);
    let source = source(Record::A, &[&server]);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let answer = source.ask().await.unwrap();
        let nothing = answer.nothing.map(Nothing::word);
        assert_eq!(nothing.is_some(), answer.discovered.endpoints.is_empty());
        seen.push((nothing, seconds(&answer)));
    }
    let expected = [
        (None, 60),
        (Some("no_such_name"), 7),
        (Some("no_such_name"), 30),
        (Some("no_such_name"), 30),
        (Some("no_records"), 1),
        (None, 60),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn aliases_are_followed_and_strangers_in_the_answer_are_left() {
    let server = DnsServer::start().await;
    let in_one = vec![
        address("web.shop.test", 50, "10.0.0.1"),
        alias(NAME, 9, "front.shop.test"),
        address("evil.test", 1, "10.6.6.6"),
        alias("front.shop.test", 70, "web.shop.test"),
    ];
    server.set(NAME, Kind::A, Reply::Records(in_one));
    let out = vec![alias(NAME, 8, "far.test")];
    server.set(NAME, Kind::AAAA, Reply::Records(out));
    let far = vec![address("far.test", 90, "2001:db8::7")];
    server.set("far.test", Kind::AAAA, Reply::Records(far));
    let answer = source(Record::Both, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0", "[2001:db8::7]:80 1 0"]);
    assert_eq!(seconds(&answer), 8);
}

#[tokio::test]
async fn a_loop_of_aliases_ends() {
    let server = DnsServer::start().await;
    let here = vec![alias(NAME, 60, "b.test"), alias("b.test", 60, NAME)];
    server.set(NAME, Kind::A, Reply::Records(here));
    let error = source(Record::A, &[&server]).ask().await.unwrap_err();
    assert!(error.to_string().contains("a loop"), "{error}");

    let there = vec![alias(NAME, 60, "c.test")];
    server.set(NAME, Kind::AAAA, Reply::Records(there));
    let back = vec![alias("c.test", 60, NAME)];
    server.set("c.test", Kind::AAAA, Reply::Records(back));
    let error = source(Record::Aaaa, &[&server]).ask().await.unwrap_err();
    assert!(error.to_string().contains("a loop"), "{error}");
    assert!(server.asked().len() <= 1 + 9);
}

#[tokio::test]
async fn names_are_the_same_in_any_case() {
    let server = DnsServer::start().await;
    let records = vec![address("ORDERS.Test", 60, "10.0.0.1")];
    server.set(NAME, Kind::A, Reply::Records(records));
    let answer = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0"]);
}

#[tokio::test]
async fn five_hundred_addresses_come_over_tcp_at_once() {
    let server = DnsServer::start().await;
    let all: Vec<String> = (0..500)
        .map(|n| format!("10.0.{}.{}", n / 250, n % 250 + 1))
        .collect();
    let records = all.iter().map(|ip| address(NAME, 60, ip)).collect();
    server.set(NAME, Kind::A, Reply::Records(records));
    let answer = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(answer.discovered.endpoints.len(), 500);
    let over: Vec<bool> = server.asked().iter().map(|question| question.tcp).collect();
    assert_eq!(over, [false, true]);
}

#[tokio::test]
async fn a_name_that_turns_to_the_metadata_service_is_refused() {
    let server = DnsServer::start().await;
    let good = vec![address(NAME, 1, "10.0.0.1")];
    let mixed = vec![
        address(NAME, 1, "169.254.169.254"),
        address(NAME, 1, "10.0.0.2"),
    ];
    let bad = vec![address(NAME, 1, "169.254.169.254")];
    let replies = [good, mixed, bad].map(Reply::Records);
    server.script(NAME, Kind::A, replies.to_vec());
    let source = source(Record::A, &[&server]);
    let mut kept = Vec::new();
    for _ in 0..3 {
        let answer = source.ask().await.unwrap();
        let first = answer.discovered.endpoints.first().map(|one| one.address);
        let why = first.and_then(|address| refusal(address, None));
        let (usable, refused) = judge(answer.discovered.endpoints, None);
        kept.push((usable.len(), refused, why));
    }
    let metadata = Some(Refusal::Metadata);
    // The second answer is sorted: 10.0.0.2 comes first.
    assert_eq!(kept, [(1, 0, None), (1, 1, None), (0, 1, metadata)]);
}

#[tokio::test]
async fn the_systems_servers_are_asked_with_their_search_domains() {
    let server = DnsServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let text = "nameserver 127.0.0.1\nsearch east.test west.test\n";
    std::fs::write(&path, text).unwrap();
    let patience = Duration::from_secs(10);
    let mut source = DnsSource::new(DnsOptions::new("orders", Record::A, Some(80))).unwrap();
    source.asked = Asked::System(SystemServers::new(path, server.address.port(), patience));

    server.set("orders.east.test", Kind::A, Reply::NoSuchName(Some(3)));
    server.set("orders.west.test", Kind::A, Reply::NoSuchName(Some(20)));
    server.set("orders", Kind::A, Reply::NoSuchName(None));
    let answer = source.ask().await.unwrap();
    assert_eq!(
        (answer.nothing, seconds(&answer)),
        (Some(Nothing::NoSuchName), 3)
    );
    let names: Vec<String> = server.asked().into_iter().map(|q| q.name).collect();
    assert_eq!(names, ["orders.east.test.", "orders.west.test.", "orders."]);

    let west = vec![address("orders.west.test", 60, "10.0.0.1")];
    server.set("orders.west.test", Kind::A, Reply::Records(west));
    assert_eq!(told(&source.ask().await.unwrap()), ["10.0.0.1:80 1 0"]);
}
