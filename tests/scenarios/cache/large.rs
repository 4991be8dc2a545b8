//! What is larger than may be stored passes whole and uncut.

use super::{Hand, asking, get, is_hit, node, status, telling, waiting};

const SMALL: &str = "max_object = \"64KiB\"";

fn body(bytes: usize) -> String {
    (0..bytes)
        .map(|at| char::from(b'a' + (at % 23) as u8))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_its_length() {
    let origin = telling(|seen, _| {
        let bytes = seen
            .target()
            .trim_start_matches('/')
            .parse()
            .expect("a number");
        (
            200,
            "Cache-Control: max-age=600\r\n".to_owned(),
            body(bytes),
        )
    })
    .await;
    let node = node(&origin, SMALL).await;
    for (bytes, kept) in [(65_536, true), (65_537, false), (3_000_000, false)] {
        let target = format!("/{bytes}");
        let first = get(&node, &target, "").await;
        assert!(first.text() == body(bytes), "{bytes}");
        let second = get(&node, &target, "").await;
        assert!(second.text() == body(bytes), "{bytes}");
        assert_eq!(is_hit(&second), kept, "{bytes}: {}", status(&second));
        if !kept {
            assert!(
                status(&first).contains("detail=too-large"),
                "{}",
                status(&first)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_length_for_each_who_reads_it() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, SMALL).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(asking(&node, "/long", "").await);
    }
    let mut asked = hand.next().await;
    waiting(&node, 3).await;
    asked
        .peer
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=600\r\n\r\n")
        .await;
    let whole = body(1_000_000);
    let text = whole.clone();
    let sending = tokio::spawn(async move {
        for piece in text.as_bytes().chunks(10_000) {
            let head = format!("{:x}\r\n", piece.len());
            asked.peer.send(head).await;
            asked.peer.send(piece).await;
            asked.peer.send("\r\n").await;
        }
        asked.peer.send("0\r\n\r\n").await;
        asked
    });
    // Side by side: whoever reads slowly slows the fill.
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.response().await.expect("one") }))
        .collect();
    for reader in readers {
        let response = crate::harness::node::joined(reader).await;
        assert_eq!(response.status, 200);
        assert!(response.text() == whole, "{} bytes", response.body.len());
    }
    drop(crate::harness::node::joined(sending).await);
    assert_eq!(hand.times(), 1);
    let mut next = asking(&node, "/long", "").await;
    hand.next().await.answer(200, "", "again").await;
    assert_eq!(next.response().await.expect("one").text(), "again");
}

#[tokio::test]
async fn a_type_that_does_not_fit_its_extension_is_not_kept() {
    let origin = telling(|_, number| {
        let fields = "Cache-Control: max-age=600\r\nContent-Type: text/html\r\n";
        (200, fields.to_owned(), format!("n{number}"))
    })
    .await;
    let node = node(&origin, "").await;
    for number in ["n0", "n1"] {
        let response = get(&node, "/account/x.css", "").await;
        assert_eq!(response.text(), number);
        assert!(
            status(&response).contains("detail=content-type"),
            "{response:?}"
        );
    }
    assert_eq!(get(&node, "/account/x.html", "").await.text(), "n2");
    assert!(is_hit(&get(&node, "/account/x.html", "").await));
}

#[tokio::test]
async fn an_error_that_an_odd_request_drew_is_not_kept() {
    let origin = telling(|_, number| {
        let fields = "Cache-Control: max-age=600\r\n";
        (400, fields.to_owned(), format!("n{number}"))
    })
    .await;
    let node = node(&origin, "").await;
    let odd = format!("X-Long: {}\r\n", "x".repeat(5000));
    for number in ["n0", "n1"] {
        let response = get(&node, "/p", &odd).await;
        assert_eq!(response.text(), number);
        assert!(
            status(&response).contains("detail=odd-request"),
            "{response:?}"
        );
    }
    get(&node, "/p", "").await;
    assert!(
        is_hit(&get(&node, "/p", "").await),
        "an ordinary request's error is"
    );
}
