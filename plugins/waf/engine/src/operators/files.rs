//! Files that operators name in their arguments.

use std::path::Path;

use crate::seclang::Files;

/// Reads every file of an argument: names with blanks between them, relative to the folder of the
/// rule's own file.
pub(super) fn read_all(
    operator: &str,
    argument: &[u8],
    beside: &Path,
    from: &dyn Files,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let names = std::str::from_utf8(argument)
        .map_err(|_| format!("{operator}: the name of a file is not UTF-8"))?;
    let mut read = Vec::new();
    for name in names.split_ascii_whitespace() {
        if name.contains("://") {
            return Err(format!(
                "{operator}: `{name}` would have to be fetched over the network, which rules cannot \
                 do here: save it as a file and name that"
            ));
        }
        let bytes = from
            .read(&beside.join(name))
            .map_err(|error| format!("{operator}: {name}: {error}"))?;
        read.push((name.to_owned(), bytes));
    }
    if read.is_empty() {
        return Err(format!("{operator} names no file"));
    }
    Ok(read)
}
