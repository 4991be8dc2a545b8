//! Routes: matches into the router, chains, targets.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, did_you_mean};
use http::{HeaderName, Method};

use super::cache::Plans;
use super::plugins::Plugins;
use super::upstreams::{Upstreams, per_try, retries, times};
use super::{Binding, World, codes, consumers, unknown};
use crate::config::words::{
    ConditionTest, Conditions, Config, ListenerConfig, RouteClass, RouteConfig, RouteUpstreams,
};
use crate::snapshot::route::{RequestSeries, RouteTimeouts};
use crate::snapshot::router::{
    Cidr, Condition, FieldCondition, Finding, HostPattern, PathPattern, RouteMatch, Router,
    RouterBuilder, Split,
};
use crate::snapshot::{Route, Sticky, Target};
use crate::telemetry::metrics::NONE;
use crate::tls::SanRule;
use crate::upstream::limits::Class;

/// What the routes came to.
pub(super) struct Routes {
    /// In the order of writing.
    pub(super) routes: Vec<Arc<Route>>,
    /// Over all of them.
    pub(super) router: Router,
}

pub(super) fn compile(
    config: &Config,
    world: &dyn World,
    (bindings, authenticating): (&[Binding], &[u16]),
    (upstreams, plans): (&Upstreams, &Plans),
    plugins: &mut Plugins<'_>,
    diagnostics: &mut Diagnostics,
) -> Routes {
    let mut builder = RouterBuilder::new();
    let mut routes = Vec::with_capacity(config.routes.len());
    for (index, words) in config.routes.iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let matches = Matches {
            config,
            bindings,
            authenticating,
            diagnostics,
        }
        .read(words);
        let captures: HashSet<&str> = matches
            .paths
            .iter()
            .flat_map(PathPattern::captures)
            .collect();
        let place = Place {
            config,
            index,
            world,
            bindings,
            upstreams,
            plans,
        };
        let route = one(words, &place, plugins, &captures, diagnostics);
        builder.add(index, matches);
        routes.push(Arc::new(route));
    }
    let router = match builder.build() {
        Ok((router, findings)) => {
            report(config, &findings, diagnostics);
            router
        }
        Err(error) => {
            let nowhere = farmgate_plugin_api::decode::Place::none();
            diagnostics.error(codes::ROUTE_TOO_MANY, &nowhere, error.to_string());
            Router::default()
        }
    };
    Routes { routes, router }
}

/// What a route is compiled into.
struct Place<'a> {
    config: &'a Config,
    index: u32,
    world: &'a dyn World,
    bindings: &'a [Binding],
    upstreams: &'a Upstreams,
    plans: &'a Plans,
}

fn one(
    words: &RouteConfig,
    place: &Place<'_>,
    plugins: &mut Plugins<'_>,
    captures: &HashSet<&str>,
    diagnostics: &mut Diagnostics,
) -> Route {
    let Place {
        config,
        index,
        world,
        bindings,
        upstreams,
        plans,
    } = *place;
    let name: Arc<str> = words.name.value.as_str().into();
    let chain = plugins.route_chain(&name, words.defaults, &words.plugins, world, diagnostics);
    // After an earlier mistake a template may hold what was to be replaced.
    let sound = !diagnostics.has_errors();
    for link in chain.links.iter().filter(|_| sound) {
        for capture in link.instance.filter.captures() {
            if !captures.contains(capture) {
                let message = format!(
                    "plugin {:?} uses {{{capture}}}, which the paths of route {name:?} do not capture",
                    link.instance.name
                );
                diagnostics.error(codes::ROUTE_CAPTURE, &words.name.place, message);
            }
        }
    }
    let target = match &words.upstream {
        Some(written) => target(written, config, upstreams, diagnostics),
        None => Target::None,
    };
    if matches!(target, Target::None) && words.upstream.is_none() && chain.request_head.is_empty() {
        let message = format!("route {name:?} has neither an upstream nor a plugin that answers");
        diagnostics.error(codes::ROUTE_NOWHERE, &words.name.place, message);
    }
    let target_names: Vec<Arc<str>> = match &target {
        Target::None => Vec::new(),
        Target::One(plan) => plan.all_names(),
        Target::Split(_, plans) => {
            let names: BTreeSet<_> = plans.iter().flat_map(|plan| plan.all_names()).collect();
            names.into_iter().collect()
        }
    };
    let (cache, purge) = super::cache::route(words, config, plans, &chain, world, diagnostics);
    let own = words.timeouts.as_ref().map(|times| &times.value);
    let time = |word: Option<&Located<farmgate_plugin_api::units::Duration>>| {
        word.map(|word| word.value.get())
    };
    Route {
        index,
        sticky: sticky(words, &target, diagnostics),
        target,
        class: match words.class {
            RouteClass::Critical => Class::Critical,
            RouteClass::Default => Class::Default,
            RouteClass::Bulk => Class::Bulk,
        },
        bulkhead: super::bulkhead::compile(words, world, diagnostics),
        body_bytes: words.limits.body_bytes.as_ref().map(|b| b.value.bytes()),
        timeouts: RouteTimeouts {
            body_idle: time(own.and_then(|t| t.body_idle.as_ref())),
            request: time(own.and_then(|t| t.request.as_ref())),
            upgrade_idle: time(own.and_then(|t| t.upgrade_idle.as_ref())),
            upgrade_age: time(own.and_then(|t| t.upgrade_max_age.as_ref())),
        },
        retry: words
            .retry
            .as_ref()
            .map(|words| Arc::new(retries(&words.value, diagnostics))),
        per_try: words.retry.as_ref().and_then(|r| per_try(&r.value)),
        upstream_timeouts: own.and_then(|t| t.towards_origin()).map(|t| times(&t)),
        cache,
        purge,
        metrics: world.metrics().route(&name),
        requests: series(&name, &target_names, words, bindings, world),
        chain,
        name,
    }
}

/// A counter for every listener and upstream this route may meet.
fn series(
    route: &str,
    upstreams: &[Arc<str>],
    words: &RouteConfig,
    bindings: &[Binding],
    world: &dyn World,
) -> Box<[RequestSeries]> {
    let listens = |binding: &&Binding| {
        words
            .listeners
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name.value == *binding.name))
    };
    let mut all = Vec::new();
    for binding in bindings.iter().filter(listens) {
        let upstreams = upstreams.iter().cloned().map(Some);
        for upstream in std::iter::once(None).chain(upstreams) {
            let label = upstream.as_deref().unwrap_or(NONE);
            all.push(RequestSeries {
                slot: binding.slot,
                metrics: world.metrics().requests(&binding.name, route, label),
                upstream,
            });
        }
    }
    all.into()
}

fn target(
    written: &Located<RouteUpstreams>,
    config: &Config,
    upstreams: &Upstreams,
    diagnostics: &mut Diagnostics,
) -> Target {
    let mut plans = Vec::new();
    let mut sides = Vec::new();
    for side in &written.value.0 {
        match upstreams.get(side.name.value.as_str()) {
            Some(plan) => {
                plans.push(Arc::clone(plan));
                sides.push((side.name.value.as_str(), side.weight.value));
            }
            None if config.declares("upstream", &side.name.value) => {}
            None => {
                let (message, help) = unknown("upstream", &side.name.value, upstreams);
                let error = Diagnostic::error(codes::ROUTE_REFERENCE, &side.name.place, message);
                diagnostics.push(error.with_help(help));
            }
        }
    }
    match plans.len() {
        0 => Target::None,
        1 if written.value.0.len() == 1 => plans.pop().map_or(Target::None, Target::One),
        _ => match Split::new(sides) {
            Ok(split) => Target::Split(split, plans),
            Err(error) => {
                diagnostics.error(codes::ROUTE_SPLIT, &written.place, error.to_string());
                Target::None
            }
        },
    }
}

fn sticky(words: &RouteConfig, target: &Target, diagnostics: &mut Diagnostics) -> Option<Sticky> {
    let written = words.sticky.as_ref()?;
    let cookie = written
        .value
        .strip_prefix("cookie:")
        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok());
    if !matches!(target, Target::Split(..)) && cookie.is_some() {
        diagnostics.error(
            codes::ROUTE_STICKY,
            &written.place,
            "sticky needs a route with several upstreams",
        );
    }
    match cookie {
        Some(cookie) => Some(Sticky {
            cookie: cookie.into(),
        }),
        None => {
            let message = format!("{:?} is not of the form \"cookie:NAME\"", written.value);
            diagnostics.error(codes::ROUTE_STICKY, &written.place, message);
            None
        }
    }
}

/// Reads the match words of one route.
struct Matches<'a> {
    config: &'a Config,
    bindings: &'a [Binding],
    /// Slots of the listeners with a plugin that says who a consumer is.
    authenticating: &'a [u16],
    diagnostics: &'a mut Diagnostics,
}

impl Matches<'_> {
    fn read(mut self, words: &RouteConfig) -> RouteMatch {
        for (word, list) in [
            ("listeners", &words.listeners),
            ("hosts", &words.hosts),
            ("paths", &words.paths),
            ("methods", &words.methods),
            ("client_san", &words.client_san),
            ("consumer", &words.consumer),
            ("consumer_plan", &words.consumer_plan),
            ("consumer_tags", &words.consumer_tags),
        ] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                let message = format!(
                    "the list of {word} of route {:?} is empty: it would fit nothing",
                    words.name.value
                );
                self.diagnostics.push(
                    Diagnostic::error(codes::ROUTE_EMPTY, &words.name.place, message)
                        .with_help(format!("leave {word} out to fit all")),
                );
            }
        }
        RouteMatch {
            listeners: words.listeners.as_ref().map(|names| {
                names
                    .iter()
                    .filter_map(|name| self.listener(name))
                    .collect()
            }),
            hosts: self.all(words.hosts.as_deref(), codes::ROUTE_HOST, |text| {
                HostPattern::parse(text).map_err(|e| e.to_string())
            }),
            paths: self.all(words.paths.as_deref(), codes::ROUTE_PATH, |text| {
                PathPattern::parse(text).map_err(|e| e.to_string())
            }),
            methods: self.all(words.methods.as_deref(), codes::ROUTE_CONDITION, method),
            headers: self.fields(&words.headers, |name| {
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| format!("{name:?} is no field name"))
            }),
            query: self.fields(&words.query, |name| Ok(name.to_owned())),
            cookies: self.fields(&words.cookies, |name| Ok(name.to_owned())),
            sources: words
                .sources
                .iter()
                .flatten()
                .map(|cidr| Cidr {
                    addr: cidr.value.addr(),
                    prefix: cidr.value.prefix(),
                })
                .collect(),
            client_sans: self.client_sans(words),
            consumers: consumers::compile(
                words,
                self.bindings,
                self.authenticating,
                self.diagnostics,
            ),
        }
    }

    fn client_sans(&mut self, words: &RouteConfig) -> Vec<SanRule> {
        let asks = |listener: &&ListenerConfig| {
            let named = words.listeners.as_ref();
            named.is_none_or(|names| names.iter().any(|name| name.value == listener.name.value))
                && listener.tls.as_ref().is_some_and(|tls| {
                    let mut all = self.config.tls.iter();
                    all.any(|one| one.name.value == tls.value && one.client_auth.is_some())
                })
        };
        if let Some(first) = words.client_san.as_ref().and_then(|names| names.first())
            && !self.config.listeners.iter().any(|one| asks(&one))
        {
            let message = format!(
                "route {:?} wants a client's certificate, and none of its listeners asks for one",
                words.name.value
            );
            self.diagnostics.push(
                Diagnostic::warning(codes::ROUTE_SAN, &first.place, message)
                    .with_help("add client_auth to the [[tls]] of a listener"),
            );
        }
        self.all(
            words.client_san.as_deref(),
            codes::ROUTE_CONDITION,
            |text| SanRule::parse(text).map_err(|error| format!("{text:?}: {error}")),
        )
    }

    fn listener(&mut self, name: &Located<String>) -> Option<u16> {
        let found = self.bindings.iter().find(|b| *b.name == name.value);
        if found.is_none() && !self.config.declares("listener", &name.value) {
            let known: Vec<&str> = self.bindings.iter().map(|b| &*b.name).collect();
            let message = format!("no listener is named {:?}", name.value);
            self.diagnostics.push(
                Diagnostic::error(codes::ROUTE_REFERENCE, &name.place, message)
                    .with_help(did_you_mean(&name.value, &known)),
            );
        }
        found.map(|binding| binding.slot)
    }

    fn all<T>(
        &mut self,
        words: Option<&[Located<String>]>,
        code: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut out = Vec::new();
        for word in words.unwrap_or_default() {
            match parse(&word.value) {
                Ok(value) => out.push(value),
                Err(message) => self.diagnostics.error(code, &word.place, message),
            }
        }
        out
    }

    fn fields<N>(
        &mut self,
        conditions: &Conditions,
        name: impl Fn(&str) -> Result<N, String>,
    ) -> Vec<FieldCondition<N>> {
        let mut out = Vec::new();
        for one in &conditions.0 {
            let value = match &one.test.value {
                ConditionTest::Exact(text) => Ok(Condition::Exact(text.clone())),
                ConditionTest::Regex(text) => {
                    Condition::regex(text).map_err(|error| regex_message(text, &error))
                }
                ConditionTest::Present(true) => Ok(Condition::Present),
                ConditionTest::Present(false) => Err(
                    "{ present = false } is not supported; give the other routes the condition"
                        .to_owned(),
                ),
            };
            match (name(&one.name.value), value) {
                (Ok(name), Ok(value)) => out.push(FieldCondition { name, value }),
                (Err(message), _) => {
                    self.diagnostics
                        .error(codes::ROUTE_CONDITION, &one.name.place, message);
                }
                (_, Err(message)) => {
                    self.diagnostics
                        .error(codes::ROUTE_CONDITION, &one.test.place, message);
                }
            }
        }
        out
    }
}

/// On one line: the crate draws the place below the text, over several.
fn regex_message(text: &str, error: &regex::Error) -> String {
    let why = error.to_string();
    let last = why.lines().last().unwrap_or_default();
    let why = last.strip_prefix("error: ").unwrap_or(last);
    format!("the regex {text:?} does not compile: {why}")
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes())
        .map_err(|_| format!("{text:?} is no method (a token)"))?;
    match method {
        Method::CONNECT => Err("CONNECT is never served".to_owned()),
        method if text.bytes().any(|b| b.is_ascii_lowercase()) => Err(format!(
            "methods are case-sensitive: {text:?} would never match; write {:?}",
            method.as_str().to_ascii_uppercase()
        )),
        method => Ok(method),
    }
}

fn report(config: &Config, findings: &[Finding], diagnostics: &mut Diagnostics) {
    let name = |index: u32| {
        config
            .routes
            .get(index as usize)
            .map_or("?", |route| route.name.value.as_str())
    };
    for finding in findings {
        let (code, route, message) = match finding {
            Finding::Unreachable { route, by } => {
                let by: Vec<&str> = by.iter().map(|index| name(*index)).collect();
                let message = format!(
                    "route {:?} can never win: {} takes all of its requests",
                    name(*route),
                    by.join(", ")
                );
                (codes::ROUTE_UNREACHABLE, *route, message)
            }
            Finding::SameRank { earlier, later } => {
                let message = format!(
                    "only the order of writing puts route {:?} before {:?}",
                    name(*earlier),
                    name(*later)
                );
                (codes::ROUTE_ORDER, *later, message)
            }
            Finding::Costly { visits } => {
                let message = format!("a lookup can visit {visits} places of the routing tables");
                (codes::ROUTE_COSTLY, 0, message)
            }
        };
        if let Some(route) = config.routes.get(route as usize) {
            diagnostics.warning(code, &route.name.place, message);
        }
    }
}
