//! Running commands of the binary to their end.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 after a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Both outputs.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Asserts the exit code, showing both outputs when it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// The binary under test, without the variables that would change its defaults.
pub(crate) fn command() -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_farmgate")))
}

/// The same by another path.
pub(crate) fn command_of(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env_remove("RUNTIME_DIRECTORY")
        .env_remove("FARMGATE_CONTROL")
        .stdin(Stdio::null());
    command
}

/// Runs `farmgate ARGUMENTS` to its end.
pub(crate) fn farmgate(arguments: &[&str]) -> Ran {
    finished(&command().args(arguments).output().expect("run the binary"))
}

/// Runs `farmgate check` on one file or folder.
pub(crate) fn check(path: &Path) -> Ran {
    farmgate(&["check", "--config", path.to_str().expect("a UTF-8 path")])
}

/// As [`farmgate`], without blocking the runtime the test's own servers run on.
pub(crate) async fn farmgate_async(arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::from(command());
    let output = super::soon("the command", command.args(arguments).output()).await;
    finished(&output.expect("run the binary"))
}

fn finished(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
