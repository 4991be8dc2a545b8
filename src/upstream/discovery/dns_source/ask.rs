//! One whole answer: the questions it takes, and what their answers come to.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record as DnsRecord, RecordType};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::read::{MAX_ALIASES, Read, additional, read};
use super::shares::{Service, endpoints};
use super::{Asked, DnsAnswer, DnsSource, Nothing, Parts, Record};
use crate::upstream::discovery::hickory::Servers;
use crate::upstream::discovery::source::{Discovered, Found, SourceError};

/// Most targets of SRV records that are looked up by questions of their own; targets in the additional section cost
/// none and are not counted.
pub(super) const MAX_LOOKUPS: usize = 1024;

/// Targets looked up at once.
const MAX_RUNNING: usize = 16;

/// Most endpoints of an answer. Its user's bound is lower.
const MAX_FOUND: usize = 16_384;

/// What one question came to.
enum Looked<T> {
    Found {
        values: Vec<T>,
        ttl: Duration,
        additional: Vec<DnsRecord>,
        server: SocketAddr,
    },
    Nothing {
        why: Nothing,
        ttl: Option<Duration>,
        server: SocketAddr,
    },
}

/// The addresses of one name.
#[derive(Default)]
struct Addresses {
    list: Vec<IpAddr>,
    /// The least of the records; of the answers that there is none, where there is no record at all.
    ttl: Option<Duration>,
    /// Why there is none.
    nothing: Option<Nothing>,
    /// What failed.
    fault: Option<SourceError>,
    server: Option<SocketAddr>,
}

impl DnsSource {
    /// Asks once. It takes [`ANSWER_PATIENCE`](super::ANSWER_PATIENCE) at most.
    pub async fn ask(&self) -> Result<DnsAnswer, SourceError> {
        // The parts of an answer that ends in an error are forgotten; those of the last good one stay.
        let parts = Mutex::new(Parts::new());
        match timeout(self.patience, Box::pin(self.ask_all(&parts))).await {
            Ok(Ok(answer)) => {
                *self.parts.lock() = parts.into_inner();
                Ok(answer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SourceError::new(format!(
                "{}: no complete answer in {:?}",
                self.options.name, self.patience
            ))),
        }
    }

    async fn ask_all(&self, parts: &Mutex<Parts>) -> Result<DnsAnswer, SourceError> {
        let (servers, names) = match &self.asked {
            Asked::Own(servers) => {
                let mut name = self.name.clone();
                name.set_fqdn(true);
                (servers.clone(), vec![name])
            }
            Asked::System(system) => {
                let system = system.read()?;
                (system.servers.clone(), system.candidates(&self.name))
            }
        };
        let mut first: Option<DnsAnswer> = None;
        for name in names {
            let answer = match self.options.record {
                Record::Srv => self.ask_services(&servers, &name, parts).await?,
                Record::A | Record::Aaaa | Record::Both => {
                    self.ask_addresses(&servers, &name, parts).await?
                }
            };
            if answer.nothing.is_none() {
                return Ok(answer);
            }
            // Another search domain may get the name sooner than the first answer says.
            let again = first.as_ref().map_or(answer.again, |old| old.again);
            let known = first.get_or_insert(answer);
            known.again = known.again.min(again);
        }
        first.ok_or_else(|| SourceError::new("no name to ask for"))
    }

    async fn ask_addresses(
        &self,
        servers: &Servers,
        name: &Name,
        parts: &Mutex<Parts>,
    ) -> Result<DnsAnswer, SourceError> {
        let found = self.addresses(servers, name, parts).await;
        // With no answer at all nothing stands in: that is for whoever keeps the last good set.
        if (found.list.is_empty() || found.server.is_none())
            && let Some(fault) = found.fault
        {
            return Err(fault);
        }
        let port = self.options.port.unwrap_or_default();
        let each = found.list.into_iter().take(MAX_FOUND);
        let mut endpoints: Vec<Found> = each
            .map(|ip| Found::at(SocketAddr::new(ip, port)))
            .collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let nothing = endpoints
            .is_empty()
            .then_some(found.nothing.unwrap_or(Nothing::NoRecords));
        Ok(self.answer(endpoints, found.ttl, nothing, found.fault, found.server))
    }

    async fn ask_services(
        &self,
        servers: &Servers,
        name: &Name,
        parts: &Mutex<Parts>,
    ) -> Result<DnsAnswer, SourceError> {
        let looked = look(servers, name, RecordType::SRV, |data| match data {
            RData::SRV(service) => Some(service.clone()),
            _ => None,
        });
        let (records, ttl, extra, server) = match looked.await? {
            Looked::Nothing { why, ttl, server } => {
                return Ok(self.answer(Vec::new(), ttl, Some(why), None, Some(server)));
            }
            Looked::Found {
                values,
                ttl,
                additional,
                server,
            } => (values, ttl, additional, Some(server)),
        };
        let offered = |record: &&SRV| !record.target.is_root() && record.port != 0;
        let records: Vec<&SRV> = records.iter().filter(offered).collect();
        if records.is_empty() {
            let why = Some(Nothing::NotOffered);
            return Ok(self.answer(Vec::new(), Some(ttl), why, None, server));
        }
        let mut targets = self.targets(servers, &records, &extra, parts).await;
        let least = targets.values().filter_map(|target| target.ttl).min();
        let ttl = least.map_or(ttl, |least| least.min(ttl));
        let fault = targets.values_mut().find_map(|target| target.fault.take());
        let each = records.iter();
        let services: Vec<Service> = each
            .map(|record| Service {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                addresses: targets
                    .get(&record.target)
                    .map(|target| target.list.clone())
                    .unwrap_or_default(),
            })
            .collect();
        let mut endpoints = endpoints(&services);
        endpoints.truncate(MAX_FOUND);
        if endpoints.is_empty()
            && let Some(fault) = fault
        {
            return Err(fault);
        }
        let nothing = endpoints.is_empty().then_some(Nothing::NoAddress);
        Ok(self.answer(endpoints, Some(ttl), nothing, fault, server))
    }

    /// The addresses of all targets: those that came along, and by questions of their own for the rest.
    async fn targets(
        &self,
        servers: &Servers,
        records: &[&SRV],
        extra: &[DnsRecord],
        parts: &Mutex<Parts>,
    ) -> BTreeMap<Name, Addresses> {
        let extra = by_name(extra);
        let mut known = BTreeMap::new();
        let mut unknown = Vec::new();
        for record in records {
            if known.contains_key(&record.target) {
                continue;
            }
            let came = extra.get(&record.target).map_or(&[][..], Vec::as_slice);
            let target = match additional(came, &record.target, any_address) {
                Some((list, ttl)) => {
                    remember(parts, &record.target, &list);
                    Addresses {
                        list,
                        ttl: Some(ttl),
                        ..Addresses::default()
                    }
                }
                None => {
                    unknown.push(record.target.clone());
                    Addresses::default()
                }
            };
            known.insert(record.target.clone(), target);
        }
        let surplus = unknown.len().saturating_sub(MAX_LOOKUPS);
        for target in unknown.iter().skip(MAX_LOOKUPS) {
            let text = format!("{surplus} targets more than the {MAX_LOOKUPS} that are looked up");
            let fault = Some(SourceError::new(text));
            let left = Addresses {
                fault,
                ..Addresses::default()
            };
            known.insert(target.clone(), left);
        }
        unknown.truncate(MAX_LOOKUPS);
        let mut running = stream::iter(unknown)
            .map(|target| async move {
                let found = self.addresses(servers, &target, parts).await;
                (target, found)
            })
            .buffer_unordered(MAX_RUNNING);
        while let Some((target, found)) = running.next().await {
            known.insert(target, found);
        }
        known
    }

    /// Asks for the addresses of `name`, of the kinds that are wanted, side by side.
    async fn addresses(&self, servers: &Servers, name: &Name, parts: &Mutex<Parts>) -> Addresses {
        let kinds = self.options.record.addresses();
        let asked = kinds
            .iter()
            .map(|kind| look(servers, name, *kind, any_address));
        let mut all = Addresses::default();
        let mut lack = None;
        for (kind, result) in kinds.iter().zip(join_all(asked).await) {
            let part = (name.clone(), *kind);
            match result {
                Ok(Looked::Found {
                    values,
                    ttl,
                    server,
                    ..
                }) => {
                    parts.lock().insert(part, values.as_slice().into());
                    all.list.extend(values);
                    all.server = all.server.or(Some(server));
                    all.ttl = least(all.ttl, Some(ttl));
                }
                Ok(Looked::Nothing { why, ttl, server }) => {
                    all.nothing = all.nothing.or(Some(why));
                    all.server = all.server.or(Some(server));
                    lack = least(lack, ttl);
                }
                Err(fault) => {
                    let earlier = self.parts.lock().get(&part).cloned();
                    if let Some(earlier) = earlier {
                        all.list.extend_from_slice(&earlier);
                        parts.lock().insert(part, earlier);
                    }
                    all.fault = all.fault.or(Some(fault));
                }
            }
        }
        all.ttl = all.ttl.or(lack);
        all
    }

    /// Puts the pause within its bounds.
    fn answer(
        &self,
        endpoints: Vec<Found>,
        ttl: Option<Duration>,
        nothing: Option<Nothing>,
        partial: Option<SourceError>,
        server: Option<SocketAddr>,
    ) -> DnsAnswer {
        let most = if nothing.is_some() || partial.is_some() {
            self.options.negative_ttl.min(self.options.max_ttl)
        } else {
            self.options.max_ttl
        };
        let again = ttl.map_or(most, |ttl| ttl.min(most));
        DnsAnswer {
            discovered: Discovered { endpoints },
            again: again.max(self.options.min_ttl),
            nothing,
            partial,
            ttl,
            server,
        }
    }
}

fn least(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Keeps what came along under the kinds it would be asked by.
fn remember(parts: &Mutex<Parts>, name: &Name, list: &[IpAddr]) {
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = list.iter().partition(|ip| ip.is_ipv4());
    let mut parts = parts.lock();
    for (kind, list) in [(RecordType::A, four), (RecordType::AAAA, six)] {
        if !list.is_empty() {
            parts.insert((name.clone(), kind), Arc::from(list));
        }
    }
}

fn by_name(records: &[DnsRecord]) -> HashMap<Name, Vec<DnsRecord>> {
    let mut names: HashMap<Name, Vec<DnsRecord>> = HashMap::new();
    for record in records {
        let of_name = names.entry(record.name.clone()).or_default();
        of_name.push(record.clone());
    }
    names
}

fn any_address(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

/// One name's records of one kind, through its aliases.
async fn look<T>(
    servers: &Servers,
    name: &Name,
    kind: RecordType,
    pick: impl Fn(&RData) -> Option<T>,
) -> Result<Looked<T>, SourceError> {
    let mut name = name.clone();
    let mut least = Duration::MAX;
    for _ in 0..=MAX_ALIASES {
        let replied = servers.ask(&name, kind).await?;
        let server = replied.server;
        match read(&replied.message, &name, &pick) {
            Some(Read::Found { values, ttl }) => {
                return Ok(Looked::Found {
                    values,
                    ttl: ttl.min(least),
                    additional: replied.message.additionals,
                    server,
                });
            }
            Some(Read::Nothing { why, ttl }) => {
                let ttl = ttl.map(|ttl| ttl.min(least));
                return Ok(Looked::Nothing { why, ttl, server });
            }
            Some(Read::Alias { to, ttl }) => {
                least = least.min(ttl);
                name = to;
            }
            None => break,
        }
    }
    Err(SourceError::new(format!(
        "{kind} of {name}: more than {MAX_ALIASES} aliases, or a loop of them"
    )))
}
