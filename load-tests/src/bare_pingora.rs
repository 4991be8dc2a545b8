//! The smallest proxy on Pingora: one thread, keep-alive on both sides, no filters, no log; with or without TLS.
//! What it spends per request is the framework's own cost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::tls::error::ErrorStack;
use pingora_core::tls::ssl::{SslOptions, SslVersion};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// The version this was built with; the workspace pins it exactly.
pub(crate) const PINGORA_VERSION: &str = "0.9.1";

struct Bare {
    origin: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }
}

/// Serves until the process ends; with TLS when there is a `certificate` with its key, both PEM files.
/// Fails when the server cannot be set up.
pub(crate) fn run(
    listen: SocketAddr,
    origin: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
) -> Result<ExitCode, String> {
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 256,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Bare { origin });
    match certificate {
        None => proxy.add_tcp(&listen.to_string()),
        Some((certificate, key)) => {
            let tls = settings(&certificate, &key)?;
            proxy.add_tls_with_settings(&listen.to_string(), None, tls);
        }
    }
    server.add_service(proxy);
    server.run_forever()
}

/// TLS 1.3 alone, without tickets; the group is the client's choice, as it offers one.
fn settings(certificate: &Path, key: &Path) -> Result<TlsSettings, String> {
    let path = |path: &Path| path.display().to_string();
    let mut settings = TlsSettings::intermediate(&path(certificate), &path(key))
        .map_err(|error| error.to_string())?;
    settings.enable_h2();
    restrict(&mut settings).map_err(|error| error.to_string())?;
    Ok(settings)
}

fn restrict(settings: &mut TlsSettings) -> Result<(), ErrorStack> {
    settings.set_options(SslOptions::NO_TICKET);
    settings.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    settings.set_curves_list("X25519MLKEM768:X25519")
}
