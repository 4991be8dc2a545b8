//! The authorities whose client certificates are believed, what they revoked, and the names that are let in.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use boring::error::ErrorStack;
use boring::stack::{Stack, StackRef};
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::verify::X509VerifyFlags;
use boring::x509::{X509, X509Name, X509Ref, X509StoreContext, X509StoreContextRef};
use sha2::{Digest as _, Sha256};

use super::refusal::ClientRefusal;
use crate::tls::crl::{self, Crl, CrlError, name};
use crate::tls::identity::{Identity, SanRule};
use crate::tls::parts::{ANY_USAGE, CLIENT_AUTH, Parts, Usage};
use crate::tls::signature::{SignatureError, is_weak};

/// Most bytes of a bundle.
const MAX_BYTES: u64 = 1 << 20;
/// Most certificates of a bundle.
const MAX_AUTHORITIES: usize = 256;
/// Most authorities between a client's certificate and the one that is believed.
const MAX_DEPTH: i32 = 8;
/// A list may come from a clock that is this much ahead.
const SKEW_S: i64 = 300;

/// What is wrong with the files of client authentication, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsError {
    /// The file to look at.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: ClientsProblem,
}

/// What is wrong with a file of client authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientsProblem {
    /// The bundle cannot be read; the system's reason.
    Unreadable(String),
    /// The bundle is over 1 MiB, or over 256 certificates.
    TooLarge,
    /// The bundle holds no certificate, or one that is broken.
    Missing,
    /// The certificate with this number in the bundle is no authority's.
    NotAnAuthority(usize, String),
    /// The revocation lists.
    Crl(CrlError),
}

impl fmt::Display for ClientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.problem {
            ClientsProblem::Unreadable(why) => write!(f, "cannot be read: {why}"),
            ClientsProblem::TooLarge => write!(
                f,
                "is over 1 MiB or holds more than {MAX_AUTHORITIES} certificates"
            ),
            ClientsProblem::Missing => write!(f, "holds no readable certificate in PEM form"),
            ClientsProblem::NotAnAuthority(number, subject) => write!(
                f,
                "certificate {number}, {subject}, is no authority's (basicConstraints)"
            ),
            ClientsProblem::Crl(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientsError {}

impl ClientsProblem {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "give the service's user leave to read it",
            Self::TooLarge => "keep the authorities that sign client certificates only",
            Self::Missing => "a PEM block begins with -----BEGIN CERTIFICATE-----",
            Self::NotAnAuthority(..) => {
                "the file is for certificates of authorities (CA:TRUE), not of clients or servers"
            }
            Self::Crl(error) => error.help(),
        }
    }
}

/// A certificate of the bundle.
struct Authority {
    certificate: X509,
    /// `Name`, as it stands there.
    subject: Vec<u8>,
    id: IssuerId,
    signs_lists: bool,
}

/// SHA-256 over an authority's name and key: a cross certificate has the same, and so the same list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct IssuerId([u8; 32]);

impl IssuerId {
    fn of(parts: &Parts<'_>) -> Self {
        let digest = Sha256::new().chain_update(parts.subject);
        Self(digest.chain_update(parts.key_info).finalize().into())
    }
}

/// Whom to believe. Built as a whole and never changed.
pub struct ClientAuthority {
    store: X509Store,
    /// The subjects, which clients are told.
    names: Vec<Vec<u8>>,
    /// By issuer; `None` where no lists are configured.
    lists: Option<HashMap<IssuerId, Crl>>,
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
        let ca_text = read(ca, MAX_BYTES, ClientsProblem::Unreadable, || {
            ClientsProblem::TooLarge
        })?;
        let lists = match crl {
            Some(file) => {
                let unreadable = |why| ClientsProblem::Crl(CrlError::Unreadable(why));
                let too_large = || ClientsProblem::Crl(CrlError::TooLarge);
                Some((file, read(file, crl::MAX_BYTES, unreadable, too_large)?))
            }
            None => None,
        };
        let lists = lists.as_ref().map(|(file, text)| (*file, text.as_slice()));
        Self::parse((ca, &ca_text), lists, rules)
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
        let authorities = authorities(ca_text).map_err(|problem| ClientsError {
            file: ca_file.to_owned(),
            problem,
        })?;
        let lists = match lists {
            Some((file, text)) => {
                let read = read_lists(text, &authorities).map_err(|error| ClientsError {
                    file: file.to_owned(),
                    problem: ClientsProblem::Crl(error),
                })?;
                Some(read)
            }
            None => None,
        };
        let store = store(&authorities).map_err(|_| ClientsError {
            file: ca_file.to_owned(),
            problem: ClientsProblem::Missing,
        })?;
        let digest = digest(&authorities, &rules);
        let mut names: Vec<Vec<u8>> = authorities.into_iter().map(|one| one.subject).collect();
        names.sort_unstable();
        names.dedup();
        Ok(Self {
            store,
            names,
            lists,
            rules,
            digest,
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
        if self.rules.is_empty() || self.rules.iter().any(|rule| rule.fits(&identity)) {
            Ok(identity)
        } else {
            Err(ClientRefusal::Name)
        }
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
        let lists = self.lists.iter().flat_map(HashMap::values);
        lists.filter(|list| is_stale(list, now_s)).count()
    }

    /// Seconds since 1970 at which the first revocation list is over.
    pub fn lists_end_s(&self) -> Option<i64> {
        let lists = self.lists.iter().flat_map(HashMap::values);
        lists.map(Crl::next_update_s).min()
    }

    /// How many authorities are named to clients, and how many certificates are revoked.
    pub fn counts(&self) -> (usize, usize) {
        let lists = self.lists.iter().flat_map(HashMap::values);
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
            .field("lists", &self.lists.as_ref().map(HashMap::len))
            .field("rules", &self.rules)
            .finish_non_exhaustive()
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

fn read(
    file: &Path,
    most: u64,
    unreadable: impl FnOnce(String) -> ClientsProblem,
    too_large: impl FnOnce() -> ClientsProblem,
) -> Result<Vec<u8>, ClientsError> {
    let wrong = |problem| ClientsError {
        file: file.to_owned(),
        problem,
    };
    let mut text = Vec::new();
    let done = File::open(file).and_then(|open| open.take(most + 1).read_to_end(&mut text));
    match done {
        Err(error) => Err(wrong(unreadable(error.to_string()))),
        Ok(_) if text.len() as u64 > most => Err(wrong(too_large())),
        Ok(_) => Ok(text),
    }
}

fn authorities(text: &[u8]) -> Result<Vec<Authority>, ClientsProblem> {
    let all = X509::stack_from_pem(text).map_err(|_| ClientsProblem::Missing)?;
    if all.is_empty() {
        return Err(ClientsProblem::Missing);
    }
    if all.len() > MAX_AUTHORITIES {
        return Err(ClientsProblem::TooLarge);
    }
    let take = |(place, certificate): (usize, X509)| {
        let der = certificate.to_der().map_err(|_| ClientsProblem::Missing)?;
        let parts = Parts::read(&der).map_err(|_| ClientsProblem::Missing)?;
        if !parts.is_authority().unwrap_or(false) {
            let subject = name(parts.subject);
            return Err(ClientsProblem::NotAnAuthority(place + 1, subject));
        }
        Ok(Authority {
            subject: parts.subject.to_vec(),
            id: IssuerId::of(&parts),
            signs_lists: parts.allows(Usage::CrlSign).unwrap_or(false),
            certificate,
        })
    };
    all.into_iter().enumerate().map(take).collect()
}

fn store(authorities: &[Authority]) -> Result<X509Store, ErrorStack> {
    let mut builder = X509StoreBuilder::new()?;
    for one in authorities {
        builder.add_cert(&one.certificate)?;
    }
    Ok(builder.build())
}

fn digest(authorities: &[Authority], rules: &[SanRule]) -> [u8; 32] {
    let mut ids: Vec<&[u8; 32]> = authorities.iter().map(|one| &one.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut digest = Sha256::new();
    digest.update((ids.len() as u64).to_be_bytes());
    ids.iter().for_each(|id| digest.update(id));
    let mut rules: Vec<String> = rules.iter().map(|rule| format!("{rule:?}\n")).collect();
    rules.sort_unstable();
    rules.iter().for_each(|rule| digest.update(rule));
    digest.finalize().into()
}

/// Reads and verifies all lists. Of two by one issuer the newer one counts.
fn read_lists(text: &[u8], authorities: &[Authority]) -> Result<HashMap<IssuerId, Crl>, CrlError> {
    let mut lists: HashMap<IssuerId, Crl> = HashMap::new();
    for (place, der) in crl::blocks(text)?.iter().enumerate() {
        let read = crl::parse(der, place + 1)?;
        let mut problem = CrlError::UnknownIssuer as fn(String) -> CrlError;
        let mut found = None;
        let named = authorities.iter().filter(|one| one.subject == read.issuer);
        for one in named.filter(|one| one.signs_lists) {
            let Ok(key) = one.certificate.public_key() else {
                continue;
            };
            match read.signed.verify(&key) {
                Ok(()) => found = Some(one.id),
                Err(SignatureError::Algorithm) => problem = CrlError::Algorithm,
                Err(SignatureError::Wrong) => problem = CrlError::Signature,
            }
        }
        let id = found.ok_or_else(|| problem(name(read.issuer)))?;
        let is_newer = |other: &Crl| other.this_update_s() < read.crl.this_update_s();
        if lists.get(&id).is_none_or(is_newer) {
            lists.insert(id, read.crl);
        }
    }
    Ok(lists)
}
