//! The gate of a listener: how many connections at once, how fast, and from whom.
//!
//! State of the bound address, kept over reloads; the limits are those of the current snapshot, so a
//! changed limit holds from the next connection. Trusted proxies are never counted themselves; the
//! clients they name are, once their PROXY header is read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::linger::NOTHING_LEFT;
use crate::snapshot::Listener;
use crate::snapshot::listener::ConnectionLimits;
use crate::telemetry::Reason;

/// Shards of the per-address tables, so that threads rarely meet.
const SHARDS: usize = 16;
/// Addresses whose rate is remembered, per shard. When full, those whose time is up go first; then
/// the address at hand is not limited by rate.
const RATED_PER_SHARD: usize = 8192;

/// A client for counting: IPv4 as it is, IPv6 by /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClientKey(u64);

impl ClientKey {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip)) | (0xffff << 32)),
            IpAddr::V6(ip) => Self((u128::from(ip) >> 64) as u64),
        }
    }

    fn shard(self) -> usize {
        (crate::upstream::hash::mix(self.0) as usize) % SHARDS
    }
}

#[derive(Default)]
struct Shard {
    open: HashMap<ClientKey, u32>,
    connections: Rated,
    handshakes: Rated,
}

/// When the next event of an address would come in time at the configured rate (GCRA).
#[derive(Default)]
struct Rated(HashMap<ClientKey, Instant>);

/// The counts of one bound address.
pub struct Gate {
    open: AtomicU32,
    next: Mutex<Option<Instant>>,
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            open: AtomicU32::new(0),
            next: Mutex::new(None),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

/// A connection that was let in; dropping it counts it out.
pub struct Admitted {
    gate: Arc<Gate>,
    client: Option<ClientKey>,
}

impl Gate {
    /// Connections open now.
    pub fn open(&self) -> u32 {
        // Whoever sees that a connection has gone sees as well what it left to be closed in the background.
        self.open.load(Ordering::Acquire)
    }

    /// Lets a connection in, or says why not.
    ///
    /// # Errors
    /// A limit of the listener is reached.
    pub fn admit(
        self: &Arc<Self>,
        listener: &Listener,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<Admitted, Reason> {
        let limits = &listener.connections;
        let peer = peer.map(|ip| ip.to_canonical());
        let counted = peer.filter(|ip| !listener.trusted.contains(*ip));
        if self.open.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::LimitConnections);
        }
        let mut admitted = Admitted {
            gate: Arc::clone(self),
            client: None,
        };
        if let Some(rate) = limits.rate
            && !in_time(&mut self.next.lock(), rate, now)
        {
            return Err(Reason::ConnectionRate);
        }
        if let Some(ip) = counted {
            admitted.count(ip, limits, now)?;
        }
        Ok(admitted)
    }
}

impl Admitted {
    /// The client behind a trusted proxy is `ip`: false if it has too many connections.
    pub fn is_client(&mut self, ip: IpAddr, listener: &Listener) -> bool {
        self.client.is_some()
            || self
                .count(ip, &listener.connections, Instant::now())
                .is_ok()
    }

    /// A handshake begins: false if the client makes too many. Clients that are not counted, as trusted proxies,
    /// always may.
    pub fn may_shake_hands(&self, rate: (u32, Duration)) -> bool {
        let Some((key, shard)) = self.client.and_then(|key| {
            let shard = self.gate.shards.get(key.shard())?;
            Some((key, shard))
        }) else {
            return true;
        };
        shard.lock().handshakes.in_time(key, rate, Instant::now())
    }

    fn count(&mut self, ip: IpAddr, limits: &ConnectionLimits, now: Instant) -> Result<(), Reason> {
        let key = ClientKey::of(ip);
        let Some(shard) = self.gate.shards.get(key.shard()) else {
            return Ok(());
        };
        let mut shard = shard.lock();
        if let Some(rate) = limits.rate_per_ip
            && !shard.connections.in_time(key, rate, now)
        {
            return Err(Reason::ConnectionRate);
        }
        let open = shard.open.entry(key).or_insert(0);
        if *open >= limits.connections_per_ip {
            return Err(Reason::LimitConnectionsPerIp);
        }
        *open += 1;
        self.client = Some(key);
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.gate.open.fetch_sub(1, Ordering::Release) == 1 {
            NOTHING_LEFT.notify_one();
        }
        if let Some(key) = self.client
            && let Some(shard) = self.gate.shards.get(key.shard())
        {
            let mut shard = shard.lock();
            if let Some(open) = shard.open.get_mut(&key) {
                *open -= 1;
                if *open == 0 {
                    shard.open.remove(&key);
                }
            }
        }
    }
}

impl Rated {
    fn in_time(&mut self, key: ClientKey, rate: (u32, Duration), now: Instant) -> bool {
        let all = &mut self.0;
        if all.len() >= RATED_PER_SHARD && !all.contains_key(&key) {
            all.retain(|_, next| *next > now);
            if all.len() >= RATED_PER_SHARD {
                return true;
            }
        }
        let mut next = all.get(&key).copied();
        let ok = in_time(&mut next, rate, now);
        if let Some(next) = next {
            all.insert(key, next);
        }
        ok
    }
}

/// GCRA: `count` at once, refilled over `per`.
fn in_time(next: &mut Option<Instant>, (count, per): (u32, Duration), now: Instant) -> bool {
    let step = per / count.max(1);
    let at = next.map_or(now, |next| next.max(now));
    if at.saturating_duration_since(now) + step > per {
        return false;
    }
    *next = Some(at + step);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_burst_in_and_refills() {
        let mut next = None;
        let start = Instant::now();
        let rate = (3, Duration::from_secs(3));
        let admitted = (0..5).filter(|_| in_time(&mut next, rate, start)).count();
        assert_eq!(admitted, 3);
        assert!(!in_time(
            &mut next,
            rate,
            start + Duration::from_millis(900)
        ));
        assert!(in_time(&mut next, rate, start + Duration::from_secs(1)));
    }

    #[test]
    fn ipv6_counts_by_64() {
        let of = |text: &str| ClientKey::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
