//! Folders of test files to stages in order.

use std::path::{Path, PathBuf};

use crate::request;
use crate::schema::{Output, TestFile};

/// One request of one test.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `942100-3`, or `942100-3.2` for the second stage of a test.
    pub id: String,
    /// The rule under test.
    pub rule: u64,
    /// The file below the folder, with `/`.
    pub file: String,
    /// The folder of the file: what the report counts by.
    pub group: String,
    /// The request's bytes.
    pub request: Vec<u8>,
    /// What is expected.
    pub output: Output,
}

/// All stages of the `.yaml` and `.yml` files below a folder, by path, then in the order written.
///
/// # Errors
/// Names the file, and the place in it: unreadable, not of the schema, a test twice.
pub fn stages(folder: &Path) -> Result<Vec<Stage>, String> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let name = name.to_string_lossy().into_owned();
        read(&path, &name, &mut all).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut ids: Vec<&str> = all.iter().map(|stage: &Stage| stage.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{}: {} is there twice", folder.display(), pair[0]));
    }
    Ok(all)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|ext| ext == "yaml" || ext == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path, name: &str, all: &mut Vec<Stage>) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // A file of comments only holds no document, and no test.
    let file: Option<TestFile> =
        serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    let Some(file) = file else { return Ok(()) };
    let group = name.split('/').next().unwrap_or(name);
    for test in file.tests {
        let id = format!("{}-{}", file.rule_id, test.test_id);
        for (at, stage) in test.stages.into_iter().enumerate() {
            let id = if at == 0 {
                id.clone()
            } else {
                format!("{id}.{}", at + 1)
            };
            let request = request::build(&stage.input).map_err(|error| format!("{id}: {error}"))?;
            all.push(Stage {
                id,
                rule: file.rule_id,
                file: name.to_owned(),
                group: group
                    .trim_end_matches(".yaml")
                    .trim_end_matches(".yml")
                    .to_owned(),
                request,
                output: stage.output,
            });
        }
    }
    Ok(())
}
