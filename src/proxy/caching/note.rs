//! What a fetch does, as its context and the request it was made for both know it.

use std::sync::Arc;

use farmgate_plugin_api::Reply;
use parking_lot::Mutex;

use crate::proxy::ctx::{Ctx, Times};
use crate::telemetry::Reason;
use crate::upstream::Endpoint;
use crate::upstream::retry::Attempts;

/// What a fetch does, said from its context: shared by both.
#[derive(Default)]
pub struct Note(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    trail: Trail,
    reason: Option<Reason>,
    reply: Option<Box<Reply>>,
    headed: bool,
    covered: bool,
    stands_in: bool,
}

/// Where a response came from, for the log of the request it was fetched for.
#[derive(Clone, Default)]
pub struct Trail {
    /// The endpoint.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Attempts made.
    pub attempts: Attempts,
    /// Times of the last one.
    pub times: Times,
}

impl Note {
    /// What is known of the attempt under way.
    pub fn trail(&self, trail: Trail) {
        self.0.lock().trail = trail;
    }

    /// The final head has come.
    pub fn headed(&self) {
        self.0.lock().headed = true;
    }

    /// True once the final head has come.
    pub fn is_headed(&self) -> bool {
        self.0.lock().headed
    }

    /// What is stored may stand in for an error.
    pub fn covered(&self) {
        self.0.lock().covered = true;
    }

    /// True if what is stored may stand in for an error.
    pub fn is_covered(&self) -> bool {
        self.0.lock().covered
    }

    /// Another upstream answers than that of the route: its answer is not kept.
    pub fn stand_in(&self) {
        self.0.lock().stands_in = true;
    }

    /// True if another upstream answers than that of the route.
    pub fn stands_in(&self) -> bool {
        self.0.lock().stands_in
    }

    /// How it ended.
    pub fn ended(&self, reason: Reason) {
        self.0.lock().reason = Some(reason);
    }

    /// How it ended without a head: a plugin's answer, or why there is none.
    pub(super) fn take(&self) -> (Option<Reason>, Option<Box<Reply>>) {
        let mut noted = self.0.lock();
        (noted.reason, noted.reply.take())
    }

    /// A plugin answers instead.
    pub fn reply(&self, reply: Box<Reply>) {
        self.0.lock().reply = Some(reply);
    }
}

/// Takes what the fetch did into the request's own record.
pub fn follow(cx: &mut Ctx, note: &Note) {
    let trail = note.0.lock().trail.clone();
    cx.asked |= trail.endpoint.is_some();
    cx.last_endpoint = trail.endpoint;
    cx.attempts = trail.attempts;
    cx.times = trail.times;
}

/// Forgets it again: the request asks for itself.
pub fn forget(cx: &mut Ctx) {
    cx.asked = false;
    cx.last_endpoint = None;
    cx.attempts = Attempts::default();
    cx.times = Times::default();
}
