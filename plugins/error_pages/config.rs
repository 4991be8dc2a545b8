//! The words of the `error_pages` kind.

use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, RelPath};
use farmgate_plugin_api::kind::codes;
use serde::Deserialize;

use super::filter::ErrorPagesFilter;
use super::page::{MOST_TEMPLATE, Page};
use super::status::{StatusWord, StatusWords};

/// Most pages, and statuses of one.
const MOST: usize = 64;

/// The page where none is written.
const USUAL: &str = include_str!("page.html");

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "origin": { "type": "boolean", "default": false, "description": "Whether errors of origins get pages, too; else only our own." },
    "pages": {
      "type": "array", "minItems": 1, "maxItems": 64,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["status"],
        "properties": {
          "status": { "description": "Errors the page is for: 400 to 599, `4xx`, `5xx`, or a list of them." },
          "html": { "type": "string", "description": "The template." },
          "file": { "type": "string", "description": "A file with the template; read again when it changes. Not together with html." }
        }
      },
      "description": "The pages; without it a plain one for all errors."
    }
  }
}"#;

/// The table of an `error_pages` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorPagesConfig {
    #[serde(default)]
    origin: bool,
    pages: Option<Located<Vec<Located<PageConfig>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageConfig {
    status: Located<StatusWords>,
    html: Option<Located<String>>,
    file: Option<Located<RelPath>>,
}

impl ErrorPagesConfig {
    /// Checks what the words mean together, and compiles the templates.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<ErrorPagesFilter> {
        let before = diagnostics.error_count();
        let mut pages: Vec<(StatusWord, Arc<ArcSwap<Page>>)> = Vec::new();
        match &self.pages {
            None => {
                let page = Arc::new(ArcSwap::from_pointee(Page::compile(USUAL).ok()?));
                pages.push((StatusWord::Class(4), Arc::clone(&page)));
                pages.push((StatusWord::Class(5), page));
            }
            Some(list) => {
                check_length("pages", list.value.len(), list, diagnostics);
                for words in &list.value {
                    let page = page(words, services, diagnostics);
                    let statuses = &words.value.status;
                    check_length("status", statuses.value.0.len(), statuses, diagnostics);
                    for status in &statuses.value.0 {
                        if pages.iter().any(|(of, _)| of == status) {
                            let text = format!("{status} has a page already");
                            diagnostics.error(codes::VALUE, &statuses.place, text);
                        }
                        if let Some(page) = &page {
                            pages.push((*status, Arc::clone(page)));
                        }
                    }
                }
            }
        }
        (diagnostics.error_count() == before).then(|| ErrorPagesFilter {
            pages,
            origin: self.origin,
            rendered: services.counter("rendered", "Errors whose body was replaced."),
        })
    }
}

fn check_length<T>(name: &str, count: usize, place: &Located<T>, diagnostics: &mut Diagnostics) {
    if !(1..=MOST).contains(&count) {
        let text = format!("{name} holds {count} entries; 1 to {MOST} are possible");
        diagnostics.error(codes::VALUE, &place.place, text);
    }
}

fn page(
    words: &Located<PageConfig>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ArcSwap<Page>>> {
    match (&words.value.html, &words.value.file) {
        (Some(text), None) => match Page::compile(&text.value) {
            Ok(page) => Some(Arc::new(ArcSwap::from_pointee(page))),
            Err(error) => {
                let message = format!("the template is wrong: {error}");
                diagnostics.error(codes::VALUE, &text.place, message);
                None
            }
        },
        (None, Some(file)) => watch(file, services, diagnostics),
        (None, None) => {
            let error =
                Diagnostic::error(codes::OPTIONS, &words.place, "this page has no template");
            diagnostics.push(error.with_help("write html = \"...\" or file = \"...\""));
            None
        }
        (Some(_), Some(file)) => {
            let text = "html and file exclude each other";
            let error = Diagnostic::error(codes::OPTIONS, &file.place, text);
            diagnostics.push(error.with_help("leave out one of them"));
            None
        }
    }
}

/// Reads a template now and when it changes; a later version that is wrong is not taken.
fn watch(
    file: &Located<RelPath>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ArcSwap<Page>>> {
    let page = Page::compile("").ok()?;
    let page = Arc::new(ArcSwap::from_pointee(page));
    let writer = Arc::clone(&page);
    let parse = move |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        writer.store(Arc::new(Page::compile(text)?));
        Ok(())
    };
    let path = file.path();
    match services.watch_file(path, MOST_TEMPLATE, Box::new(parse)) {
        Ok(()) => Some(page),
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            diagnostics.error(codes::FILE, &file.place, text);
            None
        }
    }
}
