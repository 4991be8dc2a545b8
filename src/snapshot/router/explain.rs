//! Why a request went to one route and not to the others. Slow and thorough: every route is
//! looked at by itself, without the tables that a lookup walks.

use std::cmp::Ordering;
use std::fmt;

use farmgate_plugin_api::Facts;
use http::header::HeaderName;

use super::captures::Captures;
use super::condition::Miss;
use super::field::Field;
use super::host::HostPattern;
use super::path::PathPattern;
use super::{Route, Router};

/// One route and how it fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The number it was added under.
    pub route: u32,
    /// Whether it took the request.
    pub outcome: Outcome,
}

/// How a route fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It takes the request.
    Won,
    /// It does not, for this first reason.
    Lost(Why),
}

/// Why a route lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// None of its hosts matches.
    Host,
    /// None of its paths matches.
    Path,
    /// It does not stand on the listener.
    Listener,
    /// None of its methods is the request's.
    Method,
    /// This header is missing or has another value.
    Header(HeaderName),
    /// This query parameter is missing or has another value.
    Query(String),
    /// This cookie is missing or has another value.
    Cookie(String),
    /// The client's address is in none of its networks.
    Source,
    /// The client's certificate holds none of its names, or there is none.
    ClientSan,
    /// The consumer is another one, or there is none; the word that asks for it.
    Consumer(&'static str),
    /// All of it fits, but this route, the winner, comes before it.
    Outranked {
        /// The number of the winner.
        by: u32,
        /// What decided.
        level: Level,
    },
}

/// The four things that rank routes, in the order they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A more specific host.
    Host,
    /// A more specific path.
    Path,
    /// More conditions.
    Conditions,
    /// Written earlier.
    Order,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Conditions => "conditions",
            Self::Order => "order",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => write!(f, "host"),
            Self::Path => write!(f, "path"),
            Self::Listener => write!(f, "listener"),
            Self::Method => write!(f, "method"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Source => write!(f, "source"),
            Self::ClientSan => write!(f, "client_san"),
            Self::Consumer(word) => write!(f, "{word}"),
            Self::Outranked { by, level } => write!(f, "outranked by route {by} ({level})"),
        }
    }
}

impl From<Miss<'_>> for Why {
    fn from(miss: Miss<'_>) -> Self {
        match miss {
            Miss::Listener => Self::Listener,
            Miss::Method => Self::Method,
            Miss::Field(Field::Header(name)) => Self::Header(name.clone()),
            Miss::Field(Field::Query(name)) => Self::Query(name.to_owned()),
            Miss::Field(Field::Cookie(name)) => Self::Cookie(name.to_owned()),
            Miss::Source => Self::Source,
            Miss::ClientSan => Self::ClientSan,
            Miss::Consumer(word) => Self::Consumer(word),
        }
    }
}

/// The best host and path of a route for one request.
struct Standing<'r> {
    slot: usize,
    route: &'r Route,
    host: Option<&'r HostPattern>,
    path: Option<&'r PathPattern>,
}

impl Router {
    /// How every route fares with a request, in the order of writing. The winner is the one that
    /// [`Router::find`] gives.
    pub fn explain<F: Facts + ?Sized>(&self, facts: &F) -> Vec<Candidate> {
        let won = self.find(facts, &mut Captures::default());
        let standings: Vec<_> = self
            .routes
            .iter()
            .enumerate()
            .map(|(slot, route)| stand(slot, route, facts))
            .collect();
        // Numbers are the caller's and need not be unique; of equal ones the best takes it.
        let fit = standings
            .iter()
            .filter_map(|standing| standing.as_ref().ok());
        let winner = fit
            .filter(|s| Some(s.route.index) == won)
            .min_by(|a, b| a.compare(b).0);
        let outcome = |standing: &Result<Standing<'_>, Why>| match (standing, winner) {
            (Err(why), _) => Outcome::Lost(why.clone()),
            (Ok(standing), Some(winner)) if standing.slot != winner.slot => {
                let level = winner.compare(standing).1;
                Outcome::Lost(Why::Outranked {
                    by: winner.route.index,
                    level,
                })
            }
            (Ok(_), _) => Outcome::Won,
        };
        let candidates = self.routes.iter().zip(&standings);
        let candidates = candidates.map(|(route, standing)| Candidate {
            route: route.index,
            outcome: outcome(standing),
        });
        candidates.collect()
    }
}

fn stand<'r, F: Facts + ?Sized>(
    slot: usize,
    route: &'r Route,
    facts: &F,
) -> Result<Standing<'r>, Why> {
    let matches = &route.matches;
    let hosts = matches
        .hosts
        .iter()
        .filter(|host| host.matches(facts.host()));
    let host = hosts.max_by_key(|host| host.rank());
    if host.is_none() && !matches.hosts.is_empty() {
        return Err(Why::Host);
    }
    let paths = matches
        .paths
        .iter()
        .filter(|path| path.matches(facts.path()));
    let path = paths.max_by(|a, b| a.cmp_rank(b));
    if path.is_none() && !matches.paths.is_empty() {
        return Err(Why::Path);
    }
    match matches.miss(facts) {
        Some(miss) => Err(miss.into()),
        None => Ok(Standing {
            slot,
            route,
            host,
            path,
        }),
    }
}

impl Standing<'_> {
    /// `Less` if `self` comes before `other`, and what decides.
    fn compare(&self, other: &Self) -> (Ordering, Level) {
        let host = |s: &Self| s.host.map_or(0, HostPattern::rank);
        let hosts = host(other).cmp(&host(self));
        if hosts.is_ne() {
            return (hosts, Level::Host);
        }
        let paths = match (self.path, other.path) {
            (Some(mine), Some(theirs)) => theirs.cmp_rank(mine),
            (mine, theirs) => theirs.is_some().cmp(&mine.is_some()),
        };
        if paths.is_ne() {
            return (paths, Level::Path);
        }
        let conditions = |s: &Self| s.route.matches.conditions();
        let more = conditions(other).cmp(&conditions(self));
        if more.is_ne() {
            return (more, Level::Conditions);
        }
        (self.slot.cmp(&other.slot), Level::Order)
    }
}
