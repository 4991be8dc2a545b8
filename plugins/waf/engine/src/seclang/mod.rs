//! SecLang: the rules as written, with every update and removal applied.
//!
//! The language is that of ModSecurity v3 (its reference manual), as far as it works without a
//! network. What is unknown is an error with file and line, never skipped.

pub mod action;
pub mod files;
pub mod rule;
pub mod target;
pub mod text;
pub mod variable;

pub use action::{
    Allow, AuditEngine, Ctl, Disruptive, EngineMode, SetVar, SetVarOp, Severity, TargetRemoval,
};
pub use files::{DiskFiles, Files, MapFiles};
pub use rule::{Condition, Item, Operator, OperatorName, Phase, Place, Program, Rule, Settings};
pub use target::{Selector, Target};
pub use text::{Piece, Text};
pub use variable::Variable;
