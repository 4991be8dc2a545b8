//! What a route's `[[cache_policy]]` says, compiled: the choices the rules ask for.

use http::StatusCode;
use http::header::HeaderName;

use super::key::KeyRules;
use super::targeted::CDN_CACHE_CONTROL;
use super::vary::VaryRules;

/// What becomes of Set-Cookie in a response that could be stored otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// The response is not stored: it speaks to one client.
    #[default]
    Bypass,
    /// It is stored, and sent to everybody, without the field.
    Strip,
    /// It is stored with the field, as RFC 9111 section 7.3 allows: for origins whose cookies are the same for all.
    Keep,
}

/// Lifetimes, seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// For successes and permanent redirects of an origin that says nothing; 0 stores none of them.
    pub default_s: u32,
    /// No lifetime is shorter, as long as the origin permits reuse at all; 0 leaves short ones alone.
    pub floor_s: u32,
    /// No lifetime is longer.
    pub most_s: u32,
    /// By status, of an origin that says nothing; before `default_s`. Sorted by status.
    pub status: Vec<(StatusCode, u32)>,
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            default_s: 0,
            floor_s: 0,
            most_s: 30 * 86_400,
            status: Vec::new(),
        }
    }
}

impl Ttl {
    /// The lifetime of a response whose origin said nothing; none when it is not to be stored.
    ///
    /// `default` speaks of answers only: an error is stored for a time that was written for its status.
    pub fn unsaid(&self, status: StatusCode) -> Option<u32> {
        if let Some((_, seconds)) = self.status.iter().find(|(of, _)| *of == status) {
            return Some(*seconds);
        }
        let answers = matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308);
        (answers && self.default_s > 0).then_some(self.default_s)
    }

    /// Brings a lifetime of the origin between floor and cap. Zero stays zero: the origin asks to be asked.
    pub fn bound(&self, seconds: u32) -> u32 {
        match seconds {
            0 => 0,
            seconds => seconds.max(self.floor_s).min(self.most_s),
        }
    }
}

/// A policy. Built when a configuration is compiled, shared by the routes that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lifetimes.
    pub ttl: Ttl,
    /// Millionths of the age by Last-Modified that count as a lifetime (RFC 9111 section 4.2.2); none: no guesses.
    pub heuristic_millionths: Option<u32>,
    /// Seconds a stale response may be sent while it is asked for anew, when the origin did not say.
    pub stale_while_revalidate_s: u32,
    /// Seconds a stale response may stand in for an error, when the origin did not say.
    pub stale_if_error_s: u32,
    /// What tells objects apart besides what always does.
    pub key: KeyRules,
    /// How request fields that a response names in Vary are compared.
    pub vary: VaryRules,
    /// Response fields that carry tags; removed before a response is sent.
    pub tags: Vec<HeaderName>,
    /// What becomes of Set-Cookie.
    pub set_cookie: SetCookie,
    /// Largest stored body, bytes; larger ones pass through whole.
    pub max_object_bytes: u64,
    /// Fields that speak before Cache-Control, in order (RFC 9213).
    pub targeted: Vec<HeaderName>,
    /// A success whose Content-Type does not fit the path's extension is not stored (web cache deception).
    pub match_content_type: bool,
    /// Seconds it is remembered that a key's answers cannot be stored, so that its clients do not queue.
    pub unstored_s: u32,
}

impl Default for Policy {
    /// Stores what the origin declares fresh, nothing else.
    fn default() -> Self {
        Self {
            ttl: Ttl::default(),
            heuristic_millionths: None,
            stale_while_revalidate_s: 0,
            stale_if_error_s: 0,
            key: KeyRules::default(),
            vary: VaryRules::default(),
            tags: Vec::new(),
            set_cookie: SetCookie::Bypass,
            max_object_bytes: 1 << 30,
            targeted: vec![CDN_CACHE_CONTROL],
            match_content_type: true,
            unstored_s: 120,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_said_is_stored_for_the_time_of_its_status() {
        let ttl = Ttl {
            default_s: 60,
            status: vec![(StatusCode::NOT_FOUND, 10), (StatusCode::FOUND, 0)],
            ..Ttl::default()
        };
        assert_eq!(ttl.unsaid(StatusCode::OK), Some(60));
        assert_eq!(ttl.unsaid(StatusCode::MOVED_PERMANENTLY), Some(60));
        assert_eq!(ttl.unsaid(StatusCode::NOT_FOUND), Some(10));
        assert_eq!(ttl.unsaid(StatusCode::FOUND), Some(0));
        assert_eq!(ttl.unsaid(StatusCode::INTERNAL_SERVER_ERROR), None);
        assert_eq!(ttl.unsaid(StatusCode::GONE), None);
        assert_eq!(Ttl::default().unsaid(StatusCode::OK), None);
    }

    #[test]
    fn floor_and_cap_leave_zero_alone() {
        let ttl = Ttl {
            floor_s: 5,
            most_s: 100,
            ..Ttl::default()
        };
        assert_eq!(ttl.bound(0), 0);
        assert_eq!(ttl.bound(1), 5);
        assert_eq!(ttl.bound(50), 50);
        assert_eq!(ttl.bound(1000), 100);
    }
}
