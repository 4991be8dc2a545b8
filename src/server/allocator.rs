//! The allocator of the process, where it is told something.

use tikv_jemalloc_ctl::{Access, AsName, Error, arenas, background_thread};

/// Gives what was freed back to the system now, instead of over ten seconds: another process is about to use it.
pub fn give_back() {
    if let Err(error) = decay() {
        log::debug!("freed memory goes back to the system only in a while: {error}");
    }
}

/// With no time at all, what an arena holds freed goes as soon as that is set (jemalloc(3), `arena.<i>.dirty_decay_ms`).
fn decay() -> Result<(), Error> {
    for arena in 0..arenas::narenas::read()? {
        let text = format!("arena.{arena}.dirty_decay_ms\0");
        let name = text.name();
        let ms: Result<isize, Error> = name.read();
        // An arena that no thread has used yet is none.
        if let Ok(ms) = ms {
            name.write(0_isize)?;
            name.write(ms)?;
        }
    }
    Ok(())
}

/// Freed memory goes back to the system while something else is asked for. For a process of which hardly anything is
/// asked any more, the allocator does it in a thread of its own (jemalloc(3), `background_thread`).
pub fn give_back_by_itself() {
    if let Err(error) = background_thread::write(true) {
        log::debug!("freed memory goes back to the system only as it comes: {error}");
    }
}
