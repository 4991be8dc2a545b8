//! Peak EWMA: of two endpoints drawn by weight, the one with the smaller expected wait.
//!
//! The cost is average latency x (in flight + 1) / weight, as in Finagle's `p2c PeakEwma`. An
//! endpoint without a response so far costs nothing while idle, so that it is tried, and a lot
//! while it has not answered its first request.

use super::Choice;
use super::two_choices::TwoChoices;
use crate::upstream::set::Member;

/// Seconds an endpoint that never answered is thought to need.
const UNKNOWN_SECONDS: f32 = 1000.0;

/// Below this an average has decayed to nothing.
const NOTHING_SECONDS: f32 = 1e-9;

/// The members' draw table.
#[derive(Debug)]
pub struct PeakEwma(TwoChoices);

impl PeakEwma {
    pub(super) fn build(members: &[Member]) -> Self {
        Self(TwoChoices::build(members))
    }

    pub(super) fn pick(&self, choice: &Choice<'_>) -> Option<usize> {
        self.0.choose(choice, |choice, first, second| {
            cost(choice, second) < cost(choice, first)
        })
    }
}

fn cost(choice: &Choice<'_>, member: &Member) -> f32 {
    let in_flight = member.state.in_flight();
    let seconds = member.state.latency_seconds(choice.pick.now);
    let wait = if seconds > NOTHING_SECONDS {
        seconds * (in_flight as f32 + 1.0)
    } else if in_flight == 0 {
        0.0
    } else {
        UNKNOWN_SECONDS * (in_flight as f32 + 1.0)
    };
    wait / choice.weight(member) as f32
}
