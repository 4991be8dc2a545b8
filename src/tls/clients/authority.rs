//! The authorities whose client certificates are believed, what they revoked, and the names that are let in.

use std::fmt;
use std::path::Path;

use boring::error::ErrorStack;
use boring::stack::{Stack, StackRef};
use boring::x509::store::X509Store;
use boring::x509::verify::X509VerifyFlags;
use boring::x509::{X509, X509Name, X509Ref, X509StoreContext, X509StoreContextRef};

use super::bundle::{
    Bundle, ClientsError, ClientsProblem, IssuerId, Lists, read_bundle, read_lists,
};
use super::refusal::ClientRefusal;
use crate::tls::crl::Crl;
use crate::tls::identity::{Identity, SanRule};
use crate::tls::parts::{ANY_USAGE, CLIENT_AUTH, Parts, Usage};
use crate::tls::signature::is_weak;

/// Most authorities between a client's certificate and the one that is believed.
const MAX_DEPTH: i32 = 8;
/// A list may come from a clock that is this much ahead.
const SKEW_S: i64 = 300;

/// Whom to believe. Built as a whole and never changed.
pub struct ClientAuthority {
    store: X509Store,
    /// The subjects, which clients are told.
    names: Vec<Vec<u8>>,
    /// By issuer; `None` where no lists are configured.
    lists: Option<Lists>,
    rules: Vec<SanRule>,
    digest: [u8; 32],
}

impl ClientAuthority {
    /// Reads the bundle and, if there is one, the file of revocation lists. Without `rules` every certificate of the
    /// authorities is let in. A list that is over is no error here: see [`ClientAuthority::stale`].
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn open(ca: &Path, crl: Option<&Path>, rules: Vec<SanRule>) -> Result<Self, ClientsError> {
        let ca_text = read_bundle(ca).map_err(|problem| at(ca, problem))?;
        let Some(file) = crl else {
            return Self::parse((ca, &ca_text), None, rules);
        };
        let text = read_lists(file).map_err(|problem| at(file, problem))?;
        Self::parse((ca, &ca_text), Some((file, &text)), rules)
    }

    /// The same for texts that were read already; the paths are for messages.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn parse(
        (ca_file, ca_text): (&Path, &[u8]),
        lists: Option<(&Path, &[u8])>,
        rules: Vec<SanRule>,
    ) -> Result<Self, ClientsError> {
        let bundle = Bundle::parse(ca_text).map_err(|problem| at(ca_file, problem))?;
        let lists = match lists {
            Some((file, text)) => {
                let read = bundle.lists(text);
                Some(read.map_err(|error| at(file, ClientsProblem::Crl(error)))?)
            }
            None => None,
        };
        let store = bundle.store();
        Ok(Self {
            store: store.map_err(|_| at(ca_file, ClientsProblem::Missing))?,
            digest: bundle.digest(&rules),
            names: bundle.names(),
            lists,
            rules,
        })
    }

    /// Verifies a client's certificate with what was sent along at `now_s`, seconds since 1970: the chain up to an
    /// authority of the bundle, its times, that it is for clients, that no issuer in it revoked anything in it, and
    /// the names. Every authority of the bundle is believed for itself, whether its own issuer is there or not.
    ///
    /// Where lists are configured, every issuer of the chain needs one that is not over (as OpenSSL's
    /// `X509_V_FLAG_CRL_CHECK_ALL`, which nginx sets).
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn verify(
        &self,
        leaf: &X509Ref,
        sent: &StackRef<X509>,
        now_s: i64,
    ) -> Result<Identity, ClientRefusal> {
        let mut context = X509StoreContext::new().map_err(broken)?;
        let verdict = context.init(&self.store, leaf, sent, |context| {
            let parameters = context.verify_param_mut();
            parameters.try_set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
            parameters.set_depth(MAX_DEPTH);
            parameters.set_time(now_s);
            Ok(self.judge(context, leaf, now_s))
        });
        // What failed is left in a queue that the next call of anything else on this thread would read.
        drop(ErrorStack::get());
        let identity = verdict.map_err(broken)??;
        if self.rules.is_empty() || self.rules.iter().any(|rule| rule.fits(&identity.sans)) {
            Ok(identity)
        } else {
            Err(ClientRefusal::Name)
        }
    }

    /// Verifies the client of an open connection again. Certificates that it sent and that no chain went through are
    /// forgotten by then, so one that another chain would let in is refused: it may connect again.
    ///
    /// # Errors
    /// Why the client is refused.
    pub(super) fn believes(&self, identity: &Identity, now_s: i64) -> Result<(), ClientRefusal> {
        let (leaf, chain) = identity.certificates().map_err(broken)?;
        self.verify(&leaf, &chain, now_s).map(|_| ())
    }

    fn judge(
        &self,
        context: &mut X509StoreContextRef,
        leaf: &X509Ref,
        now_s: i64,
    ) -> Result<Identity, ClientRefusal> {
        if !context.verify_cert().map_err(broken)? {
            return Err(ClientRefusal::of(context.verify_result()));
        }
        let chain = context.chain().ok_or(ClientRefusal::Bad)?;
        let ders: Result<Vec<_>, _> = chain.iter().map(X509Ref::to_der).collect();
        let ders = ders.map_err(broken)?;
        let parts: Result<Vec<_>, _> = ders.iter().map(|der| Parts::read(der)).collect();
        let parts = parts.map_err(|_| ClientRefusal::Bad)?;
        // The last one is believed as it is; its signature says nothing.
        if chain
            .iter()
            .take(chain.len().saturating_sub(1))
            .any(is_weak)
        {
            return Err(ClientRefusal::Bad);
        }
        check_usage(&parts)?;
        self.check_lists(&parts, now_s)?;
        // RFC 9440 section 2.3: without the one that signs itself.
        let forwarded = chain
            .iter()
            .zip(&parts)
            .skip(1)
            .filter(|(_, parts)| !parts.is_self_issued())
            .map(|(certificate, _)| certificate);
        Identity::read(leaf, forwarded).map_err(broken)
    }

    fn check_lists(&self, chain: &[Parts<'_>], now_s: i64) -> Result<(), ClientRefusal> {
        let Some(lists) = &self.lists else {
            return Ok(());
        };
        let issuers = chain.iter().skip(1);
        for (issued, issuer) in chain.iter().zip(issuers) {
            let list = lists
                .get(&IssuerId::of(issuer))
                .ok_or(ClientRefusal::NoCrl)?;
            if list.holds(&issued.serial) {
                return Err(ClientRefusal::Revoked);
            }
            if is_stale(list, now_s) {
                return Err(ClientRefusal::StaleCrl);
            }
        }
        Ok(())
    }

    /// How many revocation lists are over at `now_s`: certificates of their issuers are refused.
    pub fn stale(&self, now_s: i64) -> usize {
        let lists = self.lists.iter().flat_map(Lists::values);
        lists.filter(|list| is_stale(list, now_s)).count()
    }

    /// Seconds since 1970 at which the first revocation list is over.
    pub fn lists_end_s(&self) -> Option<i64> {
        let lists = self.lists.iter().flat_map(Lists::values);
        lists.map(Crl::next_update_s).min()
    }

    /// How many authorities are named to clients, and how many certificates are revoked.
    pub fn counts(&self) -> (usize, usize) {
        let lists = self.lists.iter().flat_map(Lists::values);
        (self.names.len(), lists.map(Crl::len).sum())
    }

    /// SHA-256 over the authorities and the rules. Revocations do not change it.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The names for a CertificateRequest.
    pub(super) fn names(&self) -> Result<Stack<X509Name>, ErrorStack> {
        let mut all = Stack::new()?;
        for name in &self.names {
            all.push(X509Name::from_der(name)?)?;
        }
        Ok(all)
    }

    /// True if both name the same authorities to clients.
    pub(super) fn names_as(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthority")
            .field("names", &self.names.len())
            .field("lists", &self.lists.as_ref().map(Lists::len))
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

fn at(file: &Path, problem: ClientsProblem) -> ClientsError {
    ClientsError {
        file: file.to_owned(),
        problem,
    }
}

fn broken(_: ErrorStack) -> ClientRefusal {
    ClientRefusal::Bad
}

fn is_stale(list: &Crl, now_s: i64) -> bool {
    now_s >= list.next_update_s() || list.this_update_s() > now_s.saturating_add(SKEW_S)
}

/// That the certificate is for clients and its issuers may issue such (RFC 5280 sections 4.2.1.3 and 4.2.1.12), and
/// how long the chain may be below each of them, the believed one too, which the library does not look at.
fn check_usage(chain: &[Parts<'_>]) -> Result<(), ClientRefusal> {
    let bad = |_| ClientRefusal::Bad;
    let mut below = 0_usize;
    for (place, one) in chain.iter().enumerate() {
        let is_for_clients = one.is_for(CLIENT_AUTH).map_err(bad)?;
        if is_for_clients == Some(false) && one.is_for(ANY_USAGE).map_err(bad)? != Some(true) {
            return Err(ClientRefusal::Purpose);
        }
        if place == 0 {
            let signs = one.allows(Usage::DigitalSignature).map_err(bad)?
                || one.allows(Usage::KeyAgreement).map_err(bad)?;
            if !signs {
                return Err(ClientRefusal::Purpose);
            }
            continue;
        }
        let most = one.path_length().map_err(bad)?;
        if most.is_some_and(|most| below > usize::from(most)) {
            return Err(ClientRefusal::Bad);
        }
        if !one.is_self_issued() {
            below += 1;
        }
    }
    Ok(())
}
