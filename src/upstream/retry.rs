//! Whether a failed attempt may be made again. Pure rules, RFC 9110 section 9.2.2.

use std::sync::Arc;

use http::Method;

/// One condition that operators write in `retry.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RetryCondition {
    /// No connection to the endpoint was made (TCP or TLS).
    Connect = 1,
    /// The connection ended before the first byte of the response.
    ResetBeforeResponse = 2,
}

impl RetryCondition {
    /// Every condition, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Connect, Self::ResetBeforeResponse];

    /// The word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ResetBeforeResponse => "reset_before_response",
        }
    }

    /// The condition for a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.word() == word)
    }
}

/// A set of conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u8);

impl RetryOn {
    /// Without any condition nothing is retried, except on a reused connection.
    pub const NONE: Self = Self(0);

    /// True if the set has this condition.
    pub const fn contains(self, condition: RetryCondition) -> bool {
        self.0 & condition as u8 != 0
    }
}

impl FromIterator<RetryCondition> for RetryOn {
    fn from_iter<I: IntoIterator<Item = RetryCondition>>(conditions: I) -> Self {
        Self(conditions.into_iter().fold(0, |set, one| set | one as u8))
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// No connection was made, so no byte of the request was sent.
    Connect,
    /// The connection, made for this attempt, ended before the first response byte.
    ResetBeforeResponse,
    /// The same on a connection taken from the pool: most likely it was closed while idle.
    ReusedReset,
    /// Anything else: a response has begun, a timeout ran out, the client left.
    Final,
}

/// The rules of one route or upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at most, the first included; 0 is taken as 1.
    pub attempts: u8,
    /// What is retried.
    pub on: RetryOn,
    /// Methods that may be sent twice. `None`: the idempotent ones.
    pub methods: Option<Arc<[Method]>>,
}

impl Default for RetryPolicy {
    /// One retry when nothing was answered.
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryCondition::ALL.into_iter().collect(),
            methods: None,
        }
    }
}

impl RetryPolicy {
    /// One attempt only.
    pub const OFF: Self = Self {
        attempts: 1,
        on: RetryOn::NONE,
        methods: None,
    };

    /// True if a request of this method may reach an endpoint twice.
    fn repeatable(&self, method: &Method) -> bool {
        match &self.methods {
            Some(methods) => methods.contains(method),
            // RFC 9110, 9.2.2: the safe methods, PUT and DELETE.
            None => method.is_idempotent(),
        }
    }

    /// The rule that protects from doing a thing twice.
    fn is_safe(&self, method: &Method, bytes_sent: bool) -> bool {
        !bytes_sent || self.repeatable(method)
    }
}

/// True if, after attempt number `attempt` (1 is the first) failed, another one may be made.
/// `bytes_sent`: some byte of the request may have reached the endpoint.
pub fn may_retry(
    policy: &RetryPolicy,
    attempt: u8,
    method: &Method,
    failure: FailureClass,
    bytes_sent: bool,
) -> bool {
    if attempt >= policy.attempts {
        return false;
    }
    match failure {
        FailureClass::Connect => policy.on.contains(RetryCondition::Connect),
        FailureClass::ResetBeforeResponse | FailureClass::ReusedReset => {
            policy.on.contains(RetryCondition::ResetBeforeResponse)
                && policy.is_safe(method, bytes_sent)
        }
        FailureClass::Final => false,
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Answer the client.
    No,
    /// Choose another endpoint; the failed one counts as tried.
    Again,
    /// Send it again, to the same endpoint if it is still chosen: only an idle connection had
    /// ended. The endpoint is not at fault and does not count as tried.
    AgainFree,
}

/// The attempts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    number: u8,
    free_used: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            number: 1,
            free_used: false,
        }
    }
}

impl Attempts {
    /// The number of the attempt under way, 1 first. A free retry keeps the number.
    pub const fn number(self) -> u8 {
        self.number
    }

    /// Decides after the attempt under way failed, and counts the next one if there is one.
    pub fn failed(
        &mut self,
        policy: &RetryPolicy,
        method: &Method,
        failure: FailureClass,
        bytes_sent: bool,
    ) -> Retry {
        let reused = failure == FailureClass::ReusedReset;
        if reused && !self.free_used && policy.is_safe(method, bytes_sent) {
            self.free_used = true;
            return Retry::AgainFree;
        }
        if may_retry(policy, self.number, method, failure, bytes_sent) {
            self.number += 1;
            return Retry::Again;
        }
        Retry::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Connect, Final, ResetBeforeResponse, ReusedReset};

    fn policy(attempts: u8, on: &[RetryCondition], methods: Option<&[Method]>) -> RetryPolicy {
        RetryPolicy {
            attempts,
            on: on.iter().copied().collect(),
            methods: methods.map(Arc::from),
        }
    }

    #[test]
    fn idempotent_methods_and_unsent_requests_are_retried() {
        let usual = RetryPolicy::default();
        let may = |method: &str, failure, sent| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            may_retry(&usual, 1, &method, failure, sent)
        };
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(may(method, ResetBeforeResponse, true), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PURGE"] {
            assert!(!may(method, ResetBeforeResponse, true), "{method}");
            assert!(!may(method, ReusedReset, true), "{method}");
            assert!(may(method, ResetBeforeResponse, false), "{method}");
            assert!(may(method, Connect, false), "{method}");
        }
        assert!(!may("GET", Final, false));
    }

    #[test]
    fn attempts_count_the_first_try() {
        let three = policy(3, &RetryCondition::ALL, None);
        let mut attempts = Attempts::default();
        let mut fail = || attempts.failed(&three, &Method::GET, Connect, false);
        assert_eq!(
            [fail(), fail(), fail()],
            [Retry::Again, Retry::Again, Retry::No]
        );
        assert_eq!(attempts.number(), 3);
        for attempts in [0, 1] {
            let once = policy(attempts, &RetryCondition::ALL, None);
            assert!(!may_retry(&once, 1, &Method::GET, Connect, false));
        }
    }

    #[test]
    fn only_the_conditions_that_are_on() {
        let connect = policy(2, &[RetryCondition::Connect], None);
        assert!(may_retry(&connect, 1, &Method::POST, Connect, false));
        assert!(!may_retry(
            &connect,
            1,
            &Method::GET,
            ResetBeforeResponse,
            false
        ));
        let reset = policy(2, &[RetryCondition::ResetBeforeResponse], None);
        assert!(!may_retry(&reset, 1, &Method::GET, Connect, false));
        assert!(may_retry(
            &reset,
            1,
            &Method::GET,
            ResetBeforeResponse,
            true
        ));
    }

    #[test]
    fn written_methods_replace_the_idempotent_ones() {
        let post = policy(2, &RetryCondition::ALL, Some(&[Method::POST]));
        assert!(may_retry(
            &post,
            1,
            &Method::POST,
            ResetBeforeResponse,
            true
        ));
        assert!(!may_retry(
            &post,
            1,
            &Method::GET,
            ResetBeforeResponse,
            true
        ));
        assert!(may_retry(
            &post,
            1,
            &Method::GET,
            ResetBeforeResponse,
            false
        ));
    }

    #[test]
    fn a_dead_pooled_connection_is_retried_once_for_free() {
        let mut attempts = Attempts::default();
        let off = RetryPolicy::OFF;
        let mut fail = |sent| attempts.failed(&off, &Method::GET, ReusedReset, sent);
        assert_eq!([fail(true), fail(true)], [Retry::AgainFree, Retry::No]);

        let usual = RetryPolicy::default();
        let mut attempts = Attempts::default();
        let mut fail = || attempts.failed(&usual, &Method::GET, ReusedReset, true);
        assert_eq!(
            [fail(), fail(), fail()],
            [Retry::AgainFree, Retry::Again, Retry::No]
        );

        let mut post = Attempts::default();
        let mut fail = |sent| post.failed(&usual, &Method::POST, ReusedReset, sent);
        assert_eq!([fail(true), fail(false)], [Retry::No, Retry::AgainFree]);
    }

    #[test]
    fn words_round_trip() {
        for condition in RetryCondition::ALL {
            assert_eq!(RetryCondition::from_word(condition.word()), Some(condition));
        }
        assert_eq!(RetryCondition::from_word("reset"), None);
    }
}
