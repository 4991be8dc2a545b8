//! The words of the `access_control` kind.

use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::list::OneOrMany;
use farmgate_plugin_api::units::Cidr;
use farmgate_plugin_api::words::Status;
use http::StatusCode;
use serde::Deserialize;

use super::cidr_set::{Builder, CidrSet, parse_list};
use super::filter::{AccessControlFilter, Lists, Metrics};

/// Largest list file, in bytes: a million of the longest entries, with comments.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Most files of one list; each is one more look-up.
const MAX_FILES: usize = 8;

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "allow": { "type": "array", "items": { "type": "string" }, "description": "Networks that may pass; with an allow list everyone else is refused." },
    "allow_file": { "$ref": "#/$defs/files", "description": "Files with more of them; read again when they change." },
    "deny": { "type": "array", "items": { "type": "string" }, "description": "Networks that are refused; deny wins over allow." },
    "deny_file": { "$ref": "#/$defs/files", "description": "Files with more of them; read again when they change." },
    "on": { "enum": ["request", "connection"], "default": "request", "description": "Decide about each request by its client's address, or about each connection by its peer's (on listeners only)." },
    "status": { "type": "integer", "minimum": 400, "maximum": 599, "default": 403, "description": "The status of refused requests." },
    "dry_run": { "type": "boolean", "default": false, "description": "Only count what would be refused." }
  },
  "$defs": {
    "files": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": 8 }] }
  }
}"##;

/// The table of an `access_control` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessControlConfig {
    allow: Option<Vec<Cidr>>,
    allow_file: Option<OneOrMany<Located<RelPath>>>,
    #[serde(default)]
    deny: Vec<Cidr>,
    #[serde(default)]
    deny_file: OneOrMany<Located<RelPath>>,
    #[serde(default)]
    on: On,
    status: Option<Located<Status>>,
    #[serde(default)]
    dry_run: bool,
}

/// What is decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum On {
    /// Each request, by the client's address.
    #[default]
    Request,
    /// Each connection when it is accepted, by its peer's address.
    Connection,
}

impl AccessControlConfig {
    /// Checks what the words mean together, and reads the files.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<AccessControlFilter> {
        let before = diagnostics.error_count();
        let has_allow = self.allow.is_some() || self.allow_file.is_some();
        if !has_allow && self.deny.is_empty() && self.deny_file.0.is_empty() {
            let text = "this plugin lets everyone pass";
            let warning = Diagnostic::warning(codes::IDLE, place, text);
            diagnostics.push(warning.with_help("write allow, allow_file, deny or deny_file"));
        }
        let status = match self.status {
            None => StatusCode::FORBIDDEN,
            Some(status) => {
                if status.value.0.as_u16() < 400 {
                    let text = "a refusal needs a status of 400 or more";
                    diagnostics.error(codes::VALUE, &status.place, text);
                }
                status.value.0
            }
        };
        let mut lists = |inline: &[Cidr], files: &[Located<RelPath>]| Lists {
            inline: inline_set(inline),
            files: read_files(files, services, diagnostics),
        };
        let allow_files = self.allow_file.unwrap_or_default().0;
        let allow = has_allow.then(|| lists(&self.allow.unwrap_or_default(), &allow_files));
        let deny = lists(&self.deny, &self.deny_file.0);
        if diagnostics.error_count() > before {
            return None;
        }
        Some(AccessControlFilter {
            on: self.on,
            allow,
            deny,
            status,
            dry_run: self.dry_run,
            metrics: Metrics {
                allowed: services.counter("allowed", "Decisions that let someone pass."),
                denied: services.counter("denied", "Decisions that refused someone."),
                dry_denied: services.counter("dry_denied", "What a dry run would have refused."),
            },
        })
    }
}

fn inline_set(networks: &[Cidr]) -> CidrSet {
    let mut builder = Builder::default();
    for network in networks {
        builder.add(*network);
    }
    builder.build()
}

fn read_files(
    files: &[Located<RelPath>],
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Vec<Arc<ArcSwap<CidrSet>>> {
    if let Some(file) = files.get(MAX_FILES) {
        let text = format!("more than {MAX_FILES} files in one list");
        diagnostics.error(codes::VALUE, &file.place, text);
        return Vec::new();
    }
    let mut sets = Vec::new();
    for file in files {
        let set = Arc::new(ArcSwap::from_pointee(CidrSet::default()));
        let writer = Arc::clone(&set);
        let entries = services.gauge(
            "file_ranges",
            "Ranges of the list file read last, after joining.",
        );
        let parse = move |bytes: &[u8]| {
            let list = parse_list(bytes)?;
            entries.set(i64::try_from(list.len()).unwrap_or(i64::MAX));
            writer.store(Arc::new(list));
            Ok(())
        };
        match services.watch_file(file.path(), MAX_FILE_BYTES, Box::new(parse)) {
            Ok(()) => sets.push(set),
            Err(error) => {
                let text = format!("{}: {error}", file.path().display());
                let error = Diagnostic::error(codes::FILE, &file.place, text);
                let help = "one address or CIDR a line; `#` begins a comment";
                diagnostics.push(error.with_help(help));
            }
        }
    }
    sets
}
