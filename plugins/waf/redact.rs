//! What must not be read in logs: values whose names tell that they are secrets.

/// Parts of names, in lower case.
const DEFAULTS: &[&str] = &[
    "api-key",
    "api_key",
    "apikey",
    "authorization",
    "card",
    "cookie",
    "credential",
    "cvc",
    "cvv",
    "iban",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "pincode",
    "private_key",
    "pwd",
    "secret",
    "session",
    "signature",
    "ssn",
    "token",
];

/// Collections that hold whole requests or bodies: a secret may stand anywhere in them.
const WHOLE: &[&[u8]] = &[
    b"FULL_REQUEST",
    b"QUERY_STRING",
    b"REQUEST_BODY",
    b"REQUEST_LINE",
    b"REQUEST_URI",
    b"REQUEST_URI_RAW",
    b"RESPONSE_BODY",
    b"MATCHED_VAR",
    b"MATCHED_VARS",
    b"TX",
];

/// What stands for a hidden value.
pub(super) const HIDDEN: &[u8] = b"***";

/// Which values are hidden.
#[derive(Debug)]
pub(super) struct Redaction {
    words: Vec<Vec<u8>>,
    cookies: bool,
}

impl Redaction {
    /// The operator's parts of names, and with `defaults` the built-in ones.
    pub(super) fn new(names: &[String], defaults: bool) -> Self {
        let built_in = DEFAULTS
            .iter()
            .filter(|_| defaults)
            .map(|word| (*word).to_owned());
        let own = names.iter().filter(|name| !name.is_empty());
        let words = built_in.chain(own.map(|name| name.to_ascii_lowercase()));
        Self {
            words: words.map(String::into_bytes).collect(),
            cookies: defaults,
        }
    }

    /// True if the value of this variable (`ARGS:password`) is hidden.
    pub(super) fn hides(&self, variable: &[u8], value: &[u8]) -> bool {
        let mut parts = variable.splitn(2, |byte| *byte == b':');
        let collection = parts.next().unwrap_or_default();
        if self.cookies && collection == b"REQUEST_COOKIES" {
            return true;
        }
        if parts.next().is_some_and(|name| self.names(name)) {
            return true;
        }
        WHOLE.contains(&collection) && self.names(value)
    }

    /// True if the text has one of the words in it, whatever the letter case.
    pub(super) fn names(&self, text: &[u8]) -> bool {
        self.words.iter().any(|word| {
            text.windows(word.len())
                .any(|part| part.eq_ignore_ascii_case(word))
        })
    }
}
