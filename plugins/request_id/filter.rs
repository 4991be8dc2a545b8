//! Choosing a request's id.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Clock, Random};
use farmgate_plugin_api::units::Cidr;
use farmgate_plugin_api::{Answer, Filter, Phases};
use http::{HeaderName, HeaderValue};

use super::config::Format;

/// Longest id that is believed, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Gives every request an id, or keeps the one that a trusted client sent.
pub(super) struct RequestIdFilter {
    pub(super) header: HeaderName,
    pub(super) trust: Trust,
    pub(super) format: Format,
    pub(super) response: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

/// Whose ids are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody's.
    #[default]
    Never,
    /// Everybody's.
    Always,
    /// Those of clients in these networks.
    Networks(Box<[Cidr]>),
}

impl Trust {
    fn holds(&self, ip: IpAddr) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Networks(networks) => {
                let ip = ip.to_canonical();
                networks.iter().any(|network| network.contains(ip))
            }
        }
    }
}

impl Filter for RequestIdFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let id = match self.sent_id(&*request) {
            Some(value) => value,
            None => match HeaderValue::from_maybe_shared(Bytes::from(self.make())) {
                Ok(value) => value,
                Err(_) => return Answer::error("the new id is no header value"),
            },
        };
        if let Ok(text) = id.to_str() {
            request.set_id(text);
        }
        if self.response {
            request.add_response_header(self.header.clone(), id.clone());
        }
        request.edit().set(&self.header, id);
        Answer::CONTINUE
    }
}

impl RequestIdFilter {
    /// The client's id, if the client is trusted and the id is a sound one.
    fn sent_id(&self, request: &dyn Request) -> Option<HeaderValue> {
        let mut values = request.headers().get_all(&self.header).iter();
        let value = values.next()?;
        let sound = values.next().is_none() && is_sound(value.as_bytes());
        (sound && self.trust.holds(request.client_ip())).then(|| value.clone())
    }

    /// A new id.
    fn make(&self) -> String {
        let bits = (u128::from(self.random.next()) << 64) | u128::from(self.random.next());
        let mut out = String::with_capacity(36);
        match self.format {
            Format::Hex => {
                let _ = write!(out, "{bits:032x}");
            }
            Format::UuidV7 => {
                let since = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
                let ms = since.map_or(0, |since| since.as_millis());
                let bits = uuid_v7(ms, bits);
                let low = bits & 0xffff_ffff_ffff;
                let _ = write!(
                    out,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{low:012x}",
                    bits >> 96,
                    bits >> 80 & 0xffff,
                    bits >> 64 & 0xffff,
                    bits >> 48 & 0xffff,
                );
            }
        }
        out
    }
}

/// A UUID of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, version, 12 random
/// bits, variant, 62 random bits.
pub(super) fn uuid_v7(unix_ms: u128, random: u128) -> u128 {
    const RANDOM: u128 = 0x0fff_3fff_ffff_ffff_ffff;
    const VERSION_AND_VARIANT: u128 = 0x7000_8000_0000_0000_0000;
    (unix_ms << 80) | VERSION_AND_VARIANT | (random & RANDOM)
}

/// Ids stand in logs and in commands, so only letters, digits and a few marks are let in.
fn is_sound(id: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"-._:+/=@".contains(b);
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(legal)
}
