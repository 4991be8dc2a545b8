//! Clients that show a certificate: who is believed, and the end of the handshake for the others.
//!
//! A resumed session brings the certificates of the handshake it came from, and the library believes them. Here they
//! are verified again, before anything is answered, against the authorities, lists, rules and clock of now.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{
    Ssl, SslAlert, SslContextBuilder, SslInfoCallbackMode, SslInfoCallbackValue, SslRef,
    SslVerifyError, SslVerifyMode,
};
use boring::stack::Stack;
use sha2::{Digest as _, Sha256};

use super::alert::send_fatal;
use super::identity::Identity;

mod authority;
mod bundle;
mod refusal;

pub use authority::ClientAuthority;
pub use bundle::{ClientsError, ClientsProblem};
pub use refusal::ClientRefusal;

/// Whether a client without a certificate is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMode {
    /// No.
    Require,
    /// Yes; a certificate that is shown must be right all the same.
    Optional,
}

/// What was found about a client: who it is, nobody in particular, or why it is refused.
pub type Admission = Result<Option<Arc<Identity>>, ClientRefusal>;

/// By whom the client of a connection was let in last; nobody yet, or nobody is asked.
#[derive(Default)]
pub struct Standing(ArcSwapOption<ClientAuthority>);

impl Standing {
    /// Let in by what `auth` believes at this time. Take it before the handshake: what is replaced meanwhile is then
    /// noticed at the first request.
    pub fn of(auth: Option<&Arc<ClientAuth>>) -> Self {
        Self(ArcSwapOption::new(auth.map(|auth| auth.authority())))
    }
}

/// Seconds since 1970.
type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// Where a connection keeps its admission. One write: what was found first stands.
type Slot = OnceLock<Admission>;

static SLOT: LazyLock<Option<Index<Ssl, Slot>>> = LazyLock::new(|| Ssl::new_ex_index().ok());

/// The client authentication of one `[[tls]]`.
pub struct ClientAuth {
    mode: ClientMode,
    authority: ArcSwap<ClientAuthority>,
    /// Others than those that contexts were built with are named to clients.
    renamed: AtomicBool,
    session: [u8; 32],
    clock: Clock,
}

impl ClientAuth {
    /// Believes `authority` from now on.
    pub fn new(mode: ClientMode, authority: ClientAuthority) -> Arc<Self> {
        Self::with_clock(mode, authority, Box::new(now_s))
    }

    fn with_clock(mode: ClientMode, authority: ClientAuthority, clock: Clock) -> Arc<Self> {
        let digest = Sha256::new()
            .chain_update([mode as u8])
            .chain_update(authority.digest());
        Arc::new(Self {
            mode,
            authority: ArcSwap::from_pointee(authority),
            renamed: AtomicBool::new(false),
            session: digest.finalize().into(),
            clock,
        })
    }

    /// Whether a client without a certificate is let in.
    pub fn mode(&self) -> ClientMode {
        self.mode
    }

    /// Whom it believes now.
    pub fn authority(&self) -> Arc<ClientAuthority> {
        self.authority.load_full()
    }

    /// Believes another bundle, or knows other revocations, from the next handshake on. Resumed sessions are held
    /// against it as well.
    pub fn replace(&self, authority: ClientAuthority) {
        if !authority.names_as(&self.authority.load()) {
            self.renamed.store(true, Ordering::Release);
        }
        self.authority.store(Arc::new(authority));
    }

    /// What parts sessions: SHA-256 over the mode, and over the authorities and rules that it began with.
    pub fn session_context(&self) -> [u8; 32] {
        self.session
    }

    /// Makes a context ask for certificates and verify them. Takes the context's verify and info callbacks; goes
    /// with [`ClientAuth::prepare`] for every connection.
    ///
    /// # Errors
    /// The library's own; there is no input that brings them about.
    pub fn install(self: &Arc<Self>, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        builder.set_client_ca_list(self.authority.load().names()?);
        let mode = match self.mode {
            ClientMode::Require => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            ClientMode::Optional => SslVerifyMode::PEER,
        };
        let auth = Arc::clone(self);
        builder.set_custom_verify_callback(mode, move |ssl| auth.verify(ssl));
        let auth = Arc::clone(self);
        builder.set_info_callback(move |ssl, event, value| auth.watch(ssl, event, value));
        Ok(())
    }

    /// Makes a connection ready, when its ClientHello has come.
    ///
    /// # Errors
    /// The library's own, for want of memory. The handshake must not go on.
    pub fn prepare(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        if let Some(slot) = *SLOT {
            ssl.set_ex_data(slot, Slot::new());
        }
        if self.renamed.load(Ordering::Acquire) {
            ssl.set_client_ca_list(self.authority.load().names()?);
        }
        Ok(())
    }

    /// Who the client of a finished handshake is.
    ///
    /// # Errors
    /// Why it is refused; the connection must be closed.
    pub fn admit(&self, ssl: &SslRef) -> Admission {
        match slot(ssl).and_then(OnceLock::get) {
            Some(found) => found.clone(),
            None => self.recheck(ssl, (self.clock)()),
        }
    }

    /// Verifies the certificate of a connection again at `now_s`, seconds since 1970: one that has lived long, say.
    /// Certificates that the client sent along are in the session, also in a resumed one.
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn recheck(&self, ssl: &SslRef, now_s: i64) -> Admission {
        let Some(leaf) = ssl.peer_certificate() else {
            return match self.mode {
                ClientMode::Require => Err(ClientRefusal::NoCertificate),
                ClientMode::Optional => Ok(None),
            };
        };
        let authority = self.authority.load();
        let identity = match ssl.peer_cert_chain() {
            Some(sent) => authority.verify(&leaf, sent, now_s),
            None => {
                let none = Stack::new().map_err(|_| ClientRefusal::Bad)?;
                authority.verify(&leaf, &none, now_s)
            }
        };
        identity.map(|identity| Some(Arc::new(identity)))
    }

    /// True if the client of an open connection, who showed `identity` when it came, is let in by what is believed
    /// now. Costs a look as long as nothing changed; after a change the certificate is verified once again.
    pub fn readmits(&self, identity: Option<&Identity>, standing: &Standing) -> bool {
        let authority = self.authority.load();
        let known = standing.0.load();
        if known.as_ref().is_some_and(|by| Arc::ptr_eq(by, &authority)) {
            return true;
        }
        let admitted = match identity {
            Some(identity) => authority.believes(identity, (self.clock)()).is_ok(),
            None => self.mode == ClientMode::Optional,
        };
        if admitted {
            standing.0.store(Some(Arc::clone(&authority)));
        }
        admitted
    }

    fn verify(&self, ssl: &mut SslRef) -> Result<(), SslVerifyError> {
        let found = self.recheck(ssl, (self.clock)());
        keep(ssl, found.clone());
        match found {
            Ok(_) => Ok(()),
            Err(refusal) => Err(SslVerifyError::Invalid(refusal.alert().0)),
        }
    }

    /// The steps of a handshake. The one after the session was chosen is the last before the server answers.
    fn watch(&self, ssl: &SslRef, event: SslInfoCallbackMode, value: SslInfoCallbackValue) {
        if event == SslInfoCallbackMode::ACCEPT_LOOP {
            if ssl.session_reused() && slot(ssl).is_none_or(|slot| slot.get().is_none()) {
                self.resume(ssl);
            }
        } else if event == SslInfoCallbackMode::WRITE_ALERT
            && let SslInfoCallbackValue::Alert(alert) = value
            && is_missing(ssl, alert.alert())
        {
            keep(ssl, Err(ClientRefusal::NoCertificate));
        }
    }

    fn resume(&self, ssl: &SslRef) {
        let found = self.recheck(ssl, (self.clock)());
        if let Err(refusal) = &found {
            send_fatal(ssl, refusal.alert().1);
        }
        keep(ssl, found);
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth")
            .field("mode", &self.mode)
            .field("authority", &self.authority.load())
            .finish_non_exhaustive()
    }
}

/// Why the client of a handshake that failed was refused; `None` when it failed for another reason.
pub fn refusal_of(ssl: &SslRef) -> Option<ClientRefusal> {
    slot(ssl)?.get()?.as_ref().err().copied()
}

fn slot(ssl: &SslRef) -> Option<&Slot> {
    ssl.ex_data((*SLOT)?)
}

fn keep(ssl: &SslRef, found: Admission) {
    if let Some(slot) = slot(ssl) {
        // What was found first stands.
        let _ = slot.set(found);
    }
}

/// True if the library refuses for want of a certificate. In TLS 1.2 the alert alone does not say so.
fn is_missing(ssl: &SslRef, alert: SslAlert) -> bool {
    alert == SslAlert::CERTIFICATE_REQUIRED
        || alert == SslAlert::HANDSHAKE_FAILURE
            && ssl.state_string_long() == "TLS server read_client_certificate"
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests;
