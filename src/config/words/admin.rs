//! `[admin]`: the read-only address. Without the table there is none.

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::Cidr;
use schemars::JsonSchema;
use serde::Deserialize;

use super::address::ListenAddress;
use crate::config::schema::forms;

/// The read-only admin address: `/livez`, `/readyz`, `/metrics`, `/status`, `/config`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// `IP:PORT` or `unix:PATH`. Not on loopback it needs `allow`. A change needs `farmgate upgrade`.
    #[schemars(with = "forms::Address")]
    pub address: Located<ListenAddress>,
    /// Networks that may ask. Default: none but loopback, which is always allowed on a loopback address.
    #[serde(default)]
    #[schemars(with = "Vec<forms::Cidr>")]
    pub allow: Vec<Located<Cidr>>,
}
