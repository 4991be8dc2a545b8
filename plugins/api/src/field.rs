//! Header fields that operators write in the configuration: which names they may touch, and values
//! that are ready to send.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::facts::Facts;
use crate::template::{Escape, Template};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the origin.
    Request,
    /// Towards the client.
    Response,
}

/// Why a name or a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: String,
}

/// Fields that frame messages or belong to one connection (RFC 9110, section 7.6.1; RFC 9112,
/// section 6). The engine alone writes them; an edit could let one request pass for two.
const ENGINE_FIELDS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// True for the names that no plugin may write.
pub fn is_engine_field(name: &HeaderName) -> bool {
    ENGINE_FIELDS.contains(&name.as_str())
}

/// Compiles a name that a plugin shall edit.
///
/// # Errors
/// It is no field name, or the engine alone writes this field.
pub fn parse_name(text: &str, direction: Direction) -> Result<HeaderName, FieldError> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        return Err(FieldError {
            message: format!("`{text}` is no name of a header field"),
            help: "use letters, digits, `-` and `_`".to_owned(),
        });
    };
    if is_engine_field(&name) {
        return Err(FieldError {
            message: format!("`{name}` cannot be edited: it belongs to one connection"),
            help: "leave it out; Farmgate frames messages itself".to_owned(),
        });
    }
    if direction == Direction::Request && name == http::header::HOST {
        return Err(FieldError {
            message: "`host` cannot be edited as a field".to_owned(),
            help: "use `host` of the upstream or of the `rewrite` kind".to_owned(),
        });
    }
    Ok(name)
}

/// A field's value: ready, or to be rendered for each request.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// The same for all requests. A clone shares the bytes.
    Constant(HeaderValue),
    /// To be rendered.
    Template(Template),
}

impl FieldValue {
    /// Compiles a value from a template.
    ///
    /// # Errors
    /// The template is wrong, or holds a byte that no field may hold.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let template = Template::parse(text).map_err(|error| FieldError {
            message: error.message,
            help: error.help,
        })?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(FieldError {
                message: "a header field cannot hold control characters".to_owned(),
                help: "remove line breaks and the like".to_owned(),
            });
        }
        let Some(constant) = template.constant() else {
            return Ok(Self::Template(template));
        };
        let bytes = Bytes::copy_from_slice(constant.as_bytes());
        // The first clone makes the bytes shared; later ones, on the request path, only count.
        drop(bytes.clone());
        HeaderValue::from_maybe_shared(bytes)
            .map(Self::Constant)
            .map_err(|_| FieldError {
                message: "this is no value of a header field".to_owned(),
                help: "remove control characters".to_owned(),
            })
    }

    /// The value for this request; none if the rendered text is no field value, which the escaping
    /// rules out.
    pub fn make(&self, facts: &dyn Facts) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => {
                let mut text = String::with_capacity(64);
                template.render(facts, Escape::HeaderValue, &mut text);
                HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
            }
        }
    }

    /// The captures that the value needs.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Self::Constant(_) => None,
            Self::Template(template) => Some(template),
        };
        template.into_iter().flat_map(Template::captures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::FakeRequest;

    #[test]
    fn names_of_the_engine_are_refused() {
        for name in ENGINE_FIELDS {
            assert!(parse_name(name, Direction::Response).is_err(), "{name}");
            let upper = name.to_uppercase();
            assert!(parse_name(&upper, Direction::Request).is_err(), "{upper}");
        }
        assert!(parse_name("host", Direction::Request).is_err());
        assert!(parse_name("x y", Direction::Request).is_err());
        assert!(parse_name("", Direction::Request).is_err());
        assert_eq!(
            parse_name("X-Served-By", Direction::Response).unwrap(),
            "x-served-by"
        );
    }

    #[test]
    fn constant_values_share_their_bytes() {
        let FieldValue::Constant(value) = FieldValue::parse("farmgate {{1}").unwrap() else {
            panic!("not constant")
        };
        assert_eq!(value, "farmgate {1}");
        assert_eq!(value.as_bytes().as_ptr(), value.clone().as_bytes().as_ptr());
    }

    #[test]
    fn no_value_breaks_out_of_its_line() {
        assert!(FieldValue::parse("a\r\nb").is_err());
        let value = FieldValue::parse("u={query:u}").unwrap();
        let request = FakeRequest::get("/?u=a%0d%0aset-cookie:x%00%7f");
        assert_eq!(value.make(&request).unwrap(), "u=a  set-cookie:x  ");
    }
}
