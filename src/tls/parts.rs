//! DER taken apart: what certificates, revocation lists and OCSP responses hold that the library's safe calls do
//! not show. Names and keys are kept as the bytes that stand there, because that is what hashes and issuers compare.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};

/// Most extensions of one thing; certificates have about ten.
const MAX_EXTENSIONS: usize = 64;

pub(super) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
pub(super) const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
pub(super) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
pub(super) const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");

/// A tag `[number]` of ASN.1.
pub(super) const fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    }
}

/// The fields of a SEQUENCE, one after the other.
pub(super) struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    /// The fields of the one SEQUENCE that `der` is.
    pub(super) fn open(der: &'a [u8]) -> der::Result<Self> {
        Self::of(AnyRef::from_der(der)?)
    }

    /// The fields of a SEQUENCE that was read.
    pub(super) fn of(sequence: AnyRef<'a>) -> der::Result<Self> {
        sequence.header().tag().assert_eq(Tag::Sequence)?;
        Self::inside(sequence)
    }

    /// What is inside of any constructed value.
    pub(super) fn inside(value: AnyRef<'a>) -> der::Result<Self> {
        SliceReader::new(value.value()).map(Self)
    }

    /// The next field.
    pub(super) fn next(&mut self) -> der::Result<AnyRef<'a>> {
        AnyRef::decode(&mut self.0)
    }

    /// The next field, which must have this tag.
    pub(super) fn take(&mut self, tag: Tag) -> der::Result<AnyRef<'a>> {
        let field = self.next()?;
        field.header().tag().assert_eq(tag)?;
        Ok(field)
    }

    /// The next field if it has this tag.
    pub(super) fn take_if(&mut self, tag: Tag) -> der::Result<Option<AnyRef<'a>>> {
        if self.is_empty() || Tag::peek(&self.0)? != tag {
            return Ok(None);
        }
        self.next().map(Some)
    }

    /// The next field as it stands there, tag and length included.
    pub(super) fn raw(&mut self) -> der::Result<&'a [u8]> {
        self.0.tlv_bytes()
    }

    /// True behind the last field.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_finished()
    }

    /// There must be no field left.
    pub(super) fn end(self) -> der::Result<()> {
        self.0.finish()
    }
}

/// `SEQUENCE { body, algorithm, signature }`: the form of everything that is signed.
pub(super) struct Signed<'a> {
    /// The bytes that are signed.
    pub(super) body: &'a [u8],
    /// `AlgorithmIdentifier`, as it stands there.
    pub(super) algorithm: &'a [u8],
    /// The signature.
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads the three; what follows them is left in `fields`.
    pub(super) fn read(fields: &mut Fields<'a>) -> der::Result<Self> {
        let body = fields.raw()?;
        let algorithm = fields.raw()?;
        let signature = bits(fields.take(Tag::BitString)?)?;
        Ok(Self {
            body,
            algorithm,
            signature,
        })
    }
}

/// The bytes of a BIT STRING that is made of whole ones.
fn bits(value: AnyRef<'_>) -> der::Result<&[u8]> {
    let whole = value.decode_as::<BitStringRef<'_>>()?.as_bytes();
    whole.ok_or_else(|| Tag::BitString.value_error().into())
}

/// The number of a certificate. At most 23 bytes: RFC 5280 section 4.1.2.2 allows 20, and some add a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial([u8; 24]);

impl Serial {
    /// Reads an INTEGER.
    pub(super) fn read(value: AnyRef<'_>) -> der::Result<Self> {
        let wrong = || der::Error::from(Tag::Integer.value_error());
        let bytes = value.value();
        let mut place = [0; 24];
        let (length, digits) = place.split_first_mut().ok_or_else(wrong)?;
        if bytes.is_empty() || bytes.len() > digits.len() {
            return Err(wrong());
        }
        *length = u8::try_from(bytes.len()).map_err(|_| wrong())?;
        for (to, from) in digits.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Self(place))
    }

    /// The bytes of the INTEGER.
    pub(super) fn bytes(&self) -> &[u8] {
        let (length, digits) = self.0.split_first().unwrap_or((&0, &[]));
        digits.get(..usize::from(*length)).unwrap_or(&[])
    }
}

/// An extension of RFC 5280 section 4.2.
pub(super) struct Extension<'a> {
    pub(super) id: ObjectIdentifier,
    pub(super) critical: bool,
    /// DER inside of the OCTET STRING.
    pub(super) value: &'a [u8],
}

/// Reads `Extensions`.
pub(super) fn extensions(sequence: AnyRef<'_>) -> der::Result<Vec<Extension<'_>>> {
    let mut fields = Fields::of(sequence)?;
    let mut all = Vec::new();
    while !fields.is_empty() {
        if all.len() == MAX_EXTENSIONS {
            return Err(Tag::Sequence.length_error().into());
        }
        let mut one = Fields::of(fields.next()?)?;
        let id = one.take(Tag::ObjectIdentifier)?.decode_as()?;
        let critical = match one.take_if(Tag::Boolean)? {
            Some(flag) => flag.decode_as::<bool>()?,
            None => false,
        };
        let value = one.take(Tag::OctetString)?.value();
        one.end()?;
        all.push(Extension {
            id,
            critical,
            value,
        });
    }
    Ok(all)
}

/// The extension with this id.
pub(super) fn find<'e, 'a>(
    all: &'e [Extension<'a>],
    id: ObjectIdentifier,
) -> Option<&'e Extension<'a>> {
    all.iter().find(|one| one.id == id)
}

/// Seconds since 1970 of a `Time`.
pub(super) fn time(value: AnyRef<'_>) -> der::Result<i64> {
    let since = match value.header().tag() {
        Tag::UtcTime => value.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => value.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A bit of `keyUsage`.
#[derive(Clone, Copy)]
pub(super) enum Usage {
    DigitalSignature = 0,
    KeyAgreement = 4,
    CrlSign = 6,
}

/// What is read of a certificate.
pub(super) struct Parts<'a> {
    pub(super) serial: Serial,
    /// `Name`, as it stands there.
    pub(super) issuer: &'a [u8],
    /// `Name`, as it stands there.
    pub(super) subject: &'a [u8],
    /// `SubjectPublicKeyInfo`, as it stands there.
    pub(super) key_info: &'a [u8],
    /// The key in it, without its algorithm: what OCSP hashes.
    pub(super) key: &'a [u8],
    pub(super) extensions: Vec<Extension<'a>>,
}

impl<'a> Parts<'a> {
    /// Takes a certificate apart.
    pub(super) fn read(certificate: &'a [u8]) -> der::Result<Self> {
        let mut outer = Fields::open(certificate)?;
        let mut fields = Fields::of(outer.next()?)?;
        fields.take_if(context(0, true))?;
        let serial = Serial::read(fields.take(Tag::Integer)?)?;
        fields.take(Tag::Sequence)?;
        let issuer = fields.raw()?;
        fields.take(Tag::Sequence)?;
        let subject = fields.raw()?;
        let key_info = fields.raw()?;
        let mut inside = Fields::open(key_info)?;
        inside.take(Tag::Sequence)?;
        let key = bits(inside.take(Tag::BitString)?)?;
        for unique_id in [context(1, false), context(2, false)] {
            fields.take_if(unique_id)?;
        }
        let extensions = match fields.take_if(context(3, true))? {
            Some(tagged) => extensions(Fields::inside(tagged)?.next()?)?,
            None => Vec::new(),
        };
        fields.end()?;
        Ok(Self {
            serial,
            issuer,
            subject,
            key_info,
            key,
            extensions,
        })
    }

    /// True if `keyUsage` names this use, or there is no such extension.
    pub(super) fn allows(&self, usage: Usage) -> der::Result<bool> {
        let Some(found) = find(&self.extensions, KEY_USAGE) else {
            return Ok(true);
        };
        let usages = BitStringRef::from_der(found.value)?;
        Ok(usages.bits().nth(usage as usize).unwrap_or(false))
    }

    /// True if `extKeyUsage` names this purpose; `None` without such an extension.
    pub(super) fn is_for(&self, purpose: ObjectIdentifier) -> der::Result<Option<bool>> {
        let Some(found) = find(&self.extensions, EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let mut fields = Fields::open(found.value)?;
        while !fields.is_empty() {
            let one: ObjectIdentifier = fields.take(Tag::ObjectIdentifier)?.decode_as()?;
            if one == purpose {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// True for the certificate of an authority.
    pub(super) fn is_authority(&self) -> der::Result<bool> {
        let Some(found) = find(&self.extensions, BASIC_CONSTRAINTS) else {
            return Ok(false);
        };
        let authority = Fields::open(found.value)?.take_if(Tag::Boolean)?;
        authority.map_or(Ok(false), |flag| flag.decode_as())
    }

    /// How many authorities may stand between this one and the client's certificate; `None` is any number.
    pub(super) fn path_length(&self) -> der::Result<Option<u8>> {
        let Some(found) = find(&self.extensions, BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let mut fields = Fields::open(found.value)?;
        fields.take_if(Tag::Boolean)?;
        let length = fields.take_if(Tag::Integer)?;
        length.map(|length| length.decode_as()).transpose()
    }

    /// True if it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

#[cfg(test)]
mod tests;
