//! Rules and what surrounds them.

use std::fmt;
use std::sync::Arc;

use super::action::{Ctl, Disruptive, EngineMode, Sanitise, SetVar, Severity};
use super::target::Target;
use super::text::Text;
use crate::transform::Transformation;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the configuration gave it.
    pub file: Arc<str>,
    /// The line the directive begins in, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A point in a transaction's life at which rules run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// 1: the request's head is there.
    RequestHead,
    /// 2: the request's body is there.
    RequestBody,
    /// 3: the response's head is there.
    ResponseHead,
    /// 4: the response's body is there.
    ResponseBody,
    /// 5: the transaction is over; nothing can be refused any more.
    Log,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 5] = [
        Self::RequestHead,
        Self::RequestBody,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::Log,
    ];
}

/// Everything that was loaded.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Rules and markers in the order of the files.
    pub items: Vec<Item>,
    /// What directives other than rules said.
    pub settings: Settings,
}

/// A rule, or a place to skip to.
#[derive(Clone, Debug)]
pub enum Item {
    /// `SecRule` with its chain, or `SecAction`.
    Rule(Box<Rule>),
    /// `SecMarker`.
    Marker(Box<str>),
}

/// A rule: one condition, or a chain of them that must all hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it begins.
    pub place: Place,
    /// `id`.
    pub id: u64,
    /// When it runs.
    pub phase: Phase,
    /// At least one; more for a chain.
    pub conditions: Vec<Condition>,
    /// What follows when every condition holds, defaults of `SecDefaultAction` and `block` resolved.
    pub disruptive: Disruptive,
    /// `status`: the status of a refusal; 403 unless written.
    pub status: u16,
    /// `msg`.
    pub message: Option<Text>,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `tag`s, in order. They may hold macros.
    pub tags: Vec<Text>,
    /// `rev`.
    pub revision: Option<Box<str>>,
    /// `ver`.
    pub version: Option<Box<str>>,
    /// `maturity`, 0-9.
    pub maturity: Option<u8>,
    /// `accuracy`, 0-9.
    pub accuracy: Option<u8>,
    /// False after `nolog`: a match leaves no trace in the error log.
    pub log: bool,
    /// False after `noauditlog` (which `nolog` implies): a match leaves no trace in the audit log.
    pub audit_log: bool,
    /// `skipAfter`: the marker (or id) after which it goes on.
    pub skip_after: Option<Box<str>>,
    /// `skip`: how many rules of this phase are skipped.
    pub skip: u32,
    /// `sanitise...`: what the audit log must not show after a match.
    pub sanitise: Vec<Sanitise>,
}

/// A link of a chain: targets, an operator, and what its match does.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where it begins.
    pub place: Place,
    /// What is looked at; empty for `SecAction`, which always holds.
    pub targets: Vec<Target>,
    /// What is asked of every value.
    pub operator: Operator,
    /// Applied to every value first, in order.
    pub transformations: Vec<Transformation>,
    /// `multiMatch`: the operator also sees the value before and between the transformations.
    pub multi_match: bool,
    /// `capture`: groups go to TX:0 to TX:9.
    pub capture: bool,
    /// `setvar`s in order.
    pub set_vars: Vec<SetVar>,
    /// `ctl`s in order.
    pub ctls: Vec<Ctl>,
    /// `logdata`.
    pub log_data: Option<Text>,
}

/// An operator with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `!@...`.
    pub negated: bool,
    /// Which.
    pub name: OperatorName,
    /// The argument; only some operators may have macros in it.
    pub argument: Text,
}

/// Directives that are not rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SecRuleEngine`, if written.
    pub engine: Option<EngineMode>,
    /// `SecRequestBodyAccess`, if written.
    pub request_body: Option<bool>,
    /// `SecResponseBodyAccess`, if written.
    pub response_body: Option<bool>,
    /// `SecResponseBodyMimeType`; `text/plain text/html` unless written (ModSecurity's default).
    pub response_types: Vec<Box<str>>,
    /// `SecRequestBodyJsonDepthLimit`; 512 unless written.
    pub json_depth: u32,
    /// `SecArgumentsLimit`; 1000 unless written.
    pub arguments: u32,
    /// `SecArgumentSeparator`; `&` unless written.
    pub argument_separator: u8,
    /// `SecComponentSignature`s.
    pub components: Vec<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: None,
            request_body: None,
            response_body: None,
            response_types: vec!["text/plain".into(), "text/html".into()],
            json_depth: 512,
            arguments: 1000,
            argument_separator: b'&',
            components: Vec::new(),
        }
    }
}

macro_rules! operator_names {
    ($($variant:ident $word:literal,)+) => {
        /// Which operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OperatorName {
            $(#[doc = concat!("`@", $word, "`.")] $variant,)+
        }

        impl OperatorName {
            /// All of them, as written in rules.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $word),)+];
        }
    };
}

operator_names! {
    BeginsWith "beginsWith",
    Contains "contains",
    ContainsWord "containsWord",
    DetectSqli "detectSQLi",
    DetectXss "detectXSS",
    EndsWith "endsWith",
    Eq "eq",
    FuzzyHash "fuzzyHash",
    Ge "ge",
    GeoLookup "geoLookup",
    Gt "gt",
    IpMatch "ipMatch",
    IpMatchFromFile "ipMatchFromFile",
    Le "le",
    Lt "lt",
    NoMatch "noMatch",
    Pm "pm",
    PmFromFile "pmFromFile",
    Rx "rx",
    RxGlobal "rxGlobal",
    StrEq "streq",
    StrMatch "strmatch",
    UnconditionalMatch "unconditionalMatch",
    ValidateByteRange "validateByteRange",
    ValidateUrlEncoding "validateUrlEncoding",
    ValidateUtf8Encoding "validateUtf8Encoding",
    VerifyCc "verifyCC",
    VerifyCpf "verifyCPF",
    VerifySsn "verifySSN",
    VerifySvnr "verifySVNR",
    Within "within",
}
