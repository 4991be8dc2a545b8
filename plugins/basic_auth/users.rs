//! The users of a file in the form that `htpasswd` writes: a name, a colon, and the hash of a password.

use std::collections::HashMap;
use std::sync::Arc;

use farmgate_plugin_api::Consumer;
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

use super::NAME;
use super::password::Password;

/// Most users of a file.
const MAX_USERS: usize = 100_000;
/// Longest name of a user, in bytes; `htpasswd` has the same limit.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Mistakes that are told at once.
const MAX_TOLD: usize = 5;

/// Somebody who may log in.
pub(super) struct User {
    /// Who passes.
    pub(super) consumer: Consumer,
    /// The hash of the password.
    pub(super) password: Password,
    /// Stands for name and hash as they are written: with another password it is another one.
    pub(super) version: [u8; 16],
}

/// All users of a version of the file.
#[derive(Default)]
pub(super) struct Users {
    users: Vec<Arc<User>>,
    places: HashMap<Arc<str>, usize, RandomState>,
}

impl Users {
    /// Reads a file. Empty lines, and lines that begin with `#`, say nothing.
    ///
    /// # Errors
    /// What is wrong, each with its line, without names and hashes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut users = Self::default();
        let mut lines_of: HashMap<Arc<str>, usize, RandomState> = HashMap::default();
        let mut told = Vec::new();
        let mut mistakes = 0_usize;
        for (at, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let number = at + 1;
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let added = read_line(line).and_then(|user| {
                let name = Arc::clone(&user.consumer.name);
                if let Some(first) = lines_of.insert(Arc::clone(&name), number) {
                    return Err(format!(
                        "the user of line {first} again; remove one of the lines"
                    ));
                }
                if users.users.len() == MAX_USERS {
                    return Err(format!(
                        "more than {MAX_USERS} users; a second plugin can hold more"
                    ));
                }
                users.places.insert(name, users.users.len());
                users.users.push(Arc::new(user));
                Ok(())
            });
            if let Err(error) = added {
                mistakes += 1;
                if told.len() < MAX_TOLD {
                    told.push(format!("line {number}: {error}"));
                }
            }
        }
        match mistakes.saturating_sub(MAX_TOLD) {
            0 if told.is_empty() => Ok(users),
            0 => Err(told.join("\n")),
            more => Err(format!("{}\nand {more} more", told.join("\n"))),
        }
    }

    /// The user of this name.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(*self.places.get(name)?)
    }

    /// Whose hash is checked in the place of a user that does not exist: the same one for the same number.
    pub(super) fn stand_in(&self, number: u64) -> Option<&Arc<User>> {
        let count = u64::try_from(self.users.len()).ok()?;
        self.users
            .get(usize::try_from(number.checked_rem(count)?).ok()?)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }
}

fn read_line(line: &[u8]) -> Result<User, String> {
    let text = std::str::from_utf8(line)
        .map_err(|_| "it is not UTF-8; write it again in UTF-8".to_owned())?;
    let Some((name, hash)) = text.split_once(':') else {
        return Err("there is no colon; a line is USER:HASH".to_owned());
    };
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
        let help = format!("1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(format!("this cannot be the name of a user; {help}"));
    }
    let password = Password::parse(hash).map_err(|error| error.to_string())?;
    let digest = Sha256::digest(line);
    let version = digest.first_chunk().copied().unwrap_or_default();
    Ok(User {
        consumer: Consumer {
            name: name.into(),
            plan: None,
            tags: Vec::new(),
            by: NAME,
            by_authorization: true,
        },
        password,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "$2y$05$IlxRO4bI.CbPVE1uqf8okuK12pKXtWPUCFzcUt.kZWsrlJdqZb9Yu";

    fn error(file: impl AsRef<[u8]>) -> String {
        Users::parse(file.as_ref()).err().expect("it is refused")
    }

    #[test]
    fn lines_are_users() {
        let file = format!("# staff\n\nann:{HASH}\r\n  bob smith:{HASH}  \nzoë:{HASH}");
        let users = Users::parse(file.as_bytes()).unwrap();
        assert_eq!(users.len(), 3);
        for name in ["ann", "bob smith", "zoë"] {
            assert_eq!(&*users.find(name).unwrap().consumer.name, name);
        }
        assert!(users.find("Ann").is_none() && users.find("").is_none());
        let versions = |name: &str| users.find(name).unwrap().version;
        assert_ne!(
            versions("ann"),
            versions("zoë"),
            "the same hash of two users is not the same login"
        );
        assert_eq!(Users::parse(b"# nobody\n").unwrap().len(), 0);
        assert!(Users::default().stand_in(7).is_none());
    }

    #[test]
    fn mistakes_are_told_by_line_without_what_stands_there() {
        let secret = "hunter2";
        let file = format!(
            "ann:{secret}\nbob:{HASH}\nbob:{HASH}\n:{HASH}\nonly-{secret}\n\u{1}x:{HASH}\n"
        );
        let error = error(file);
        for line in [
            "line 1: a plain password",
            "line 3: the user of line 2 again",
            "line 4: this cannot be the name of a user",
            "line 5: there is no colon",
            "line 6: this cannot be the name of a user",
        ] {
            assert!(error.contains(line), "{error}");
        }
        assert!(!error.contains(secret) && !error.contains("bob"), "{error}");
    }

    #[test]
    fn more_mistakes_are_counted() {
        assert!(
            error("x\n".repeat(8))
                .ends_with("line 5: there is no colon; a line is USER:HASH\nand 3 more")
        );
        assert!(error(b"\xffann:x").contains("line 1: it is not UTF-8"));
        let long = "a".repeat(256);
        assert!(error(format!("{long}:{HASH}")).contains("1 to 255 bytes"));
        assert!(Users::parse(format!("{}:{HASH}", &long[1..]).as_bytes()).is_ok());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let file = |count: usize| {
            (0..count)
                .map(|n| format!("u{n}:{HASH}\n"))
                .collect::<String>()
        };
        assert_eq!(
            Users::parse(file(100_000).as_bytes()).unwrap().len(),
            100_000
        );
        assert!(error(file(100_001)).contains("line 100001: more than 100000 users"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(users) = Users::parse(&bytes) {
                prop_assert!(users.len() <= bytes.len());
            }
        }

        #[test]
        fn exactly_the_users_that_are_written_are_found(names in prop::collection::hash_set("[a-c]{1,3}", 1..20), number in any::<u64>()) {
            let file: String = names.iter().map(|name| format!("{name}:{HASH}\n")).collect();
            let users = Users::parse(file.as_bytes()).unwrap();
            for name in ["a", "b", "ab", "abc", "ccc", "cab"] {
                prop_assert_eq!(users.find(name).is_some(), names.contains(name));
            }
            prop_assert!(names.contains(&*users.stand_in(number).unwrap().consumer.name));
        }
    }
}
