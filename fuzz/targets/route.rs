//! Any target against any routes: normalising is idempotent, the lookup agrees with the explanation,
//! and it agrees with matching each pattern by itself.
//!
//! Input: the first line is the target, the second the host, each other line a route as `HOST PATH`,
//! where `-` stands for none.
#![no_main]

use farmgate::protocol::uri::{NormalisedUri, UriPolicy, normalise, normalise_host};
use farmgate::snapshot::router::{
    Captures, HostPattern, Outcome, PathPattern, RouteMatch, RouterBuilder,
};
use farmgate_plugin_api::compliance::FakeRequest;
use libfuzzer_sys::fuzz_target;

/// Most routes of one input.
const ROUTES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let (Some(target), Some(host)) = (lines.next(), lines.next()) else {
        return;
    };
    let Some(target) = normalised(target) else {
        return;
    };
    let host = String::from_utf8_lossy(host);
    let host = normalise_host(&host).into_owned();
    let routes: Vec<RouteMatch> = lines.take(ROUTES).filter_map(route).collect();
    look_up(&target, &host, &routes);
});

fn normalised(target: &[u8]) -> Option<String> {
    let policy = UriPolicy::default();
    let mut once = NormalisedUri::default();
    normalise(target, &policy, &mut once).ok()?;
    let text = once.path_and_query(target).to_owned();
    let mut twice = NormalisedUri::default();
    normalise(text.as_bytes(), &policy, &mut twice).expect("what is normal is legal");
    assert_eq!(
        text,
        twice.path_and_query(text.as_bytes()),
        "normalising twice changes the target"
    );
    assert!(text.starts_with('/') || text == "*", "{text:?}");
    Some(text)
}

fn route(line: &[u8]) -> Option<RouteMatch> {
    let (host, path) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let mut matches = RouteMatch::default();
    if host != "-" {
        matches.hosts.push(HostPattern::parse(host).ok()?);
    }
    if path != "-" {
        matches.paths.push(PathPattern::parse(path).ok()?);
    }
    Some(matches)
}

fn look_up(target: &str, host: &str, routes: &[RouteMatch]) {
    let mut builder = RouterBuilder::new();
    for (index, matches) in (0u32..).zip(routes) {
        builder.add(index, matches.clone());
    }
    let Ok((router, _)) = builder.build() else {
        return;
    };
    let request = FakeRequest::get(target).host(host);
    let mut captures = Captures::default();
    let found = router.find(&request, &mut captures);
    let path = target.split('?').next().unwrap_or(target);
    let fits = |matches: &RouteMatch| {
        (matches.hosts.is_empty() || matches.hosts.iter().any(|pattern| pattern.matches(host)))
            && (matches.paths.is_empty()
                || matches.paths.iter().any(|pattern| pattern.matches(path)))
    };
    assert_eq!(
        found.is_some(),
        routes.iter().any(fits),
        "a route is overlooked"
    );
    if let Some(index) = found {
        assert!(fits(&routes[index as usize]), "the winner does not fit");
    }
    let explained = router
        .explain(&request)
        .into_iter()
        .find(|candidate| matches!(candidate.outcome, Outcome::Won))
        .map(|candidate| candidate.route);
    assert_eq!(found, explained, "the explanation names another winner");
    for name in captures.names() {
        assert!(captures.get(name, path).is_some());
    }
}
