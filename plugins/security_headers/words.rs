//! Values that are words of a closed set, and those that may be `off`.

use std::fmt;
use std::marker::PhantomData;

use farmgate_plugin_api::decode::{Located, Table};
use farmgate_plugin_api::units::Duration;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// A word of a set, as it is written here and as it is sent.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$default:ident])? $word:ident = $sent:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(clippy::enum_variant_names, reason = "the words are those of the specifications")]
        pub(super) enum $name {
            $($(#[$default])? $word,)+
        }

        impl $name {
            /// What is sent; empty for nothing.
            pub(super) fn sent(self) -> &'static str {
                match self {
                    $(Self::$word => $sent,)+
                }
            }
        }
    };
}

words! {
    /// Referrer-Policy (W3C, section 3).
    Referrer {
        Off = "",
        NoReferrer = "no-referrer",
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        Origin = "origin",
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        SameOrigin = "same-origin",
        StrictOrigin = "strict-origin",
        #[default] StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        UnsafeUrl = "unsafe-url",
    }
}

words! {
    /// X-Frame-Options (RFC 7034).
    Frame {
        Off = "",
        Deny = "DENY",
        #[default] Sameorigin = "SAMEORIGIN",
    }
}

words! {
    /// X-Content-Type-Options (Fetch Standard, section 3.5).
    ContentType {
        Off = "",
        #[default] Nosniff = "nosniff",
    }
}

words! {
    /// Cross-Origin-Opener-Policy (HTML Standard, section 7.1.3).
    Opener {
        #[default] Off = "",
        UnsafeNone = "unsafe-none",
        SameOrigin = "same-origin",
        SameOriginAllowPopups = "same-origin-allow-popups",
        NoopenerAllowPopups = "noopener-allow-popups",
    }
}

words! {
    /// Cross-Origin-Embedder-Policy (HTML Standard, section 7.1.4).
    Embedder {
        #[default] Off = "",
        UnsafeNone = "unsafe-none",
        RequireCorp = "require-corp",
        Credentialless = "credentialless",
    }
}

words! {
    /// Cross-Origin-Resource-Policy (Fetch Standard, section 3.7).
    Resource {
        #[default] Off = "",
        SameOrigin = "same-origin",
        SameSite = "same-site",
        CrossOrigin = "cross-origin",
    }
}

/// `hsts`: a table, or `off`.
#[derive(Debug)]
pub(super) enum Hsts {
    /// Not sent.
    Off,
    /// Sent over TLS.
    On(HstsConfig),
}

/// Strict-Transport-Security (RFC 6797).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HstsConfig {
    pub(super) max_age: Option<Located<Duration>>,
    pub(super) include_subdomains: bool,
    pub(super) preload: Option<Located<bool>>,
}

impl Default for Hsts {
    fn default() -> Self {
        Self::On(HstsConfig::default())
    }
}

impl<'de> Deserialize<'de> for Hsts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms(PhantomData<Hsts>);
        impl<'de> Visitor<'de> for Forms {
            type Value = Hsts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, or \"off\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Hsts, E> {
                match text {
                    "off" => Ok(Hsts::Off),
                    _ => Err(E::custom(format_args!(
                        "\"{text}\" is no form of hsts\nwrite {{ max_age = \"365d\" }}, or \"off\""
                    ))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Hsts, A::Error> {
                Table::from_map(map)?.read().map(Hsts::On)
            }
        }
        deserializer.deserialize_any(Forms(PhantomData))
    }
}
