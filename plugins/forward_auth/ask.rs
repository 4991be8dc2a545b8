//! Asking the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::services::{ClientRequest, Clock, Counter, Gauge, Histogram, HttpClient};

use super::answer::{Failure, Rules};
use super::flights::Outcome;

/// Longest body of an answer, in bytes; a longer one is no answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Asks, and understands the answer.
pub(super) struct Asker {
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) timeout: Duration,
    /// Questions at once, and how many there are.
    pub(super) most: usize,
    pub(super) waiting: AtomicUsize,
    pub(super) gauge: Arc<dyn Gauge>,
    pub(super) asked: Arc<dyn Counter>,
    pub(super) seconds: Arc<dyn Histogram>,
}

impl Asker {
    /// Asks one question.
    pub(super) async fn ask(&self, head: http::Request<()>) -> Outcome {
        let Some(_place) = self.take() else {
            let text = format!("{} questions wait for an answer already", self.most);
            return Err(Failure::new("busy", text));
        };
        self.asked.add(1);
        let began = self.clock.now();
        let question = ClientRequest {
            head,
            body: Bytes::new(),
            timeout: self.timeout,
            max_response_bytes: MAX_ANSWER_BYTES,
        };
        let answer = self.client.send(question).await;
        let took = self.clock.now().saturating_duration_since(began);
        self.seconds.observe(took.as_secs_f64());
        match answer {
            Ok(answer) => self.rules.judge(&answer),
            Err(text) => {
                // The host's clients know no kinds of errors: time tells this one.
                let reason = match took >= self.timeout {
                    true => "timeout",
                    false => "unreachable",
                };
                Err(Failure::new(reason, text))
            }
        }
    }

    fn take(&self) -> Option<Place<'_>> {
        let free = |waiting: usize| (waiting < self.most).then_some(waiting + 1);
        let relaxed = Ordering::Relaxed;
        self.waiting.fetch_update(relaxed, relaxed, free).ok()?;
        self.gauge.add(1);
        Some(Place(self))
    }
}

/// A question under way; its place is free again however it ends.
struct Place<'a>(&'a Asker);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.add(-1);
    }
}
