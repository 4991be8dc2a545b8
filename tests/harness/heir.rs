//! Upgrades of a node: the binary they start from, and the processes that they start.

use std::path::Path;
use std::time::{Duration, Instant};

use super::cli::Ran;
use super::node::Node;
use super::{SOON, eventually};

impl Node {
    /// What the next process is started from: another binary than the one under test.
    pub(crate) fn replace_binary(&self, with: &Path) {
        let fresh = self.binary.with_extension("new");
        std::os::unix::fs::symlink(with, &fresh).expect("a link");
        std::fs::rename(&fresh, &self.binary).expect("rename the link");
    }

    /// What the next process is started from: this shell script. `$FARMGATE` is the binary under test.
    pub(crate) fn script_for_binary(&self, script: &str) {
        let text = format!(
            "#!/bin/sh\nFARMGATE={}\n{script}\n",
            env!("CARGO_BIN_EXE_farmgate")
        );
        let fresh = self.binary.with_extension("new");
        std::fs::write(&fresh, text).expect("write a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&fresh, mode).expect("set its mode");
        std::fs::rename(&fresh, &self.binary).expect("rename the script");
    }

    /// The next process is the binary under test again.
    pub(crate) fn restore_binary(&self) {
        self.replace_binary(Path::new(env!("CARGO_BIN_EXE_farmgate")));
    }

    /// The path of the binary that the next process is started from.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Has the binary and the configuration on disk take over; panics if they do not.
    pub(crate) async fn upgrade(&mut self) {
        self.try_upgrade().await.expect(0);
    }

    /// The same, with what the command said.
    pub(crate) async fn try_upgrade(&mut self) -> Ran {
        let ran = self.run(&["upgrade"]).await;
        if ran.code == 0 {
            self.follow().await;
        }
        ran
    }

    /// From now on the node is the process that answers the operators.
    pub(crate) async fn follow(&mut self) {
        let before = self.process();
        let process = eventually("another process", || async {
            let process = self.status().await["pid"].as_u64().expect("a pid");
            (process != u64::from(before)).then_some(process)
        });
        let process = u32::try_from(process.await).expect("a pid");
        self.heirs.push(Heir::new(process));
    }

    /// The process before the one that serves now: the code it exited with, once it has.
    pub(crate) async fn elder_exit(&mut self) -> i32 {
        let end = Instant::now() + SOON;
        loop {
            let code = match self.heirs.len() {
                0 => panic!("there is no older process"),
                1 => {
                    let child = self.child.as_mut().expect("a process");
                    let status = child.try_wait().expect("the process's state");
                    status.map(|status| status.code().unwrap_or(-1))
                }
                n => self.heirs[n - 2].ended(),
            };
            if let Some(code) = code {
                return code;
            }
            assert!(Instant::now() < end, "never ended:\n{}", self.errors());
            // tidy: waits for a condition
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What `farmgate status` shows.
    pub(crate) async fn status(&self) -> serde_json::Value {
        let end = Instant::now() + SOON;
        loop {
            let ran = self.run(&["status", "--json"]).await;
            // A process that has just handed over may cut the question off: who asks asks again.
            if ran.code != 69 || Instant::now() >= end {
                return ran.expect(0).json();
            }
        }
    }
}

/// A process that an upgrade started: nobody's child until we adopted it.
pub(crate) struct Heir {
    /// Its id.
    pub(crate) process: u32,
    code: Option<i32>,
}

impl Heir {
    pub(super) fn new(process: u32) -> Self {
        Self {
            process,
            code: None,
        }
    }

    fn pid(&self) -> rustix::process::Pid {
        let raw = i32::try_from(self.process).ok();
        raw.and_then(rustix::process::Pid::from_raw).expect("a pid")
    }

    /// Its exit code, once it has ended; -1 after a signal.
    pub(super) fn ended(&mut self) -> Option<i32> {
        if self.code.is_none() {
            let options = rustix::process::WaitOptions::NOHANG;
            let waited = rustix::process::waitpid(Some(self.pid()), options);
            let status = waited.expect("a process that we adopted")?.1;
            self.code = Some(status.exit_status().unwrap_or(-1));
        }
        self.code
    }

    /// Ends it now.
    pub(super) fn kill(&mut self) {
        if self.code.is_none() {
            // It may have ended in this moment.
            let _ = rustix::process::kill_process(self.pid(), rustix::process::Signal::KILL);
            let options = rustix::process::WaitOptions::empty();
            let _ = rustix::process::waitpid(Some(self.pid()), options);
        }
    }
}

/// Processes whose parents end become children of this one, so that they can be waited for.
pub(super) fn adopt_orphans() {
    let us = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(us)).expect("a subreaper");
}
