//! Which requests are gRPC-Web. The engine does the rest: only it can turn trailers into a body.

use std::sync::Arc;

use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::Counter;
use farmgate_plugin_api::{Answer, Filter, Phases, Reply};
use http::{StatusCode, header};

use super::config::Others;

/// Bridges gRPC-Web to gRPC.
pub(super) struct GrpcWebFilter {
    pub(super) others: Others,
    pub(super) bridged: Arc<dyn Counter>,
    pub(super) refused: Arc<dyn Counter>,
}

/// What a content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/grpc-web`, `application/grpc-web+proto`.
    Binary,
    /// `application/grpc-web-text`: base64.
    Text,
    /// gRPC itself.
    Grpc,
    /// Anything else.
    Other,
}

impl Form {
    /// Reads a content type, in any letter case, parameters aside (RFC 9110, section 8.3.1).
    pub(super) fn of(content_type: &[u8]) -> Self {
        let essence = content_type.split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let format = |name: &[u8]| {
            let (head, tail) = essence.split_at_checked(name.len())?;
            (head.eq_ignore_ascii_case(name) && (tail.is_empty() || tail.starts_with(b"+")))
                .then_some(())
        };
        if format(b"application/grpc-web").is_some() {
            Self::Binary
        } else if format(b"application/grpc-web-text").is_some() {
            Self::Text
        } else if format(b"application/grpc").is_some() {
            Self::Grpc
        } else {
            Self::Other
        }
    }
}

impl Filter for GrpcWebFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let value = request.headers().get(header::CONTENT_TYPE);
        let form = value.map_or(Form::Other, |value| Form::of(value.as_bytes()));
        let detail = match (form, self.others) {
            (Form::Binary, _) => {
                if !request.bridge_grpc_web() {
                    return Answer::error("this engine has no bridge to gRPC");
                }
                self.bridged.add(1);
                return Answer::CONTINUE;
            }
            (Form::Grpc, _) | (Form::Other, Others::Pass) => return Answer::CONTINUE,
            (Form::Text, _) => "grpc_web_text",
            (Form::Other, Others::Refuse) => "not_grpc",
        };
        self.refused.add(1);
        Answer::reply(Reply::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}
