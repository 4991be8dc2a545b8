//! Stand-in until the prefilter is there.
use super::Transaction;
use super::matched::Found;
use crate::plan::compiled::{Condition, Exclude};
use crate::plan::{Plan, PlanRule};
use crate::seclang::Phase;

#[derive(Debug, Default)]
pub(crate) struct Strings;
#[derive(Debug, Default)]
pub(crate) struct Batch;
pub(crate) fn take() -> Batch { Batch }
pub(crate) fn give_back(_: Batch) {}
impl Batch {
    pub(crate) fn run(&mut self, _: &Plan, _: Phase, _: &mut Transaction) {}
    pub(crate) fn next<'r>(&self, rules: &'r [PlanRule], at: usize) -> Option<(usize, &'r PlanRule)> { rules.get(at).map(|r| (at, r)) }
    pub(crate) fn found(&self, _: u16, _: &Condition, _: &[&Exclude], _: &Transaction, _: &mut Vec<Found>) {}
}
