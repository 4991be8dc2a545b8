//! Session tickets whose keys every node derives for itself.
//!
//! The nodes share a few secrets and the clock. Time is cut into periods; the key of a period is
//! HKDF-SHA256(secret, period number) (RFC 5869), so nodes agree without talking, and a session resumes on another
//! node and after a restart. Tickets are made with the newest secret and the current period, and taken from every
//! secret for this period, the two before it, and the next one (a node whose clock is ahead made those).
#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::hmac::HmacCtxRef;
use boring::ssl::{SslContextBuilder, TicketKeyCallbackResult};
use boring::symm::{Cipher, CipherCtxRef};
use hkdf::Hkdf;
use sha2::Sha256;

use super::secrets::Secrets;

/// Parts the keys of tickets from anything else that may be derived from the same secret.
const SALT: &[u8] = b"farmgate session tickets 1";

/// The keys of one secret in one period.
#[derive(Clone)]
struct Key {
    /// Written on the ticket, to find the key again.
    name: [u8; 16],
    cipher: [u8; 32],
    mac: [u8; 32],
}

impl Key {
    fn derive(secret: &[u8], scope: &str, period: u64) -> Self {
        let mut out = [0; 80];
        let parts = [scope.as_bytes(), b"\0", &period.to_be_bytes()];
        // Fails only for more than 8,160 bytes.
        let _ = Hkdf::<Sha256>::new(Some(SALT), secret).expand_multi_info(&parts, &mut out);
        let mut key = Self {
            name: [0; 16],
            cipher: [0; 32],
            mac: [0; 32],
        };
        let places = key
            .name
            .iter_mut()
            .chain(&mut key.cipher)
            .chain(&mut key.mac);
        places.zip(out).for_each(|(place, byte)| *place = byte);
        key
    }
}

/// The keys that hold in one period: the first makes tickets, all take them.
struct Ring {
    period: u64,
    keys: Vec<Key>,
}

impl Ring {
    fn derive(secrets: &Secrets, scope: &str, period: u64) -> Self {
        let periods = [
            Some(period),
            period.checked_sub(1),
            period.checked_sub(2),
            period.checked_add(1),
        ];
        let keys = secrets.each().flat_map(|secret| {
            let of = move |period| Key::derive(secret, scope, period);
            periods.into_iter().flatten().map(of)
        });
        Self {
            period,
            keys: keys.collect(),
        }
    }
}

/// The ticket keys of one `[[tls]]`.
pub struct Tickets {
    /// The name of the `[[tls]]`: its tickets are worth nothing anywhere else.
    scope: String,
    secrets: ArcSwap<Secrets>,
    rotate_s: u64,
    ring: ArcSwap<Ring>,
}

impl Tickets {
    /// Tickets of the `[[tls]]` called `scope`, with a new key every `rotate`.
    pub fn new(scope: &str, secrets: Secrets, rotate: Duration) -> Arc<Self> {
        let rotate_s = rotate.as_secs().max(1);
        let ring = Ring::derive(&secrets, scope, now_s() / rotate_s);
        Arc::new(Self {
            scope: scope.to_owned(),
            secrets: ArcSwap::from_pointee(secrets),
            rotate_s,
            ring: ArcSwap::from_pointee(ring),
        })
    }

    /// The secrets in use.
    pub(super) fn secrets(&self) -> Arc<Secrets> {
        self.secrets.load_full()
    }

    /// Takes these secrets from now on; false if they are the present ones.
    pub fn replace(&self, secrets: Secrets) -> bool {
        if **self.secrets.load() == secrets {
            return false;
        }
        let ring = Ring::derive(&secrets, &self.scope, now_s() / self.rotate_s);
        self.secrets.store(Arc::new(secrets));
        self.ring.store(Arc::new(ring));
        true
    }

    /// Makes a context use these keys.
    pub fn install(self: &Arc<Self>, builder: &mut SslContextBuilder) {
        let tickets = Arc::clone(self);
        let callback = move |_: &_,
                             name: &mut [u8; 16],
                             iv: &mut [u8; 16],
                             cipher: &mut _,
                             mac: &mut _,
                             making| {
            let done = if making {
                tickets.make(name, iv, cipher, mac)
            } else {
                tickets.take(name, iv, cipher, mac)
            };
            done.unwrap_or(TicketKeyCallbackResult::Error)
        };
        // SAFETY: for a new ticket the callback fills name and IV and initialises both contexts with keys of the
        // right length; for a ticket that comes it initialises both with the keys of its name, or says that there
        // are none.
        unsafe { builder.set_ticket_key_callback(callback) }
    }

    fn ring(&self, now_s: u64) -> Arc<Ring> {
        let period = now_s / self.rotate_s;
        let ring = self.ring.load_full();
        if ring.period == period {
            return ring;
        }
        // Two threads may do this at once; they come to the same.
        let fresh = Arc::new(Ring::derive(&self.secrets.load(), &self.scope, period));
        self.ring.store(Arc::clone(&fresh));
        fresh
    }

    fn make(
        &self,
        name: &mut [u8; 16],
        iv: &mut [u8; 16],
        cipher: &mut CipherCtxRef,
        mac: &mut HmacCtxRef,
    ) -> Result<TicketKeyCallbackResult, ErrorStack> {
        let ring = self.ring(now_s());
        let Some(key) = ring.keys.first() else {
            return Ok(TicketKeyCallbackResult::Noop);
        };
        boring::rand::rand_bytes(iv)?;
        *name = key.name;
        cipher.init_encrypt(&Cipher::aes_256_cbc(), &key.cipher, iv)?;
        mac.init(&key.mac, &MessageDigest::sha256())?;
        Ok(TicketKeyCallbackResult::Success)
    }

    fn take(
        &self,
        name: &[u8; 16],
        iv: &[u8; 16],
        cipher: &mut CipherCtxRef,
        mac: &mut HmacCtxRef,
    ) -> Result<TicketKeyCallbackResult, ErrorStack> {
        let ring = self.ring(now_s());
        let Some((place, key)) = ring
            .keys
            .iter()
            .enumerate()
            .find(|(_, key)| key.name == *name)
        else {
            return Ok(TicketKeyCallbackResult::Noop);
        };
        cipher.init_decrypt(&Cipher::aes_256_cbc(), &key.cipher, iv)?;
        mac.init(&key.mac, &MessageDigest::sha256())?;
        Ok(if place == 0 {
            TicketKeyCallbackResult::Success
        } else {
            TicketKeyCallbackResult::DecryptSuccessRenew
        })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use boring::ssl::{
        SslConnector, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion,
    };

    use super::*;
    use crate::tls::context::tests::{Served, p256, store, terms};
    use crate::tls::context::{Alpn, Policy, Terms, acceptor};

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn secrets(text: &str) -> Secrets {
        Secrets::parse(text.as_bytes()).unwrap()
    }

    fn names(ring: &Ring) -> Vec<[u8; 16]> {
        ring.keys.iter().map(|key| key.name).collect()
    }

    #[test]
    fn nodes_agree_and_everything_else_differs() {
        let ring = Ring::derive(&secrets(ONE), "edge", 100);
        let (same, mut seen) = (Ring::derive(&secrets(ONE), "edge", 100), names(&ring));
        assert_eq!(names(&same), seen);
        assert!(
            same.keys
                .iter()
                .zip(&ring.keys)
                .all(|(a, b)| a.cipher == b.cipher && a.mac == b.mac)
        );
        seen.extend(names(&Ring::derive(&secrets(TWO), "edge", 100)));
        seen.extend(names(&Ring::derive(&secrets(ONE), "partners", 100)));
        seen.extend(names(&Ring::derive(&secrets(ONE), "edge", 200)));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), all), (16, 16));
        for key in &ring.keys {
            assert!(key.cipher != key.mac && key.cipher != [0; 32]);
        }
    }

    /// The vector was computed with another implementation (RFC 5869 over Python's `hmac`), so that a change of the
    /// derivation, which would part the nodes of a farm during an upgrade, does not go unseen.
    #[test]
    fn the_derivation_stays_what_it_is() {
        let key = Key::derive(ONE.as_bytes(), "edge", 41_000);
        let hex: String = key.name.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "694c82a3b6f463575ca5fe1115b24d2e");
    }

    #[test]
    fn a_period_takes_the_two_before_it_and_the_next() {
        let first = |period| Ring::derive(&secrets(ONE), "edge", period).keys[0].name;
        let ring = Ring::derive(&secrets(&format!("{TWO}\n{ONE}")), "edge", 100);
        assert_eq!(ring.keys.len(), 8);
        let taken = names(&ring);
        for (period, is_taken) in [
            (97, false),
            (98, true),
            (99, true),
            (100, true),
            (101, true),
            (102, false),
        ] {
            assert_eq!(taken.contains(&first(period)), is_taken, "{period}");
        }
        // New ones are made with the newest secret.
        assert_eq!(
            taken[0],
            Ring::derive(&secrets(TWO), "edge", 100).keys[0].name
        );
        // The first periods of time have none before them.
        assert_eq!(Ring::derive(&secrets(ONE), "edge", 0).keys.len(), 2);
    }

    #[test]
    fn the_ring_follows_the_clock_and_new_secrets() {
        let tickets = Tickets::new("edge", secrets(ONE), Duration::from_secs(100));
        let at = |now| tickets.ring(now).keys[0].name;
        assert_eq!(at(1_000), at(1_099));
        assert_ne!(at(1_099), at(1_100));
        let before = at(1_000);
        tickets.replace(secrets(&format!("{TWO}\n{ONE}")));
        assert_ne!(at(1_000), before);
        assert!(names(&tickets.ring(1_000)).contains(&before));
        assert_eq!(format!("{tickets:?}"), "Tickets { scope: \"edge\", .. }");
    }

    #[test]
    fn a_session_resumes_on_another_node_and_on_no_other_tls_block() {
        let node = |name: &str, text: Option<&str>| {
            let tickets =
                text.map(|text| Tickets::new(name, secrets(text), Duration::from_secs(3600)));
            let store = Arc::new(ArcSwap::from_pointee(store(&[p256("a.test")], None)));
            let policy = Policy::Intermediate;
            let acceptor = acceptor(Terms {
                tickets: tickets.as_ref(),
                ..terms(name, policy, Alpn::Both, &store)
            })
            .unwrap();
            Served { acceptor, store }
        };
        let first = node("edge", Some(ONE));
        let others = [
            ("another node", node("edge", Some(ONE)), true),
            (
                "a newer secret",
                node("edge", Some(&format!("{TWO}\n{ONE}"))),
                true,
            ),
            ("another secret", node("edge", Some(TWO)), false),
            ("another block", node("partners", Some(ONE)), false),
            ("keys of its own", node("edge", None), false),
        ];
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let kept: Arc<parking_lot::Mutex<Option<SslSession>>> = Arc::default();
            let keep = Arc::clone(&kept);
            let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
            connector.set_verify(SslVerifyMode::NONE);
            connector.set_max_proto_version(Some(version)).unwrap();
            let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
            connector.set_session_cache_mode(mode);
            connector.set_new_session_callback(move |_, session| *keep.lock() = Some(session));
            let connector = connector.build();
            let ssl = || {
                let mut configuration = connector.configure().unwrap();
                configuration.set_verify_hostname(false);
                configuration.into_ssl("a.test").unwrap()
            };
            assert!(!first.meet(ssl()).unwrap().ssl().session_reused());
            let session = kept.lock().take().unwrap();
            for (what, other, resumes) in &others {
                let mut again = ssl();
                // SAFETY: the session was made by the same context that `again` belongs to.
                unsafe { again.set_session(&session) }.unwrap();
                let met = other.meet(again).unwrap();
                assert_eq!(met.ssl().session_reused(), *resumes, "{what}, {version:?}");
            }
        }
    }
}
