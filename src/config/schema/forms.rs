//! How units and words with several forms look in the schema. The types stand for those that are
//! decoded; nothing but their schema is used.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::config::words::route::condition::ConditionTable;
use crate::config::words::route::target;
use crate::config::words::upstream::EndpointTable;
use crate::config::words::upstream::balance::{BalanceKind, BalanceTable};

/// Where [`NamedPlugin`] stands in `$defs`.
pub(super) const NAMED_PLUGIN: &str = "NamedPlugin";
/// Where an inline plugin stands in `$defs`.
pub(super) const INLINE_PLUGIN: &str = "InlinePlugin";

/// Declares a text with a pattern, a description and an example.
macro_rules! texts {
    ($($name:ident: $pattern:literal, $description:literal, $example:literal;)*) => {$(
        #[doc = $description]
        pub(in crate::config) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                    "examples": [$example],
                })
            }
        }
    )*};
}

// `${NAME}` may stand in any text, so every pattern lets it pass.
texts! {
    Duration: r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$|\$\{", "A time with its unit: d, h, m, s, ms, largest first.", "1h30m";
    Size: r"^[0-9]+([KMGT]i?)?B$|\$\{", "A size with its unit: B, KiB, MiB, GiB, TiB, or decimal KB, MB, GB, TB.", "64KiB";
    Ratio: r"^[0-9]{1,3}(\.[0-9]{1,4})?%$|\$\{", "A share, from 0% to 100%.", "20%";
    Cidr: r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$|\$\{", "A network, or one address.", "10.0.0.0/8";
    Name: r"^[A-Za-z0-9_.-]{1,64}$|\$\{", "A name, unique for its kind.", "web";
    Path: r".", "A path; a relative one starts at the folder of this file.", "run/access.log";
    Address: r"^(unix:.+|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}|[0-9.]+:[0-9]{1,5})$|\$\{", "An address to listen on: IP:PORT, [IPv6]:PORT or unix:PATH.", "127.0.0.1:8080";
}

/// The schema of a name.
pub(super) fn name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$|\\$\\{", "description": "A name, unique for its kind." })
}

/// The schema of `fail`.
pub(super) fn fail() -> Value {
    json!({
        "enum": ["closed", "open"],
        "default": "closed",
        "description": "What follows when the plugin fails: the request ends with 500 (closed), or goes on without it (open).",
    })
}

/// So many per time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::config) struct Rate {
    /// How many.
    #[schemars(range(min = 1))]
    rate: u32,
    /// In which time.
    per: Duration,
}

/// So many bytes per time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::config) struct ByteRate {
    /// How many bytes.
    rate: Size,
    /// In which time.
    per: Duration,
}

/// A named plugin without a known kind; replaced when kinds are plugged in.
pub(in crate::config) struct NamedPlugin;

impl JsonSchema for NamedPlugin {
    fn schema_name() -> Cow<'static, str> {
        NAMED_PLUGIN.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "name": name(), "kind": { "type": "string" }, "fail": fail() },
            "required": ["name", "kind"],
        })
    }
}

/// An inline plugin without a known kind; replaced when kinds are plugged in.
struct InlinePlugin;

impl JsonSchema for InlinePlugin {
    fn schema_name() -> Cow<'static, str> {
        INLINE_PLUGIN.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "kind": { "type": "string" }, "fail": fail() },
            "required": ["kind"],
        })
    }
}

/// A named plugin and the condition under which it runs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct PluginReference {
    /// The plugin's name.
    plugin: String,
    /// The condition under which it runs.
    when: Option<String>,
}

/// An entry of a list of plugins.
pub(in crate::config) struct Plugin;

impl JsonSchema for Plugin {
    fn schema_name() -> Cow<'static, str> {
        "Plugin".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A named plugin, a reference with a condition, or a plugin of its own.",
            "anyOf": [
                { "type": "string", "description": "The name of a [[plugin]]." },
                generator.subschema_for::<PluginReference>(),
                generator.subschema_for::<InlinePlugin>(),
            ],
        })
    }
}

/// Declares a choice between a text and a table, or of several forms.
macro_rules! choices {
    ($($name:ident: $description:literal, $($form:ty),+;)*) => {$(
        #[doc = $description]
        pub(in crate::config) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $description,
                    "anyOf": [$(generator.subschema_for::<$form>()),+],
                })
            }
        }
    )*};
}

choices! {
    Endpoint: "An address, or a table with address, weight, priority and zone.", String, EndpointTable;
    Balance: "How an endpoint is chosen: a policy, or a table with its options.", BalanceKind, BalanceTable;
    Upstreams: "An upstream's name, or a weighted list.", String, Vec<target::UpstreamShare>;
    Condition: "Exactly this text, { regex = ... } (the whole value) or { present = true }.", String, ConditionTable;
}

/// Conditions by name.
pub(in crate::config) struct Conditions;

impl JsonSchema for Conditions {
    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Names and what their values must be; all of them must hold.",
            "maxProperties": 64,
            "additionalProperties": generator.subschema_for::<Condition>(),
        })
    }
}
