//! The words of the `validate` kind.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Size;
use farmgate_plugin_api::words::Status;
use http::{Method, StatusCode};
use serde::Deserialize;

use super::contract::{Contract, Rules, compile_openapi, compile_schema};
use super::document::MAX_FILE_BYTES;
use super::filter::{Metrics, ValidateFilter};
use super::json::{Bounds, Duplicates};
use super::media::Range;

const MOST_WORDS: usize = 16;
const DEFAULT_ERRORS: u32 = 10;
const MOST_ERRORS: u32 = 100;
const DEFAULT_DEPTH: u32 = 32;
const MOST_DEPTH: u32 = 100;
/// A value takes up to some 700 bytes of memory while it is checked.
const DEFAULT_VALUES: u32 = 10_000;
const MOST_VALUES: u32 = 1_000_000;
const DEFAULT_BODY: u64 = 1 << 20;
const LEAST_BODY: u64 = 1 << 10;
const MOST_BODY: u64 = 64 << 20;
/// Reasons in the metrics.
const REASONS: usize = 16;

/// The table of a `validate` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValidateConfig {
    openapi: Option<Located<RelPath>>,
    schema: Option<Located<RelPath>>,
    base_path: Option<Located<String>>,
    unknown: Option<Located<Unknown>>,
    unknown_query: Option<Located<Unknown>>,
    methods: Option<Located<Vec<Located<String>>>>,
    content_types: Option<Located<Vec<Located<String>>>>,
    body_required: Option<Located<bool>>,
    #[serde(default)]
    report_only: bool,
    status: Option<Located<Status>>,
    max_errors: Option<Located<u32>>,
    max_body: Option<Located<Size>>,
    max_depth: Option<Located<u32>>,
    max_values: Option<Located<u32>>,
    #[serde(default)]
    duplicate_keys: Duplicates,
    #[serde(default = "yes")]
    formats: bool,
}

/// What becomes of something that the document does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    Refuse,
    Pass,
}

fn yes() -> bool {
    true
}

type Current = Arc<ArcSwapOption<Contract>>;
type Compile = Box<dyn Fn(&[u8]) -> Result<Contract, String> + Send + Sync>;

impl ValidateConfig {
    /// Checks what the words mean together, and reads the file.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<ValidateFilter> {
        let before = diagnostics.error_count();
        let bounds = Bounds {
            depth: number(
                &self.max_depth,
                "max_depth",
                MOST_DEPTH,
                DEFAULT_DEPTH,
                diagnostics,
            ),
            values: number(
                &self.max_values,
                "max_values",
                MOST_VALUES,
                DEFAULT_VALUES,
                diagnostics,
            ),
            duplicates: self.duplicate_keys,
        };
        let most = number(
            &self.max_errors,
            "max_errors",
            MOST_ERRORS,
            DEFAULT_ERRORS,
            diagnostics,
        );
        let rules = Rules {
            bounds,
            most_errors: most,
            base_path: self.base_path(diagnostics),
            refuse_unknown: is_refused(&self.unknown, Unknown::Refuse),
            refuse_unknown_query: is_refused(&self.unknown_query, Unknown::Pass),
        };
        let max_body = self.max_body(diagnostics);
        let status = self.status(diagnostics);
        self.check_company(diagnostics);
        let (file, compile) = self.compiler(place, diagnostics)?;
        let contract = Current::default();
        if diagnostics.error_count() == before {
            read(&file, compile, &contract, services, diagnostics);
        }
        if diagnostics.error_count() > before {
            return None;
        }
        Some(ValidateFilter {
            contract,
            rules: Arc::new(rules),
            max_body,
            status,
            report_only: self.report_only,
            offload: services.offloader(),
            metrics: metrics(services),
        })
    }

    /// The file, and what makes a contract of its content.
    fn compiler(
        &self,
        place: &Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Located<RelPath>, Compile)> {
        let formats = self.formats;
        match (&self.openapi, &self.schema) {
            (Some(file), None) => Some((
                file.clone(),
                Box::new(move |bytes| compile_openapi(bytes, formats)),
            )),
            (None, Some(file)) => {
                let methods = self.methods(diagnostics);
                let ranges = self.ranges(diagnostics);
                let required = self.body_required.as_ref().is_none_or(|one| one.value);
                let compile: Compile = Box::new(move |bytes| {
                    compile_schema(bytes, formats, &methods, &ranges, required)
                });
                Some((file.clone(), compile))
            }
            (Some(_), Some(second)) => {
                let text = "openapi and schema exclude each other";
                let error = Diagnostic::error(codes::OPTIONS, &second.place, text);
                diagnostics.push(error.with_help("a second plugin can check the other one"));
                None
            }
            (None, None) => {
                let text = "there is nothing to check requests against";
                let error = Diagnostic::error(codes::OPTIONS, place, text);
                let help = "write openapi = \"api.yaml\" or schema = \"body.json\"";
                diagnostics.push(error.with_help(help));
                None
            }
        }
    }

    /// Options that mean nothing beside the file that was written.
    fn check_company(&self, diagnostics: &mut Diagnostics) {
        let of_openapi = [
            ("base_path", self.base_path.as_ref().map(|one| &one.place)),
            ("unknown", self.unknown.as_ref().map(|one| &one.place)),
            (
                "unknown_query",
                self.unknown_query.as_ref().map(|one| &one.place),
            ),
        ];
        let of_schema = [
            ("methods", self.methods.as_ref().map(|one| &one.place)),
            (
                "content_types",
                self.content_types.as_ref().map(|one| &one.place),
            ),
            (
                "body_required",
                self.body_required.as_ref().map(|one| &one.place),
            ),
        ];
        let (words, other) = match (&self.openapi, &self.schema) {
            (Some(_), None) => (of_schema, "schema"),
            (None, Some(_)) => (of_openapi, "openapi"),
            _ => return,
        };
        for (word, place) in words {
            if let Some(place) = place {
                let text = format!("{word} means something with {other} only");
                let error = Diagnostic::error(codes::OPTIONS, place, text);
                diagnostics.push(error.with_help("leave it out: the file says it"));
            }
        }
    }

    fn base_path(&self, diagnostics: &mut Diagnostics) -> Box<str> {
        let Some(base) = &self.base_path else {
            return Box::default();
        };
        let path = base.value.trim_end_matches('/');
        if !base.value.starts_with('/') || base.value.contains(['?', '#', '{']) {
            let error = Diagnostic::error(codes::VALUE, &base.place, "this is no path");
            diagnostics.push(error.with_help("write it as \"/v1\""));
        }
        path.into()
    }

    fn methods(&self, diagnostics: &mut Diagnostics) -> Vec<Method> {
        let Some(methods) = &self.methods else {
            return vec![Method::POST, Method::PUT, Method::PATCH];
        };
        check_list("methods", methods, diagnostics);
        let mut all = Vec::new();
        for word in &methods.value {
            match Method::from_bytes(word.as_bytes()) {
                Ok(method) if !word.bytes().any(|b| b.is_ascii_lowercase()) => all.push(method),
                _ => {
                    let text = format!("`{}` is no method", word.value);
                    let error = Diagnostic::error(codes::VALUE, &word.place, text);
                    diagnostics.push(error.with_help("write it in capital letters, as \"POST\""));
                }
            }
        }
        all
    }

    fn ranges(&self, diagnostics: &mut Diagnostics) -> Vec<Range> {
        let Some(kinds) = &self.content_types else {
            return vec![Range::Json];
        };
        check_list("content_types", kinds, diagnostics);
        let mut all = Vec::new();
        for word in &kinds.value {
            match Range::parse(&word.value) {
                Some(range) => all.push(range),
                None => {
                    let text = format!("`{}` is no media type", word.value);
                    let error = Diagnostic::error(codes::VALUE, &word.place, text);
                    let help = "write \"application/json\", \"text/*\", \"*/*+json\" or \"*/*\"";
                    diagnostics.push(error.with_help(help));
                }
            }
        }
        all
    }

    fn max_body(&self, diagnostics: &mut Diagnostics) -> u64 {
        let Some(size) = &self.max_body else {
            return DEFAULT_BODY;
        };
        let bytes = size.value.bytes();
        if !(LEAST_BODY..=MOST_BODY).contains(&bytes) {
            diagnostics.error(codes::VALUE, &size.place, "max_body is from 1KiB to 64MiB");
        }
        bytes
    }

    fn status(&self, diagnostics: &mut Diagnostics) -> StatusCode {
        let Some(status) = &self.status else {
            return StatusCode::BAD_REQUEST;
        };
        if !status.value.0.is_client_error() {
            let error = Diagnostic::error(codes::VALUE, &status.place, "status is from 400 to 499");
            diagnostics.push(error.with_help("400 and 422 are usual"));
        }
        status.value.0
    }
}

fn is_refused(written: &Option<Located<Unknown>>, default: Unknown) -> bool {
    written.as_ref().map_or(default, |one| one.value) == Unknown::Refuse
}

fn check_list<T>(name: &str, list: &Located<Vec<T>>, diagnostics: &mut Diagnostics) {
    if !(1..=MOST_WORDS).contains(&list.len()) {
        let text = format!("{name} holds 1 to {MOST_WORDS}");
        diagnostics.error(codes::VALUE, &list.place, text);
    }
}

fn number(
    written: &Option<Located<u32>>,
    name: &str,
    most: u32,
    default: u32,
    diagnostics: &mut Diagnostics,
) -> usize {
    let value = written.as_ref().map_or(default, |one| one.value);
    if let Some(written) = written
        && !(1..=most).contains(&value)
    {
        let text = format!("{name} is from 1 to {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn read(
    file: &Located<RelPath>,
    compile: Compile,
    contract: &Current,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) {
    let current = Arc::clone(contract);
    let parse = move |bytes: &[u8]| {
        current.store(Some(Arc::new(compile(bytes)?)));
        Ok(())
    };
    if let Err(text) = services.watch_file(file.path(), MAX_FILE_BYTES, Box::new(parse)) {
        let text = format!("{}: {text}", file.value.written());
        diagnostics.error(codes::FILE, &file.place, text);
    }
}

fn metrics(services: &dyn Services) -> Metrics {
    Metrics {
        valid: services.counter("valid", "Requests that are as the contract says."),
        unknown: services.counter(
            "unknown",
            "Requests that the contract does not know, and that passed.",
        ),
        refused: services.counter_by("refused", "Requests that were refused.", "reason", REASONS),
        reported: services.counter_by(
            "reported",
            "What would have been refused, where faults are only reported.",
            "reason",
            REASONS,
        ),
        busy: services.counter(
            "busy",
            "Bodies that were checked on a thread that serves, because no other was free.",
        ),
    }
}
