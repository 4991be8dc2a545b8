use super::*;
use crate::tls::acme::storage::STALE;

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const ANSWER: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// Two nodes that share a folder.
fn farm(domains: &[&str]) -> (tempfile::TempDir, Arc<Challenges>, Arc<Challenges>) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    let domains: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
    let node = || Arc::new(Challenges::new(&storage, &domains));
    let (one, other) = (node(), node());
    (folder, one, other)
}

#[test]
fn every_node_answers_until_the_order_is_over() {
    let (_folder, one, other) = farm(&[]);
    assert_eq!(other.http01(TOKEN), None);
    let pending = one.put(Challenge::Http01, "a.test", TOKEN, ANSWER).unwrap();
    assert_eq!(one.http01(TOKEN).as_deref(), Some(ANSWER));
    assert_eq!(other.http01(TOKEN).as_deref(), Some(ANSWER));
    drop(pending);
    assert_eq!(one.http01(TOKEN), None);
    assert_eq!(other.http01(TOKEN), None);
}

#[tokio::test]
async fn an_answer_can_be_waited_for() {
    let (_folder, one, other) = farm(&[]);
    let _pending = one.put(Challenge::Http01, "a.test", TOKEN, ANSWER).unwrap();
    assert_eq!(one.answer_http01(TOKEN).await.as_deref(), Some(ANSWER));
    assert_eq!(other.answer_http01(TOKEN).await.as_deref(), Some(ANSWER));
    assert_eq!(
        other.answer_http01("unknown-but-of-the-right-form").await,
        None
    );
    assert_eq!(other.answer_http01("../x").await, None);
}

#[test]
fn a_token_names_no_other_file() {
    let (folder, _one, other) = farm(&[]);
    // What is beside and above the folder would be readable, and looks like an answer.
    fs::write(folder.path().join("http-01.x"), ANSWER).unwrap();
    fs::write(
        folder.path().join("challenges/secret-in-a-file-of-its-own"),
        ANSWER,
    )
    .unwrap();
    let long = "a".repeat(129);
    for token in [
        "",
        "short",
        "../http-01.x",
        "../../../../../../../../etc/passwd",
        "/etc/passwd/etc/passwd/etc/passwd",
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ.PCt92wr-oA",
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ%2fCt92wr-oA",
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ\0PCt92wr-oA",
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ+PCt92wr/oA=",
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGé",
        &long,
    ] {
        assert_eq!(http01_name(token), None, "{token:?}");
        assert_eq!(other.http01(token), None, "{token:?}");
    }
    assert_eq!(other.http01("secret-in-a-file-of-its-own"), None);
}

#[test]
fn a_file_that_holds_something_else_is_no_answer() {
    let (folder, _one, other) = farm(&[]);
    let file = folder
        .path()
        .join("challenges")
        .join(format!("http-01.{TOKEN}"));
    let long = format!("{TOKEN}.{}", "x".repeat(300));
    for text in [
        "",
        "hello",
        TOKEN,
        "other-token.thumbprint",
        "<script>.x",
        &long,
        "a.b.c",
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(other.http01(TOKEN), None, "{text:?}");
    }
}

#[test]
fn what_an_authority_sends_must_be_a_token() {
    let (_folder, one, _other) = farm(&["a.test"]);
    for (token, answer) in [
        ("../x", ANSWER),
        (TOKEN, "no answer"),
        (TOKEN, ".."),
        ("", ""),
    ] {
        for kind in [Challenge::Http01, Challenge::TlsAlpn01] {
            let error = one.put(kind, "a.test", token, answer).unwrap_err();
            assert_eq!(error.stage, Stage::Validation);
        }
    }
}

#[test]
fn handshakes_are_answered_for_our_names_alone() {
    let (_folder, one, other) = farm(&["a.test", "b.test"]);
    let begin = Instant::now();
    let _pending = one
        .put(Challenge::TlsAlpn01, "a.test", TOKEN, ANSWER)
        .unwrap();
    for node in [&one, &other] {
        let found = node.tls_alpn01_at("A.test", begin).unwrap();
        assert_eq!(found.names(), ["a.test"]);
        // The same certificate again, without another signature.
        let later = begin + FRESH * 2;
        assert!(Arc::ptr_eq(
            &found,
            &node.tls_alpn01_at("a.test", later).unwrap()
        ));
        assert!(node.tls_alpn01_at("b.test", begin).is_none());
        assert!(node.tls_alpn01_at("c.test", begin).is_none());
        assert!(node.tls_alpn01_at("", begin).is_none());
    }
}

#[test]
fn a_name_is_looked_for_twice_a_second_at_most() {
    let (_folder, one, other) = farm(&["a.test"]);
    let begin = Instant::now();
    assert!(other.tls_alpn01_at("a.test", begin).is_none());
    let pending = one
        .put(Challenge::TlsAlpn01, "a.test", TOKEN, ANSWER)
        .unwrap();
    let almost = begin + FRESH - Duration::from_millis(1);
    assert!(other.tls_alpn01_at("a.test", almost).is_none());
    assert!(other.tls_alpn01_at("a.test", begin + FRESH).is_some());
    drop(pending);
    // The ordering node knows at once, the other one soon.
    assert!(one.tls_alpn01_at("a.test", begin + FRESH).is_none());
    assert!(other.tls_alpn01_at("a.test", begin + FRESH * 2).is_none());
}

#[test]
fn what_killed_orders_left_is_swept() {
    let (folder, one, _other) = farm(&[]);
    let left = folder
        .path()
        .join("challenges/http-01.left-by-a-killed-order");
    fs::write(&left, ANSWER).unwrap();
    one.sweep(SystemTime::now() + STALE / 2).unwrap();
    assert!(left.exists());
    one.sweep(SystemTime::now() + STALE * 2).unwrap();
    assert!(!left.exists());
}

#[test]
fn the_folder_does_not_grow_without_end() {
    let (folder, one, _other) = farm(&[]);
    for number in 0..MAX_ENTRIES {
        fs::write(
            folder.path().join(format!("challenges/http-01.{number}")),
            "",
        )
        .unwrap();
    }
    let error = one
        .put(Challenge::Http01, "a.test", TOKEN, ANSWER)
        .unwrap_err();
    assert_eq!(error.stage, Stage::Storage);
    assert!(error.message.contains("1024 pending challenges"), "{error}");
}
