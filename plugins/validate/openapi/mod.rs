//! An OpenAPI 3.1 document as rules for requests: its operations by path and method.

pub(super) mod hint;
pub(super) mod parameter;
pub(super) mod paths;

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::body::{BodyRule, MediaRule};
use super::fault::{Place, below};
use super::media::{Range, reader};
use super::schemas::Schemas;
use hint::Hint;
use parameter::{Parameter, Style};
use paths::Paths;

/// Most operations of a document.
const MOST_OPERATIONS: usize = 5000;
/// Most parameters of an operation.
const MOST_PARAMETERS: usize = 100;
/// Most media types of a body.
const MOST_MEDIA: usize = 32;

const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];
/// Fields that parameters cannot describe: the specification says to leave them out.
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// The operations of a document.
#[derive(Debug, Default)]
pub(super) struct OpenApi {
    pub(super) paths: Paths,
    pub(super) items: Vec<Item>,
}

/// The operations of a path.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) operations: Vec<(Method, Operation)>,
    /// The field `Allow`.
    pub(super) allow: Option<HeaderValue>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// Parameters; those in the path come first, in the order of the template.
    pub(super) parameters: Vec<Parameter>,
    pub(super) in_path: usize,
    pub(super) body: Option<BodyRule>,
}

impl Item {
    /// The operation of a method. A HEAD without one of its own is checked as a GET.
    pub(super) fn operation(&self, method: &Method) -> Option<&Operation> {
        let find = |method: &Method| {
            let mut all = self.operations.iter();
            all.find(|(own, _)| own == method)
                .map(|(_, operation)| operation)
        };
        find(method).or_else(|| {
            (*method == Method::HEAD)
                .then(|| find(&Method::GET))
                .flatten()
        })
    }
}

/// Compiles a document.
///
/// # Errors
/// What is wrong, with its place in the document.
pub(super) fn compile(schemas: &Schemas<'_>) -> Result<OpenApi, String> {
    let document = schemas.document();
    let version = document.get("openapi").and_then(Value::as_str);
    if !version.is_some_and(|version| version == "3.1" || version.starts_with("3.1.")) {
        return Err("openapi must be 3.1: earlier schemas mean other things".to_owned());
    }
    let mut all = OpenApi::default();
    let mut operations = 0;
    let paths = document.get("paths").and_then(Value::as_object);
    for template in paths.into_iter().flat_map(|paths| paths.keys()) {
        if template.starts_with("x-") {
            continue;
        }
        let wrong = |text: String| format!("the path {template:?}: {text}");
        let at = below("/paths", template);
        let names = all.paths.add(template, all.items.len()).map_err(wrong)?;
        let (at, item) = schemas.follow(at).map_err(wrong)?;
        let mut compiled = Item::default();
        for (word, method) in METHODS {
            if item.get(word).is_none() {
                continue;
            }
            operations += 1;
            if operations > MOST_OPERATIONS {
                return Err(format!("there are more than {MOST_OPERATIONS} operations"));
            }
            let place = Compiling {
                schemas,
                item: &at,
                operation: &format!("{at}/{word}"),
                names: &names,
            };
            let operation = place.compile()?;
            compiled.operations.push((method, operation));
        }
        let allowed = compiled
            .operations
            .iter()
            .map(|(method, _)| method.as_str());
        let allowed: Vec<&str> = allowed.collect();
        compiled.allow = HeaderValue::try_from(allowed.join(", ")).ok();
        all.items.push(compiled);
    }
    if operations == 0 {
        return Err("it has no operations".to_owned());
    }
    Ok(all)
}

/// An operation that is being compiled.
struct Compiling<'c> {
    schemas: &'c Schemas<'c>,
    /// The place of the path item.
    item: &'c str,
    /// The place of the operation.
    operation: &'c str,
    /// The names in the path's template.
    names: &'c [Box<str>],
}

impl Compiling<'_> {
    fn compile(&self) -> Result<Operation, String> {
        // Those of the operation replace those of the path item with the same name and place.
        let mut found: BTreeMap<(&'static str, String), Parameter> = BTreeMap::new();
        for at in [self.item, self.operation] {
            let list = self.schemas.document().pointer(&format!("{at}/parameters"));
            let all = list.and_then(Value::as_array).map_or(0, Vec::len);
            if all > MOST_PARAMETERS {
                return Err(format!(
                    "#{at}/parameters: there are more than {MOST_PARAMETERS}"
                ));
            }
            for index in 0..all {
                if let Some(parameter) = self.parameter(format!("{at}/parameters/{index}"))? {
                    let key = (parameter.place.word(), parameter.name.to_string());
                    found.insert(key, parameter);
                }
            }
        }
        let mut parameters = Vec::new();
        for name in self.names {
            let parameter = found.remove(&(Place::Path.word(), name.to_string()));
            parameters.push(parameter.unwrap_or_else(|| Parameter {
                name: name.clone(),
                place: Place::Path,
                field: None,
                required: true,
                style: SIMPLE,
                hint: Hint::default(),
                schema: None,
            }));
        }
        if let Some((_, name)) = found.keys().find(|(place, _)| *place == Place::Path.word()) {
            let at = self.operation;
            return Err(format!("#{at}: the path has no parameter {name:?}"));
        }
        let in_path = parameters.len();
        parameters.extend(found.into_values());
        Ok(Operation {
            parameters,
            in_path,
            body: self.body()?,
        })
    }

    fn parameter(&self, at: String) -> Result<Option<Parameter>, String> {
        let (at, words) = self.schemas.follow(at)?;
        let wrong = |text: &str| format!("#{at}: {text}");
        let text = |word: &str| words.get(word).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| wrong("it has no name"))?;
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => return Err(wrong("in is path, query, header or cookie")),
        };
        let field = match place {
            Place::Header => {
                let field = HeaderName::from_bytes(name.as_bytes());
                Some(field.map_err(|_| wrong("its name is no name of a header field"))?)
            }
            _ => None,
        };
        if field
            .as_ref()
            .is_some_and(|field| NOT_PARAMETERS.contains(&field.as_str()))
        {
            return Ok(None);
        }
        let (schema, style) = match words.get("content").and_then(Value::as_object) {
            Some(content) => {
                let kind = content
                    .keys()
                    .next()
                    .map(String::as_str)
                    .unwrap_or_default();
                if content.len() != 1 || kind != "application/json" {
                    return Err(wrong(
                        "only application/json can be the content of a parameter",
                    ));
                }
                (
                    format!("{at}/content/application~1json/schema"),
                    Style::Json,
                )
            }
            None => (
                format!("{at}/schema"),
                style(place, words).map_err(|text| wrong(&text))?,
            ),
        };
        let has_schema = self.schemas.document().pointer(&schema).is_some();
        Ok(Some(Parameter {
            name: name.into(),
            place,
            field,
            required: place == Place::Path || is_true(words, "required"),
            style,
            hint: Hint::of(self.schemas, &schema),
            schema: has_schema
                .then(|| self.schemas.compile(&schema))
                .transpose()?,
        }))
    }

    fn body(&self) -> Result<Option<BodyRule>, String> {
        let at = format!("{}/requestBody", self.operation);
        if self.schemas.document().pointer(&at).is_none() {
            return Ok(None);
        }
        let (at, words) = self.schemas.follow(at)?;
        let content = words.get("content").and_then(Value::as_object);
        let mut media = Vec::new();
        for kind in content.into_iter().flat_map(|content| content.keys()) {
            let schema = format!("{}/schema", below(&format!("{at}/content"), kind));
            let range = Range::parse(kind);
            let range = range.ok_or_else(|| format!("#{at}: {kind:?} is no media type"))?;
            let has_schema = self.schemas.document().pointer(&schema).is_some();
            media.push(MediaRule {
                reader: match &range {
                    Range::One(essence) => Some(reader(essence)),
                    _ => None,
                },
                range,
                hint: Hint::of(self.schemas, &schema),
                schema: has_schema
                    .then(|| self.schemas.compile(&schema))
                    .transpose()?,
            });
        }
        if media.is_empty() || media.len() > MOST_MEDIA {
            return Err(format!("#{at}: content has 1 to {MOST_MEDIA} media types"));
        }
        Ok(Some(BodyRule {
            required: is_true(words, "required"),
            media,
        }))
    }
}

const SIMPLE: Style = Style::Joined {
    by: ',',
    explode: false,
};

fn is_true(words: &Value, word: &str) -> bool {
    words.get(word).and_then(Value::as_bool).unwrap_or(false)
}

fn style(place: Place, words: &Value) -> Result<Style, String> {
    let written = words.get("style").and_then(Value::as_str);
    let name = written.unwrap_or(match place {
        Place::Path | Place::Header => "simple",
        _ => "form",
    });
    let explode = words
        .get("explode")
        .and_then(Value::as_bool)
        .unwrap_or(name == "form");
    Ok(match (place, name) {
        (Place::Path | Place::Header, "simple") => Style::Joined { by: ',', explode },
        (Place::Query, "form") if explode => Style::Apart,
        // Several cookies of one name cannot be told apart from one that was set twice.
        (Place::Query | Place::Cookie, "form") => Style::Joined {
            by: ',',
            explode: false,
        },
        (Place::Query, "spaceDelimited") if !explode => Style::Joined { by: ' ', explode },
        (Place::Query, "pipeDelimited") if !explode => Style::Joined { by: '|', explode },
        (Place::Query, "spaceDelimited" | "pipeDelimited") => Style::Apart,
        (Place::Query, "deepObject") => Style::Deep,
        _ => return Err(format!("the style {name:?} is not possible here")),
    })
}
