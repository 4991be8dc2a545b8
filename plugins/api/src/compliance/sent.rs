//! What plugins send in tests: requests of their own, background tasks, warnings.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use super::host::lock;
use crate::services::{Background, Busy, ClientRequest, Events, HostFuture, HttpClient};

/// Requests that are remembered; a test that sends more looks at none of them.
const MAX_SENT: usize = 10_000;

/// Everything that left plugins.
#[derive(Default)]
pub(super) struct Sent(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    answers: VecDeque<Result<http::Response<Bytes>, String>>,
    requests: Vec<ClientRequest>,
    tasks: Vec<HostFuture<()>>,
    most_tasks: Option<usize>,
    warnings: Vec<String>,
}

impl Sent {
    pub(super) fn script(&self, answer: Result<http::Response<Bytes>, String>) {
        lock(&self.0).answers.push_back(answer);
    }

    pub(super) fn all(&self) -> Vec<ClientRequest> {
        lock(&self.0).requests.clone()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        lock(&self.0).warnings.clone()
    }

    pub(super) fn bound_tasks(&self, most: usize) {
        lock(&self.0).most_tasks = Some(most);
    }

    pub(super) fn run_tasks(&self) -> usize {
        let mut count = 0;
        loop {
            let tasks = std::mem::take(&mut lock(&self.0).tasks);
            if tasks.is_empty() {
                return count;
            }
            for task in tasks {
                super::drive(task);
                count += 1;
            }
        }
    }
}

impl HttpClient for Sent {
    fn send(&self, request: ClientRequest) -> HostFuture<Result<http::Response<Bytes>, String>> {
        let mut inner = lock(&self.0);
        if inner.requests.len() < MAX_SENT {
            inner.requests.push(request);
        }
        let answer = inner.answers.pop_front();
        let answer = answer.unwrap_or_else(|| Err("no answer was scripted".to_owned()));
        Box::pin(async move { answer })
    }
}

impl Background for Sent {
    fn run(&self, task: HostFuture<()>) -> Result<(), Busy> {
        let mut inner = lock(&self.0);
        if inner
            .most_tasks
            .is_some_and(|most| inner.tasks.len() >= most)
        {
            return Err(Busy);
        }
        inner.tasks.push(task);
        Ok(())
    }
}

impl Events for Sent {
    fn warn(&self, text: &str) {
        lock(&self.0).warnings.push(text.to_owned());
    }
}
