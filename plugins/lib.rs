//! The plugin kinds Farmgate ships: a room each, and one line each in the list below.

/// Declares the rooms and the list of their kinds.
macro_rules! plugins {
    ($($room:ident,)+) => {
        $(pub mod $room;)+

        /// Every kind, by name.
        pub fn kinds() -> &'static [&'static dyn farmgate_plugin_api::Kind] {
            &[$($room::KIND),+]
        }
    };
}

plugins! {
    access_control,
    api_key,
    basic_auth,
    compression,
    cors,
    error_pages,
    experiment,
    fault,
    forward_auth,
    grpc_web,
    headers,
    hmac,
    jwt,
    mirror,
    rate_limit,
    redirect,
    request_id,
    respond,
    rewrite,
    security_headers,
    validate,
    waf,
}

/// The examples of the guide are compiled and run, so that they stay true.
#[cfg(doctest)]
#[doc = include_str!("../docs/plugins.md")]
mod guide {}

#[cfg(test)]
mod tests {
    use super::kinds;

    #[test]
    fn kinds_are_listed_by_name_and_once() {
        let names: Vec<_> = kinds().iter().map(|kind| kind.name()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
