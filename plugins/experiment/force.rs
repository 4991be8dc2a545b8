//! Testers choose their variant themselves.

use farmgate_plugin_api::Facts;
use farmgate_plugin_api::decode::Secret;
use farmgate_plugin_api::units::Cidr;
use http::HeaderName;

/// Who may choose, and in which field.
#[derive(Debug)]
pub(super) struct Force {
    pub(super) header: HeaderName,
    /// Clients from here write the variant's name.
    pub(super) cidrs: Box<[Cidr]>,
    /// Everybody else writes the name, a space, and this.
    pub(super) secret: Option<Secret>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked<'f> {
    /// Nothing.
    Nothing,
    /// This variant, and it may.
    For(&'f [u8]),
    /// Some variant, and it may not.
    Unasked,
}

impl Force {
    /// What a request asks for.
    pub(super) fn asked<'f>(&self, facts: &'f dyn Facts) -> Asked<'f> {
        let Some(value) = facts.headers().get(&self.header) else {
            return Asked::Nothing;
        };
        let value = value.as_bytes().trim_ascii();
        let space = value.iter().position(|b| *b == b' ');
        let (name, presented) = match space.and_then(|at| value.split_at_checked(at)) {
            Some((name, rest)) => (name, rest.trim_ascii()),
            None => (value, &[][..]),
        };
        if let Some(secret) = &self.secret
            && secret.is(presented)
        {
            return Asked::For(name);
        }
        let ip = facts.client_ip();
        if presented.is_empty() && self.cidrs.iter().any(|cidr| cidr.contains(ip)) {
            return Asked::For(name);
        }
        Asked::Unasked
    }
}
