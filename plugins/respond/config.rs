//! The words of the `respond` kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, RelPath};
use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::{Cidr, Duration};
use farmgate_plugin_api::words::{ResponseField, Status};
use http::{HeaderName, StatusCode, header};
use serde::Deserialize;

use super::filter::{Body, RespondFilter};

/// Largest body that is read from a file, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Most networks of `allow`: each is looked at for each request.
const MAX_ALLOWED: usize = 1024;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "status": { "type": "integer", "minimum": 200, "maximum": 599, "default": 200, "description": "The status." },
    "body": { "type": "string", "description": "The body, sent as written." },
    "file": { "type": "string", "description": "A file with the body; read again when it changes. Not together with body." },
    "content_type": { "type": "string", "description": "The content-type; else text/plain for a body, and by the name for a file." },
    "headers": { "type": "object", "additionalProperties": { "type": "string" }, "description": "More header fields. Values are templates." },
    "allow": { "type": "array", "items": { "type": "string" }, "maxItems": 1024, "description": "Networks whose clients pass on instead." },
    "retry_after": { "type": "string", "description": "When to come back, as a time with its unit, for maintenance." }
  }
}"#;

/// The table of a `respond` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RespondConfig {
    status: Option<Located<Status>>,
    body: Option<Located<String>>,
    file: Option<Located<RelPath>>,
    content_type: Option<FieldValue>,
    #[serde(default)]
    headers: BTreeMap<ResponseField, FieldValue>,
    retry_after: Option<Located<Duration>>,
    allow: Option<Located<Vec<Cidr>>>,
}

impl RespondConfig {
    /// Checks what the words mean together, and reads the file.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<RespondFilter> {
        let place = self.status.as_ref().map(|status| status.place.clone());
        let status = self.status.map_or(StatusCode::OK, |s| s.value.0);
        let mut content_type = self.content_type;
        let bodiless = matches!(status.as_u16(), 204 | 205 | 304);
        let written = self.body.is_some() || self.file.is_some();
        if bodiless && written {
            let text = format!("a response with status {} has no body", status.as_u16());
            let place = place.unwrap_or_else(Place::none);
            let error = Diagnostic::error(codes::OPTIONS, &place, text);
            diagnostics.push(error.with_help("leave out body and file, or take another status"));
            return None;
        }
        let body = match (self.body, self.file) {
            (Some(_), Some(file)) => {
                let text = "body and file exclude each other";
                let error = Diagnostic::error(codes::OPTIONS, &file.place, text);
                diagnostics.push(error.with_help("leave out one of them"));
                return None;
            }
            (None, Some(file)) => {
                content_type = content_type.or_else(|| type_of(file.path()));
                Body::File(watch(&file, services, diagnostics)?)
            }
            (body, None) => Body::Text(body.map(|b| Bytes::from(b.value)).unwrap_or_default()),
        };
        if written && content_type.is_none() {
            content_type = FieldValue::parse("text/plain; charset=utf-8").ok();
        }
        let allow = match self.allow {
            Some(list) if list.value.is_empty() || list.value.len() > MAX_ALLOWED => {
                let text = format!("allow has {} networks", list.value.len());
                let error = Diagnostic::error(codes::VALUE, &list.place, text);
                diagnostics.push(error.with_help(format!(
                    "write 1 to {MAX_ALLOWED} networks, or leave allow out to answer everybody"
                )));
                return None;
            }
            list => list.map(|list| list.value.into()).unwrap_or_default(),
        };
        Some(RespondFilter {
            allow,
            status,
            body,
            headers: fields(self.headers, content_type, self.retry_after),
        })
    }
}

/// The fields of the reply. What `headers` names wins over the two options of their own.
fn fields(
    headers: BTreeMap<ResponseField, FieldValue>,
    content_type: Option<FieldValue>,
    retry_after: Option<Located<Duration>>,
) -> Box<[(HeaderName, FieldValue)]> {
    let mut fields: Vec<_> = headers.into_iter().map(|(n, value)| (n.0, value)).collect();
    let retry_after = retry_after.and_then(|time| {
        let seconds = time.value.get().as_millis().div_ceil(1000);
        FieldValue::parse(&seconds.to_string()).ok()
    });
    let own = [
        (header::CONTENT_TYPE, content_type),
        (header::RETRY_AFTER, retry_after),
    ];
    for (name, value) in own {
        if let Some(value) = value
            && fields.iter().all(|(have, _)| *have != name)
        {
            fields.push((name, value));
        }
    }
    fields.into()
}

fn watch(
    file: &Located<RelPath>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ArcSwap<Bytes>>> {
    let content = Arc::new(ArcSwap::from_pointee(Bytes::new()));
    let writer = Arc::clone(&content);
    let parse = move |bytes: &[u8]| {
        writer.store(Arc::new(Bytes::copy_from_slice(bytes)));
        Ok(())
    };
    let path = file.path();
    match services.watch_file(path, MAX_FILE_BYTES, Box::new(parse)) {
        Ok(()) => Some(content),
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            diagnostics.error(codes::FILE, &file.place, text);
            None
        }
    }
}

/// The content type that a file's name promises.
fn type_of(path: &Path) -> Option<FieldValue> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let value = match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        _ => "application/octet-stream",
    };
    FieldValue::parse(value).ok()
}
