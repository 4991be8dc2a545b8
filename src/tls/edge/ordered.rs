//! What is ordered for a `[[tls]]` from an authority (ACME).

use std::path::Path;
use std::sync::Arc;

use super::Edge;
use crate::tls::acme::{AcmeError, Challenges, Settings};
use crate::tls::certificate::Certificate;

/// Stands for the file in the list of problems.
const SOURCE: &str = "acme";

impl Edge {
    /// What is to be ordered, if anything.
    pub fn acme(&self) -> Option<&Settings> {
        self.spec.acme.as_ref()
    }

    /// Answers to the authority's questions, once there are some.
    pub fn challenges(&self) -> Option<Arc<Challenges>> {
        self.challenges.load_full()
    }

    /// Answers the authority's questions from here.
    pub fn set_challenges(&self, challenges: &Arc<Challenges>) {
        self.challenges.store(Some(Arc::clone(challenges)));
    }

    /// Serves an ordered certificate beside those from files.
    pub fn ordered(&self, certificate: &Arc<Certificate>) {
        let served = self.served.lock();
        let mut ordered = self.ordered.lock();
        if ordered
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, certificate))
        {
            return;
        }
        *ordered = Some(Arc::clone(certificate));
        if let Some((store, _)) = self.spec.store(&served, ordered.as_ref()) {
            self.store.store(Arc::new(store));
        }
        drop((served, ordered));
        self.count_expiry();
    }

    /// An order succeeded: the first one, or a renewal.
    pub fn order_done(&self, renewal: bool) {
        self.metrics.order_done(renewal);
        self.fine(Path::new(SOURCE));
    }

    /// An order failed, `failures` times in a row; what is served goes on being served.
    pub fn order_failed(&self, error: &AcmeError, failures: u32) {
        self.metrics.order_failed(error.stage.as_str());
        let text = problem(error);
        log::error!(
            "tls {:?}: {text} (failures in a row: {failures})",
            self.name()
        );
        self.note(Path::new(SOURCE), text);
    }

    /// An order had failed before this came in force, and was told then.
    pub fn order_has_failed(&self, error: &AcmeError) {
        self.note(Path::new(SOURCE), problem(error));
    }

    /// What had failed is well again.
    pub fn order_fine(&self) {
        self.fine(Path::new(SOURCE));
    }

    /// Nothing is ordered before this time, in seconds since 1970.
    pub fn order_next(&self, at: i64) {
        self.metrics.order_next.set(at);
    }
}

fn problem(error: &AcmeError) -> String {
    format!("acme: {error}; {}", error.stage.help())
}
