//! What authorities say about our certificates (OCSP), from files or from their responders.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::Edge;
use crate::tls::certificate::Certificate;
use crate::tls::files::{Stamp, seconds};
use crate::tls::ocsp::{OcspError, Staple, request};

/// The first pause after a responder failed, in seconds, and the longest; it doubles each time.
const RETRY_S: i64 = 5;
const MAX_RETRY_S: i64 = 3_600;
/// While a question is under way nobody asks again for this long, in seconds.
const ASKED_S: i64 = 30;

/// Where the answer about a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StapleSpec {
    /// A file in DER.
    File(PathBuf),
    /// An `http` URL to ask.
    Responder(String),
}

/// The staple of one pair.
pub(super) struct Stapled {
    /// Its place among the pairs.
    pub(super) place: usize,
    spec: StapleSpec,
    state: Mutex<State>,
}

/// What is known of it.
#[derive(Default)]
struct State {
    /// What the file was, and the certificate it was read for.
    read: Option<(Stamp, [u8; 32])>,
    /// When to ask again, and for which certificate.
    next: Option<(i64, [u8; 32])>,
    failures: u32,
}

/// A question that is due.
pub struct Due {
    /// The staple's number, to be given back with the answer.
    pub number: usize,
    /// Where to send it.
    pub url: String,
    /// The body of the POST.
    pub request: Vec<u8>,
}

impl Stapled {
    pub(super) fn new(place: usize, spec: StapleSpec) -> Self {
        Self {
            place,
            spec,
            state: Mutex::default(),
        }
    }

    /// Reads the file for the certificate if one of them changed. `None`: there is no file.
    ///
    /// # Errors
    /// The file, and why it is not stapled.
    pub(super) fn read(
        &self,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Option<Result<(), (&Path, OcspError)>> {
        let StapleSpec::File(file) = &self.spec else {
            return None;
        };
        let mut state = self.state.lock();
        let stamp = Stamp::of(file);
        let present = stamp.map(|stamp| (stamp, *certificate.fingerprint()));
        let over = certificate
            .staple()
            .is_some_and(|staple| !staple.is_fresh(seconds(now)));
        if present.is_some() && state.read == present && !over {
            return Some(Ok(()));
        }
        let issuer = certificate.issuer().ok_or(OcspError::NoIssuer);
        let read =
            issuer.and_then(|issuer| Staple::open(file, certificate.leaf(), issuer, seconds(now)));
        Some(match read {
            Ok(staple) => {
                certificate.set_staple(Some(Arc::new(staple)));
                state.read = present.filter(|(stamp, _)| stamp.is_settled(now));
                Ok(())
            }
            // What was stapled before is stapled while it is fresh.
            Err(error) => Err((file, error)),
        })
    }

    fn due(&self, number: usize, certificate: &Certificate, now_s: i64) -> Option<Due> {
        let StapleSpec::Responder(url) = &self.spec else {
            return None;
        };
        let fingerprint = *certificate.fingerprint();
        let mut state = self.state.lock();
        match &mut state.next {
            Some((at, of)) if *of == fingerprint && now_s < *at => return None,
            // A certificate that was read again, and one whose staple outlived a reload.
            next => {
                let known = certificate
                    .staple()
                    .map(|staple| staple.next_fetch_s(now_s, random()));
                let first = next.is_none_or(|(_, of)| of != fingerprint);
                if let Some(at) = known.filter(|at| first && *at > now_s) {
                    *next = Some((at, fingerprint));
                    return None;
                }
                // Until the answer comes nobody asks again.
                *next = Some((now_s + ASKED_S, fingerprint));
            }
        }
        Some(Due {
            number,
            url: url.clone(),
            request: request(certificate.leaf(), certificate.issuer()?)?,
        })
    }

    /// Takes an answer. True if it is the first failure in a row, which is worth telling.
    fn answered(
        &self,
        certificate: &Certificate,
        answer: Result<&[u8], String>,
        now_s: i64,
    ) -> Result<(), String> {
        let issuer = certificate.issuer().ok_or("the chain holds no issuer")?;
        let parsed = answer.and_then(|der| {
            let parsed = Staple::parse(der, certificate.leaf(), issuer, now_s);
            parsed.map_err(|error| format!("the answer {error}; {}", error.help()))
        });
        let mut state = self.state.lock();
        let fingerprint = *certificate.fingerprint();
        match parsed {
            Ok(staple) => {
                state.failures = 0;
                state.next = Some((staple.next_fetch_s(now_s, random()), fingerprint));
                certificate.set_staple(Some(Arc::new(staple)));
                Ok(())
            }
            Err(why) => {
                let pause = (RETRY_S << state.failures.min(10)).min(MAX_RETRY_S);
                state.failures = state.failures.saturating_add(1);
                state.next = Some((now_s + pause, fingerprint));
                Err(why)
            }
        }
    }

    /// The file, or the URL.
    pub(super) fn source(&self) -> &Path {
        match &self.spec {
            StapleSpec::File(file) => file,
            StapleSpec::Responder(url) => Path::new(url),
        }
    }
}

impl Edge {
    /// Reads files of answers that changed.
    pub(super) fn refresh_staples(&self, now: SystemTime) {
        let served = self.served.lock().clone();
        for one in &self.staples {
            let Some(certificate) = served.get(one.place) else {
                continue;
            };
            match one.read(certificate, now) {
                None => {}
                Some(Ok(())) => self.fine(one.source()),
                Some(Err((file, error))) => {
                    self.wrong(
                        file,
                        format!("{} {error}; {}", file.display(), error.help()),
                    );
                }
            }
        }
        let now_s = seconds(now);
        let fresh = |one: &&Arc<Certificate>| one.staple().is_some_and(|it| it.is_fresh(now_s));
        let count = served.iter().filter(fresh).count();
        self.metrics
            .stapled
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Questions to responders that are due, `most` of them. Each is given out once until its answer comes.
    pub fn staples_due(&self, now: SystemTime, most: usize) -> Vec<Due> {
        let served = self.served.lock().clone();
        let due = |(number, one): (usize, &Stapled)| {
            one.due(number, served.get(one.place)?, seconds(now))
        };
        let all = self.staples.iter().enumerate();
        all.filter_map(due).take(most).collect()
    }

    /// Takes the answer to a question: its body, or why there is none.
    pub fn stapled(&self, number: usize, answer: Result<&[u8], String>, now: SystemTime) {
        let Some(one) = self.staples.get(number) else {
            return;
        };
        let Some(certificate) = self.served.lock().get(one.place).cloned() else {
            return;
        };
        match one.answered(&certificate, answer, seconds(now)) {
            Ok(()) => {
                self.metrics.refreshed(true);
                self.fine(one.source());
            }
            Err(why) => {
                let text = format!("{}: {why}", one.source().display());
                // A responder is asked seldom: the first failure is told at once.
                self.wrong(one.source(), text.clone());
                self.wrong(one.source(), text);
            }
        }
    }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness all nodes ask at the same time, which is bearable.
    let _ = boring::rand::rand_bytes(&mut bytes);
    u32::from_ne_bytes(bytes)
}
