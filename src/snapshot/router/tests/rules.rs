//! Random routes and requests as plain data, and the rules read aloud: no code of the router.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// A condition as plain data.
#[derive(Clone, Debug)]
enum Wish {
    Exact(&'static str),
    OneOf(&'static [&'static str]),
    Present,
}

/// A route as plain data.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    hosts: Vec<&'static str>,
    paths: Vec<String>,
    listeners: Option<Vec<u16>>,
    methods: Vec<&'static str>,
    /// Headers `x` and `y`, query `q`, cookie `c`.
    fields: [Option<Wish>; 4],
    sources: Vec<&'static str>,
}

/// A request as plain data.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    host: &'static str,
    path: String,
    listener: u16,
    method: &'static str,
    fields: [Vec<&'static str>; 4],
    client: &'static str,
}

const HOSTS: [&str; 6] = [
    "a.test",
    "b.a.test",
    "*.a.test",
    "*.test",
    "*.b.a.test",
    "::1",
];
const ASKED_HOSTS: [&str; 7] = [
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "b.test",
    "test",
    "[0::1]",
    "other",
];
const NETS: [(&str, &[&str]); 3] = [
    ("192.0.2.0/24", &["192.0.2.1"]),
    ("192.0.0.0/8", &["192.0.2.1", "192.1.0.1"]),
    ("2001:db8::/32", &["2001:db8::1"]),
];
const CLIENTS: [&str; 3] = ["192.0.2.1", "192.1.0.1", "2001:db8::1"];

fn some_of<T: Clone + std::fmt::Debug + 'static>(
    all: &'static [T],
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 3 => subsequence(all, 1..=2)]
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = select(&["a", "b", "{}", "{}"][..]);
    (vec(segment, 0..4), any::<bool>()).prop_map(|(segments, open)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text += &format!("/{}", segment.replace("{}", &format!("{{p{at}}}")));
        }
        match (open, text.is_empty()) {
            (true, _) => text + "/*",
            (false, true) => "/".to_owned(),
            (false, false) => text,
        }
    })
}

fn wish() -> impl Strategy<Value = Option<Wish>> {
    let exact = select(&["1", "2", "3", "4", "5"][..]).prop_map(Wish::Exact);
    let one_of = select(vec![&["1", "2"][..], &["2", "3"][..]]).prop_map(Wish::OneOf);
    option::weighted(
        0.4,
        prop_oneof![5 => exact, 1 => one_of, 1 => Just(Wish::Present)],
    )
}

pub(super) fn spec() -> impl Strategy<Value = Spec> {
    let paths = prop_oneof![1 => vec(pattern(), 0..3), 1 => Just(vec!["/a/*".to_owned()])];
    let nets = subsequence(NETS.map(|(net, _)| net).to_vec(), 1..=2);
    let nets = prop_oneof![4 => Just(Vec::new()), 1 => nets];
    let listeners = option::weighted(0.2, subsequence(vec![0u16, 1, 2], 1..=2));
    let methods = prop_oneof![3 => Just(Vec::new()), 1 => some_of(&["GET", "PUT", "POST"])];
    let fields = [wish(), wish(), wish(), wish()];
    (some_of(&HOSTS), paths, listeners, methods, fields, nets).prop_map(
        |(hosts, paths, listeners, methods, fields, sources)| Spec {
            hosts,
            paths,
            listeners,
            methods,
            fields,
            sources,
        },
    )
}

pub(super) fn plain() -> impl Strategy<Value = Plain> {
    let segments = vec(select(&["a", "a", "b", "c", ""][..]), 1..5);
    let path = prop_oneof![
        20 => segments.prop_map(|segments| format!("/{}", segments.join("/"))),
        1 => Just("*".to_owned()),
    ];
    let values = || {
        let value = || select(&["1", "2", "3", "4", "5", ""][..]);
        prop_oneof![2 => Just(Vec::new()), 5 => vec(value(), 1), 1 => vec(value(), 2..4)]
    };
    let fields = [values(), values(), values(), values()];
    let method = select(&["GET", "PUT", "POST"][..]);
    (
        select(&ASKED_HOSTS[..]),
        path,
        0u16..3,
        method,
        fields,
        select(&CLIENTS[..]),
    )
        .prop_map(|(host, path, listener, method, fields, client)| Plain {
            host,
            path,
            listener,
            method,
            fields,
            client,
        })
}

impl Spec {
    pub(super) fn to_match(&self) -> RouteMatch {
        let paths: Vec<&str> = self.paths.iter().map(String::as_str).collect();
        let mut route = on(&self.hosts, &paths);
        route.listeners.clone_from(&self.listeners);
        let methods: Vec<Method> = self.methods.iter().map(|m| m.parse().unwrap()).collect();
        route = route.with_methods(&methods);
        for (at, wish) in self.fields.iter().enumerate() {
            let condition = match wish {
                None => continue,
                Some(Wish::Exact(text)) => is(text),
                Some(Wish::OneOf(texts)) => Condition::regex(&texts.join("|")).unwrap(),
                Some(Wish::Present) => Condition::Present,
            };
            route = match at {
                0 => route.with_header("x", condition),
                1 => route.with_header("y", condition),
                2 => route.with_query("q", condition),
                _ => route.with_cookie("c", condition),
            };
        }
        self.sources
            .iter()
            .fold(route, |route, net| route.with_source(net))
    }

    /// The rules, read aloud: none if the route does not fit, else what ranks it.
    pub(super) fn rank(&self, asked: &Plain) -> Option<(usize, String, usize)> {
        let host = best(&self.hosts, 0, |host| host_rank(host, asked.host))?;
        let path = best(&self.paths, "0".to_owned(), |path| {
            path_rank(path, &asked.path)
        })?;
        let listens = self
            .listeners
            .as_ref()
            .is_none_or(|all| all.contains(&asked.listener));
        let method = self.methods.is_empty() || self.methods.contains(&asked.method);
        let fields = self
            .fields
            .iter()
            .zip(&asked.fields)
            .all(|(wish, values)| match wish {
                None => true,
                Some(Wish::Exact(text)) => values.contains(text),
                Some(Wish::OneOf(texts)) => values.iter().any(|value| texts.contains(value)),
                Some(Wish::Present) => !values.is_empty(),
            });
        let holds = |net: &&str| {
            NETS.iter()
                .any(|(n, c)| n == net && c.contains(&asked.client))
        };
        let source = self.sources.is_empty() || self.sources.iter().any(holds);
        let count = usize::from(self.listeners.is_some())
            + usize::from(!self.methods.is_empty())
            + usize::from(!self.sources.is_empty())
            + self.fields.iter().flatten().count();
        (listens && method && fields && source).then_some((host, path, count))
    }
}

fn best<T, R: Ord>(all: &[T], none: R, rank: impl Fn(&T) -> Option<R>) -> Option<R> {
    if all.is_empty() {
        Some(none)
    } else {
        all.iter().filter_map(rank).max()
    }
}

fn host_rank(pattern: &str, host: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix).then_some(suffix.len()),
        None => (pattern == host || (pattern == "::1" && host == "[0::1]")).then_some(1000),
    }
}

/// One digit a segment, the greater the more specific; 4 for a pattern that ends with the path.
fn path_rank(pattern: &str, path: &str) -> Option<String> {
    let mut digits = String::new();
    let mut parts: Vec<&str> = path.strip_prefix('/')?.split('/').rev().collect();
    for segment in pattern.strip_prefix('/')?.split('/') {
        if segment == "*" {
            return Some(digits + "1");
        }
        let part = parts.pop()?;
        match segment.starts_with('{') {
            true if !part.is_empty() => digits += "2",
            false if part == segment => digits += "3",
            _ => return None,
        }
    }
    parts.is_empty().then(|| digits + "4")
}

impl Plain {
    pub(super) fn to_asked(&self) -> Asked {
        let [x, y, q, c] = &self.fields;
        let query = q.iter().map(|value| match *value {
            "1" => "q=%31".to_owned(),
            value => format!("q={value}"),
        });
        let query: Vec<String> = query.collect();
        let mut asked = get(self.host, &self.path);
        asked.query = Some(query.join("&"));
        asked.listener = self.listener;
        asked.method = self.method.parse().unwrap();
        asked.client = self.client.parse().unwrap();
        asked = x
            .iter()
            .fold(asked, |asked, value| asked.header("x", value));
        asked = y
            .iter()
            .fold(asked, |asked, value| asked.header("y", value));
        c.iter().fold(asked, |asked, value| {
            asked.header("cookie", &format!("z=1; c={value}"))
        })
    }

    /// Some field stands twice, so that routes which seem to exclude each other both fit.
    pub(super) fn repeats(&self) -> bool {
        self.fields.iter().any(|values| values.len() > 1)
    }
}
