use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::{Built, Phases};
use http::{HeaderMap, StatusCode};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn removes_then_sets_then_adds() {
    let built = build(
        "request.remove = ['x-a', 'x-gone']\n\
         request.set = { 'X-B' = 'new' }\n\
         request.add = { x-a = 'fresh', x-b = ['more', 'most'] }",
    )
    .unwrap();
    let mut request = FakeRequest::get("/")
        .header("x-a", "old")
        .header("x-b", "1")
        .header("x-b", "2");
    assert_eq!(built.filter.phases(), Phases::REQUEST_HEAD);
    compliance::verdict(built.filter.request_head(&mut request));
    assert_eq!(all(&request.headers.0, "x-a"), ["fresh"]);
    assert_eq!(all(&request.headers.0, "x-b"), ["new", "more", "most"]);
}

#[test]
fn templates_see_the_request_in_both_directions() {
    let built = build(
        "request.set = { x-who = '{header:x-user}@{host}' }\n\
         response.set = { x-id = 'order {id}', x-none = '{header:x-absent}' }",
    )
    .unwrap();
    assert_eq!(built.filter.captures(), ["id"]);
    let mut request = FakeRequest::get("/")
        .header("x-user", "ann")
        .capture("id", "7");
    compliance::verdict(built.filter.request_head(&mut request));
    assert_eq!(all(&request.headers.0, "x-who"), ["ann@www.example.test"]);
    let mut response = FakeResponse::new(request, StatusCode::OK);
    compliance::verdict(built.filter.response_head(&mut response));
    assert_eq!(all(&response.headers.0, "x-id"), ["order 7"]);
    assert_eq!(all(&response.headers.0, "x-none"), [""]);
}

#[test]
fn names_that_frame_messages_are_refused_where_they_stand() {
    for (table, place) in [
        ("request.remove = ['Transfer-Encoding']", "1:19"),
        ("request.set = { host = 'x' }", "1:17"),
        ("response.add = { content-length = '1' }", "1:18"),
        ("response.set = { 'x y' = '1' }", "1:18"),
        ("response.set = { x-a = '{' }", "1:24"),
        ("response.set = { x-a = \"a\\r\\nb: c\" }", "1:24"),
    ] {
        let error = build(table).err().unwrap();
        assert!(
            error.contains(&format!("test.toml:{place}: ")),
            "{table}: {error}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let error = build("request.sett = {}\nresponse.remove = 'server'\nresponce = {}")
        .err()
        .unwrap();
    for text in ["\"set\"", "test.toml:2:", "\"response\""] {
        assert!(error.contains(text), "{text} in {error}");
    }
}

#[test]
fn a_plugin_that_does_nothing_is_a_warning() {
    assert!(build("").err().unwrap().contains("edits nothing"));
}
