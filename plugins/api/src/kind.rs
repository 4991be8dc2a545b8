//! A plugin kind: its name, its options, and how its table becomes a filter.

use std::sync::Arc;

use serde::Deserialize;

use crate::decode::{Diagnostics, Table};
use crate::filter::Filter;
use crate::services::Services;

/// What follows when a filter fails: an error, a panic, or a wait past the request's deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fail {
    /// The request ends with 500. The default: what protects must not be switched off by failing.
    #[default]
    Closed,
    /// The request goes on as if the filter were not there.
    Open,
}

/// Codes of the mistakes that a kind finds after its table was decoded.
pub mod codes {
    /// Options that exclude each other, or one that needs another.
    pub const OPTIONS: &str = "E-OPTION-001";
    /// A file that a plugin reads is missing or wrong.
    pub const FILE: &str = "E-OPTION-002";
    /// A value that is well formed but cannot be used.
    pub const VALUE: &str = "E-OPTION-003";
    /// A plugin that does nothing; a warning.
    pub const IDLE: &str = "E-OPTION-004";
}

/// What building a plugin from its table gives.
pub struct Built {
    /// The filter.
    pub filter: Arc<dyn Filter>,
}

impl Built {
    /// Wraps a filter.
    pub fn new(filter: impl Filter) -> Self {
        Self {
            filter: Arc::new(filter),
        }
    }
}

/// A plugin kind that can be configured.
pub trait Kind: Send + Sync + 'static {
    /// The word after `kind =`: snake_case, a noun of the effect.
    fn name(&self) -> &'static str;

    /// One line for the catalogue (`farmgate plugins`).
    fn summary(&self) -> &'static str;

    /// The README of the room: options, example, metrics.
    fn readme(&self) -> &'static str;

    /// A complete configuration that shows the kind; a test loads it.
    fn example(&self) -> &'static str;

    /// JSON Schema of the kind's own options, without `name`, `kind` and `fail`.
    fn schema(&self) -> &'static str;

    /// Decodes the table (without `name`, `kind`, `fail`) and builds the filter.
    ///
    /// Every mistake goes to `diagnostics` with its place; `None` when there was an error. Must not
    /// block, spawn, or read files but through `services`, and must have no effect outside: `check`
    /// calls it too, with services that keep nothing.
    fn build(
        &self,
        name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built>;
}
