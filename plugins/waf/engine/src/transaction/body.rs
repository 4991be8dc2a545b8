//! The request's body, and phase 2.

use super::Transaction;
use super::report::Verdict;
use super::request::Arguments;
use super::values::{Span, Values};
use crate::body::kind::Kind;
use crate::body::{
    File, Multipart, MultipartFlags, MultipartLimits, Sink, XmlLimits, XmlSink, json, urlencoded,
    xml,
};
use crate::plan::TOO_MANY_ARGUMENTS;
use crate::plan::compile::{XML_ATTRIBUTES, XML_TEXT};
use crate::seclang::{Phase, Settings, Variable};
use crate::work;

/// What is known of the body so far.
pub(super) struct Body {
    /// `SecRequestBodyAccess`, `ctl:requestBodyAccess`.
    pub(super) access: bool,
    /// `ctl:forceRequestBodyVariable`.
    pub(super) force: bool,
    /// Most bytes that rules look at.
    pub(super) limit: u64,
    /// What reads it.
    pub(super) kind: Option<Kind>,
    pub(super) several_types: bool,
    pub(super) content_type: Vec<u8>,
    /// The request has a `Content-Encoding`; the caller decodes the body before it comes here.
    pub(super) encoded: bool,
    /// Arguments of the query.
    pub(super) arguments: u32,
    pub(super) argument_bytes: u64,
    pub(super) too_many: bool,
    pub(super) bad_escapes: bool,
    raw: Vec<u8>,
    length: u64,
    over: bool,
    multipart: Option<Multipart>,
    staged: Staged,
    begun: bool,
    error: Option<String>,
}

impl std::fmt::Debug for Body {
    /// Without the bytes: they are what clients say in confidence.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("kind", &self.kind)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Body {
    pub(super) fn new(settings: &Settings, inspect: u64) -> Self {
        Self {
            access: settings.request_body.unwrap_or(true),
            force: false,
            limit: inspect,
            kind: None,
            several_types: false,
            content_type: Vec::new(),
            encoded: false,
            arguments: 0,
            argument_bytes: 0,
            too_many: false,
            bad_escapes: false,
            raw: Vec::new(),
            length: 0,
            over: false,
            multipart: None,
            staged: Staged::default(),
            begun: false,
            error: None,
        }
    }
}

/// What a multipart body held so far: names and values in the values' arena, sorted by variable.
#[derive(Default)]
struct Staged {
    arguments: Vec<(Span, Span)>,
    headers: Vec<(Span, Span)>,
    files: Vec<(Span, Span, u64)>,
    names: Vec<Span>,
    filenames: Vec<Span>,
    bytes: u64,
    too_many: bool,
}

/// Most files, part headers and part names of one body that are kept.
const PARTS: usize = 4096;

/// Takes what a multipart body holds.
struct Stage<'v> {
    values: &'v mut Values,
    staged: &'v mut Staged,
    most: usize,
}

impl Sink for Stage<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.staged.arguments.len() >= self.most {
            self.staged.too_many = true;
            return false;
        }
        self.staged.bytes += (name.len() + value.len()) as u64;
        let pair = (self.values.keep(name), self.values.keep(value));
        self.staged.arguments.push(pair);
        true
    }

    fn part_header(&mut self, part_name: &[u8], line: &[u8]) -> bool {
        if self.staged.headers.len() >= PARTS {
            self.staged.too_many = true;
            return false;
        }
        let pair = (self.values.keep(part_name), self.values.keep(line));
        self.staged.headers.push(pair);
        true
    }

    fn file(&mut self, file: &File<'_>) -> bool {
        if self.staged.files.len() >= PARTS {
            self.staged.too_many = true;
            return false;
        }
        let pair = (
            self.values.keep(file.name),
            self.values.keep(file.filename),
            file.size,
        );
        self.staged.files.push(pair);
        true
    }

    fn part_name(&mut self, name: &[u8]) -> bool {
        if self.staged.names.len() < PARTS {
            let name = self.values.keep(name);
            self.staged.names.push(name);
        }
        true
    }

    fn part_filename(&mut self, filename: &[u8]) -> bool {
        if self.staged.filenames.len() < PARTS {
            let filename = self.values.keep(filename);
            self.staged.filenames.push(filename);
        }
        true
    }
}

/// Takes what an XML document holds.
struct XmlValues<'v>(&'v mut Values);

impl XmlSink for XmlValues<'_> {
    fn text(&mut self, text: &[u8]) -> bool {
        let (name, value) = (self.0.keep(XML_TEXT), self.0.keep(text));
        self.0.push(Variable::Xml, name, value);
        true
    }

    fn attribute(&mut self, value: &[u8]) -> bool {
        let (name, value) = (self.0.keep(XML_ATTRIBUTES), self.0.keep(value));
        self.0.push(Variable::Xml, name, value);
        true
    }
}

impl Transaction {
    /// True if the body should come here: access to it is on, and rules of phase 2 exist.
    pub fn wants_body(&self) -> bool {
        self.body.access
            && self.mode != crate::seclang::EngineMode::Off
            && !self.plan.rules(Phase::RequestBody).is_empty()
    }

    /// Takes a piece of the body, decoded where it came encoded. Returns false when the limit on what
    /// is inspected is passed: the caller refuses the request, or goes on and tells
    /// [`Self::request_end`] that the body is partial.
    pub fn request_piece(&mut self, piece: &[u8]) -> bool {
        self.body.length = self.body.length.saturating_add(piece.len() as u64);
        if !self.body.begun {
            self.begin_body();
        }
        let limit = usize::try_from(self.body.limit).unwrap_or(usize::MAX);
        if self.body.kind == Some(Kind::Multipart) {
            self.work.spend(work::Kind::Upload, piece.len());
            let lines = memchr::memchr_iter(b'\n', piece).count();
            self.work.spend(work::Kind::Lines, lines);
            if let Some(multipart) = &mut self.body.multipart {
                let most = self.limits.arguments.saturating_sub(self.body.arguments) as usize;
                let mut stage = Stage {
                    values: &mut self.values,
                    staged: &mut self.body.staged,
                    most,
                };
                multipart.push(piece, &mut stage);
                self.body.over = multipart.flags().inspected_bytes > self.body.limit;
            }
            return !self.body.over;
        }
        let room = limit.saturating_sub(self.body.raw.len());
        self.body
            .raw
            .extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        self.body.over |= piece.len() > room;
        !self.body.over
    }

    /// The limit on what is inspected was passed.
    pub fn body_over_limit(&self) -> bool {
        self.body.over
    }

    fn begin_body(&mut self) {
        self.body.begun = true;
        if self.body.kind == Some(Kind::Multipart) {
            let limits = MultipartLimits {
                inspect: usize::try_from(self.body.limit).unwrap_or(usize::MAX),
                ..MultipartLimits::default()
            };
            match Multipart::new(&self.body.content_type, limits) {
                Ok(multipart) => self.body.multipart = Some(multipart),
                Err(flags) => self.set_multipart_flags(&flags),
            }
        }
    }

    /// The body as a whole, for callers that have it: [`Self::request_piece`] for every piece, then
    /// [`Self::request_end`].
    pub fn request_body(&mut self, pieces: &[&[u8]], partial: bool) -> Verdict {
        for piece in pieces {
            self.request_piece(piece);
        }
        self.request_end(partial)
    }

    /// A body that cannot be read at all: its encoding is unknown or its content not what it says. Rules
    /// see it as `REQBODY_ERROR`.
    pub fn body_error(&mut self, reason: &str) {
        self.body.error = Some(reason.to_owned());
    }

    /// Phase 2: the body is there, or there is none. `partial`: more would have come than was told.
    pub fn request_end(&mut self, partial: bool) -> Verdict {
        self.set_body(partial || self.body.over);
        self.run(Phase::RequestBody)
    }

    fn set_body(&mut self, partial: bool) {
        if self.body.length > 0 && self.body.access {
            match self.body.kind {
                Some(Kind::Multipart) => self.set_multipart(partial),
                Some(Kind::UrlEncoded) => self.set_form(),
                Some(Kind::Json) => self.set_json(partial),
                Some(Kind::Xml) => self.set_xml(partial),
                None => {
                    if self.body.force {
                        self.set_raw();
                    }
                }
            }
        }
        if self.body.several_types {
            self.body
                .error
                .get_or_insert_with(|| "several Content-Type fields".to_owned());
        }
        let values = &mut self.values;
        let error = self.body.error.take();
        let failed = i64::from(error.is_some());
        for variable in [Variable::ReqbodyError, Variable::ReqbodyProcessorError] {
            values.set_number(variable, failed);
        }
        let text = values.keep(error.unwrap_or_default().as_bytes());
        values.set_span(Variable::ReqbodyErrorMsg, text);
        values.set_span(Variable::ReqbodyProcessorErrorMsg, text);
        values.set_number(Variable::InboundDataError, i64::from(partial));
        values.set_number(
            Variable::RequestBodyLength,
            i64::try_from(self.body.length).unwrap_or(i64::MAX),
        );
        values.set_number(
            Variable::ArgsCombinedSize,
            i64::try_from(self.body.argument_bytes).unwrap_or(i64::MAX),
        );
        values.set_number(Variable::UrlencodedError, i64::from(self.body.bad_escapes));
        if self.body.too_many {
            let one = super::tx::TxValue::Number(1);
            self.tx
                .set_named(self.plan.rule_set().slots(), TOO_MANY_ARGUMENTS, Some(one));
        }
    }

    fn set_raw(&mut self) {
        let raw = std::mem::take(&mut self.body.raw);
        self.values.set(Variable::RequestBody, &raw);
        self.body.raw = raw;
    }

    fn most_arguments(&self) -> u32 {
        self.limits.arguments.saturating_sub(self.body.arguments)
    }

    fn set_form(&mut self) {
        self.set_raw();
        let separator = self.plan.rule_set().settings().argument_separator;
        let most = self.most_arguments();
        let mut arguments = Arguments::new(&mut self.values, Variable::ArgsPost, most);
        let read = urlencoded(&self.body.raw, separator, &mut arguments);
        self.body.argument_bytes += arguments.bytes;
        self.body.too_many |= read.stopped;
        self.body.bad_escapes |= read.invalid_escapes > 0;
        self.work.spend(work::Kind::Body, self.body.raw.len());
    }

    fn set_json(&mut self, partial: bool) {
        let most = self.most_arguments();
        let depth = self
            .limits
            .depth
            .min(self.plan.rule_set().settings().json_depth);
        let mut arguments = Arguments::new(&mut self.values, Variable::ArgsPost, most);
        let read = json(&self.body.raw, depth, &mut arguments);
        self.body.argument_bytes += arguments.bytes;
        self.body.too_many |= arguments.refused;
        self.work.spend(work::Kind::Body, self.body.raw.len());
        if let (Err(error), false) = (read, partial) {
            self.body.error = Some(format!("JSON: {error}"));
        }
    }

    fn set_xml(&mut self, partial: bool) {
        self.values.begin(Variable::Xml);
        let limits = XmlLimits {
            depth: self.limits.depth.min(XmlLimits::default().depth),
        };
        let read = xml(&self.body.raw, limits, &mut XmlValues(&mut self.values));
        self.work.spend(work::Kind::Body, self.body.raw.len());
        if let (Err(error), false) = (read, partial) {
            self.body.error = Some(format!("XML: {error}"));
        }
    }

    fn set_multipart(&mut self, partial: bool) {
        if let Some(multipart) = self.body.multipart.take() {
            let most = self.most_arguments() as usize;
            let mut stage = Stage {
                values: &mut self.values,
                staged: &mut self.body.staged,
                most,
            };
            let mut flags = multipart.finish(&mut stage);
            if partial {
                flags.error = None;
                flags.fatal = false;
            }
            self.set_multipart_flags(&flags);
        }
        let staged = std::mem::take(&mut self.body.staged);
        self.body.argument_bytes += staged.bytes;
        self.body.too_many |= staged.too_many;
        let values = &mut self.values;
        let pairs =
            |values: &mut Values, variable, pairs: &mut dyn Iterator<Item = (Span, Span)>| {
                values.begin(variable);
                for (name, value) in pairs {
                    values.push(variable, name, value);
                }
            };
        pairs(
            values,
            Variable::ArgsPost,
            &mut staged.arguments.iter().copied(),
        );
        pairs(
            values,
            Variable::MultipartPartHeaders,
            &mut staged.headers.iter().copied(),
        );
        pairs(
            values,
            Variable::Files,
            &mut staged.files.iter().map(|file| (file.0, file.1)),
        );
        pairs(
            values,
            Variable::FilesNames,
            &mut staged.files.iter().map(|file| (file.0, file.0)),
        );
        pairs(
            values,
            Variable::MultipartName,
            &mut staged.names.iter().map(|name| (*name, *name)),
        );
        pairs(
            values,
            Variable::MultipartFilename,
            &mut staged.filenames.iter().map(|name| (*name, *name)),
        );
        let sizes: Vec<(Span, Span)> = staged
            .files
            .iter()
            .map(|file| {
                let size = i64::try_from(file.2).unwrap_or(i64::MAX);
                (
                    file.0,
                    values.keep_with(|arena| super::tx::write_number(size, arena)),
                )
            })
            .collect();
        pairs(values, Variable::FilesSizes, &mut sizes.into_iter());
    }

    fn set_multipart_flags(&mut self, flags: &MultipartFlags) {
        if let Some(error) = flags.error {
            self.body.error = Some(format!("multipart: {error}"));
        }
        let values = &mut self.values;
        for (variable, set) in [
            (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
            (
                Variable::MultipartBoundaryWhitespace,
                flags.boundary_whitespace,
            ),
            (Variable::MultipartDataBefore, flags.data_before),
            (Variable::MultipartDataAfter, flags.data_after),
            (Variable::MultipartHeaderFolding, flags.header_folding),
            (
                Variable::MultipartInvalidHeaderFolding,
                flags.invalid_header_folding,
            ),
            (Variable::MultipartLfLine, flags.lf_line),
            (Variable::MultipartCrlfLfLines, flags.mixed_lines()),
            (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
            (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
            (Variable::MultipartInvalidPart, flags.invalid_part),
            (Variable::MultipartStrictError, flags.strict_error()),
        ] {
            values.set_number(variable, i64::from(set));
        }
        values.set_number(
            Variable::MultipartUnmatchedBoundary,
            i64::from(flags.unmatched_boundary),
        );
        let bytes = i64::try_from(flags.files_bytes).unwrap_or(i64::MAX);
        values.set_number(Variable::FilesCombinedSize, bytes);
    }
}
