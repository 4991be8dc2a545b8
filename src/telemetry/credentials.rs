//! Where the plugins of a configuration read credentials: hidden in logs like those that everybody knows.

use std::sync::Arc;

use parking_lot::RwLock;

use super::redact;

/// Names of fields and query keys whose values are secrets besides the built-in ones. Cookies are hidden altogether,
/// whatever their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// In lower case.
    headers: Vec<Box<str>>,
    /// Percent-decoded, as the plugin compares them.
    query: Vec<Box<str>>,
}

/// Nothing but the built-in ones.
pub static NONE: Credentials = Credentials {
    headers: Vec::new(),
    query: Vec::new(),
};

/// Those of the last two configurations, for texts that belong to no request: events. The older one's requests may
/// still end.
static IN_FORCE: RwLock<[Option<Arc<Credentials>>; 2]> = RwLock::new([None, None]);

/// Hides these in events from now on, beside those of the configuration before.
pub fn put_in_force(next: &Arc<Credentials>) {
    let mut both = IN_FORCE.write();
    let [newest, older] = &mut *both;
    *older = newest.replace(Arc::clone(next));
}

/// True if a configuration in force hides the value that follows this name in a text, as `name: value` or `name=value`.
pub(super) fn is_in_force(name: &str, sign: char) -> bool {
    let both = IN_FORCE.read();
    both.iter()
        .flatten()
        .any(|known| known.is_header(name) || (sign == '=' && known.is_query_key(name.as_bytes())))
}

impl Credentials {
    /// Adds a header field's name.
    pub fn add_header(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if !redact::is_credential_header(&name) && !self.is_header(&name) {
            self.headers.push(name.into());
        }
    }

    /// Adds the name of a query parameter.
    pub fn add_query(&mut self, name: &str) {
        if !redact::is_secret_key(name.as_bytes()) && !self.is_query_key(name.as_bytes()) {
            self.query.push(name.into());
        }
    }

    /// True for a field of these; the case does not matter.
    pub fn is_header(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// True for a key of these as it stands in a query, escaped or not. A little wider than a plugin compares: the
    /// case does not matter.
    pub fn is_query_key(&self, key: &[u8]) -> bool {
        self.query
            .iter()
            .any(|known| redact::is_key(key, known.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_a_client_writes_them() {
        let mut all = Credentials::default();
        all.add_header("X-Farm-Key");
        all.add_header("authorization");
        all.add_query("k");
        all.add_query("my key");
        all.add_query("token");
        assert_eq!((all.headers.len(), all.query.len()), (1, 2), "no doubles");
        assert!(all.is_header("x-farm-KEY") && !all.is_header("x-farm"));
        for key in ["k", "K", "%6b", "%6B", "my%20key", "my key"] {
            assert!(all.is_query_key(key.as_bytes()), "{key}");
        }
        for key in ["", "kk", "%6", "my+key", "mykey"] {
            assert!(!all.is_query_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn events_hide_what_the_last_two_configurations_read() {
        let with = |name: &str| {
            let mut all = Credentials::default();
            all.add_header(name);
            Arc::new(all)
        };
        put_in_force(&with("x-test-only-a"));
        put_in_force(&with("x-test-only-b"));
        assert_eq!(
            redact::scrub("x-test-only-a: geheim"),
            "x-test-only-a: REDACTED"
        );
        assert!(is_in_force("X-Test-Only-B", ':'));
        put_in_force(&with("x-test-only-c"));
        assert!(!is_in_force("x-test-only-a", ':'));
    }
}
