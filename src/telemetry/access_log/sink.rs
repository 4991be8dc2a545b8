//! Where the lines go: standard output, a file that can be reopened, or the journal's socket.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The journal's native protocol: systemd.io/JOURNAL_NATIVE_PROTOCOL.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// What the configuration says about the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// The systemd journal, one entry a record.
    Journald,
    /// A file, appended to; made with mode 0640.
    File(PathBuf),
}

impl Output {
    /// Reads the word of the configuration: `stdout`, `journald`, or a path.
    pub fn parse(word: &str) -> Output {
        match word {
            "stdout" => Output::Stdout,
            "journald" => Output::Journald,
            path => Output::File(PathBuf::from(path)),
        }
    }
}

/// An open output.
pub(super) enum Sink {
    Stream(Box<dyn Write + Send>),
    File { path: PathBuf, file: File },
    Journal(UnixDatagram),
}

/// What a write of several lines achieved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lines: u64,
    pub(super) lost: u64,
    pub(super) errors: u64,
    /// What the last failure was.
    pub(super) error: Option<io::ErrorKind>,
    /// The last line stands there in part: the next write starts a new one.
    pub(super) torn: bool,
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

impl Sink {
    pub(super) fn open(output: &Output) -> io::Result<Sink> {
        Ok(match output {
            Output::Stdout => Sink::Stream(Box::new(io::stdout())),
            Output::File(path) => Sink::File {
                path: path.clone(),
                file: open_file(path)?,
            },
            Output::Journald => Sink::journal(Path::new(JOURNAL_SOCKET))?,
        })
    }

    pub(super) fn journal(path: &Path) -> io::Result<Sink> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Sink::Journal(socket))
    }

    /// Opens the file again under its name. On failure the old one stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File { path, file } = self {
            *file = open_file(path)?;
        }
        Ok(())
    }

    /// Writes lines that each end in a line feed. A failed write loses the lines that did not get out.
    pub(super) fn write(&mut self, lines: &[u8], torn: bool) -> Written {
        match self {
            Sink::Stream(stream) => write_stream(stream, lines, torn),
            Sink::File { file, .. } => write_stream(file, lines, torn),
            Sink::Journal(socket) => write_journal(socket, lines),
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn write_stream(stream: &mut dyn Write, lines: &[u8], torn: bool) -> Written {
    let failed = |done: usize, torn, error| {
        let done = lines.get(..done).unwrap_or_default();
        Written {
            lines: count_lines(done),
            lost: count_lines(lines) - count_lines(done),
            errors: 1,
            error: Some(error),
            torn: done.last().map_or(torn, |last| *last != b'\n'),
        }
    };
    let mut done = 0;
    if torn && let Err(error) = stream.write_all(b"\n") {
        return failed(0, true, error.kind());
    }
    while let Some(rest) = lines.get(done..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return failed(done, false, io::ErrorKind::WriteZero),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return failed(done, false, error.kind()),
        }
    }
    // Files are unbuffered here, and standard output keeps back only what follows the last line end: nothing.
    Written {
        lines: count_lines(lines),
        ..Written::default()
    }
}

/// One datagram a line. JSON lines have no line feed inside, so the simple `FIELD=value` form fits.
fn write_journal(socket: &UnixDatagram, lines: &[u8]) -> Written {
    let mut written = Written::default();
    let mut datagram = Vec::with_capacity(2048);
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        datagram.clear();
        datagram.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=farmgate\nMESSAGE=");
        datagram.extend_from_slice(line);
        datagram.push(b'\n');
        match socket.send(&datagram) {
            Ok(_) => written.lines += 1,
            Err(error) => {
                written.lost += 1;
                written.errors += 1;
                written.error = Some(error.kind());
            }
        }
    }
    written
}
