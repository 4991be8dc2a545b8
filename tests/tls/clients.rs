//! Clients with certificates.

use std::process::Stdio;

use boring::ssl::SslVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{failed, s_client};
use crate::harness::authority::{Authority, Issued, Wanted};
use crate::harness::tls::TlsClient;
use crate::harness::{Client, Node, Origin, Setup, soon};

const ROUTES: &str = r#"
[[listener]]
name = "web"
address = "@web"
tls = "partners"

[[listener]]
name = "plain"
address = "@plain"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "partner"
client_san = ["*.partner.test", "spiffe://farm/*"]
upstream = "app"

[[route]]
name = "anybody"
plugins = [{ kind = "respond", status = 200, body = "anybody" }]

[[route]]
name = "open"
listeners = ["plain"]
upstream = "app"
"#;

/// A node that asks for certificates; `words` stand in `client_auth` and behind it.
struct Partners {
    root: Authority,
    partners: Authority,
    origin: Origin,
    node: Node,
}

fn tls(auth: &str, more: &str) -> String {
    format!(
        "{ROUTES}\n[[tls]]\nname = \"partners\"\n\
         certificates = [{{ cert = \"www.pem\", key = \"www.key\" }}]\n\
         client_auth = {{ ca = \"partners.pem\", {auth} }}\n{more}\n"
    )
}

async fn partners(auth: &str, more: &str) -> Partners {
    let (root, partners) = (Authority::new("root"), Authority::new("partners"));
    let setup = Setup::new();
    root.simple(&["www.example.test"])
        .write(setup.folder(), "www");
    partners.write(setup.folder(), "partners.pem");
    partners.revoke(setup.folder(), "partners.crl", &[]);
    let origin = Origin::answering("partner").await;
    let setup = setup.with("origin", origin.address());
    let node = setup.start(&tls(auth, more)).await;
    Partners {
        root,
        partners,
        origin,
        node,
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n";

impl Partners {
    fn client(&self) -> TlsClient {
        TlsClient::new(&self.root, "www.example.test")
    }

    /// What a client with this certificate is answered, or why it is refused. In TLS 1.3 the refusal comes after the
    /// client's own handshake has ended.
    async fn ask(&self, client: TlsClient) -> Result<String, String> {
        let mut stream = client.connect(self.node.at("web")).await?;
        // A refusal may come first.
        let _ = stream.write_all(GET.as_bytes()).await;
        let mut seen = vec![0; 4096];
        let read = soon("an answer", stream.read(&mut seen)).await;
        let read = read.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(seen.get(..read).unwrap_or_default()).into_owned();
        let (_, body) = text
            .split_once("\r\n\r\n")
            .ok_or("closed without an answer")?;
        Ok(body.to_owned())
    }

    async fn with(&self, issued: &Issued) -> Result<String, String> {
        self.ask(self.client().with_certificate(issued)).await
    }
}

#[tokio::test]
async fn who_is_let_in_and_how_the_others_are_told() {
    let it = partners(
        "mode = \"require\", san = [\"*.partner.test\", \"spiffe://farm/*\"], crl = \"partners.crl\"",
        "",
    )
    .await;
    let issue = |names: &[&str], days| {
        it.partners.issue(&Wanted {
            names,
            rsa: false,
            days,
        })
    };
    for names in [&["api.partner.test"][..], &["spiffe://farm/billing"]] {
        assert_eq!(
            it.with(&issue(names, 10)).await,
            Ok("partner".to_owned()),
            "{names:?}"
        );
    }
    let revoked = issue(&["gone.partner.test"], 10);
    assert_eq!(it.with(&revoked).await, Ok("partner".to_owned()));
    it.partners
        .revoke(it.node.folder(), "partners.crl", &[&revoked]);
    it.node
        .metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 1.0)
        .await;
    let stranger = Authority::new("somebody").simple(&["api.partner.test"]);
    for (reason, alert, issued) in [
        ("certificate_missing", "CERTIFICATE_REQUIRED", None),
        ("certificate_unknown_ca", "UNKNOWN_CA", Some(&stranger)),
        ("certificate_revoked", "CERTIFICATE_REVOKED", Some(&revoked)),
        (
            "certificate_expired",
            "CERTIFICATE_EXPIRED",
            Some(&issue(&["old.partner.test"], -1)),
        ),
        (
            "certificate_name",
            "ACCESS_DENIED",
            Some(&issue(&["api.other.test"], 10)),
        ),
        (
            "certificate_name",
            "ACCESS_DENIED",
            Some(&issue(&["spiffe://other/x"], 10)),
        ),
    ] {
        let before = it
            .node
            .metric(
                "farmgate_tls_handshake_failures_total",
                &[("reason", reason)],
            )
            .await;
        let client = match issued {
            Some(issued) => it.client().with_certificate(issued),
            None => it.client(),
        };
        let refused = it.ask(client).await.expect_err(reason);
        assert!(refused.contains(alert), "{reason}: {refused}");
        failed(&it.node, reason, before + 1.0).await;
    }
    // TLS 1.2 has no alert for a missing certificate (RFC 5246 section 7.4.6).
    let old = it.client().version(SslVersion::TLS1_2);
    let refused = it.ask(old).await.expect_err("no certificate");
    assert!(refused.contains("HANDSHAKE_FAILURE"), "{refused}");
    failed(&it.node, "certificate_missing", 2.0).await;
}

#[tokio::test]
async fn optional_lets_those_without_one_in_and_nobody_with_a_wrong_one() {
    let it = partners("mode = \"optional\"", "").await;
    assert_eq!(it.ask(it.client()).await, Ok("anybody".to_owned()));
    let fine = it.partners.simple(&["api.partner.test"]);
    assert_eq!(it.with(&fine).await, Ok("partner".to_owned()));
    // A name that no route asks for: the certificate is right all the same.
    let other = it.partners.simple(&["api.other.test"]);
    assert_eq!(it.with(&other).await, Ok("anybody".to_owned()));
    let stranger = Authority::new("somebody").simple(&["api.partner.test"]);
    let refused = it.with(&stranger).await.expect_err("a stranger");
    assert!(refused.contains("UNKNOWN_CA"), "{refused}");
}

#[tokio::test]
async fn origins_are_told_and_clients_cannot_pretend() {
    const FORGED: &str = "GET /x HTTP/1.1\r\nHost: www.example.test\r\n\
        X-Forwarded-Client-Cert: Hash=00;URI=spiffe://farm/root\r\nClient-Cert: :AAAA:\r\n\
        client-cert-chain: :AAAA:\r\nX_Forwarded_Client_Cert: Hash=00\r\nClient_Cert: :AAAA:\r\n\
        client-cert_chain: :AAAA:\r\n\r\n";
    for (how, field) in [
        ("xfcc", "x-forwarded-client-cert"),
        ("rfc9440", "client-cert"),
        ("off", ""),
    ] {
        let it = partners(
            "mode = \"require\"",
            &format!("forward_identity = \"{how}\""),
        )
        .await;
        let issued = it
            .partners
            .simple(&["api.partner.test", "spiffe://farm/billing"]);
        let mut client = it
            .client()
            .with_certificate(&issued)
            .http1(it.node.at("web"))
            .await;
        assert_eq!(client.ask(FORGED).await.status, 200);
        let mut plain = Client::connect(it.node.at("plain")).await;
        assert_eq!(plain.ask(FORGED).await.status, 200);
        let seen = it.origin.seen();
        let told = |seen: &crate::harness::origin::Seen| -> Vec<String> {
            let names = [
                "x-forwarded-client-cert",
                "client-cert",
                "client-cert-chain",
            ];
            let dashed = |name: &str| name.to_lowercase().replace('_', "-");
            let is_one = |name: &str| names.contains(&dashed(name).as_str());
            let fields = seen.headers.iter().filter(|(name, _)| is_one(name));
            fields.map(|(name, _)| name.to_lowercase()).collect()
        };
        let expected: &[&str] = if field.is_empty() { &[] } else { &[field] };
        assert_eq!(told(&seen[0]), expected, "{how}");
        assert!(told(&seen[1]).is_empty(), "{how}: {:?}", seen[1]);
        let value = seen[0].header(field).unwrap_or_default();
        match how {
            "xfcc" => {
                let end = ";URI=spiffe://farm/billing;DNS=api.partner.test";
                assert!(
                    value.starts_with("Hash=") && value.ends_with(end),
                    "{value}"
                );
            }
            "rfc9440" => {
                use base64::Engine as _;
                let der = issued.certificate.to_der().expect("DER");
                let text = base64::engine::general_purpose::STANDARD.encode(der);
                assert_eq!(value, format!(":{text}:"));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_name_is_a_match_a_key_a_condition_and_in_the_log() {
    let it = partners("mode = \"optional\"", "").await;
    let mut node = it.node;
    let words = tls("mode = \"optional\"", "").replace(
        "name = \"partner\"\n",
        "name = \"partner\"\nplugins = [\n\
         { kind = \"rate_limit\", limits = [{ key = \"client_san\", rate = 1, per = \"1h\", burst = 1 }] },\n\
         { plugin = \"vip\", when = 'client.san == \"vip.partner.test\"' }]\n",
    );
    let vip = "\n[[plugin]]\nname = \"vip\"\nkind = \"respond\"\nstatus = 200\nbody = \"vip\"\n";
    node.reload(&format!("{words}{vip}")).await;
    let ask = |names: &'static [&'static str]| {
        let client = TlsClient::new(&it.root, "www.example.test");
        let client = client.with_certificate(&it.partners.simple(names));
        let address = node.at("web");
        async move {
            let mut client = client.http1(address).await;
            let answer = client.ask(GET).await;
            (answer.status, answer.text())
        }
    };
    assert_eq!(ask(&["a.partner.test"]).await, (200, "partner".to_owned()));
    assert_eq!(ask(&["a.partner.test"]).await.0, 429);
    assert_eq!(ask(&["b.partner.test"]).await, (200, "partner".to_owned()));
    assert_eq!(ask(&["vip.partner.test"]).await, (200, "vip".to_owned()));
    assert_eq!(ask(&["a.other.test"]).await, (200, "anybody".to_owned()));
    let lines = node.log.count("/", 5).await;
    assert_eq!(lines[0]["client_san"], "a.partner.test");
    assert_eq!(lines[0]["tls"], "TLSv1.3");
    // explain is given the names.
    let config = node.config().to_str().expect("a UTF-8 path").to_owned();
    let explain = |san: &'static str| {
        let arguments = [
            "explain",
            "--config",
            &config,
            "--client-san",
            san,
            "https://www.example.test/",
        ];
        crate::harness::cli::farmgate(&arguments).expect(0).out
    };
    assert!(explain("a.partner.test").contains("route      partner"));
    assert!(explain("a.other.test").contains("does not fit: client_san"));
}

#[tokio::test]
async fn a_resumed_session_is_held_against_what_is_known_now() {
    for version in ["-tls1_2", "-tls1_3"] {
        let it = partners("mode = \"require\", crl = \"partners.crl\"", "").await;
        let folder = it.node.folder().to_owned();
        let issued = it.partners.simple(&["api.partner.test"]);
        issued.write(&folder, "partner");
        let path = |name: &str| folder.join(name).to_str().expect("a UTF-8 path").to_owned();
        let (certificate, key, session) =
            (path("partner.pem"), path("partner.key"), path("session"));
        let ask = |what: &'static str| {
            let arguments = [version, "-cert", &certificate, "-key", &key, what, &session];
            let arguments = arguments.map(str::to_owned);
            let node = &it.node;
            async move {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                s_client(node, &arguments).await
            }
        };
        let first = ask("-sess_out").await;
        assert!(
            first.contains("New, ") && first.contains("partner"),
            "{first}"
        );
        let again = ask("-sess_in").await;
        assert!(
            again.contains("Reused, ") && again.contains("HTTP/1.1 200"),
            "{again}"
        );
        it.partners.revoke(&folder, "partners.crl", &[&issued]);
        it.node
            .metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 1.0)
            .await;
        let refused = ask("-sess_in").await;
        assert!(
            refused.contains("alert certificate revoked"),
            "{version}: {refused}"
        );
        assert!(!refused.contains("HTTP/1.1"), "{version}: {refused}");
        failed(&it.node, "certificate_revoked", 1.0).await;
    }
}

#[tokio::test]
async fn a_bad_bundle_or_list_leaves_the_old_one() {
    let it = partners("mode = \"require\", crl = \"partners.crl\"", "").await;
    let fine = it.partners.simple(&["api.partner.test"]);
    std::fs::write(it.node.folder().join("partners.pem"), "half").expect("write");
    it.node
        .metric_is("farmgate_tls_stale_files", &[], 1.0)
        .await;
    assert_eq!(it.with(&fine).await, Ok("partner".to_owned()));
    // Another authority may take the place of the first.
    let next = Authority::new("next partners");
    next.revoke(it.node.folder(), "partners.crl", &[]);
    next.write(it.node.folder(), "partners.pem");
    it.node
        .metric_is("farmgate_tls_stale_files", &[], 0.0)
        .await;
    let refused = it.with(&fine).await.expect_err("the old authority");
    assert!(refused.contains("UNKNOWN_CA"), "{refused}");
    let theirs = next.simple(&["api.partner.test"]);
    assert_eq!(it.with(&theirs).await, Ok("partner".to_owned()));
}

#[tokio::test]
async fn python_and_curl_show_their_certificates() {
    let it = partners("mode = \"require\"", "").await;
    let folder = it.node.folder();
    let path = |name: &str| folder.join(name).to_str().expect("a UTF-8 path").to_owned();
    it.partners
        .simple(&["api.partner.test"])
        .write(folder, "partner");
    it.root.write(folder, "root.pem");
    let script = format!(
        "import socket, ssl\n\
         c = ssl.create_default_context(cafile={:?})\n\
         c.load_cert_chain({:?}, {:?})\n\
         s = c.wrap_socket(socket.create_connection(({:?}, {})), server_hostname='www.example.test')\n\
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: www.example.test\\r\\nConnection: close\\r\\n\\r\\n')\n\
         data = b''\n\
         while True:\n    part = s.recv(4096)\n    if not part: break\n    data += part\n\
         print(s.version(), data.rsplit(b'\\r\\n', 1)[1].decode())\n",
        path("root.pem"),
        path("partner.pem"),
        path("partner.key"),
        it.node.at("web").ip().to_string(),
        it.node.at("web").port(),
    );
    let run = |program: &'static str, arguments: Vec<String>| async move {
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = soon(program, command.output()).await.expect(program);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let python = run("python3", vec!["-c".to_owned(), script]).await;
    assert_eq!(python, "TLSv1.3 partner");
    let to = format!("::{}", it.node.at("web"));
    let mut curl: Vec<String> = ["-s", "--connect-to", &to, "--cacert"]
        .map(str::to_owned)
        .into();
    curl.extend([path("root.pem"), "--cert".to_owned(), path("partner.pem")]);
    curl.extend([
        "--key".to_owned(),
        path("partner.key"),
        "https://www.example.test/".to_owned(),
    ]);
    assert_eq!(run("curl", curl).await, "partner");
}
