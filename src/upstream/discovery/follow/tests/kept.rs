//! Endpoints of an earlier run.

use std::time::SystemTime;

use super::*;

/// A state folder in which an earlier run left this.
async fn left(name: &'static str, addresses: &[&str]) -> (tempfile::TempDir, Kept) {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    let mut farm = Farm::new(&[name], Some(kept.clone()));
    farm.say(name, addresses);
    farm.told().await;
    for _ in 0..100 {
        if kept.load(name).unwrap().is_some() {
            return (state, kept);
        }
        farm.quiet(SECOND / 10).await;
    }
    panic!("nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn a_dead_source_is_replaced_by_what_was_kept() {
    let (_state, kept) = left("orders", &["10.0.0.1:80"]).await;
    let mut farm = Farm::new(&["orders"], Some(kept.clone()));
    farm.fail("orders");
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    let status = farm.status("orders");
    assert_eq!(status.provenance.word(), "kept");
    assert!(status.age.unwrap() < 60 * SECOND);
    assert!(farm.follower.wait_first(SECOND).await.is_empty());
    farm.say("orders", &["10.0.0.2:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80"]);
    assert_eq!(farm.status("orders").provenance, Provenance::Source);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_waited_for_a_second() {
    let (_state, kept) = left("orders", &["10.0.0.1:80"]).await;
    let mut farm = Farm::new(&["orders"], Some(kept.clone()));
    let start = Instant::now();
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    assert!(
        (SECOND..2 * SECOND).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_living_source_needs_no_kept_set() {
    let (_state, kept) = left("orders", &["10.0.0.1:80"]).await;
    let mut farm = Farm::new(&["orders"], Some(kept.clone()));
    farm.say("orders", &["10.0.0.2:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80"]);
    farm.fail("orders");
    farm.quiet(30 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_used_is_not() {
    let (state, kept) = left("orders", &["192.168.0.1:80"]).await;
    let file = state.path().join("discovery/orders.json");
    let good = std::fs::read(&file).unwrap();
    let nothing_told = async |name: &str, change: fn(&mut DiscoveryOptions)| {
        let mut farm = Farm::new(&[], Some(kept.clone()));
        farm.follower.update(vec![wanted(name, change)]);
        assert_eq!(farm.follower.wait_first(30 * SECOND).await.len(), 1);
        farm.quiet(5 * SECOND).await;
    };
    // The new `allow` refuses it.
    nothing_told("orders", |options| {
        options.allow = Some(vec!["10.0.0.0/8".parse().unwrap()])
    })
    .await;
    // It is of another source.
    nothing_told("orders", |options| {
        let other = FileOptions {
            path: "other".into(),
            interval: SECOND,
        };
        options.source = SourceOptions::File(other);
    })
    .await;
    // It is damaged.
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    nothing_told("orders", |_| {}).await;
    std::fs::write(&file, &good).unwrap();
    let mut farm = Farm::new(&[], Some(kept.clone()));
    farm.follower.update(vec![wanted("orders", |_| {})]);
    assert_eq!(farm.told().await.1, ["192.168.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_set_is_used_and_called_stale() {
    let (_state, kept) = left("orders", &["10.0.0.1:80"]).await;
    let mut set = kept.load("orders").unwrap().unwrap();
    set.at = SystemTime::now() - 3600 * SECOND;
    kept.store(&set).unwrap();
    let mut farm = Farm::new(&["orders"], Some(kept.clone()));
    farm.fail("orders");
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    farm.quiet(SECOND).await;
    let status = farm.status("orders");
    assert!(
        status.is_stale && status.age.unwrap() >= 3600 * SECOND,
        "{status:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_costs_only_the_keeping() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("discovery"), "a file").unwrap();
    let mut farm = Farm::new(&["orders"], Some(Kept::new(state.path())));
    farm.say("orders", &["10.0.0.1:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    farm.say("orders", &["10.0.0.2:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80"]);
    farm.quiet(5 * SECOND).await;
    assert_eq!(farm.status("orders").counts.unsaved, 2);
}
