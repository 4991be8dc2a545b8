//! What a request says of itself: signatures, a time, an id. Read strictly, as it comes from anybody.

use http::{HeaderMap, HeaderName};

use super::scheme::{Form, Part, Scheme};
use super::sign::{Signature, Signer};

/// Longest field that is read, in bytes.
const MAX_FIELD_BYTES: usize = 4096;
/// Most parts of a field of signatures.
const MAX_PARTS: usize = 32;
/// Longest time, in digits.
const MAX_TIME_DIGITS: usize = 12;
/// Longest id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Why there is nothing to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoClaim {
    /// There is no signature.
    Missing,
    /// What should be there is not, stands there twice, or cannot be read.
    Malformed,
}

/// What is to be verified.
#[derive(Debug)]
pub(super) struct Claim {
    /// Each may be the right one.
    signatures: Vec<Signature>,
    /// Seconds since 1970, and as written.
    time: Option<(u64, Box<[u8]>)>,
    id: Option<Box<[u8]>>,
}

impl Claim {
    /// Reads the fields of a request.
    pub(super) fn read(scheme: &Scheme, headers: &HeaderMap) -> Result<Self, NoClaim> {
        let field = only(headers, &scheme.signature)?.ok_or(NoClaim::Missing)?;
        let needed = |name: &HeaderName| only(headers, name)?.ok_or(NoClaim::Malformed);
        let mut claim = Self {
            signatures: Vec::new(),
            time: None,
            id: None,
        };
        let mut time = scheme.timestamp.as_ref().map(needed).transpose()?;
        match &scheme.form {
            Form::One(prefix) => {
                let text = field
                    .strip_prefix(prefix.as_bytes())
                    .ok_or(NoClaim::Malformed)?;
                claim.add(scheme, text);
            }
            Form::Versions => {
                for part in parts(field, b' ')? {
                    if let Some(text) = part.strip_prefix(b"v1,") {
                        claim.add(scheme, text);
                    }
                }
            }
            Form::Pairs => {
                for part in parts(field, b',')? {
                    if let Some(text) = part.strip_prefix(b"v1=") {
                        claim.add(scheme, text);
                    } else if let Some(text) = part.strip_prefix(b"t=")
                        && time.replace(text).is_some()
                    {
                        return Err(NoClaim::Malformed);
                    }
                }
            }
        }
        if claim.signatures.is_empty() {
            return Err(NoClaim::Malformed);
        }
        if scheme.has_time() {
            let text = time.ok_or(NoClaim::Malformed)?;
            claim.time = Some((seconds(text).ok_or(NoClaim::Malformed)?, text.into()));
        }
        if let Some(id) = scheme.id.as_ref().map(needed).transpose()? {
            let is_plain = id.iter().all(u8::is_ascii_graphic);
            if !(1..=MAX_ID_BYTES).contains(&id.len()) || !is_plain || !is_apart(id, &scheme.signed)
            {
                return Err(NoClaim::Malformed);
            }
            claim.id = Some(id.into());
        }
        Ok(claim)
    }

    fn add(&mut self, scheme: &Scheme, text: &[u8]) {
        let signature = Signature::read(text, scheme.encoding, scheme.algorithm);
        self.signatures.extend(signature);
    }

    /// When it was signed, in seconds since 1970, if that is known.
    pub(super) fn time(&self) -> Option<u64> {
        self.time.as_ref().map(|(seconds, _)| *seconds)
    }

    /// The id, if there is one.
    pub(super) fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// Whether one of the secrets made one of the signatures for this body; the signature if so. Takes as
    /// long whether or not one does.
    pub(super) fn verify<'b>(
        &self,
        scheme: &Scheme,
        secrets: &[Signer],
        body: impl Iterator<Item = &'b [u8]> + Clone,
    ) -> Option<Signature> {
        let mut right = None;
        for secret in secrets {
            let mut signer = secret.clone();
            for part in &scheme.signed {
                match part {
                    Part::Text(text) => signer.update(text.as_bytes()),
                    Part::Timestamp => {
                        let text = self.time.as_ref().map(|(_, text)| &**text);
                        signer.update(text.unwrap_or_default());
                    }
                    Part::Id => signer.update(self.id.as_deref().unwrap_or_default()),
                    Part::Body => body.clone().for_each(|piece| signer.update(piece)),
                }
            }
            let made = signer.sign();
            let found = self
                .signatures
                .iter()
                .fold(false, |found, one| found | one.is(&made));
            if found {
                right = Some(made);
            }
        }
        right
    }
}

/// The value of a field that may stand there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, NoClaim> {
    let mut fields = headers.get_all(name).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() || field.len() > MAX_FIELD_BYTES {
        return Err(NoClaim::Malformed);
    }
    Ok(Some(field.as_bytes().trim_ascii()))
}

fn parts(field: &[u8], separator: u8) -> Result<impl Iterator<Item = &[u8]>, NoClaim> {
    let parts = || field.split(move |b| *b == separator);
    if parts().nth(MAX_PARTS).is_some() {
        return Err(NoClaim::Malformed);
    }
    Ok(parts().map(<[u8]>::trim_ascii))
}

/// Digits and nothing else: no sign, no fraction.
fn seconds(text: &[u8]) -> Option<u64> {
    let is_number =
        (1..=MAX_TIME_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |all, b| all * 10 + u64::from(b - b'0')))
}

/// False if the id holds the byte that parts it from its neighbours: then another id and another time or body
/// would have the same signature.
fn is_apart(id: &[u8], signed: &[Part]) -> bool {
    let Some(at) = signed.iter().position(|part| *part == Part::Id) else {
        return true;
    };
    let text = |at: Option<usize>| match at.and_then(|at| signed.get(at)) {
        Some(Part::Text(text)) => Some(text.as_bytes()),
        _ => None,
    };
    let before = text(at.checked_sub(1)).and_then(<[u8]>::last);
    let after = text(at.checked_add(1)).and_then(<[u8]>::first);
    before.into_iter().chain(after).all(|b| !id.contains(b))
}
