//! Reading a file that somebody else may change at any time, into bounded memory and without waiting for anybody.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file. A pipe would let its reader wait for a writer, and a device may have no end: a look at the
/// files, a reload and `check` would hang at them.
///
/// # Errors
/// It is not there, may not be read, or is no regular file.
pub(super) fn open(file: &Path) -> io::Result<(File, Metadata)> {
    let regular = |seen: Metadata| match seen.is_file() {
        true => Ok(seen),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        )),
    };
    // Before it is opened, since that alone can move a device; and after, since it may be another one by then.
    regular(std::fs::metadata(file)?)?;
    let mut how = OpenOptions::new();
    let opened = how.read(true).custom_flags(libc::O_NONBLOCK).open(file)?;
    let seen = regular(opened.metadata()?)?;
    Ok((opened, seen))
}

/// A whole regular file; `None` if it has more than `most` bytes.
///
/// # Errors
/// As [`open`], and whatever the system says while it is read.
pub(super) fn read(file: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let (opened, _) = open(file)?;
    rest(opened, most)
}

/// The same for a file that is open.
///
/// # Errors
/// Whatever the system says.
pub(super) fn rest(opened: File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    opened
        .take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok(u64::try_from(content.len())
        .is_ok_and(|length| length <= most)
        .then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for odd in [pipe.as_path(), folder.path(), &link, Path::new("/dev/null")] {
            let error = read(odd, 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{odd:?}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, b"0123456789").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link, 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(read(&link, 9).unwrap(), None);
        let nowhere = read(&folder.path().join("nowhere"), 9).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
