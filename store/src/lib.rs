//! The storage engine of Farmgate's cache: objects that are a head and a body, in memory and on disk, found by one
//! index. It knows no HTTP and no proxy: what a head is, its user says by [`Head`].
//!
//! ```text
//!   lookup ──► index (shards) ──► object in memory ──► slices, nothing copied
//!                 │    │
//!                 │    └────────► running fill ──────► readers stream behind its writer
//!                 └─────────────► place on disk ─────► read, verified, kept in memory; large ones as they are wanted
//!   begin ───► fill ──► finish ──► index, memory, disk writer
//!   purge ───► stamps ──► journal ──► acknowledged; compared with an object's start on every hit
//! ```
//!
//! README.md has the format on disk, the invariants, the budgets and what survives what.

mod budget;
mod counters;
pub mod disk;
mod fill;
mod hash;
mod head;
mod index;
mod keeper;
mod key;
mod object;
pub mod purge;
mod reader;
mod size;
mod stamp;
mod store;
#[cfg(test)]
mod support;

pub use counters::{Counters, Histogram};
pub use fill::{Fill, FillOptions, Finished, NotStored};
pub use hash::hash64;
pub use head::Head;
pub use key::Key;
pub use object::ObjectId;
pub use reader::{ReadError, Reader};
pub use stamp::Stamp;
pub use store::{
    DiskOptions, Hit, Limits, Lookup, OpenError, OpenOptions, Opened, Soft, Store, Tier,
};
