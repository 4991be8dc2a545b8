//! The table of proxies and caches that can be compared.

/// Name of the yardstick.
pub(crate) const BARE_PINGORA: &str = "bare-pingora";
/// Name of the one under test.
pub(crate) const FARMGATE: &str = "farmgate";
/// Name of the rival whose cost is the aim.
pub(crate) const NGINX: &str = "nginx";
/// Name of the one under test without the firewall that a case is about.
pub(crate) const FARMGATE_OFF: &str = "farmgate-off";
/// Name of the rival without it.
pub(crate) const NGINX_OFF: &str = "nginx-off";
/// Name of the rival whose cost is the aim where answers of a middle size come from a cache.
pub(crate) const VARNISH: &str = "varnish";

/// A row of the table. Arguments and configurations hold the places of [`super::Places`].
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The cases it can take part in at all.
    pub(super) role: Role,
    /// Environment variable that names another binary.
    pub(super) variable: &'static str,
    /// Name of the binary in PATH.
    pub(super) program: &'static str,
    pub(super) arguments: &'static [&'static str],
    /// Variables, `NAME=value`.
    pub(super) environment: &'static [&'static str],
    /// Arguments that follow in a case with TLS.
    pub(super) tls_arguments: &'static [&'static str],
    /// Variables for such a case.
    pub(super) tls_environment: &'static [&'static str],
    pub(super) version: &'static [&'static str],
    pub(super) config: Config,
    /// Whether its configuration edits headers where there is no cache; then the answer is checked for it.
    pub(super) edits: bool,
    /// What it does not do, printed below the table of a case with a cache.
    pub(super) cache_note: Option<&'static str>,
}

/// What a contestant can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Proxy, without a cache.
    Proxy,
    /// Nothing but serve from a cache.
    Cache,
    /// Either, as it is configured.
    Both,
    /// What a case asks for by name, with a configuration of its own in the setup.
    Named,
}

pub(super) enum Config {
    None,
    /// In the case's folder, else in that of its setup.
    Case(&'static str),
    /// In the folder of the case's setup, below `rivals`.
    Rival(&'static str),
    /// The first as there; the second where the setup has it.
    Beside(&'static str, &'static str),
    /// All files of a folder there; they are put beside each other into the contestant's.
    Folder(&'static str),
}

/// What most have.
const PLAIN: Kind = Kind {
    name: "",
    role: Role::Both,
    variable: "",
    program: "",
    arguments: &[],
    environment: &[],
    tls_arguments: &[],
    tls_environment: &[],
    version: &["-v"],
    config: Config::None,
    edits: true,
    cache_note: None,
};

/// Farmgate, however it is configured.
const ANY_FARMGATE: Kind = Kind {
    variable: "FARMGATE",
    program: "farmgate",
    arguments: &["run", "--config", "${CONFIG}"],
    version: &["--version"],
    ..PLAIN
};

/// nginx, however it is configured.
const ANY_NGINX: Kind = Kind {
    variable: "NGINX",
    program: "nginx",
    arguments: &["-p", "${FOLDER}", "-e", "stderr", "-c", "${CONFIG}"],
    ..PLAIN
};

/// All of them, in the order of the report.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: FARMGATE,
        config: Config::Case("farmgate.toml"),
        ..ANY_FARMGATE
    },
    Kind {
        name: FARMGATE_OFF,
        role: Role::Named,
        config: Config::Rival("farmgate-off.toml"),
        ..ANY_FARMGATE
    },
    Kind {
        name: "farmgate-100-routes",
        role: Role::Named,
        config: Config::Rival("farmgate-100-routes.toml"),
        ..ANY_FARMGATE
    },
    Kind {
        name: "farmgate-100-plugins",
        role: Role::Named,
        config: Config::Rival("farmgate-100-plugins.toml"),
        ..ANY_FARMGATE
    },
    Kind {
        name: BARE_PINGORA,
        role: Role::Proxy,
        variable: "FARMGATE_LOAD",
        arguments: &[
            "bare-pingora",
            "--listen",
            "127.0.0.1:${PORT}",
            "--origin",
            "${ORIGIN}",
        ],
        tls_arguments: &["--certificate", "${CERTIFICATE}", "--key", "${KEY}"],
        version: &[],
        edits: false,
        ..PLAIN
    },
    Kind {
        name: NGINX,
        config: Config::Beside("nginx.conf", "modsecurity.conf"),
        ..ANY_NGINX
    },
    Kind {
        name: NGINX_OFF,
        role: Role::Named,
        config: Config::Rival("nginx-off.conf"),
        ..ANY_NGINX
    },
    Kind {
        name: "haproxy",
        variable: "HAPROXY",
        program: "haproxy",
        arguments: &["-db", "-f", "${CONFIG}"],
        // It has no word of its own for no tickets at all.
        tls_environment: &["OPENSSL_CONF=${SETUP}/openssl.cnf"],
        config: Config::Rival("haproxy.cfg"),
        ..PLAIN
    },
    Kind {
        name: "envoy",
        role: Role::Proxy,
        variable: "ENVOY",
        program: "envoy",
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
        ..PLAIN
    },
    Kind {
        name: VARNISH,
        role: Role::Cache,
        variable: "VARNISH",
        program: "varnishd",
        // In the foreground, as whoever starts it: its jail would want users and folders of its own. One pool of
        // threads, as it has one core; else as Debian starts it.
        arguments: &[
            "-F",
            "-j",
            "none",
            "-n",
            "${FOLDER}/run",
            "-a",
            "127.0.0.1:${PORT}",
            "-T",
            "none",
            "-f",
            "${CONFIG}",
            "-s",
            "malloc,256m",
            "-p",
            "thread_pools=1",
        ],
        version: &["-V"],
        config: Config::Rival("varnish.vcl"),
        edits: false,
        cache_note: Some(
            "writes no access log: that would be another process, varnishncsa; this favours it",
        ),
        ..PLAIN
    },
    Kind {
        name: "trafficserver",
        role: Role::Cache,
        variable: "TRAFFICSERVER",
        program: "traffic_server",
        environment: &["TS_RUNROOT=${FOLDER}"],
        version: &["-V"],
        config: Config::Folder("trafficserver"),
        edits: false,
        ..PLAIN
    },
];
