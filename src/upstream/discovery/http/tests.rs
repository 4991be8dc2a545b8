use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::upstream::discovery::dial::PlainDialer;

const ONE: &str = r#"{"endpoints": ["10.0.0.1:80"]}"#;

/// What the server does with one connection.
#[derive(Clone)]
enum Act {
    /// Answers these bytes and closes.
    Answer(String),
    /// Answers these bytes and keeps the connection open.
    Hang(String),
}

/// A server that plays one act a connection and writes the requests down.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn serve(acts: impl IntoIterator<Item = Act>) -> Server {
    let mut acts: VecDeque<Act> = acts.into_iter().collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Some(act) = acts.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            seen.lock().push(String::from_utf8(head).unwrap());
            let (Act::Answer(text) | Act::Hang(text)) = &act;
            // The client may have had enough before the end.
            let _ = stream.write_all(text.as_bytes()).await;
            if matches!(act, Act::Hang(_)) {
                open.push(stream);
            }
        }
        // Hanging connections stay until the test ends.
        std::future::pending::<()>().await;
        drop(open);
    });
    Server { url, requests }
}

fn answer(fields: &str, body: &str) -> Act {
    Act::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{fields}\r\n{body}",
        body.len()
    ))
}

fn json(body: &str) -> Act {
    answer("content-type: application/json\r\n", body)
}

fn source(url: &str) -> HttpSource {
    let options = HttpOptions {
        url: url.parse().unwrap(),
        headers: Vec::new(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_millis(500),
    };
    HttpSource::new(options, Arc::new(PlainDialer))
}

async fn next(source: &mut HttpSource) -> Result<Vec<String>, String> {
    let (said, _) = source.next().await.map_err(|error| error.to_string())?;
    let addresses = said.endpoints.iter();
    Ok(addresses.map(|found| found.address.to_string()).collect())
}

/// The error of one answer.
async fn error_of(act: Act) -> String {
    let server = serve([act]).await;
    next(&mut source(&server.url)).await.unwrap_err()
}

#[tokio::test]
async fn a_document_is_asked_for_with_its_etag() {
    let not_modified = Act::Answer("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned());
    let server = serve([
        answer(
            "content-type: application/json; charset=utf-8\r\netag: \"v1\"\r\n",
            ONE,
        ),
        not_modified.clone(),
        json(r#"{"endpoints": ["10.0.0.2:80"]}"#),
        not_modified,
    ])
    .await;
    let mut source = source(&format!("{}/orders?token=s3cret", server.url));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.2:80"]);
    // The last answer had no ETag: 304 says nothing.
    let error = next(&mut source).await.unwrap_err();
    assert!(error.contains("/orders?...: status 304"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let requests = server.requests.lock();
    assert!(requests[0].starts_with("GET /orders?token=s3cret HTTP/1.1\r\n"));
    assert!(requests[0].contains(&format!("host: {}", &server.url[7..])));
    let asks = requests
        .iter()
        .map(|head| head.contains("if-none-match: \"v1\""));
    assert_eq!(asks.collect::<Vec<_>>(), [false, true, true, false]);
}

#[tokio::test]
async fn the_form_is_told_by_type_or_path() {
    let toml = "endpoints = [\"10.0.0.1:80\"]\n";
    for (fields, path, body) in [
        ("content-type: application/toml\r\n", "/x", toml),
        ("content-type: text/plain\r\n", "/x.toml", toml),
        ("", "/x.json", ONE),
        ("content-type: application/vnd.farm+json\r\n", "/", ONE),
    ] {
        let server = serve([answer(fields, body)]).await;
        let mut source = source(&format!("{}{path}", server.url));
        assert_eq!(
            next(&mut source).await.unwrap(),
            ["10.0.0.1:80"],
            "{fields}"
        );
    }
    let error = error_of(answer("content-type: text/html\r\n", "<p>")).await;
    assert!(error.contains("\"text/html\" is neither"), "{error}");
    let error = error_of(answer("", ONE)).await;
    assert!(error.contains("Content-Type names neither"), "{error}");
}

#[tokio::test]
async fn a_chunked_answer_is_whole_or_none() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (first, second) = ONE.split_at(7);
    let chunks = format!(
        "{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n",
        first.len(),
        second.len()
    );
    let server = serve([Act::Answer(format!("{head}{chunks}0\r\n\r\n"))]).await;
    assert_eq!(
        next(&mut source(&server.url)).await.unwrap(),
        ["10.0.0.1:80"]
    );
    let error = error_of(Act::Answer(format!("{head}{chunks}"))).await;
    assert!(error.contains("half an answer"), "{error}");
}

#[tokio::test]
async fn bad_answers_are_errors_that_say_why() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let cut = format!("{head}content-length: 1000\r\n\r\n{ONE}");
    let large = " ".repeat(MAX_BYTES + 1);
    for (act, expected) in [
        (Act::Answer(cut), "half an answer"),
        (Act::Answer(format!("{head}\r\n{ONE}")), "has no length"),
        (Act::Answer("GARBAGE\r\n\r\n".to_owned()), "no answer: "),
        (Act::Answer(String::new()), "no answer: "),
        (Act::Answer(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(400_000))), "no answer: "),
        (json("{\"endpoints\": [1]}"), "line 1 column 16"),
        (json(""), "the list is empty"),
        (json(&large), "more than 4194304 bytes"),
        (answer("content-type: application/json\r\ncontent-encoding: gzip\r\n", "x"), "compressed (gzip)"),
        (
            Act::Answer("HTTP/1.1 503 Down\r\ncontent-length: 9\r\n\r\nnot\nnow\u{1b}!".to_owned()),
            "status 503: not\\nnow\\u{1b}!",
        ),
        (
            Act::Answer("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "leads to \"http://169.254.169.254/\", which is not followed",
        ),
    ] {
        let error = error_of(act).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_timeout() {
    let half = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{ONE}"
    );
    let server = serve([Act::Hang(String::new()), Act::Hang(half), json(ONE)]).await;
    let mut source = source(&server.url);
    for _ in 0..2 {
        let error = next(&mut source).await.unwrap_err();
        assert!(error.contains("no whole answer in 500ms"), "{error}");
    }
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn where_nobody_listens_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = next(&mut source(&url)).await.unwrap_err();
    assert!(
        error.contains("no connection: Connection refused"),
        "{error}"
    );
    for (url, expected) in [
        ("https://127.0.0.1:1/", "there is no TLS here"),
        ("ftp://127.0.0.1/", "neither http:// nor https://"),
        ("/orders.json", "neither http:// nor https://"),
        ("http://me:s3cret@127.0.0.1/", "do not belong there"),
    ] {
        let error = next(&mut source(url)).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn fields_are_sent_and_not_shown() {
    let server = serve([json(ONE)]).await;
    let mut source = source(&server.url);
    let field = (
        http::header::AUTHORIZATION,
        HeaderValue::from_static("Bearer s3cret"),
    );
    source.options.headers.push(field);
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    assert!(server.requests.lock()[0].contains("authorization: Bearer s3cret"));
    let shown = format!("{:?}", source.options);
    assert!(
        shown.contains("authorization") && !shown.contains("s3cret"),
        "{shown}"
    );
}
