//! A pebble of a test's own: authority, validation and DNS on the test's loopback address.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::x509::extension::{BasicConstraints, SubjectAlternativeName};
use boring::x509::{X509, X509NameBuilder};

use crate::harness::{eventually, free_address};

/// Where things are, for as long as one test runs.
pub(super) struct Pebble {
    folder: PathBuf,
    /// Where it validates http-01.
    pub(super) http: SocketAddr,
    /// Where it validates tls-alpn-01.
    pub(super) tls: SocketAddr,
    listen: SocketAddr,
    /// Where all names lead.
    ip: IpAddr,
    dns: SocketAddr,
    authority: Option<Child>,
    names: Option<Child>,
}

impl Pebble {
    /// Starts it in `folder`; it answers when this returns. Every name leads to the test's own address.
    pub(super) async fn start(folder: &Path) -> Self {
        let http = free_address();
        Self::start_at(folder, free_address(), http).await
    }

    /// Starts it at `listen`; every name leads to the address of `http`, where it validates http-01.
    pub(super) async fn start_at(folder: &Path, listen: SocketAddr, http: SocketAddr) -> Self {
        let mut pebble = Self {
            folder: folder.to_owned(),
            http,
            tls: free_address(),
            listen,
            ip: http.ip(),
            dns: free_address(),
            authority: None,
            names: None,
        };
        write_certificates(folder, listen.ip());
        pebble.start_names();
        pebble.start_authority().await;
        pebble
    }

    /// URL of its directory.
    pub(super) fn directory(&self) -> String {
        format!("https://{}/dir", self.listen)
    }

    /// Where it listens.
    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The authority of its directory's certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key of its directory.
    pub(super) fn identity(&self) -> (PathBuf, PathBuf) {
        (
            self.folder.join("pebble.pem"),
            self.folder.join("pebble.key"),
        )
    }

    /// Ends it and starts another that knows nothing of accounts and orders.
    pub(super) async fn forget(&mut self) {
        self.stop();
        self.start_authority().await;
    }

    /// Ends the authority.
    pub(super) fn stop(&mut self) {
        end(self.authority.take());
    }

    /// Starts the authority again.
    pub(super) async fn start_authority(&mut self) {
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "{}", "managementListenAddress": "",
                "certificate": "{}", "privateKey": "{}", "httpPort": {}, "tlsPort": {},
                "domainBlocklist": ["blocked.example.test"]}}}}"#,
            self.listen,
            self.folder.join("pebble.pem").display(),
            self.folder.join("pebble.key").display(),
            self.http.port(),
            self.tls.port()
        );
        let file = self.folder.join("pebble.json");
        std::fs::write(&file, config).expect("write pebble's configuration");
        let log = File::create(self.log_file()).expect("pebble's log");
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&file)
            .arg("-dnsserver")
            .arg(self.dns.to_string())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(log.try_clone().expect("pebble's log"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        self.authority = Some(child.expect("start pebble (Debian package pebble)"));
        let listen = self.listen;
        eventually("pebble", || async move {
            tokio::net::TcpStream::connect(listen).await.ok()
        })
        .await;
    }

    /// How many lines of its log hold this.
    pub(super) fn count(&self, text: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Certificates that it has issued since it was started.
    pub(super) fn issued(&self) -> usize {
        self.count("Issued certificate serial")
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).expect("pebble's log")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("pebble.log")
    }

    fn start_names(&mut self) {
        let log = File::create(self.folder.join("dns.log")).expect("a log");
        let child = Command::new("pebble-challtestsrv")
            .args(["-dns01", &self.dns.to_string()])
            .args(["-management", &free_address().to_string()])
            .args(["-defaultIPv4", &self.ip.to_string()])
            .args([
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        self.names = Some(child.expect("start pebble-challtestsrv (Debian package pebble)"));
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        end(self.authority.take());
        end(self.names.take());
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// An authority of the folder's own, and by it the certificate of the directory.
pub(super) fn write_certificates(folder: &Path, ip: IpAddr) {
    let (ca, ca_key) = signed("a test authority", ip, None);
    let (leaf, key) = signed("pebble", ip, Some((&ca, &ca_key)));
    let write = |name: &str, pem: Vec<u8>| {
        std::fs::write(folder.join(name), pem).expect("write a certificate");
    };
    write("ca.pem", ca.to_pem().expect("PEM"));
    write("pebble.pem", leaf.to_pem().expect("PEM"));
    write("pebble.key", key.private_key_to_pem_pkcs8().expect("PEM"));
}

fn signed(
    name: &str,
    ip: IpAddr,
    issuer: Option<(&X509, &PKey<Private>)>,
) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    let mut own = X509NameBuilder::new().expect("a name");
    own.append_entry_by_text("CN", name).expect("a name");
    let own = own.build();
    let mut builder = X509::builder().expect("a certificate");
    builder.set_version(2).expect("version 3");
    let serial = BigNum::from_u32(1)
        .expect("1")
        .to_asn1_integer()
        .expect("1");
    builder.set_serial_number(&serial).expect("a serial number");
    builder.set_subject_name(&own).expect("a subject");
    let by = issuer.map_or(&*own, |(issuer, _)| issuer.subject_name());
    builder.set_issuer_name(by).expect("an issuer");
    builder.set_pubkey(&key).expect("a key");
    builder
        .set_not_before(&Asn1Time::from_unix(0).expect("0"))
        .expect("a begin");
    builder
        .set_not_after(&Asn1Time::days_from_now(30).expect("30"))
        .expect("an end");
    let extension = match issuer {
        None => BasicConstraints::new().critical().ca().build(),
        Some(_) => {
            let context = builder.x509v3_context(None, None);
            SubjectAlternativeName::new()
                .ip(&ip.to_string())
                .build(&context)
        }
    };
    builder
        .append_extension(&extension.expect("an extension"))
        .expect("an extension");
    let signer = issuer.map_or(&key, |(_, key)| key);
    builder
        .sign(signer, MessageDigest::sha256())
        .expect("a signature");
    (builder.build(), key)
}
