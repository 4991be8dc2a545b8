//! SecLang: the rules as written, with every update and removal applied.
//!
//! The language is that of ModSecurity v3 (its reference manual), as far as it works without a
//! network. What is unknown is an error with file and line, never skipped.

pub mod action;
pub mod files;
pub mod load;
pub mod problem;
mod read;
mod resolve;
pub mod rule;
mod setting;
pub mod target;
pub mod text;
mod update;
pub mod variable;
mod words;

pub use action::{
    Allow, AuditEngine, BodyProcessor, Ctl, Disruptive, EngineMode, Sanitise, SetVar, SetVarOp,
    Severity, TargetRemoval,
};
pub use files::{DiskFiles, Files, MapFiles};
pub use load::{Loaded, Source, load};
pub use problem::Problem;
pub use rule::{Condition, Item, Operator, OperatorName, Phase, Place, Program, Rule, Settings};
pub use target::{Selector, Target};
pub use text::{Piece, Text};
pub use variable::Variable;

#[cfg(test)]
mod tests;
