//! The codes of this chapter, each with what it means. The generated reference is made from [`ALL`].

use farmgate_plugin_api::decode::codes as decode;

/// A diagnostic's code, explained.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// As printed.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means and what to do.
    pub explanation: &'static str,
}

/// A file or folder cannot be read.
pub const UNREADABLE: &str = "E-CONF-010";
/// A file is not UTF-8.
pub const NOT_UTF8: &str = "E-CONF-011";
/// A file, or all together, is too large.
pub const TOO_LARGE: &str = "E-CONF-012";
/// There is nothing to load.
pub const NOTHING: &str = "E-CONF-013";
/// A file is named twice.
pub const FILE_TWICE: &str = "E-CONF-014";
/// A table that does not exist.
pub const UNKNOWN_TABLE: &str = "E-CONF-015";
/// `[x]` where `[[x]]` belongs, or the other way round.
pub const TABLE_FORM: &str = "E-CONF-016";
/// A table that may stand once stands twice.
pub const TABLE_TWICE: &str = "E-CONF-017";
/// A name defined twice for one kind.
pub const NAME_TWICE: &str = "E-CONF-018";
/// A name that cannot be one.
pub const BAD_NAME: &str = "E-CONF-019";
/// An environment variable that is not set.
pub const UNSET_VARIABLE: &str = "E-CONF-021";
/// A `${` that is no reference.
pub const BAD_REFERENCE: &str = "E-CONF-022";
/// A number or time beyond its bounds.
pub const OUT_OF_BOUNDS: &str = "E-CONF-023";

/// All of them, in order.
pub const ALL: &[Code] = &[
    Code {
        code: decode::UNKNOWN_KEY,
        title: "unknown key",
        explanation: "The table has no such key. The help names the nearest one and all that are valid there. Nothing is ignored silently: a typo must not switch a protection off.",
    },
    Code {
        code: decode::WRONG_TYPE,
        title: "wrong type",
        explanation: "The key takes another type of value: a text instead of a number, a list instead of a table.",
    },
    Code {
        code: decode::MISSING_KEY,
        title: "missing key",
        explanation: "The key has no default and must be written.",
    },
    Code {
        code: decode::UNKNOWN_WORD,
        title: "unknown word",
        explanation: "The key takes one word of a closed set, and this one is not among them.",
    },
    Code {
        code: decode::WRONG_VALUE,
        title: "value not allowed",
        explanation: "The type is right, the value is not: a time without its unit, a network with host bits, a number out of range, an address that is none, a secret's file that cannot be read.",
    },
    Code {
        code: decode::SYNTAX,
        title: "not TOML",
        explanation: "The file breaks the syntax of TOML 1.1, or writes a key or a table twice. Nothing else of this file is looked at.",
    },
    Code {
        code: UNREADABLE,
        title: "file cannot be read",
        explanation: "A file or folder given by --config does not exist or may not be read.",
    },
    Code {
        code: NOT_UTF8,
        title: "not UTF-8",
        explanation: "Configuration files are UTF-8. The place is the first byte that is not.",
    },
    Code {
        code: TOO_LARGE,
        title: "too large",
        explanation: "A file has at most 16 MiB, all files together 64 MiB in at most 1000 files. Long lists belong in files of their own, which plugins read.",
    },
    Code {
        code: NOTHING,
        title: "nothing to load",
        explanation: "The folder holds no *.toml file. Folders are not searched recursively, and names that begin with a dot are passed over.",
    },
    Code {
        code: FILE_TWICE,
        title: "file named twice",
        explanation: "The same file came in by two ways: named twice, or named and in a folder that is named too.",
    },
    Code {
        code: UNKNOWN_TABLE,
        title: "unknown table",
        explanation: "No such table exists at the top of a file.",
    },
    Code {
        code: TABLE_FORM,
        title: "wrong form of table",
        explanation: "[server], [admin], [telemetry], [defaults] and [cache] are tables; [[listener]], [[tls]], [[upstream]], [[cache_policy]], [[route]] and [[plugin]] are lists of tables, with two brackets.",
    },
    Code {
        code: TABLE_TWICE,
        title: "table in two files",
        explanation: "[server], [admin], [telemetry], [defaults] and [cache] stand in one file at most: which of two would count is nothing to guess at.",
    },
    Code {
        code: NAME_TWICE,
        title: "name defined twice",
        explanation: "Two listeners, upstreams, cache policies, routes or plugins have one name. Different kinds may share a name.",
    },
    Code {
        code: BAD_NAME,
        title: "not a name",
        explanation: "A name has 1 to 64 characters out of letters, digits, '-', '_' and '.': it becomes a metric label and a word on the command line.",
    },
    Code {
        code: UNSET_VARIABLE,
        title: "variable not set",
        explanation: "${NAME} stands for an environment variable, and this one is not set. An empty one is fine.",
    },
    Code {
        code: BAD_REFERENCE,
        title: "bad reference",
        explanation: "${NAME} is written with letters, digits and '_'. A literal ${ is written $${.",
    },
    Code {
        code: OUT_OF_BOUNDS,
        title: "out of bounds",
        explanation: "A number, a size or a time is smaller or larger than what the key allows. Nothing is unbounded, and a timeout of 0s would end everything at once.",
    },
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_rise_and_are_explained() {
        for pair in ALL.windows(2) {
            assert!(pair[0].code < pair[1].code, "{}", pair[1].code);
        }
        for code in ALL {
            assert!(!code.title.is_empty() && code.explanation.ends_with('.'));
        }
    }
}
