//! Values that must never be shown.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::current;
use super::path::RelPath;

/// Largest file that `file:PATH` reads, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What is shown instead of a secret.
pub(super) const MASK: &str = "***";

/// A secret: written out, as `${NAME}`, or as `file:PATH` (from the folder of the file; one closing
/// line end is dropped). Printing it in any way gives `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    reference: Option<String>,
}

impl Secret {
    /// The secret itself. Keep it out of messages and logs.
    pub fn reveal(&self) -> &str {
        &self.value
    }

    /// Whether a client presented this secret. Takes as long for a wrong value as for a right one of the
    /// same length, so that nobody finds it byte by byte.
    pub fn is(&self, presented: &[u8]) -> bool {
        let own = self.value.as_bytes();
        let differing = own.iter().zip(presented).fold(0, |all, (one, other)| {
            std::hint::black_box(all | (one ^ other))
        });
        own.len() == presented.len() && differing == 0
    }

    /// How it was referred to, as `file:key` or `${KEY}`; none when it was written out.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text (a secret, \"${NAME}\" or \"file:PATH\")")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Secret, D::Error> {
                deserializer.deserialize_str(self)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                let written = current::written();
                let referred = written.as_deref().filter(|written| *written != text);
                let Some(path) = text.strip_prefix("file:") else {
                    return Ok(Secret {
                        value: text.to_owned(),
                        reference: referred.map(str::to_owned),
                    });
                };
                let path = RelPath::at(path, current::folder().as_deref());
                Ok(Secret {
                    value: read(path.path()).map_err(E::custom)?,
                    reference: Some(referred.unwrap_or(text).to_owned()),
                })
            }
        }
        deserializer.deserialize_newtype_struct("Secret", Text)
    }
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |why: String| format!("the secret's file {} {why}", path.display());
    let file = File::open(path).map_err(|error| cannot(format!("cannot be read: {error}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(cannot(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| cannot("is not UTF-8".to_owned()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_the_secret() {
        let secret = Secret {
            value: "correct horse".to_owned(),
            reference: None,
        };
        assert!(secret.is(b"correct horse"));
        for wrong in [
            "",
            "c",
            "correct hors",
            "correct horse ",
            "correct horsE",
            "Correct horse",
        ] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
    }
}
