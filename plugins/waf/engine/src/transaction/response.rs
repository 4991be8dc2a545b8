//! The answer, and phases 3 and 4.

use super::Transaction;
use super::report::Verdict;
use super::request::Fields;
use crate::plan::prefilter::Scan;
use crate::seclang::{EngineMode, Phase, Variable};
use crate::work::Kind;

/// What is known of the answer so far.
#[derive(Default)]
pub(super) struct ResponseState {
    /// `ctl:responseBodyAccess`.
    pub(super) access: Option<bool>,
    /// Most bytes that rules look at.
    pub(super) limit: u64,
    /// Its type is one that rules look at, and it is not encoded.
    readable: bool,
    body: Vec<u8>,
    /// The body is scanned while it flows.
    scan: Option<Scan>,
    length: u64,
}

impl std::fmt::Debug for ResponseState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseState")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl ResponseState {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }
}

impl Transaction {
    /// Phase 3.
    pub fn response_head(
        &mut self,
        status: u16,
        protocol: &[u8],
        fields: Fields<'_, '_>,
    ) -> Verdict {
        let values = &mut self.values;
        values.set_number(Variable::ResponseStatus, i64::from(status));
        values.set(Variable::ResponseProtocol, protocol);
        let line = values.keep_with(|arena| {
            arena.extend_from_slice(protocol);
            arena.push(b' ');
            super::tx::write_number(i64::from(status), arena);
        });
        values.set_span(Variable::StatusLine, line);
        values.begin(Variable::ResponseHeaders);
        let (mut content_type, mut length, mut encoded) = (None, None, false);
        for (name, value) in fields {
            let (name_span, value_span) = (values.keep(name), values.keep(value));
            values.push(Variable::ResponseHeaders, name_span, value_span);
            if name.eq_ignore_ascii_case(b"content-type") {
                content_type = Some(value);
            } else if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(value_span);
            } else if name.eq_ignore_ascii_case(b"content-encoding") {
                encoded = !value.eq_ignore_ascii_case(b"identity");
            }
        }
        let media = content_type
            .and_then(|value| value.split(|byte| *byte == b';').next())
            .unwrap_or_default();
        values.set(Variable::ResponseContentType, media.trim_ascii());
        values.set_span(Variable::ResponseContentLength, length.unwrap_or_default());
        let types = &self.plan.rule_set().settings().response_types;
        self.response.readable = !encoded
            && types
                .iter()
                .any(|known| media.trim_ascii().eq_ignore_ascii_case(known.as_bytes()));
        self.run(Phase::ResponseHead)
    }

    /// True if the answer's body should come here: rules look at bodies of its type. Encoded bodies are
    /// not looked at.
    pub fn wants_response_body(&self) -> bool {
        let settings = self.plan.rule_set().settings();
        self.mode != EngineMode::Off
            && self.response.readable
            && self
                .response
                .access
                .or(settings.response_body)
                .unwrap_or(true)
            && !self.plan.rules(Phase::ResponseBody).is_empty()
    }

    /// Takes a piece of the answer's body. Returns false when the limit on what is inspected is passed.
    pub fn response_piece(&mut self, piece: &[u8]) -> bool {
        self.response.length = self.response.length.saturating_add(piece.len() as u64);
        let room = usize::try_from(self.response.limit)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.response.body.len());
        let piece_read = piece.get(..room.min(piece.len())).unwrap_or_default();
        if let Some((checks, _)) = self.plan.checks(Phase::ResponseBody) {
            let scan = self
                .response
                .scan
                .get_or_insert_with(|| Scan::new(&checks.prefilter));
            scan.feed(&checks.prefilter, piece_read);
            self.work.spend(Kind::Scan, piece_read.len());
        }
        self.response.body.extend_from_slice(piece_read);
        piece.len() <= room
    }

    /// Phase 4: the answer's body is there.
    pub fn response_end(&mut self) -> Verdict {
        if self.response.length > 0 {
            let body = std::mem::take(&mut self.response.body);
            self.values.set(Variable::ResponseBody, &body);
            if let (Some(scan), Some((checks, _)), [entry]) = (
                self.response.scan.take(),
                self.plan.checks(Phase::ResponseBody),
                self.values.of(Variable::ResponseBody).1,
            ) {
                let (present, met) = scan.finish(&checks.prefilter);
                let id = self.strings.of_value(&self.values, entry.value);
                self.strings.set_scanned(id, present, &met);
            }
        }
        let over = self.response.length > self.response.limit;
        self.values
            .set_number(Variable::OutboundDataError, i64::from(over));
        self.run(Phase::ResponseBody)
    }
}
