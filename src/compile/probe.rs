//! A plugin kind for tests: it buffers, waits, panics, fails and answers on demand, so that the
//! engine's promises to plugins can be seen from outside. Builds with debug assertions have it when
//! the environment says `FARMGATE_TEST_PLUGINS=1`; release builds never do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::Credential;
use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::units::{Duration as Time, Size};
use farmgate_plugin_api::{
    Answer, BodyMode, Built, Consumer, Filter, FilterError, Kind, OverLimit, Phases, Reply,
    Request, Response, Services, UpstreamRequest, Verdict,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

/// The kind.
pub struct Probe;

/// True if the kind is to be had.
pub fn is_on() -> bool {
    std::env::var_os("FARMGATE_TEST_PLUGINS").is_some_and(|value| value == "1")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    buffer: Option<Size>,
    over: Over,
    replace_body: Option<String>,
    panic_in: Option<String>,
    error_in: Option<String>,
    wait: Option<Time>,
    reply: Option<u16>,
    add_response_headers: u32,
    consumer: Option<String>,
    plan: Option<String>,
    tags: Vec<String>,
    credential_query: Option<String>,
    by_authorization: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffer: None,
            over: Over::Refuse,
            replace_body: None,
            panic_in: None,
            error_in: None,
            wait: None,
            reply: None,
            add_response_headers: 0,
            consumer: None,
            plan: None,
            tags: Vec::new(),
            credential_query: None,
            by_authorization: false,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Over {
    Refuse,
    Partial,
}

impl Kind for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn summary(&self) -> &'static str {
        "for tests"
    }
    fn readme(&self) -> &'static str {
        "For tests."
    }
    fn example(&self) -> &'static str {
        ""
    }
    fn schema(&self) -> &'static str {
        r#"{"type":"object"}"#
    }
    fn build(
        &self,
        _name: &str,
        table: &Table,
        _services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let options: Options = decode(table, diagnostics)?;
        let field = options.consumer.as_deref().map(HeaderName::try_from);
        let field = field.into_iter().flatten().map(Credential::Header);
        let query = options.credential_query.as_deref().into_iter();
        let query = query.map(|name| Credential::Query(name.into()));
        Some(Built::new(Probing {
            credentials: field.chain(query).collect(),
            options: Arc::new(options),
        }))
    }
}

struct Probing {
    options: Arc<Options>,
    credentials: Vec<Credential>,
}

impl Probing {
    fn misbehave(&self, phase: &str) -> Result<(), FilterError> {
        assert!(
            self.options.panic_in.as_deref() != Some(phase),
            "the probe panics in {phase}"
        );
        if self.options.error_in.as_deref() == Some(phase) {
            return Err(FilterError::new("the probe fails on demand"));
        }
        Ok(())
    }

    /// The field that `consumer` names says who it is.
    fn identify(&self, request: &mut dyn Request) {
        let name = self.options.consumer.as_deref();
        let Some(Ok(name)) = name.map(HeaderName::try_from) else {
            return;
        };
        let who = request.edit().map().get(&name).cloned();
        if let Some(who) = who.as_ref().and_then(|who| who.to_str().ok()) {
            request.set_consumer(Consumer {
                name: who.into(),
                by: "probe",
                plan: self.options.plan.as_deref().map(Into::into),
                tags: self
                    .options
                    .tags
                    .iter()
                    .map(|tag| tag.as_str().into())
                    .collect(),
                by_authorization: self.options.by_authorization,
            });
        }
    }

    fn answer(&self, phase: &str) -> Answer<'static> {
        match self.misbehave(phase) {
            Ok(()) => Answer::CONTINUE,
            Err(error) => Answer::Now(Verdict::Error(error)),
        }
    }
}

impl Filter for Probing {
    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }
    fn phases(&self) -> Phases {
        Phases::ALL
            .iter()
            .filter(|(phase, _)| *phase != Phases::ACCEPT)
            .fold(Phases::NONE, |all, (phase, _)| all.and(*phase))
    }

    fn body_mode(&self) -> BodyMode {
        match self.options.buffer {
            Some(limit) => BodyMode::Buffered {
                limit: limit.bytes(),
                over: match self.options.over {
                    Over::Refuse => OverLimit::Refuse,
                    Over::Partial => OverLimit::Partial,
                },
            },
            None => BodyMode::Streamed,
        }
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        self.identify(request);
        for n in 0..self.options.add_response_headers {
            if let Ok(name) = HeaderName::try_from(format!("x-probe-{n}")) {
                request.add_response_header(name, HeaderValue::from_static("1"));
            }
        }
        if let Some(wait) = self.options.wait {
            let wait: Duration = wait.get();
            return Answer::Wait(Box::pin(async move {
                tokio::time::sleep(wait).await;
                Verdict::Continue
            }));
        }
        if let Some(status) = self.options.reply
            && let Ok(status) = StatusCode::from_u16(status)
        {
            return Answer::reply(Reply::problem(status, "probe"));
        }
        self.answer("request_head")
    }

    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        let length = HeaderValue::from(body.len());
        request
            .edit()
            .set(&HeaderName::from_static("x-probe-buffered"), length);
        if let Some(text) = &self.options.replace_body {
            body.replace(Bytes::from(text.clone()));
        }
        self.answer("request_body")
    }

    fn upstream_request<'a>(&'a self, request: &'a mut dyn UpstreamRequest) -> Answer<'a> {
        let attempt = HeaderValue::from(u16::from(request.attempt()));
        request
            .edit()
            .set(&HeaderName::from_static("x-probe-attempt"), attempt);
        self.answer("upstream_request")
    }

    fn request_chunk(
        &self,
        _: &mut dyn Request,
        _: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), FilterError> {
        self.misbehave("request_chunk")
    }

    fn origin_head<'a>(&'a self, _: &'a mut dyn Response) -> Answer<'a> {
        self.answer("origin_head")
    }

    fn origin_body(
        &self,
        _: &mut dyn Request,
        _: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), FilterError> {
        self.misbehave("origin_body")
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let local = if response.is_local() { "yes" } else { "no" };
        response.edit().set(
            &HeaderName::from_static("x-probe-local"),
            HeaderValue::from_static(local),
        );
        self.answer("response_head")
    }

    fn response_body(
        &self,
        _: &mut dyn Request,
        _: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), FilterError> {
        self.misbehave("response_body")
    }
}
