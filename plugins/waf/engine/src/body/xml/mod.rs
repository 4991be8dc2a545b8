//! XML bodies: the document's text and its attribute values.
//!
//! A parser of our own rather than a crate: what rules need is little (text and attribute values, no tree),
//! and what decides is agreement with libxml2 on what is malformed, which lenient pull parsers leave to
//! their caller. Nothing recurses and nothing is fetched. Entities are never expanded: predefined and
//! character references are decoded, `&other;` stays as written, and the literal values in a document type
//! declaration are shown to the rules as they stand there. A billion laughs costs what its bytes cost.
//!
//! Encodings: UTF-8, UTF-16 with or without a byte order mark, ISO-8859-1 and US-ASCII by declaration. Any
//! other declared encoding is an error: what cannot be read must not pass as harmless.

mod dtd;
mod encoding;
mod markup;
mod scan;

use scan::Scan;

/// Gets what a document holds. Returning false stops the parser.
pub trait XmlSink {
    /// The text of the root element, all of it as one (`XML:/*`); and each literal value of a declared
    /// entity, so that rules see what a receiver might expand.
    fn text(&mut self, text: &[u8]) -> bool;

    /// The value of an attribute (`XML://@*`), namespace declarations left out as XPath does; and default
    /// values of attributes that the document type declares.
    fn attribute(&mut self, value: &[u8]) -> bool;
}

/// Bounds that the caller sets.
#[derive(Clone, Copy, Debug)]
pub struct XmlLimits {
    /// Elements inside each other.
    pub depth: u32,
}

impl Default for XmlLimits {
    /// What libxml2 allows.
    fn default() -> Self {
        Self { depth: 256 }
    }
}

/// What was seen of a well-formed document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xml {
    /// Elements.
    pub elements: u32,
    /// There is a document type declaration.
    pub doctype: bool,
    /// The sink wanted no more.
    pub stopped: bool,
}

/// Why a body is no well-formed document, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlError {
    /// Bytes before the place, counted in UTF-8 when the document came in another encoding.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl std::fmt::Display for XmlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for XmlError {}

enum Stop {
    Error(XmlError),
    Sink,
}

/// Reads a document. Text and attributes before an error are handed over all the same. An empty body is no
/// error here (in ModSecurity v3 it is): a request without a body may well name a type.
pub fn xml(input: &[u8], limits: XmlLimits, sink: &mut dyn XmlSink) -> Result<Xml, XmlError> {
    if input.is_empty() {
        return Ok(Xml::default());
    }
    let document = encoding::to_utf8(input)?;
    let mut parser = Parser {
        scan: Scan::new(document.bytes()),
        limits,
        seen: Xml::default(),
        open: Vec::new(),
        text: Vec::new(),
        value: Vec::new(),
        names: Vec::new(),
        entities: dtd::Entities::default(),
        sink,
    };
    let result = match (parser.document(), document.broken_at()) {
        // The bytes end where they stop being text: that is the error, unless there was one before.
        (Err(Stop::Error(error)), Some(at)) if error.offset >= at => Err(encoding::broken(at)),
        (Ok(()), Some(at)) => Err(encoding::broken(at)),
        (Err(Stop::Error(error)), _) => Err(error),
        (Err(Stop::Sink), _) => {
            parser.seen.stopped = true;
            Ok(())
        }
        (Ok(()), None) => Ok(()),
    };
    if !parser.seen.stopped && parser.seen.elements > 0 {
        parser.seen.stopped = !parser.sink.text(&parser.text);
    }
    result.map(|()| parser.seen)
}

struct Parser<'a, 's> {
    scan: Scan<'a>,
    limits: XmlLimits,
    seen: Xml,
    /// The names of the open elements.
    open: Vec<&'a [u8]>,
    /// The text of the root so far.
    text: Vec<u8>,
    /// One attribute's value.
    value: Vec<u8>,
    /// The attribute names of one tag.
    names: Vec<&'a [u8]>,
    entities: dtd::Entities<'a>,
    sink: &'s mut dyn XmlSink,
}

impl Parser<'_, '_> {
    fn document(&mut self) -> Result<(), Stop> {
        self.scan.declaration()?;
        self.prolog()?;
        self.content()?;
        // Behind the root: comments, instructions and white space.
        loop {
            self.scan.skip_space();
            if self.scan.take(b"<!--") {
                self.scan.comment()?;
            } else if self.scan.take(b"<?") {
                self.scan.instruction()?;
            } else if self.scan.at_end() {
                return Ok(());
            } else {
                return Err(self.scan.error("something follows the root element"));
            }
        }
    }

    fn prolog(&mut self) -> Result<(), Stop> {
        loop {
            self.scan.skip_space();
            if self.scan.take(b"<!--") {
                self.scan.comment()?;
            } else if self.scan.take(b"<?") {
                self.scan.instruction()?;
            } else if !self.seen.doctype && self.scan.take(b"<!DOCTYPE") {
                self.seen.doctype = true;
                self.doctype()?;
            } else if self.scan.peek() == Some(b'<') {
                return Ok(());
            } else {
                return Err(self.scan.error("expected the root element"));
            }
        }
    }
}
