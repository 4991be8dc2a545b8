//! The words of the `compression` kind.

use std::sync::Arc;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Size;
use farmgate_waf::body::inflate::InflateLimits;
use http::HeaderValue;
use serde::Deserialize;

use super::accept::Coding;
use super::encoder::Levels;
use super::filter::{CompressionFilter, Metrics};
use super::inflating::Inflating;
use super::kinds::{Pattern, USUAL};
use super::places::Places;

/// Most patterns of types; each is a comparison per response.
const MOST_TYPES: usize = 64;
/// Largest `min_size`.
const MOST_MIN: Size = Size::mib(64);
/// Responses at once, without a word and at most.
const USUAL_CONCURRENT: u32 = 256;
const MOST_CONCURRENT: u32 = 65_536;
/// Decoded request bodies, without a word and at most.
const USUAL_BODY: Size = Size::mib(8);
const LEAST_BODY: Size = Size::kib(1);
const MOST_BODY: Size = Size::mib(1024);
/// What one byte may become. Text seldom shrinks to a hundredth.
const USUAL_RATIO: u32 = 200;
const MOST_RATIO: u32 = 10_000;

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "encodings": { "type": "array", "items": { "enum": ["zstd", "br", "gzip"] }, "default": ["zstd", "br", "gzip"], "description": "Codings of answers, the preferred one first; an empty list: answers stay as they are." },
    "types": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 64, "description": "Media types that are compressed, with wildcards as `text/*` and `application/*+json`; without it text in the widest sense." },
    "min_size": { "type": "string", "default": "1KiB", "description": "Smallest body that is compressed; at most 64MiB." },
    "level": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "zstd": { "type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How hard zstd tries." },
        "br": { "type": "integer", "minimum": 0, "maximum": 6, "default": 4, "description": "How hard brotli tries." },
        "gzip": { "type": "integer", "minimum": 1, "maximum": 9, "default": 5, "description": "How hard gzip tries." }
      },
      "description": "How hard the codecs try."
    },
    "max_concurrent": { "type": "integer", "minimum": 1, "maximum": 65536, "default": 256, "description": "Most responses that are compressed at once; further ones go out as they are." },
    "requests": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "encodings": { "type": "array", "items": { "enum": ["zstd", "br", "gzip", "deflate"] }, "minItems": 1, "default": ["zstd", "br", "gzip", "deflate"], "description": "Encodings of request bodies that are decoded; others get 415." },
        "max_size": { "type": "string", "default": "8MiB", "description": "Largest body, compressed and decoded, 1KiB to 1GiB; larger ones get 413." },
        "ratio": { "type": "integer", "minimum": 10, "maximum": 10000, "default": 200, "description": "Bytes that a byte may become beyond the first 64 KiB; more is a bomb and gets 413." }
      },
      "description": "Request bodies are decoded before the upstream gets them. Without this table they pass as they are."
    }
  }
}"##;

/// The table of a `compression` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompressionConfig {
    encodings: Option<Vec<Located<CodingWord>>>,
    types: Option<Located<Vec<Located<String>>>>,
    min_size: Option<Located<Size>>,
    #[serde(default)]
    level: LevelConfig,
    max_concurrent: Option<Located<u32>>,
    requests: Option<RequestsConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CodingWord {
    Zstd,
    Br,
    Gzip,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LevelConfig {
    zstd: Option<Located<u8>>,
    br: Option<Located<u8>>,
    gzip: Option<Located<u8>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RequestsConfig {
    encodings: Option<Located<Vec<Located<Taken>>>>,
    max_size: Option<Located<Size>>,
    ratio: Option<Located<u32>>,
}

/// An encoding of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Taken {
    Zstd,
    Br,
    Gzip,
    Deflate,
}

impl Taken {
    const ALL: [Self; 4] = [Self::Zstd, Self::Br, Self::Gzip, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// True if a word of Content-Encoding means it.
    pub(super) fn is(self, word: &[u8]) -> bool {
        word.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Self::Gzip && word.eq_ignore_ascii_case(b"x-gzip"))
    }
}

impl CompressionConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<CompressionFilter> {
        let before = diagnostics.error_count();
        let offered = self.offered(diagnostics);
        if offered.is_empty() && self.requests.is_none() {
            let text = "this plugin compresses nothing";
            let warning = Diagnostic::warning(codes::IDLE, place, text);
            diagnostics.push(warning.with_help("name encodings, or write requests = {}"));
        }
        let patterns = self.patterns(diagnostics);
        let min_bytes = match &self.min_size {
            None => Size::kib(1),
            Some(size) => bounded(size, Size::from_bytes(0), MOST_MIN, "min_size", diagnostics),
        };
        let level = &self.level;
        let levels = Levels {
            zstd: number(level.zstd.as_ref(), 3, (1, 9), "zstd", diagnostics),
            br: number(level.br.as_ref(), 4, (0, 6), "br", diagnostics),
            gzip: number(level.gzip.as_ref(), 5, (1, 9), "gzip", diagnostics),
        };
        let bounds = (1, MOST_CONCURRENT);
        let most = self.max_concurrent.as_ref();
        let most = number(
            most,
            USUAL_CONCURRENT,
            bounds,
            "max_concurrent",
            diagnostics,
        );
        let inflating = self
            .requests
            .as_ref()
            .map(|words| inflating(words, diagnostics));
        if diagnostics.error_count() > before {
            return None;
        }
        let mut make = || Arc::new(Places::default()) as Arc<_>;
        Some(CompressionFilter {
            offered,
            patterns: patterns.into(),
            min_bytes: min_bytes.bytes(),
            levels,
            places: services.shared("places", &mut make).downcast().ok()?,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            inflating,
            offload: services.offloader(),
            metrics: metrics(services),
        })
    }

    fn offered(&self, diagnostics: &mut Diagnostics) -> Vec<Coding> {
        let Some(words) = &self.encodings else {
            return Coding::ALL.to_vec();
        };
        let mut offered = Vec::new();
        for word in words {
            let coding = match word.value {
                CodingWord::Zstd => Coding::Zstd,
                CodingWord::Br => Coding::Br,
                CodingWord::Gzip => Coding::Gzip,
            };
            if offered.contains(&coding) {
                let text = format!("`{}` is listed twice", coding.name());
                diagnostics.error(codes::VALUE, &word.place, text);
            }
            offered.push(coding);
        }
        offered
    }

    fn patterns(&self, diagnostics: &mut Diagnostics) -> Vec<Pattern> {
        let Some(types) = &self.types else {
            return USUAL
                .iter()
                .filter_map(|text| Pattern::parse(text).ok())
                .collect();
        };
        let count = types.value.len();
        if !(1..=MOST_TYPES).contains(&count) {
            let text = format!("types holds {count} entries; 1 to {MOST_TYPES} are possible");
            diagnostics.error(codes::VALUE, &types.place, text);
        }
        let mut patterns = Vec::with_capacity(count);
        for one in &types.value {
            match Pattern::parse(&one.value) {
                Ok(pattern) => patterns.push(pattern),
                Err(text) => {
                    let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
                    let error = Diagnostic::error(codes::VALUE, &one.place, message);
                    diagnostics.push(error.with_help(help));
                }
            }
        }
        patterns
    }
}

fn inflating(words: &RequestsConfig, diagnostics: &mut Diagnostics) -> Inflating {
    let encodings = match &words.encodings {
        None => Taken::ALL.to_vec(),
        Some(list) => {
            if list.value.is_empty() {
                let text = "requests.encodings is empty";
                let error = Diagnostic::error(codes::VALUE, &list.place, text);
                diagnostics.push(error.with_help("name some, or leave requests out"));
            }
            let mut seen = Vec::new();
            for word in &list.value {
                if seen.contains(&word.value) {
                    let text = format!("`{}` is listed twice", word.value.name());
                    diagnostics.error(codes::VALUE, &word.place, text);
                }
                seen.push(word.value);
            }
            seen
        }
    };
    let max_size = match &words.max_size {
        None => USUAL_BODY,
        Some(size) => bounded(size, LEAST_BODY, MOST_BODY, "max_size", diagnostics),
    };
    let ratio = words.ratio.as_ref();
    let ratio = number(ratio, USUAL_RATIO, (10, MOST_RATIO), "ratio", diagnostics);
    let names: Vec<&str> = encodings.iter().map(|one| one.name()).collect();
    let accept = HeaderValue::try_from(names.join(", "));
    Inflating {
        encodings,
        accept: accept.unwrap_or_else(|_| HeaderValue::from_static("identity")),
        limits: InflateLimits {
            max_bytes: max_size.bytes(),
            ratio,
        },
    }
}

fn bounded(
    size: &Located<Size>,
    least: Size,
    most: Size,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Size {
    if !(least..=most).contains(&size.value) {
        let text = format!("{name} is from {least} to {most}");
        diagnostics.error(codes::VALUE, &size.place, text);
    }
    size.value
}

fn number<T: Copy + PartialOrd + std::fmt::Display>(
    written: Option<&Located<T>>,
    usual: T,
    (least, most): (T, T),
    name: &str,
    diagnostics: &mut Diagnostics,
) -> T {
    let Some(written) = written else {
        return usual;
    };
    if !(least..=most).contains(&written.value) {
        let text = format!("{name} is from {least} to {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    written.value
}

fn metrics(services: &dyn Services) -> Metrics {
    Metrics {
        zstd: services.counter(
            "zstd_responses",
            "Responses that were compressed with zstd.",
        ),
        br: services.counter(
            "br_responses",
            "Responses that were compressed with brotli.",
        ),
        gzip: services.counter(
            "gzip_responses",
            "Responses that were compressed with gzip.",
        ),
        bytes_in: services.counter(
            "plain_bytes",
            "Bytes of bodies before they were compressed.",
        ),
        bytes_out: services.counter("compressed_bytes", "The same bytes compressed."),
        active: services.gauge("active", "Responses that are being compressed."),
        over_limit: services.counter(
            "over_limit",
            "Responses that went out as they are, because max_concurrent were being compressed.",
        ),
        decoded: services.counter("decoded_requests", "Request bodies that were decoded."),
        refused: services.counter_by(
            "refused_requests",
            "Request bodies that were not decoded.",
            "reason",
            8,
        ),
    }
}
