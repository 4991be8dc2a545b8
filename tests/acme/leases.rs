//! The lease between processes: one at a time, and free again soon after its holder is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farmgate::tls::acme::Storage;
use farmgate::tls::acme::storage::lease::{Attempt, Claim, Lease};

use super::node::now;
use crate::harness::eventually;

const TERM: Duration = Duration::from_secs(1);

/// Names the folder for [`in_another_process`].
const FOLDER: &str = "FARMGATE_TEST_LEASE_FOLDER";
/// And the file to write to while the lease is held.
const COUNTER: &str = "counter";

fn attempt(claim: &mut Claim) -> Option<Lease> {
    match claim.attempt(now(), Instant::now()).unwrap() {
        Attempt::Held(lease) => Some(lease),
        Attempt::Busy(_) => None,
    }
}

/// This test program, running [`in_another_process`] alone.
fn process(folder: &Path, what: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acme::leases::in_another_process", "--nocapture"])
        .env(FOLDER, folder)
        .env("FARMGATE_TEST_LEASE_WORK", what)
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing by itself; it is what the other tests start as a process of its own.
#[tokio::test]
async fn in_another_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let storage = Storage::open(folder).unwrap();
    let name = format!("process-{}", std::process::id());
    let mut claim = Claim::new(&storage, "shared", &name, TERM);
    if std::env::var("FARMGATE_TEST_LEASE_WORK").unwrap() == "hold" {
        let lease = eventually("the lease", || {
            let held = attempt(&mut claim);
            async { held }
        })
        .await;
        std::fs::write(folder.join("held"), "").unwrap();
        // Until it is killed.
        let _lease = lease;
        std::future::pending::<()>().await;
    }
    // Adds one to a number in a file, twenty times, which goes wrong as soon as two do it at once.
    let file = folder.join(COUNTER);
    for _ in 0..20 {
        let lease = eventually("the lease", || {
            let held = attempt(&mut claim);
            async { held }
        })
        .await;
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| "0".to_owned());
        tokio::task::yield_now().await;
        let number: u32 = text.parse().unwrap();
        std::fs::write(&file, (number + 1).to_string()).unwrap();
        drop(lease);
    }
}

#[tokio::test]
async fn processes_hold_it_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..4).map(|_| process(folder.path(), "count")).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let counted = std::fs::read_to_string(folder.path().join(COUNTER)).unwrap();
    assert_eq!(counted, "80");
    // Two files are left of the hundred leases.
    let left = std::fs::read_dir(folder.path().join("leases"))
        .unwrap()
        .count();
    assert!(left <= 2, "{left}");
}

#[tokio::test]
async fn a_killed_holder_is_replaced_after_a_term() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = process(folder.path(), "hold");
    eventually("the other process to hold it", || async {
        folder.path().join("held").exists().then_some(())
    })
    .await;
    let storage = Storage::open(folder.path()).unwrap();
    let mut claim = Claim::new(&storage, "shared", "we", TERM);
    assert!(attempt(&mut claim).is_none());
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    let lease = eventually("the lease", || {
        let held = attempt(&mut claim);
        async { held }
    })
    .await;
    let waited = killed.elapsed();
    assert!(waited + Duration::from_millis(50) > TERM, "{waited:?}");
    assert!(waited < TERM * 3, "{waited:?}");
    drop(lease);
}
