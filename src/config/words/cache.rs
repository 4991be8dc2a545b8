//! `[cache]` and `[[cache_policy]]`: the shared cache, its bounds and what it may keep.

use std::collections::BTreeMap;

use farmgate_plugin_api::decode::{Located, RelPath};
use farmgate_plugin_api::units::{Cidr, Duration, Ratio, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::forms;

pub mod values;

pub use values::{FieldName, Heuristic, StatusWord};

/// One cache for the whole node. Memory and disk are hard limits, whatever a response says.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// All of it: bodies, heads, keys and index. At least 16MiB.
    #[schemars(with = "forms::Size")]
    pub memory: Located<Size>,
    /// Folders that hold objects across restarts; without one nothing survives. At most 16.
    #[serde(default)]
    #[schemars(with = "Vec<CacheDiskConfig>", length(max = 16))]
    pub disk: Vec<Located<CacheDiskConfig>>,
    /// When what was written is forced to the device. Default interval.
    #[serde(default)]
    pub durability: Durability,
}

/// One folder of the cache.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheDiskConfig {
    /// The folder; it belongs to one node alone.
    #[schemars(with = "forms::Path")]
    pub path: Located<RelPath>,
    /// Most bytes in it; allocated as it fills. At least 64MiB.
    #[schemars(with = "forms::Size")]
    pub size: Located<Size>,
}

/// When what was written is forced to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When the system likes.
    None,
    /// About each second.
    #[default]
    Interval,
    /// When a segment is full.
    Segment,
}

/// What may be kept, for how long, and what tells objects apart. Routes name it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicyConfig {
    /// The name routes use.
    #[schemars(with = "forms::Name")]
    pub name: Located<String>,
    /// Lifetimes.
    #[serde(default)]
    pub ttl: TtlConfig,
    /// `off` (the default), or a share of the age by Last-Modified that counts as a lifetime: `10%`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub heuristic: Located<Heuristic>,
    /// How long a stale answer is sent while a new one is fetched, where the origin does not say. Default 0s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub stale_while_revalidate: Option<Located<Duration>>,
    /// How long a stale answer stands in for an error, where the origin does not say. Default 0s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub stale_if_error: Option<Located<Duration>>,
    /// What tells objects apart, besides scheme, host, path, query, route and upstream.
    #[serde(default)]
    pub key: KeyConfig,
    /// How variants are told apart, and how many there may be.
    #[serde(default)]
    pub vary: VaryConfig,
    /// One fetch per key.
    #[serde(default)]
    pub lock: LockConfig,
    /// Response headers that carry purge tags; removed before a response is sent.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 8))]
    pub tags: Vec<Located<FieldName>>,
    /// What becomes of Set-Cookie. Default bypass.
    #[serde(default)]
    pub set_cookie: SetCookieWord,
    /// Larger bodies pass through whole; so do those above a quarter of the cache's memory. Default 1GiB.
    #[serde(default)]
    #[schemars(with = "Option<forms::Size>")]
    pub max_object: Option<Located<Size>>,
    /// How often a key must be asked for before it is kept.
    #[serde(default)]
    pub min_uses: MinUsesConfig,
    /// Compressed variants of what is kept plain.
    #[serde(default)]
    pub compress: CompressConfig,
    /// How long it is remembered that a key's answers cannot be kept, so that its clients do not wait for each
    /// other; 0s: it is not. At most 10m. Default 120s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub hit_for_miss: Option<Located<Duration>>,
    /// Whether Cache-Status (RFC 9211) is sent. Default true.
    #[serde(default = "yes")]
    pub status_header: bool,
    /// Whether a success is kept only if its Content-Type fits the extension of its path. Default true.
    #[serde(default = "yes")]
    pub match_content_type: bool,
}

fn yes() -> bool {
    true
}

/// Lifetimes of a policy. Parts of a second count as a whole one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TtlConfig {
    /// Of successes and permanent redirects, when the origin says nothing. Default 0s: not kept.
    #[schemars(with = "Option<forms::Duration>")]
    pub default: Option<Located<Duration>>,
    /// No lifetime of what may be reused at all is shorter; a lifetime of 0 stays 0. Default 0s.
    #[schemars(with = "Option<forms::Duration>")]
    pub floor: Option<Located<Duration>>,
    /// No lifetime is longer. Default 30d.
    #[schemars(with = "Option<forms::Duration>")]
    pub max: Option<Located<Duration>>,
    /// By status, when the origin says nothing: `{ "404" = "10s" }`.
    #[schemars(with = "BTreeMap<String, forms::Duration>", length(max = 64))]
    pub status: BTreeMap<StatusWord, Located<Duration>>,
}

/// What a policy puts into the key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyConfig {
    /// What of the query counts.
    pub query: QueryKeyConfig,
    /// Request headers.
    #[schemars(with = "Vec<String>", length(max = 16))]
    pub headers: Vec<Located<FieldName>>,
    /// Cookies, by name.
    #[schemars(with = "Vec<String>", length(max = 16))]
    pub cookies: Vec<Located<String>>,
    /// Who authenticated: each consumer has answers of its own. Default false.
    pub consumer: bool,
}

/// What of a query counts in the key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryKeyConfig {
    /// Parameters that do not count: a name, or its beginning and `*`. They still reach the origin.
    #[schemars(with = "Vec<String>", length(max = 64))]
    pub ignore: Vec<Located<String>>,
    /// Whether the order of different parameters does not count. Default false.
    pub sort: bool,
}

/// How variants are told apart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VaryConfig {
    /// `normalise` (the default): as a set of zstd, br and gzip, which is what the origin sees; `list`: as it stands.
    #[serde(rename = "accept-encoding")]
    pub accept_encoding: AcceptEncodingWord,
    /// The site's languages: a request counts as the best of them. Without it as its sorted list.
    #[serde(rename = "accept-language")]
    #[schemars(with = "Vec<String>", length(max = 32))]
    pub accept_language: Vec<Located<String>>,
    /// `refuse` (the default): a response with `Vary: Cookie` is not kept. `keyed`: it is told apart by the cookies of
    /// `key.cookies`, and by no others.
    pub cookie: VaryCookieWord,
    /// Variants of one key; one more takes the place of the oldest. Default 16.
    #[schemars(with = "u16", range(min = 1, max = 1024))]
    pub max_variants: Located<u16>,
}

impl Default for VaryConfig {
    fn default() -> Self {
        Self {
            accept_encoding: AcceptEncodingWord::default(),
            accept_language: Vec::new(),
            cookie: VaryCookieWord::default(),
            max_variants: 16.into(),
        }
    }
}

/// What `Vary: Cookie` of an origin means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VaryCookieWord {
    /// Every cookie may matter: the response is not kept.
    #[default]
    Refuse,
    /// The cookies of `key.cookies` matter, and no others.
    Keyed,
}

/// How Accept-Encoding is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcceptEncodingWord {
    /// As a set of the codings the cache knows.
    #[default]
    Normalise,
    /// As a list.
    List,
}

/// One fetch per key.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LockConfig {
    /// How long a request waits for another one's fetch before it makes its own; 0s: not at all. At most 60s.
    /// Default 5s.
    #[schemars(with = "forms::Duration")]
    pub wait: Located<Duration>,
}

impl Default for LockConfig {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(5).into(),
        }
    }
}

/// What becomes of Set-Cookie in a response that could be kept otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookieWord {
    /// The response is not kept.
    #[default]
    Bypass,
    /// It is kept, and sent to everybody, without the field.
    Strip,
    /// It is kept and sent with the field, as RFC 9111 allows: only where cookies are the same for all.
    Keep,
}

/// How often a key must be asked for before it is kept.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MinUsesConfig {
    /// On disk. Default 2: what is asked for once does not wear the device.
    #[schemars(with = "u8", range(min = 1, max = 4))]
    pub disk: Located<u8>,
}

impl Default for MinUsesConfig {
    fn default() -> Self {
        Self { disk: 2.into() }
    }
}

/// Compressed variants: what is kept plain is compressed once, beside the requests, and then sent compressed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressConfig {
    /// The codings that are made, each once a client asks for it; an empty list: nothing is compressed. Default all.
    #[schemars(with = "Vec<CodingWord>", length(max = 3))]
    pub codings: Vec<Located<CodingWord>>,
    /// Smallest body. Default 1KiB.
    #[schemars(with = "forms::Size")]
    pub min: Located<Size>,
    /// Largest body. At most 64MiB. Default 8MiB.
    #[schemars(with = "forms::Size")]
    pub max: Located<Size>,
    /// Hits by clients that take a coding before the object is compressed. Default 3.
    #[schemars(with = "u16", range(min = 1, max = 1000))]
    pub after: Located<u16>,
}

impl Default for CompressConfig {
    fn default() -> Self {
        Self {
            codings: [CodingWord::Zstd, CodingWord::Br, CodingWord::Gzip]
                .map(Located::from)
                .to_vec(),
            min: Size::kib(1).into(),
            max: Size::mib(8).into(),
            after: 3.into(),
        }
    }
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodingWord {
    /// RFC 8878
    Zstd,
    /// RFC 7932
    Br,
    /// RFC 1952
    Gzip,
}

/// `purge` of a route: who may send PURGE to it; to anyone else it is 405 and never forwarded.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeConfig {
    /// Networks and addresses.
    #[schemars(with = "Vec<forms::Cidr>", length(min = 1, max = 256))]
    pub from: Vec<Located<Cidr>>,
    /// What they may purge: `url` and `prefix` on this route's hosts, and `host`, `tag` and `all`, which reach beyond it.
    /// Default url.
    #[serde(default = "url_alone")]
    #[schemars(length(min = 1, max = 5))]
    pub scopes: Vec<PurgeScopeWord>,
}

fn url_alone() -> Vec<PurgeScopeWord> {
    vec![PurgeScopeWord::Url]
}

/// What a PURGE may select.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PurgeScopeWord {
    /// The URL of the request, with every variant.
    Url,
    /// Its path and all below.
    Prefix,
    /// Its host.
    Host,
    /// Everything that carries a tag.
    Tag,
    /// Everything.
    All,
}

impl Heuristic {
    /// The share, if there is one.
    pub fn share(self) -> Option<Ratio> {
        match self {
            Self::Off => None,
            Self::Share(share) => Some(share),
        }
    }
}

#[cfg(test)]
mod tests;
