//! The new process: nobody's child, with our listening sockets.
//!
//! It is forked twice, so that the service manager becomes its parent and hears of its end. A direct child of the
//! old process would be "not our child" to systemd 252, which then does not notice when it dies.

#![allow(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Tells the new process the number of its end of the channel.
pub const CHANNEL: &str = "FARMGATE_UPGRADE";

/// What belongs to this process alone and must not be inherited.
const OURS: &[&str] = &[
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "WATCHDOG_PID",
    CHANNEL,
];

/// How this process was started: the next one is started the same way, from the file that then stands there.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary's path as it was typed, not resolved: a package, or a symlink, may replace what it names.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This process. To be asked at its start: the working folder may change, and the file be replaced.
    pub fn current() -> Self {
        let mut arguments = std::env::args_os();
        let typed = arguments.next().map(PathBuf::from);
        let own = std::env::current_exe().ok();
        let path = typed
            .and_then(|path| match (path.components().count(), &own) {
                (1, Some(own)) => on_path(&path, own, &std::env::var_os("PATH")?),
                (1, None) => None,
                _ => Some(path),
            })
            .and_then(|path| std::path::absolute(path).ok())
            .filter(|path| path.is_file())
            .or(own)
            .unwrap_or_else(|| PathBuf::from("farmgate"));
        Self {
            path,
            arguments: arguments.collect(),
        }
    }

    /// A command of the binary as it is now, without what belongs to this process alone.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for name in OURS {
            command.env_remove(name);
        }
        command
    }

    /// Starts the new process. It finds `channel` and `sockets` under the numbers they have here. Its id is the first
    /// thing on the channel, as a native `u32`.
    ///
    /// # Errors
    /// The binary is missing, is not executable, or the system has no room for a process.
    pub fn start(&self, channel: &OwnedFd, sockets: &[RawFd]) -> io::Result<()> {
        let channel = channel.as_raw_fd();
        let mut kept = sockets.to_vec();
        kept.push(channel);
        let mut command = self.command();
        command
            .args(&self.arguments)
            .env(CHANNEL, channel.to_string())
            .stdin(Stdio::null());
        // SAFETY: what runs between fork and exec in a process with threads may only call functions that are safe in
        // signal handlers. `fcntl`, `fork`, `_exit`, `getpid` and `write` are (POSIX, signal-safety(7)); nothing is
        // allocated or dropped (`kept` is only read), and no lock is taken.
        unsafe {
            command.pre_exec(move || {
                let twice = libc::fork();
                if twice == -1 {
                    return Err(io::Error::last_os_error());
                }
                if twice > 0 {
                    libc::_exit(0);
                }
                for fd in &kept {
                    if libc::fcntl(*fd, libc::F_SETFD, 0) == -1 {
                        return Err(io::Error::last_os_error());
                    }
                }
                let pid = libc::getpid().to_ne_bytes();
                if libc::write(channel, pid.as_ptr().cast(), pid.len()) != 4 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        // The one in between has left already.
        command.spawn()?.wait().map(drop)
    }
}

/// A process that is not our child, so that nobody but us looks after it until it serves.
#[derive(Debug)]
pub struct Other {
    /// Its process id.
    pub pid: u32,
    /// Holds on to the very process: its number may be given away after its end.
    handle: Option<OwnedFd>,
}

impl Other {
    /// The process of this id, which is alive.
    pub fn new(pid: u32) -> Self {
        let handle = id(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self { pid, handle }
    }

    /// Ends it at once. It may have ended already.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Tells it to stop, as whoever wants the node to stop would. It may have ended already.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let result = match (&self.handle, id(self.pid)) {
            (Some(handle), _) => pidfd_send_signal(handle, signal),
            (None, Some(pid)) => kill_process(pid, signal),
            (None, None) => return,
        };
        if let Err(error) = result
            && error != rustix::io::Errno::SRCH
        {
            log::error!("process {} could not be told to end: {error}", self.pid);
        }
    }
}

fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Where the shell found `name`: the first of these folders in which it is the file that we run. A symlink there may
/// lead elsewhere next time.
fn on_path(name: &Path, own: &Path, folders: &OsStr) -> Option<PathBuf> {
    let own = own.canonicalize().ok()?;
    let mut typed = std::env::split_paths(folders).map(|folder| folder.join(name));
    typed.find(|path| path.canonicalize().is_ok_and(|path| path == own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_the_path_stays_the_symlink_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("farmgate-1");
        std::fs::write(&own, "").unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let link = bin.join("farmgate");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let path = std::env::join_paths([folder.path(), &bin]).unwrap();
        assert_eq!(on_path("farmgate".as_ref(), &own, &path), Some(link));
        assert_eq!(on_path("other".as_ref(), &own, &path), None);
    }
}
