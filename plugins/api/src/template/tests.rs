use super::*;
use crate::compliance::FakeRequest;

fn render(template: &str, escape: Escape, request: &FakeRequest) -> String {
    let mut out = String::new();
    let template = Template::parse(template).unwrap();
    template.render(request, escape, &mut out);
    out
}

#[test]
fn text_sources_captures_and_braces() {
    let request = FakeRequest::get("/old/a")
        .capture("rest", "a")
        .header("x-user", "ann");
    assert_eq!(
        render("/new/{rest}/{header:x-user}{{}}", Escape::None, &request),
        "/new/a/ann{}}"
    );
    assert_eq!(render("[{missing}]", Escape::None, &request), "[]");
    assert_eq!(render("", Escape::None, &request), "");
}

#[test]
fn a_template_says_what_it_needs() {
    let template = Template::parse("/{a}/{host}/{b}").unwrap();
    assert_eq!(template.captures().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(template.constant(), None);
    assert_eq!(Template::parse("a{{b").unwrap().constant(), Some("a{b"));
    assert_eq!(Template::parse("").unwrap().constant(), Some(""));
}

#[test]
fn mistakes_are_named() {
    for text in ["{", "a{rest", "{}", "{header:}", "{header}", "{a b}", "{1}"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    let error = Template::parse("{heder:x}").unwrap_err();
    assert!(error.help.contains("header:NAME"), "{}", error.help);
}

#[test]
fn values_cannot_leave_their_place() {
    let request = FakeRequest::get("/?v=a%2Fb%3Fc%23d%26e%3Df%25%0d%0a%C3%A9%20");
    assert_eq!(
        render("{query:v}", Escape::PathSegment, &request),
        "a%2Fb%3Fc%23d&e=f%25%0D%0A%C3%A9%20"
    );
    assert_eq!(
        render("{query:v}", Escape::QueryValue, &request),
        "a/b?c%23d%26e%3Df%25%0D%0A%C3%A9%20"
    );
    assert_eq!(
        render("{query:v}", Escape::HeaderValue, &request),
        "a/b?c#d&e=f%  é "
    );
}

#[test]
fn what_comes_from_the_path_keeps_its_escapes() {
    let request = FakeRequest::get("/a%20b/c").capture("rest", "x%2Fy/z;a=1");
    let path = |text: &str| render(text, Escape::PathSegment, &request);
    assert_eq!(path("{path}"), "/a%20b/c");
    assert_eq!(path("{rest}"), "x%2Fy/z;a=1");
    assert_eq!(
        render("{rest}", Escape::QueryValue, &request),
        "x%2Fy/z;a%3D1"
    );
}

#[test]
fn a_url_changes_its_escaping_at_the_question_mark() {
    let request = FakeRequest::get("/?v=a%26b").capture("rest", "x/y");
    let mut out = String::new();
    let template = Template::parse("/to/{rest}/{query:v}?from={query:v}&at={path}").unwrap();
    template.render_url(&request, &mut out);
    assert_eq!(out, "/to/x/y/a&b?from=a%26b&at=/");
}
