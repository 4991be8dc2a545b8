//! The contract's waf.toml: it loads, and does what its comments say.

use std::path::{Path, PathBuf};

use crate::harness::cli::{check, command};
use crate::harness::{Client, Origin, eventually};

/// Three rules in place of the Core Rule Set: scores, and what judges them.
const SETUP: &str = r#"
SecAction "id:900990,phase:1,pass,nolog,setvar:tx.crs_setup_version=4280"
"#;
const RULES: &str = r#"
SecRule ARGS "@contains evil" "id:942100,phase:2,pass,log,msg:'SQL',tag:'attack-sqli',severity:CRITICAL,setvar:tx.blocking_inbound_anomaly_score=+5"
SecRule TX:blocking_inbound_anomaly_score "@ge %{tx.inbound_anomaly_score_threshold}" "id:949110,phase:2,deny,status:403,log,msg:'Score'"
"#;

/// The contract's file, in a folder of its own with the rules it names.
fn unpack() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/waf.toml");
    let path = folder.path().join("waf.toml");
    std::fs::copy(source, &path).expect("copy the contract");
    std::fs::create_dir(folder.path().join("run")).expect("the run folder");
    let rules = folder.path().join("crs/rules");
    std::fs::create_dir_all(&rules).expect("the rules folder");
    match std::env::var_os("FARMGATE_CRS_DIR") {
        Some(crs) => {
            let crs = PathBuf::from(crs);
            std::fs::copy(
                crs.join("crs-setup.conf.example"),
                folder.path().join("crs/crs-setup.conf"),
            )
            .expect("copy the set-up");
            for file in std::fs::read_dir(crs.join("rules")).expect("the rules") {
                let file = file.expect("a file");
                std::fs::copy(file.path(), rules.join(file.file_name())).expect("copy a file");
            }
        }
        None => {
            eprintln!("FARMGATE_CRS_DIR is not set: a rule set of three rules stands in");
            std::fs::write(folder.path().join("crs/crs-setup.conf"), SETUP).expect("write");
            std::fs::write(rules.join("own.conf"), RULES).expect("write");
        }
    }
    (folder, path)
}

#[test]
fn it_loads() {
    let (folder, path) = unpack();
    let ran = check(&path).expect(0);
    assert!(!ran.out.contains("error"), "{}", ran.out);
    // Looking writes nothing.
    assert!(!folder.path().join("run/waf.log").exists());
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The file's ports are fixed, so one test does it all.
#[tokio::test]
async fn it_does_what_it_says() {
    const WEB: &str = "127.0.0.1:19182";
    const ORIGIN: &str = "127.0.0.1:19007";
    for taken in [WEB, ORIGIN] {
        if std::net::TcpListener::bind(taken).is_err() {
            eprintln!("{taken} is in use on this machine: the contract cannot be run as it stands");
            return;
        }
    }
    let shop = Origin::start_at(ORIGIN.parse().expect("an address"), |mut peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "", "shop").await;
        }
    })
    .await;
    let (folder, path) = unpack();
    let child = command().arg("run").arg("--config").arg(&path).spawn();
    let _running = Running(child.expect("start the node"));
    eventually("the node", || async {
        tokio::net::TcpStream::connect(WEB).await.ok()
    })
    .await;
    let attack = "evil%27+union+select+password+from+users--+-";
    let ask = async |target: String| {
        let mut client = Client::connect(WEB.parse().expect("an address")).await;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: shop.example.test\r\nUser-Agent: a test\r\nAccept: */*\r\n\r\n"
        );
        client.ask(&request).await.status
    };
    assert_eq!(ask("/?a=between+5+and+10".to_owned()).await, 200);
    assert_eq!(ask(format!("/?a={attack}")).await, 403);
    // The exclusion of 942100 for ARGS:q on /search, and of the tag on the route of the editor.
    assert_eq!(ask(format!("/other?q={attack}")).await, 403);
    if std::env::var_os("FARMGATE_CRS_DIR").is_none() {
        assert_eq!(ask(format!("/search?q={attack}")).await, 200);
        assert_eq!(ask(format!("/search?a={attack}")).await, 403);
    }
    assert_eq!(ask(format!("/edit/1?a={attack}")).await, 200);
    assert!(!shop.seen().is_empty());
    let log = folder.path().join("run/waf.log");
    eventually("the audit log", || async {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("\"id\":942100").then_some(())
    })
    .await;
}
