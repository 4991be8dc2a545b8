//! The access log of a node, read while it is written.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A log file.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    /// The log at `path`, which need not exist yet.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// All whole lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The first line whose `path` is `target`; waits for it.
    pub(crate) async fn of(&self, target: &str) -> Value {
        self.with("path", target).await
    }

    /// The first line whose field is `value`; waits for it.
    pub(crate) async fn with(&self, field: &str, value: &str) -> Value {
        super::eventually(&format!("the log line with {field} {value}"), || async {
            let mut lines = self.lines().into_iter();
            lines.find(|line| line[field] == value)
        })
        .await
    }

    /// Waits until `count` lines have this `path`.
    pub(crate) async fn count(&self, target: &str, count: usize) -> Vec<Value> {
        super::eventually(&format!("{count} log lines of {target}"), || async {
            let mut lines = self.lines();
            lines.retain(|line| line["path"] == target);
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}
