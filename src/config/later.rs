//! Words that are agreed but belong to a later build. Writing one is an error of its own: it must
//! not look like a typo, and it must not be ignored.

/// Kinds of plugins.
pub const PLUGIN_KINDS: &[&str] = &["api_key", "basic_auth", "fault", "forward_auth", "jwt"];
