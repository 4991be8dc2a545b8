//! Paths that start at the folder of the file they stand in.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::current;

/// A path: as it counts, and as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath {
    path: PathBuf,
    written: String,
}

impl RelPath {
    /// A path below `folder`, unless it is absolute.
    pub fn at(written: &str, folder: Option<&Path>) -> Self {
        Self {
            path: folder.unwrap_or(Path::new("")).join(written),
            written: written.to_owned(),
        }
    }

    /// The path to use.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path as written.
    pub fn written(&self) -> &str {
        &self.written
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = RelPath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RelPath, E> {
                if text.is_empty() || text.contains('\0') {
                    return Err(E::custom(
                        "an empty text, or one with a zero byte, is no path",
                    ));
                }
                Ok(RelPath::at(text, current::folder().as_deref()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
