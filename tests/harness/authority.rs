//! A certificate authority for tests, and what it issues.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use boring::x509::{X509, X509Builder, X509Name, X509NameBuilder, X509NameRef};
use tempfile::TempDir;

/// A day in seconds.
const DAY: i64 = 86_400;

/// An authority.
pub(crate) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// What a certificate is to be.
pub(crate) struct Wanted<'w> {
    /// DNS names; those with a colon are URIs.
    pub(crate) names: &'w [&'w str],
    /// RSA instead of P-256.
    pub(crate) rsa: bool,
    /// Days from now at which it ends; negative ones are over.
    pub(crate) days: i64,
}

/// A certificate and its key in files.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: X509,
    /// Its key.
    pub(crate) key: PKey<Private>,
}

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn name(text: &str) -> X509Name {
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", text).expect("a name");
    name.build()
}

fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    days: i64,
) -> X509Builder {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("a clock").as_secs()).expect("seconds");
    let mut builder = X509Builder::new().expect("a builder");
    builder.set_version(2).expect("version");
    let mut serial = BigNum::new().expect("a number");
    serial
        .rand(120, MsbOption::MAYBE_ZERO, false)
        .expect("random");
    let serial = serial.to_asn1_integer().expect("a serial number");
    builder.set_serial_number(&serial).expect("serial");
    builder.set_subject_name(subject).expect("subject");
    builder.set_issuer_name(issuer).expect("issuer");
    builder.set_pubkey(key).expect("key");
    let time = |at| Asn1Time::from_unix(at).expect("a time");
    let end = now + days * DAY;
    builder
        .set_not_before(&time((now - DAY).min(end - DAY)))
        .expect("start");
    builder.set_not_after(&time(end)).expect("end");
    builder
}

impl Authority {
    /// A new root.
    pub(crate) fn new(common_name: &str) -> Self {
        let key = p256();
        let name = name(common_name);
        let mut builder = builder(&name, &name, &key, 365);
        let basic = BasicConstraints::new()
            .critical()
            .ca()
            .build()
            .expect("basic");
        let usage = KeyUsage::new()
            .critical()
            .key_cert_sign()
            .crl_sign()
            .build();
        builder.append_extension(&basic).expect("extension");
        builder
            .append_extension(&usage.expect("usage"))
            .expect("extension");
        builder.sign(&key, MessageDigest::sha256()).expect("sign");
        Self {
            certificate: builder.build(),
            key,
        }
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Its certificate, written to a file of the folder.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.certificate.to_pem().expect("PEM")).expect("write");
        path
    }

    /// A certificate.
    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let key = if wanted.rsa {
            PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
        } else {
            p256()
        };
        let subject = name(wanted.names.first().copied().unwrap_or("nobody"));
        let mut builder = builder(&subject, self.certificate.subject_name(), &key, wanted.days);
        let mut alternative = SubjectAlternativeName::new();
        for one in wanted.names {
            match (one.contains(':'), one.parse::<std::net::IpAddr>()) {
                (_, Ok(_)) => alternative.ip(one),
                (true, _) => alternative.uri(one),
                (false, _) => alternative.dns(one),
            };
        }
        if !wanted.names.is_empty() {
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let alternative = alternative.build(&context).expect("names");
            builder.append_extension(&alternative).expect("extension");
        }
        builder
            .sign(&self.key, MessageDigest::sha256())
            .expect("sign");
        Issued {
            certificate: builder.build(),
            key,
        }
    }

    /// Its files as `openssl` wants them, with what it issued (`V`) and revoked (`R`).
    fn files(&self, entries: &[(char, &Issued)]) -> TempDir {
        let work = tempfile::tempdir().expect("a folder");
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(work.path().join(name), bytes).expect("write");
        };
        let mut index = String::new();
        for (state, one) in entries {
            let serial = one.certificate.serial_number().to_bn().expect("a number");
            let serial = serial.to_hex_str().expect("hex").to_uppercase();
            let when = if *state == 'R' { "200101000000Z" } else { "" };
            index.push_str(&format!(
                "{state}\t400101000000Z\t{when}\t{serial}\tunknown\t/CN=x\n"
            ));
        }
        put("index", index.as_bytes());
        put("number", b"01\n");
        put("ca.pem", &self.certificate.to_pem().expect("PEM"));
        put("ca.key", &self.key.private_key_to_pem_pkcs8().expect("PEM"));
        let place = work.path().display();
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={place}/index\ncrlnumber={place}/number\ndefault_md=sha256\n"
        );
        put("ca.cnf", config.as_bytes());
        work
    }

    /// A revocation list, valid for a day, in a file of the folder.
    pub(crate) fn revoke(&self, folder: &Path, name: &str, revoked: &[&Issued]) -> PathBuf {
        let entries: Vec<_> = revoked.iter().map(|one| ('R', *one)).collect();
        let work = self.files(&entries);
        let (path, fresh) = (folder.join(name), folder.join(format!("{name}.new")));
        let fresh_text = fresh.to_str().expect("a UTF-8 path");
        let list = [
            "ca", "-gencrl", "-crldays", "1", "-config", "ca.cnf", "-cert", "ca.pem",
        ];
        let list = [&list[..], &["-keyfile", "ca.key", "-out", fresh_text]].concat();
        openssl(work.path(), &list);
        std::fs::rename(fresh, &path).expect("rename");
        path
    }

    /// An OCSP response about `issued`, valid for a day, in a file of the folder.
    pub(crate) fn vouch(&self, folder: &Path, name: &str, issued: &Issued) -> PathBuf {
        let work = self.files(&[('V', issued)]);
        let pem = issued.certificate.to_pem().expect("PEM");
        std::fs::write(work.path().join("leaf.pem"), pem).expect("write");
        let (path, fresh) = (folder.join(name), folder.join(format!("{name}.new")));
        let fresh_text = fresh.to_str().expect("a UTF-8 path");
        let ask = [
            "ocsp",
            "-issuer",
            "ca.pem",
            "-cert",
            "leaf.pem",
            "-no_nonce",
            "-reqout",
            "q",
        ];
        openssl(work.path(), &ask);
        let answer = [
            "ocsp", "-index", "index", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA",
        ];
        let rest = [
            "ca.pem", "-reqin", "q", "-ndays", "1", "-respout", fresh_text,
        ];
        openssl(work.path(), &[&answer[..], &rest].concat());
        std::fs::rename(fresh, &path).expect("rename");
        path
    }

    /// An OCSP responder that knows `issued`, at this port of the loopback address, until it is dropped.
    pub(crate) fn responder(&self, port: u16, issued: &Issued) -> Responder {
        let work = self.files(&[('V', issued)]);
        let child = Command::new("openssl")
            .args([
                "ocsp", "-index", "index", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA",
            ])
            .args(["ca.pem", "-ndays", "1", "-port", &port.to_string()])
            .current_dir(work.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Responder {
            child: child.expect("openssl"),
            _work: work,
        }
    }

    /// Its certificate in PEM form.
    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("PEM")
    }

    /// A certificate that ends in so many days; below 0 it has ended.
    pub(crate) fn simple_until(&self, names: &[&str], days: i64) -> Issued {
        self.issue(&Wanted {
            names,
            rsa: false,
            days,
        })
    }

    /// A certificate with a P-256 key for ten days.
    pub(crate) fn simple(&self, names: &[&str]) -> Issued {
        self.issue(&Wanted {
            names,
            rsa: false,
            days: 10,
        })
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`, each renamed into its place.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        self.write_with(folder, name, None);
    }

    /// The same, with the authority's certificate behind its own.
    pub(crate) fn write_chain(&self, folder: &Path, name: &str, authority: &Authority) {
        self.write_with(folder, name, Some(authority));
    }

    fn write_with(&self, folder: &Path, name: &str, authority: Option<&Authority>) {
        let put = |end: &str, bytes: Vec<u8>| {
            let fresh = folder.join(format!("{name}.{end}.new"));
            std::fs::write(&fresh, bytes).expect("write");
            std::fs::rename(&fresh, folder.join(format!("{name}.{end}"))).expect("rename");
        };
        let mut chain = self.certificate.to_pem().expect("PEM");
        if let Some(authority) = authority {
            chain.extend(authority.certificate.to_pem().expect("PEM"));
        }
        put("pem", chain);
        put("key", self.key.private_key_to_pem_pkcs8().expect("PEM"));
    }
}

/// A running OCSP responder.
pub(crate) struct Responder {
    child: Child,
    _work: TempDir,
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("openssl");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {err}");
}
