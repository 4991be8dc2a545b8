//! Least request: of two endpoints drawn by weight, the one with the smaller load.
//!
//! The load is (in flight + 1) / weight, as it would be after the choice. Two idle endpoints are
//! a tie, which the first drawn wins: quiet traffic is then shared by weight instead of going to
//! the heaviest endpoint only. The method of Envoy's `least_request` with two choices.

use super::Choice;
use super::two_choices::TwoChoices;
use crate::upstream::set::Member;

/// The members' draw table.
#[derive(Debug)]
pub struct LeastRequest(TwoChoices);

impl LeastRequest {
    pub(super) fn build(members: &[Member]) -> Self {
        Self(TwoChoices::build(members))
    }

    pub(super) fn pick(&self, choice: &Choice<'_>) -> Option<usize> {
        self.0.choose(choice, less_loaded)
    }
}

/// True if the second has less load. Cross-multiplied: both sides stay below 2^63.
fn less_loaded(choice: &Choice<'_>, first: &Member, second: &Member) -> bool {
    let (a, b) = (
        u64::from(first.state.in_flight()),
        u64::from(second.state.in_flight()),
    );
    (a != 0 || b != 0) && (b + 1) * choice.weight(first) < (a + 1) * choice.weight(second)
}
