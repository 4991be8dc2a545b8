use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::disk::{Disk, FaultyDisk, FileName};
use crate::purge::journal::Journal;
use crate::purge::stream::Stream;
use crate::purge::table::Purges;

fn open(disk: &Arc<FaultyDisk>, fresh: bool) -> (Journal, Arc<Purges>, Arc<Mutex<Stream>>, bool) {
    let purges = Arc::new(Purges::new(1_000, 3));
    let stream = Arc::new(Mutex::new(Stream::default()));
    let as_disk = Arc::clone(disk) as Arc<dyn Disk>;
    let (journal, read) = Journal::open(&as_disk, 9, fresh, &purges, &stream).expect("opens");
    (journal, purges, stream, read.damaged)
}

fn order(
    journal: &Journal,
    purges: &Purges,
    stream: &Mutex<Stream>,
    tag: u64,
) -> crate::purge::Ticket {
    let purge = Purge {
        scope: Scope::Tag(tag),
        kind: Kind::Soft,
        at_ms: tag,
    };
    let number = stream.lock().number(purge);
    purges
        .apply(&purge, |stamp| journal.note(0, number, stamp, purge))
        .0
}

#[test]
fn lines_are_read_back_and_written_anew_when_there_are_many() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (journal, purges, stream, _) = open(&disk, true);
    // 100,000 lines of 64 bytes are more than 4 MiB; a few marks are in force.
    for n in 0..100_000_u64 {
        let ticket = order(&journal, &purges, &stream, n % 500);
        if n % 5_000 == 0 {
            ticket.wait(DEADLINE).expect("written");
        }
    }
    order(&journal, &purges, &stream, 7)
        .wait(DEADLINE)
        .expect("written");
    let len = disk.len(FileName::Journal).expect("a journal");
    assert!(len < 7 << 20, "{len} bytes");
    let before = purges.with(|marks| marks.iter().collect::<HashMap<_, _>>());
    let (_, again, numbers, damaged) = open(&Arc::new(disk.after_kill(1)), false);
    assert!(!damaged);
    assert_eq!(
        again.with(|marks| marks.iter().collect::<HashMap<_, _>>()),
        before
    );
    assert_eq!(numbers.lock().last(), 100_001);
    assert_eq!(
        numbers.lock().since(1, 100_000, 9).map(|list| list.len()),
        Ok(2)
    );
    assert!(numbers.lock().since(1, 1, 9).is_err());
    assert!(again.next() > purges.epoch());
}

#[test]
fn a_journal_that_cannot_be_written_says_so_and_catches_up() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (journal, purges, stream, _) = open(&disk, true);
    disk.set_broken(true);
    assert!(order(&journal, &purges, &stream, 1).wait(DEADLINE).is_err());
    assert!(block_on(order(&journal, &purges, &stream, 2)).is_err());
    assert!(journal.errors() > 0);
    disk.set_broken(false);
    block_on(order(&journal, &purges, &stream, 3)).expect("written");
    drop(journal);
    let (_, again, _, damaged) = open(&Arc::new(disk.after_kill(1)), false);
    assert!(!damaged);
    assert_eq!(again.len(), 3, "the refused ones too");
}

#[test]
fn a_journal_of_another_store_counts_as_damaged() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (journal, purges, stream, _) = open(&disk, true);
    order(&journal, &purges, &stream, 1)
        .wait(DEADLINE)
        .expect("written");
    drop(journal);
    disk.edit(FileName::Journal, |bytes| {
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55)
    });
    assert!(open(&disk, false).3);
}
