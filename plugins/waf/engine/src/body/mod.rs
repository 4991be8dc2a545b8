//! Request bodies: from bytes to arguments, files and text.
//!
//! Every parser here is bounded: time grows with the input, memory with the input or with a limit that
//! the caller names, and nothing recurses. What rules see is what ModSecurity v3 shows them; where this
//! differs, the type says so and why.

pub mod cookies;
pub mod inflate;
pub mod json;
pub mod kind;
pub mod multipart;
#[cfg(test)]
mod tests;
pub mod urlencoded;
pub mod xml;

pub use cookies::cookies;
pub use json::{JsonError, json};
pub use kind::{Choice, Kind};
pub use multipart::{Multipart, MultipartFlags, MultipartLimits};
pub use urlencoded::{UrlEncoded, url_decode, urlencoded};
pub use xml::{Xml, XmlError, XmlLimits, XmlSink, xml};

/// Gets what a body holds, in order. Returning false stops the parser: a limit of the caller's was hit.
pub trait Sink {
    /// An argument (`ARGS_POST`, or `ARGS_GET` where the input is a query string).
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool;

    /// One header line of a part, as received without its line end (`MULTIPART_PART_HEADERS:name`).
    /// Continuation lines are joined to it with one space.
    fn part_header(&mut self, part_name: &[u8], line: &[u8]) -> bool;

    /// An uploaded file, when its last byte was seen.
    fn file(&mut self, file: &File<'_>) -> bool;

    /// A `name` parameter of a part (`MULTIPART_NAME`), also of parts that turn out to be broken.
    fn part_name(&mut self, _name: &[u8]) -> bool {
        true
    }

    /// A `filename` parameter of a part (`MULTIPART_FILENAME`), also of parts that turn out to be broken.
    fn part_filename(&mut self, _filename: &[u8]) -> bool {
        true
    }
}

/// An uploaded file. Its content passes by and is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// The field's name (`FILES_NAMES`).
    pub name: &'a [u8],
    /// The name that the client gave the file (`FILES`).
    pub filename: &'a [u8],
    /// Bytes of content (`FILES_SIZES`).
    pub size: u64,
    /// The first bytes of the content, at most [`multipart::HEAD`], to tell its type.
    pub head: &'a [u8],
}
