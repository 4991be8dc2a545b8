use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::*;
use crate::decode::decode;
use crate::exchange::{Request, Response};
use crate::filter::{Filter, Phases};
use crate::services::Services;

/// A kind that breaks nearly every rule.
struct Bad;

struct BadFilter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadConfig {
    known: Option<u8>,
}

impl Kind for Bad {
    fn name(&self) -> &'static str {
        "Bad-Kind"
    }

    fn summary(&self) -> &'static str {
        "breaks rules."
    }

    fn readme(&self) -> &'static str {
        "# Bad-Kind\n\n## Options\n"
    }

    fn example(&self) -> &'static str {
        "[[plugin]]\nname = 'a'\nkind = 'Bad-Kind'\nfail = 'open'\n\n\
         [[route]]\nname = 'b'\nplugins = ['a', { kind = 'Bad-Kind', known = 300 }]"
    }

    fn schema(&self) -> &'static str {
        r#"{ "type": "object", "properties": { "other": { "type": "string" } } }"#
    }

    fn build(
        &self,
        _name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: BadConfig = decode(table, diagnostics)?;
        services
            .counter("Seen", "")
            .add(config.known.map_or(0, u64::from));
        Some(Built::new(BadFilter))
    }
}

impl Filter for BadFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY)
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        assert!(!request.host().is_empty(), "on purpose");
        let name = HeaderName::from_static("content-length");
        request.edit().set(&name, HeaderValue::from_static("7"));
        Answer::CONTINUE
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let name = HeaderName::from_static("connection");
        let field = HeaderValue::from_static("close");
        let reply = crate::Reply::new(response.status(), "bad").header(name, field);
        Answer::reply(reply)
    }
}

#[test]
fn the_harness_finds_every_broken_rule() {
    let found = failures(&Bad, &FakeServices::new);
    for rule in [
        "the name `Bad-Kind` is not snake_case",
        "the summary is one line without a full stop",
        "the README has no heading `## Example`",
        "the README has no heading `## Metrics`",
        "the README does not name the option `other`",
        "the README does not name the metric `farmgate_plugin_Bad-Kind_Seen`",
        "the metric `Seen` is not snake_case",
        "a table of the schema lets unknown options in",
        "the schema does not describe `other`",
        "the schema has `other`, the decoder has not",
        "the decoder has `known`, the schema has not",
        "the example does not build",
        "`request_body` and the buffered body mode go together",
        "request_head: panics",
        "request_head: changes the field `content-length`",
        "response_head: replies with the field `connection`",
    ] {
        assert!(found.iter().any(|text| text == rule), "{rule}: {found:#?}");
    }
    let refused = found
        .iter()
        .find(|text| text.starts_with("the example is refused: "));
    assert!(
        refused.is_some_and(|text| text.contains("example.toml:8:")),
        "{found:#?}"
    );
}

#[test]
fn waits_are_driven_and_bounded() {
    assert_eq!(drive(async { 7 }), Some(7));
    assert_eq!(drive(std::future::pending::<()>()), None);
    let never = Answer::Wait(Box::pin(std::future::pending()));
    assert!(matches!(verdict(never), Verdict::Error(_)));
}

#[test]
fn json_is_told_from_what_is_none() {
    let json = Json::parse(r#" { "a" : [1, -2.5e3, null], "b\"\\": { "c": "d\n" } } "#).unwrap();
    let nested = json.get("b\"\\").and_then(|inner| inner.get("c"));
    assert_eq!(nested, Some(&Json::Text("d\n".to_owned())));
    let deep = "[".repeat(100);
    for bad in [
        "",
        "{",
        "{}}",
        "{'a':1}",
        "[1,]",
        "{\"a\" 1}",
        "nul",
        "\"\n\"",
        &deep,
    ] {
        assert!(Json::parse(bad).is_err(), "{bad}");
    }
}
