//! A certificate authority for tests, made with the `openssl` command: what it issues, revokes and answers is what
//! real authorities do, and comes from another implementation than the one that reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use boring::pkey::{PKey, Private};
use boring::x509::X509;

/// Extensions of a client's certificate.
pub(in crate::tls) const CLIENT: &str =
    "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n";
/// Extensions of an authority's certificate.
pub(in crate::tls) const AUTHORITY: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";

/// A new P-256 key.
pub(in crate::tls) const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Runs `openssl` and gives back what it printed.
pub(in crate::tls) fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("openssl must be installed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "openssl {arguments:?}: {said}");
    done.stdout
}

/// A certificate with its key, in files.
pub(in crate::tls) struct Issued {
    folder: PathBuf,
    pub(in crate::tls) name: String,
}

impl Issued {
    pub(in crate::tls) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    pub(in crate::tls) fn pem(&self) -> Vec<u8> {
        std::fs::read(self.file("pem")).unwrap()
    }

    pub(in crate::tls) fn certificate(&self) -> X509 {
        X509::from_pem(&self.pem()).unwrap()
    }

    pub(in crate::tls) fn key(&self) -> PKey<Private> {
        PKey::private_key_from_pem(&std::fs::read(self.file("key")).unwrap()).unwrap()
    }
}

/// An authority; all of its files stand in a folder of its own.
pub(in crate::tls) struct Authority {
    pub(in crate::tls) own: Issued,
}

impl Authority {
    /// One that signs itself.
    pub(in crate::tls) fn root(folder: &Path, name: &str) -> Self {
        Self::root_with(folder, name, P256)
    }

    /// The same with another key.
    pub(in crate::tls) fn root_with(folder: &Path, name: &str, key: &[&str]) -> Self {
        let own = prepare(folder, name, name, key);
        let end = ["-days", "3650", "-extfile", "ext", "-out"];
        std::fs::write(own.folder.join("ext"), AUTHORITY).unwrap();
        let (request, key, out) = (named(name, "csr"), named(name, "key"), named(name, "pem"));
        let mut all = vec!["x509", "-req", "-in", &request, "-signkey", &key];
        all.extend(end);
        all.push(&out);
        openssl(&own.folder, &all);
        Self::with(own)
    }

    /// One below this one.
    pub(in crate::tls) fn below(&self, name: &str, extensions: &str) -> Self {
        let folder = self.own.folder.parent().unwrap();
        let own = prepare(folder, name, name, P256);
        self.sign(&own, extensions, &[]);
        Self::with(own)
    }

    fn with(own: Issued) -> Self {
        let name = &own.name;
        let text = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\ncertificate={name}.pem\n\
             private_key={name}.key\ndefault_md=sha256\ndefault_days=30\ndefault_crl_days=30\npolicy=p\n\
             rand_serial=yes\ncrlnumber=crlnumber\nunique_subject=no\n[p]\ncommonName=supplied\n\
             [v2]\nauthorityKeyIdentifier=keyid\n[delta]\ndeltaCRL=critical,DER:020101\n\
             [part]\nissuingDistributionPoint=critical,@point\n[point]\nonlyuser=TRUE\n\
             [odd]\n1.2.3.4=critical,DER:0500\n"
        );
        std::fs::write(own.folder.join("config"), text).unwrap();
        std::fs::write(own.folder.join("index.txt"), "").unwrap();
        std::fs::write(own.folder.join("crlnumber"), "01\n").unwrap();
        Self { own }
    }

    /// A certificate with these extensions; `more` goes to `openssl ca`.
    pub(in crate::tls) fn issue(&self, name: &str, extensions: &str, more: &[&str]) -> Issued {
        let folder = self.own.folder.parent().unwrap();
        let issued = prepare(folder, name, name, P256);
        self.sign(&issued, extensions, more);
        issued
    }

    /// A client's certificate for a DNS name.
    pub(in crate::tls) fn client(&self, name: &str) -> Issued {
        self.issue(name, &format!("{CLIENT}subjectAltName=DNS:{name}\n"), &[])
    }

    fn sign(&self, issued: &Issued, extensions: &str, more: &[&str]) {
        let ext = issued.file("ext");
        std::fs::write(&ext, extensions).unwrap();
        let (request, out) = (issued.file("csr"), issued.file("pem"));
        let files = [ext, request, out].map(|file| file.to_str().unwrap().to_owned());
        let mut all = vec!["-batch", "-notext", "-extfile", &files[0], "-in", &files[1]];
        all.extend(["-out", &files[2]]);
        all.extend(more);
        self.ca(&all);
    }

    /// Takes a certificate back.
    pub(in crate::tls) fn revoke(&self, issued: &Issued) {
        let file = issued.file("pem");
        self.ca(&["-revoke", file.to_str().unwrap()]);
    }

    /// The list of what it took back, in PEM.
    pub(in crate::tls) fn list(&self, more: &[&str]) -> Vec<u8> {
        let mut all = vec!["-gencrl"];
        all.extend(more);
        self.ca(&all)
    }

    fn ca(&self, arguments: &[&str]) -> Vec<u8> {
        let mut all = vec!["ca", "-config", "config"];
        all.extend(arguments);
        openssl(&self.own.folder, &all)
    }

    /// The answer in DER that a responder of this authority gives about `about`. `signer` signs it; `more` goes to
    /// `openssl ocsp`.
    pub(in crate::tls) fn answer(&self, about: &Issued, signer: &Issued, more: &[&str]) -> Vec<u8> {
        let files = [
            self.own.file("pem"),
            about.file("pem"),
            signer.file("pem"),
            signer.file("key"),
        ];
        let files = files.map(|file| file.to_str().unwrap().to_owned());
        let mut all = vec![
            "ocsp", "-issuer", &files[0], "-cert", &files[1], "-rsigner", &files[2],
        ];
        all.extend([
            "-rkey",
            &files[3],
            "-CA",
            &files[0],
            "-index",
            "index.txt",
            "-noverify",
        ]);
        all.extend(["-respout", "response.der"]);
        all.extend(more);
        openssl(&self.own.folder, &all);
        std::fs::read(self.own.folder.join("response.der")).unwrap()
    }
}

fn named(name: &str, ending: &str) -> String {
    format!("{name}.{ending}")
}

/// A folder with a key and a request.
fn prepare(folder: &Path, name: &str, subject: &str, key: &[&str]) -> Issued {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let subject = format!("/CN={subject}");
    let (out, request) = (named(name, "key"), named(name, "csr"));
    let mut all = vec!["req", "-new", "-nodes", "-subj", &subject, "-keyout", &out];
    all.extend(["-out", &request]);
    all.extend(key);
    openssl(&folder, &all);
    let name = name.to_owned();
    Issued { folder, name }
}
