//! Servers that are silent, broken or lie.

use super::*;

fn good() -> Reply {
    Reply::Records(vec![address(NAME, 60, "10.0.0.1")])
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = DnsServer::start().await;
    server.set(NAME, Kind::A, Reply::OverTcp(Box::new(good())));
    let answer = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0"]);
    let over: Vec<bool> = server.asked().iter().map(|question| question.tcp).collect();
    assert_eq!(over, [false, true]);

    // Without a word about it.
    let records = vec![address(NAME, 60, "10.0.0.1"), address(NAME, 60, "10.0.0.2")];
    server.set(NAME, Kind::A, Reply::Cut(records));
    let answer = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0", "10.0.0.2:80 1 0"]);
}

#[tokio::test]
async fn after_a_silent_server_the_next_is_asked_and_stays_first() {
    let silent = DnsServer::start().await;
    let talking = DnsServer::start().await;
    silent.set(NAME, Kind::A, Reply::Silence);
    talking.set(NAME, Kind::A, good());
    let source = hasty(Record::A, &[&silent, &talking]);
    let began = Instant::now();
    let answer = source.ask().await.unwrap();
    assert_eq!(answer.server, Some(talking.address));
    assert!(began.elapsed() >= Duration::from_secs(2));
    // Over UDP a question is lost now and then, so it was repeated.
    assert_eq!(silent.times(NAME, Kind::A), 3);
    let answer = source.ask().await.unwrap();
    assert_eq!(told(&answer), ["10.0.0.1:80 1 0"]);
    assert_eq!(silent.times(NAME, Kind::A), 3, "it was asked again");

    // The one that answered falls silent too, and the first is back.
    silent.set(NAME, Kind::A, good());
    talking.set(NAME, Kind::A, Reply::Silence);
    let answer = source.ask().await.unwrap();
    assert_eq!(answer.server, Some(silent.address));
}

#[tokio::test]
async fn a_server_that_cannot_answer_is_passed_over_at_once() {
    let broken = DnsServer::start().await;
    let well = DnsServer::start().await;
    well.set(NAME, Kind::A, good());
    let replies = [
        Reply::Code(ResponseCode::ServFail),
        Reply::Code(ResponseCode::Refused),
        Reply::Code(ResponseCode::NotImp),
        Reply::Garbage,
        Reply::Referral,
    ];
    for reply in replies {
        broken.set(NAME, Kind::A, reply.clone());
        let began = Instant::now();
        let source = source(Record::A, &[&broken, &well]);
        let answer = source.ask().await.unwrap();
        assert_eq!(answer.server, Some(well.address), "{reply:?}");
        assert!(began.elapsed() < Duration::from_secs(9), "{reply:?}");
    }
}

#[tokio::test]
async fn answers_to_other_questions_are_not_believed() {
    let liar = DnsServer::start().await;
    for reply in [Reply::Stranger, Reply::OtherQuestion] {
        liar.set(NAME, Kind::A, reply.clone());
        let error = hasty(Record::A, &[&liar]).ask().await.unwrap_err();
        assert!(
            error.to_string().contains("gave no answer in 2s"),
            "{error}"
        );
        liar.set(NAME, Kind::A, Reply::OverTcp(Box::new(reply)));
        let error = hasty(Record::A, &[&liar]).ask().await.unwrap_err();
        assert!(error.to_string().contains("another question"), "{error}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_an_answer_and_the_next_server_is_not_asked() {
    let first = DnsServer::start().await;
    let second = DnsServer::start().await;
    second.set(NAME, Kind::A, good());
    for reply in [Reply::NoSuchName(Some(5)), Reply::Nothing(Some(5))] {
        first.set(NAME, Kind::A, reply);
        let source = source(Record::A, &[&first, &second]);
        assert!(source.ask().await.unwrap().nothing.is_some());
    }
    assert_eq!(second.asked(), []);
}

#[tokio::test]
async fn when_no_server_answers_the_error_names_them_all() {
    let silent = DnsServer::start().await;
    let broken = DnsServer::start().await;
    let garbage = DnsServer::start().await;
    silent.set(NAME, Kind::A, Reply::Silence);
    broken.set(NAME, Kind::A, Reply::Code(ResponseCode::ServFail));
    garbage.set(NAME, Kind::A, Reply::Garbage);
    let source = hasty(Record::A, &[&silent, &broken, &garbage]);
    let error = source.ask().await.unwrap_err().to_string();
    let expected = [
        "A of orders.test.: ".to_string(),
        format!("{} gave no answer in 2s", silent.address),
        format!("{} answered ServFail", broken.address),
        format!("{} sent garbage over TCP", garbage.address),
    ];
    for part in expected {
        assert!(error.contains(&part), "{error:?} has no {part:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over() {
    let gone = DnsServer::start().await;
    let address = gone.address;
    drop(gone);
    let well = DnsServer::start().await;
    well.set(NAME, Kind::A, good());
    let mut options = DnsOptions::new(NAME, Record::A, Some(80));
    options.resolvers = vec![address, well.address];
    let second = Duration::from_secs(1);
    let source = DnsSource::with_patience(options, 2 * second, 10 * second).unwrap();
    assert_eq!(source.ask().await.unwrap().server, Some(well.address));
}

#[tokio::test]
async fn silence_over_tcp_ends_too() {
    let server = DnsServer::start().await;
    let silent = Reply::OverTcp(Box::new(Reply::Silence));
    server.set(NAME, Kind::A, silent);
    let error = hasty(Record::A, &[&server]).ask().await.unwrap_err();
    assert!(error.to_string().contains("over TCP in 2s"), "{error}");
}

#[tokio::test]
async fn a_kind_that_fails_keeps_its_last_addresses() {
    let server = DnsServer::start().await;
    server.set(NAME, Kind::A, good());
    let six = vec![address(NAME, 60, "2001:db8::1")];
    server.set(NAME, Kind::AAAA, Reply::Records(six));
    let source = source(Record::Both, &[&server]);
    let whole = source.ask().await.unwrap();
    assert_eq!(whole.discovered.endpoints.len(), 2);

    server.set(NAME, Kind::AAAA, Reply::Code(ResponseCode::ServFail));
    let answer = source.ask().await.unwrap();
    assert_eq!(answer.discovered, whole.discovered);
    assert!(answer.partial.is_some());
    assert_eq!(seconds(&answer), 30);

    // Both fail: the whole question failed, whatever was known.
    server.set(NAME, Kind::A, Reply::Code(ResponseCode::ServFail));
    assert!(source.ask().await.is_err());
    // What was known is not lost by that.
    server.set(NAME, Kind::A, good());
    assert_eq!(source.ask().await.unwrap().discovered, whole.discovered);
}

#[tokio::test]
async fn the_whole_answer_has_a_bound() {
    let server = DnsServer::start().await;
    let services = (0..256).map(|n| service(NAME, 60, (1, 1, 80), &format!("t{n}.test")));
    server.set(NAME, Kind::SRV, Reply::Records(services.collect()));
    for n in 0..256 {
        for kind in [Kind::A, Kind::AAAA] {
            server.set(&format!("t{n}.test"), kind, Reply::Silence);
        }
    }
    // 256 targets, 16 at once, 2 seconds each.
    let mut source = hasty(Record::Srv, &[&server]);
    source.patience = Duration::from_millis(1500);
    let began = Instant::now();
    let error = source.ask().await.unwrap_err();
    assert!(error.to_string().contains("no complete answer"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without_it() {
    let server = DnsServer::start().await;
    let all = (1..=200).map(|last| address(NAME, 60, &format!("10.0.0.{last}")));
    let all = Reply::Records(all.collect());
    server.set(NAME, Kind::A, Reply::WithoutEdns(Box::new(all)));
    let answer = source(Record::A, &[&server]).ask().await.unwrap();
    assert_eq!(answer.discovered.endpoints.len(), 200);
    let over: Vec<bool> = server.asked().iter().map(|question| question.tcp).collect();
    assert_eq!(over, [false, false, true]);

    server.set(NAME, Kind::A, Reply::Code(ResponseCode::FormErr));
    let error = source(Record::A, &[&server]).ask().await.unwrap_err();
    assert!(error.to_string().contains("answered FormErr"), "{error}");
}
