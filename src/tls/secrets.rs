//! The secrets that nodes share: a file with one a line, newest first.

use std::fmt;
use std::path::Path;

use boring::error::ErrorStack;

/// Shortest secret, in bytes: as much as the keys that come of it.
pub const MIN_SECRET_BYTES: usize = 32;
/// Most secrets of a file: the newest and those that tickets may still come from.
pub const MAX_SECRETS: usize = 8;
/// Most bytes of the file.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a file of secrets is refused. Never shows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsError {
    /// It is not there.
    Absent,
    /// It cannot be read; the system's reason.
    Unreadable(String),
    /// Others than its owner may read or write it; its mode.
    Mode(u32),
    /// No secret is in it.
    Empty,
    /// Over 64 KiB, or over 8 secrets.
    TooMany,
    /// The secret on this line is under 32 bytes.
    Short(usize),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "is not there"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Mode(mode) => write!(
                f,
                "has mode {mode:04o}, so others than its owner have access"
            ),
            Self::Empty => write!(f, "holds no secret"),
            Self::TooMany => write!(f, "is over 64 KiB or holds more than {MAX_SECRETS} secrets"),
            Self::Short(line) => write!(f, "line {line}: under {MIN_SECRET_BYTES} bytes"),
        }
    }
}

impl SecretsError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Absent => "openssl rand -hex 32 > FILE; chmod 0600 FILE",
            Self::Unreadable(_) => "give the service's user leave to read it",
            Self::Mode(_) => "chmod 0600",
            Self::Empty | Self::Short(_) => "one secret a line, newest first: openssl rand -hex 32",
            Self::TooMany => "secrets older than three periods are of no use: remove them",
        }
    }
}

impl std::error::Error for SecretsError {}

/// The secrets that the nodes share, newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(Vec<Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// These secrets, newest first; none when a file of them would be refused.
    pub(super) fn of(secrets: Vec<Vec<u8>>) -> Option<Self> {
        let fits = |one: &Vec<u8>| {
            one.len() >= MIN_SECRET_BYTES
                && u64::try_from(one.len()).is_ok_and(|len| len <= MAX_BYTES)
        };
        let sound = (1..=MAX_SECRETS).contains(&secrets.len()) && secrets.iter().all(fits);
        sound.then_some(Self(secrets))
    }

    /// Reads a file with one secret a line. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or a secret is too short.
    pub fn open(file: &Path) -> Result<Self, SecretsError> {
        use std::os::unix::fs::MetadataExt;
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => SecretsError::Absent,
            _ => SecretsError::Unreadable(error.to_string()),
        };
        let (opened, meta) = super::read::open(file).map_err(unreadable)?;
        let mode = meta.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Mode(mode));
        }
        let text = super::read::rest(opened, MAX_BYTES).map_err(unreadable)?;
        Self::parse(&text.ok_or(SecretsError::TooMany)?)
    }

    /// One secret that nobody else knows.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random() -> Result<Self, ErrorStack> {
        let mut secret = vec![0; MIN_SECRET_BYTES];
        boring::rand::rand_bytes(&mut secret)?;
        Ok(Self(vec![secret]))
    }

    /// The same for a text that was read already.
    ///
    /// # Errors
    /// There is no secret, there are too many, or one is too short.
    pub fn parse(text: &[u8]) -> Result<Self, SecretsError> {
        let mut secrets = Vec::new();
        for (line, text) in text.split(|byte| *byte == b'\n').enumerate() {
            let secret = text.trim_ascii();
            if secret.is_empty() || secret.starts_with(b"#") {
                continue;
            }
            if secret.len() < MIN_SECRET_BYTES {
                return Err(SecretsError::Short(line + 1));
            }
            secrets.push(secret.to_vec());
        }
        match secrets.len() {
            0 => Err(SecretsError::Empty),
            1..=MAX_SECRETS => Ok(Self(secrets)),
            _ => Err(SecretsError::TooMany),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn parsed(text: &str) -> Secrets {
        Secrets::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_file_holds_one_secret_a_line() {
        let read = parsed(&format!("# newest\n  {ONE}\r\n\n{TWO}"));
        assert_eq!(read.0, [ONE.as_bytes(), TWO.as_bytes()]);
        assert_eq!(format!("{read:?}"), "Secrets(2)");
        assert_eq!(Secrets::parse(b"\n# none\n"), Err(SecretsError::Empty));
        let short = format!("{ONE}\n\nshort\n");
        assert_eq!(
            Secrets::parse(short.as_bytes()),
            Err(SecretsError::Short(3))
        );
        let many = format!("{ONE}\n").repeat(MAX_SECRETS + 1);
        assert_eq!(Secrets::parse(many.as_bytes()), Err(SecretsError::TooMany));
    }

    #[test]
    fn others_may_not_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ticket.secrets");
        std::fs::write(&file, ONE).unwrap();
        let mode =
            |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        for open in [0o644, 0o640, 0o604, 0o620] {
            mode(open);
            assert_eq!(Secrets::open(&file), Err(SecretsError::Mode(open)));
        }
        for closed in [0o600, 0o400] {
            mode(closed);
            assert_eq!(Secrets::open(&file), Ok(parsed(ONE)));
        }
        let nowhere = Secrets::open(&folder.path().join("nowhere"));
        assert_eq!(nowhere, Err(SecretsError::Absent));
    }
}
