//! A page's template: compiled and tried before it is used, and bounded when it is.

use std::io::{self, Write};

use bytes::Bytes;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

/// What a template may name.
pub(super) const NAMES: [&str; 4] = ["detail", "request_id", "status", "title"];

/// Largest template, bytes.
pub(super) const MOST_TEMPLATE: u64 = 256 * 1024;

/// Largest page, bytes.
const MOST_PAGE: usize = 512 * 1024;

/// Steps of a template: enough for each of its bytes to be one.
const FUEL: u64 = 500_000;

const NAME: &str = "page";

/// What is told of an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) status: u16,
    pub(super) title: &'a str,
    pub(super) request_id: &'a str,
    pub(super) detail: &'a str,
}

/// A compiled template.
#[derive(Debug)]
pub(super) struct Page(Environment<'static>);

impl Page {
    /// Compiles one, and tries it.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        if u64::try_from(text.len()).is_ok_and(|len| len > MOST_TEMPLATE) {
            return Err(format!("is larger than {MOST_TEMPLATE} bytes"));
        }
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        // An id may come from the client: nothing goes out as it is.
        environment.remove_filter("safe");
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| said(&error))?;
        let page = Self(environment);
        page.check_names()?;
        for told in TRIALS {
            page.render(told)?;
        }
        Ok(page)
    }

    fn check_names(&self) -> Result<(), String> {
        let template = self.0.get_template(NAME).map_err(|error| said(&error))?;
        let source = template.source();
        let unescaped = |tag: &str| {
            let tag = tag.trim_start_matches(['-', '+']).trim_start();
            tag.starts_with("autoescape")
        };
        if source.split("{%").skip(1).any(unescaped) {
            return Err("`autoescape` is not possible: values are escaped always".to_owned());
        }
        let known = |name: &str| {
            NAMES.contains(&name) || self.0.globals().any(|(global, _)| global == name)
        };
        let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !known(name));
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(name) => Err(format!(
                "`{name}` is nothing that is told of an error: there are {}",
                NAMES.join(", ")
            )),
        }
    }

    /// Makes the page of an error.
    ///
    /// # Errors
    /// A short text: the template took too many steps, or wrote too much.
    pub(super) fn render(&self, told: Told<'_>) -> Result<Bytes, String> {
        let template = self.0.get_template(NAME).map_err(|error| said(&error))?;
        let values = context! {
            status => told.status,
            title => told.title,
            request_id => told.request_id,
            detail => told.detail,
        };
        let mut out = Bounded(Vec::with_capacity(1024));
        template
            .render_captured_to(values, &mut out)
            .map_err(|error| said(&error))?;
        Ok(out.0.into())
    }
}

/// What a template is tried with: as much as it may get, and as little.
const TRIALS: [Told<'static>; 2] = [
    Told {
        status: 503,
        title: "Service Unavailable",
        request_id: "0123456789abcdef0123456789abcdef",
        detail: "upstream_connect",
    },
    Told {
        status: 404,
        title: "Not Found",
        request_id: "<1>",
        detail: "",
    },
];

/// A mistake in one line, with its place in the template.
fn said(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: "));
    let what = error.detail().map(|detail| format!(": {detail}"));
    format!(
        "{}{}{}",
        line.unwrap_or_default(),
        error.kind(),
        what.unwrap_or_default()
    )
}

/// Takes up to [`MOST_PAGE`] bytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_PAGE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
