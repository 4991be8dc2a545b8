//! Taking copies of requests while they pass.

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::Random;
use farmgate_plugin_api::units::Ratio;
use farmgate_plugin_api::{Answer, BodyMode, Explained, Filter, FilterError, Outcome, Phases};
use http::{Method, header};

use super::places::{Held, Memory};
use super::send::{MARK, Sender, dropped};

/// Sends copies of a share of requests to another upstream, once they are here as a whole.
pub(super) struct MirrorFilter {
    /// The one name.
    pub(super) upstream: [Box<str>; 1],
    pub(super) share: Ratio,
    pub(super) methods: Box<[Method]>,
    pub(super) max_body: usize,
    pub(super) memory: Arc<Memory>,
    pub(super) random: Arc<dyn Random>,
    pub(super) sender: Sender,
}

/// A request that was chosen, and what came of its body so far.
struct Taken {
    /// None: the copy is on its way, or given up.
    body: Option<Vec<u8>>,
    held: Held,
    /// The attempt at an endpoint that the pieces belong to.
    attempt: u8,
}

impl Filter for MirrorFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
            .and(Phases::REQUEST_CHUNK)
            .and(Phases::LOG)
    }

    fn body_mode(&self) -> BodyMode {
        BodyMode::Streamed
    }

    fn upstreams(&self) -> &[Box<str>] {
        &self.upstream
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if !self.methods.contains(request.method()) || !self.share.takes(self.random.next()) {
            return Answer::CONTINUE;
        }
        let headers = request.headers();
        let hindrance = if headers.contains_key(MARK) {
            Some(dropped::LOOP)
        } else if headers.contains_key(header::UPGRADE) {
            Some(dropped::UPGRADE)
        } else if declared_length(request).is_some_and(|length| length > self.max_body) {
            Some(dropped::BODY)
        } else {
            None
        };
        match hindrance {
            Some(reason) => self.sender.metrics.dropped.add(reason, 1),
            None => request.set_state(Box::new(Taken {
                body: Some(Vec::new()),
                held: Held::new(&self.memory),
                attempt: request.attempt(),
            })),
        }
        Answer::CONTINUE
    }

    fn request_chunk(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        let attempt = request.attempt();
        let piece = chunk.as_deref().unwrap_or_default();
        let Some(taken) = taken(request) else {
            return Ok(());
        };
        if let Err(reason) = taken.gather(piece, attempt, self.max_body) {
            self.sender.metrics.dropped.add(reason, 1);
        }
        if end {
            self.complete(request);
        }
        Ok(())
    }

    /// A request without a body that no endpoint was asked for itself (a cache answered it), or over HTTP/2, where no
    /// piece tells that there is none.
    fn log(&self, request: &mut dyn Request, outcome: &Outcome) {
        let Some(taken) = taken(request) else {
            return;
        };
        let whole = |body: &Vec<u8>| body.is_empty() && outcome.bytes_in == 0;
        match &taken.body {
            None => {}
            Some(body) if whole(body) && outcome.reason == "ok" => self.complete(request),
            Some(_) => {
                taken.give_up();
                self.sender.metrics.dropped.add(dropped::UNFINISHED, 1);
            }
        }
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let share = self.share;
        let [upstream] = &self.upstream;
        vec![match self.methods.contains(request.facts.method()) {
            true => format!("{share} of such requests are mirrored to {upstream}"),
            false => "requests of this method are not mirrored".to_owned(),
        }]
    }
}

impl MirrorFilter {
    /// The request is here as a whole: its copy goes.
    fn complete(&self, request: &mut dyn Request) {
        let Some(taken) = taken(request) else {
            return;
        };
        let Some(body) = taken.body.take() else {
            return;
        };
        let held = std::mem::replace(&mut taken.held, Held::new(&self.memory));
        self.sender.launch(request, body, held);
    }
}

impl Taken {
    /// Adds a piece, or says why the copy is given up.
    fn gather(&mut self, piece: &[u8], attempt: u8, max_body: usize) -> Result<(), &'static str> {
        let Some(body) = &mut self.body else {
            return Ok(());
        };
        if attempt != self.attempt {
            // The body comes again from its beginning.
            self.attempt = attempt;
            body.clear();
            self.held.release();
        }
        let reason = if body.len().saturating_add(piece.len()) > max_body {
            dropped::BODY
        } else if !self.held.take(piece.len()) {
            dropped::MEMORY
        } else {
            // Copied: a piece may be a small part of a large buffer, which would live as long.
            body.extend_from_slice(piece);
            return Ok(());
        };
        self.give_up();
        Err(reason)
    }

    fn give_up(&mut self) {
        self.body = None;
        self.held.release();
    }
}

/// What was begun for this request.
fn taken(request: &mut dyn Request) -> Option<&mut Taken> {
    request.state()?.downcast_mut()
}

fn declared_length(request: &dyn Request) -> Option<usize> {
    let value = request.headers().get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}
