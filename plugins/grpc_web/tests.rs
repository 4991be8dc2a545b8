use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Verdict};

use super::KIND;
use super::filter::Form;

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, table, services).unwrap()
}

fn asked(built: &Built, content_type: &str) -> (Verdict, Option<bool>) {
    let mut request = FakeRequest::get("/a.B/C").header("content-type", content_type);
    let verdict = compliance::verdict(built.filter.request_head(&mut request));
    (verdict, request.grpc_web)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn forms_are_told_by_the_content_type() {
    for (text, form) in [
        ("application/grpc-web", Form::Binary),
        ("Application/GRPC-Web+proto; charset=x", Form::Binary),
        (" application/grpc-web ;x", Form::Binary),
        ("application/grpc-web-text", Form::Text),
        ("application/grpc-web-text+proto", Form::Text),
        ("application/grpc", Form::Grpc),
        ("application/grpc+json", Form::Grpc),
        ("application/grpc-webx", Form::Other),
        ("application/grpcx", Form::Other),
        ("application/json", Form::Other),
        ("", Form::Other),
    ] {
        assert_eq!(Form::of(text.as_bytes()), form, "{text}");
    }
}

#[test]
fn the_binary_form_is_bridged_and_nothing_else() {
    let services = FakeServices::new();
    let built = build("", &services);
    let (verdict, bridged) = asked(&built, "application/grpc-web+proto");
    assert!(matches!(verdict, Verdict::Continue));
    assert_eq!(bridged, Some(true));
    for other in ["application/grpc", "text/html"] {
        let (verdict, bridged) = asked(&built, other);
        assert!(matches!(verdict, Verdict::Continue), "{other}");
        assert_eq!(bridged, Some(false), "{other}");
    }
    assert_eq!(services.metric("bridged"), 1);
    assert_eq!(services.metric("refused"), 0);
}

#[test]
fn what_cannot_be_bridged_is_refused() {
    let services = FakeServices::new();
    let built = build("others = 'refuse'", &services);
    for (text, detail) in [
        ("application/grpc-web-text", "grpc_web_text"),
        ("text/html", "not_grpc"),
    ] {
        let (verdict, bridged) = asked(&built, text);
        let Verdict::Reply(reply) = verdict else {
            panic!("{text}: {verdict:?}");
        };
        assert_eq!(
            (reply.status.as_u16(), reply.detail, bridged),
            (415, detail, Some(false))
        );
    }
    let (verdict, _) = asked(&built, "application/grpc+proto");
    assert!(matches!(verdict, Verdict::Continue), "gRPC itself passes");
    assert_eq!(services.metric("refused"), 2);
    let error = compliance::build(KIND, "others = 'drop'", &services).err();
    assert!(error.unwrap().contains("test.toml:1:10"));
}

/// An engine without a bridge must not send gRPC-Web to a gRPC service as if all were well.
#[test]
fn without_a_bridge_it_fails() {
    let built = build("", &FakeServices::new());
    let mut request = FakeRequest::get("/").header("content-type", "application/grpc-web");
    request.grpc_web = None;
    let verdict = compliance::verdict(built.filter.request_head(&mut request));
    assert!(matches!(verdict, Verdict::Error(_)));
}
