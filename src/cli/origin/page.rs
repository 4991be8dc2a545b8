//! The hello page: the request as it was seen, and what else there is to ask for.

use http::header::ACCEPT;
use http::{HeaderMap, Response};
use serde_json::Value;

use super::answer::{text, typed};
use super::body::OriginBody;

/// Every target with an example that works as it stands, and what it does.
pub(super) const TARGETS: &[(&str, &str)] = &[
    ("/", "this page; so does every path that is not listed"),
    (
        "/echo",
        "your body, streamed back; ?headers=1 shows the head",
    ),
    ("/headers", "request line and headers as JSON"),
    ("/bytes/1024", "that many bytes with Content-Length"),
    ("/chunked/1024", "that many bytes without Content-Length"),
    ("/status/503", "that status"),
    ("/delay/500", "an answer after that many milliseconds"),
    (
        "/slow-body?chunks=5&size=64&interval_ms=200",
        "a body that stalls",
    ),
    ("/sse?count=5&interval_ms=200", "server-sent events"),
    ("/ws", "WebSocket echo"),
    ("/trailers", "a body with trailers"),
    ("/reset", "a reset connection"),
    ("/close-mid?size=1024", "half of the body, then the end"),
    ("/count", "requests and connections so far"),
    ("/cookie?name=demo&value=1", "sets a cookie, shows yours"),
    ("/redirect?to=/&status=302", "a redirect"),
];

/// The page for the request whose `head` was seen: HTML for browsers, else plain text.
pub(super) fn hello(head: &Value, headers: &HeaderMap) -> Response<OriginBody> {
    let wants_html = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_html {
        typed("text/html; charset=utf-8", html(head))
    } else {
        text(plain(head))
    }
}

fn request_text(head: &Value) -> String {
    let field = |name: &str| head.get(name).and_then(Value::as_str).unwrap_or("");
    let mut page = format!(
        "{} {} {} from {}\n",
        field("method"),
        field("target"),
        field("version"),
        field("peer")
    );
    let headers = head.get("headers").and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        let part = |at: usize| header.get(at).and_then(Value::as_str).unwrap_or("");
        page.push_str(&format!("{}: {}\n", part(0), part(1)));
    }
    page
}

fn plain(head: &Value) -> String {
    let mut page = String::from("Hello from the Farmgate origin. The request, as it came in:\n\n");
    page.push_str(&request_text(head));
    page.push_str("\nTry:\n");
    for (target, does) in TARGETS {
        page.push_str(&format!("  {target:<44} {does}\n"));
    }
    page
}

fn html(head: &Value) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Farmgate origin</title>\
         <h1>Hello from the Farmgate origin</h1><p>The request, as it came in:</p>\
         <pre>{}</pre><ul>\n",
        escaped(&request_text(head))
    );
    for (target, does) in TARGETS {
        let target = escaped(target);
        page.push_str(&format!(
            "<li><a href=\"{target}\">{target}</a> {does}</li>\n"
        ));
    }
    page.push_str("</ul></html>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn markup_in_a_request_stays_text() {
        let head = json!({
            "method": "GET", "target": "/<script>", "version": "HTTP/1.1", "peer": "p",
            "headers": [["x", "\"<b>&"]],
        });
        let page = html(&head);
        assert!(!page.contains("<script>"));
        assert!(page.contains("/&lt;script&gt;"));
        assert!(page.contains("x: &quot;&lt;b&gt;&amp;"));
    }
}
