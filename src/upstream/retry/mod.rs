//! Whether a failed attempt is made again, and when.
//!
//! Three questions, each pure or one lock, asked in this order after an attempt failed:
//!
//! 1. [`policy`]: may this request be sent again at all? [`Attempts::failed`], on a copy that is
//!    kept only if all three agree.
//! 2. [`backoff`]: does a pause fit into the time left? [`needs_pause`], [`Backoff::pause`].
//! 3. [`budget`]: do the retries of all requests together stay within their share?
//!    [`RetryBudget::try_retry`], whose [`RetryGuard`] is kept until the new attempt has ended.
//!
//! A [`Retry::AgainFree`] skips 2: it replaces an attempt that found only a dead connection, and a
//! request has one at each upstream. Where nothing was sent it skips 3 too: the endpoint has no work
//! of it. Where something was, the endpoint may have read it, and one that ends every connection
//! after its first answer would get twice the requests: it is charged to the window of the budget
//! ([`RetryBudget::charge`]), and is no retry any more when that is used up.

pub mod backoff;
pub mod budget;
mod moved;
pub mod policy;

pub use backoff::{Backoff, needs_pause, parse_retry_after};
pub use budget::{BudgetOptions, BudgetStatus, RetryBudget, RetryGuard, Spent};
pub use moved::MovedBudget;
pub use policy::{Attempts, FailureClass, Retry, RetryCondition, RetryOn, RetryPolicy, may_retry};

#[cfg(test)]
mod tests;
