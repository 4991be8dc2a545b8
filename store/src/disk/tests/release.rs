//! Letting the disks go for another process: never while this one may still write.

use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::*;
use crate::OpenError;
use crate::disk::Faults;

#[test]
fn what_there_is_no_time_for_is_not_written_any_more() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    // However fast the machine is: each write takes a while.
    disk.set_faults(Faults {
        delay: 10_000,
        ..Faults::default()
    });
    for n in 0..2_000 {
        put(&store, &format!("/{n}"), body(n, 10_000));
    }
    store.release(Duration::ZERO);
    let written = disk.bytes();
    disk.set_faults(Faults::default());
    let (next, _) = open(options_of(&disk));
    let found = (0..2_000)
        .filter(|n| fetch(&next, &format!("/{n}")) == Some(body(*n, 10_000)))
        .count();
    assert_eq!(counted(&next.counters().disk_corrupt), 0);
    assert!(
        found < 2_000 && written < 2_000 * 10_000,
        "{found} were written"
    );
    let served = (0..2_000).filter(|n| get(&store, &format!("/{n}")).is_some());
    assert_eq!(served.count(), 2_000, "it serves on");
}

#[test]
fn a_disk_in_which_a_write_hangs_is_not_let_go() {
    let gate = Gate::new();
    let options = || options_on(Arc::clone(&gate) as Arc<dyn Disk>);
    let (store, _) = open(options());
    put(&store, "/a", body(1, 1_000));
    until("the writer", || store.is_written());
    gate.shut_writes(true);
    put(&store, "/b", body(2, 1_000));
    until("the writer", || store.core.disks[0].queue.len() == 0);
    assert!(!store.release(Duration::from_millis(20)));
    let again = Store::<TestHead>::open(&options());
    assert!(matches!(again, Err(OpenError::Locked(0))));
    assert!(get(&store, "/a").is_some() && get(&store, "/b").is_some());
    gate.shut_writes(false);
}
