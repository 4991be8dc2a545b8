//! Objects in memory with their head alone, whose body is read from disk as it is wanted.

use std::any::Any;
use std::sync::Arc;

use super::core::{Core, Shard};
use crate::disk::far::FarBody;
use crate::disk::far::chunk::Chunk;
use crate::head::Head;
use crate::index::Place;
use crate::object::{Body, Object};

impl<H: Head> Core<H> {
    /// All of a body has come: the object is one in memory from now on, unless the index knows better.
    pub(crate) fn body_came(&self, far: &Arc<FarBody>, chunks: Vec<Chunk>) {
        let (chunks, leases): (Vec<_>, Vec<_>) = chunks.into_iter().unzip();
        let body = Body::new(chunks);
        let object = self.bring_near(far, &body);
        if object.is_some() {
            // The object counts them from now on.
            leases.iter().for_each(|lease| lease.lock().resize(0));
        }
        far.end_gathering(object.map(|object| (body, object as Arc<dyn Any + Send + Sync>)));
        self.make_room();
    }

    fn bring_near(&self, far: &Arc<FarBody>, body: &Body) -> Option<Arc<Object<H>>> {
        let (shard, hash) = self.shard(far.hash);
        let mut shard = shard.write();
        // One whose newer head is on its way to the disk waits for that: it is noted by the object that is there.
        let entry = shard
            .table
            .get(hash)
            .filter(|entry| !entry.place().is_none())?;
        let place = entry.place();
        let head_only = entry
            .resident()
            .filter(|object| object.is_of(far))
            .cloned()?;
        let object = Object::new(
            (&self.budget, &self.counters),
            head_only.key.clone(),
            Arc::clone(&head_only.head),
            body.clone(),
            head_only.id,
            head_only.start,
            head_only.disk_uses,
        );
        if let Some(since_ms) = head_only.soft_ms() {
            object.expire(since_ms);
        }
        object.set_body_place(head_only.body_place());
        object.set_queued();
        head_only.set_dead();
        let replaced = shard.table.insert(hash, Arc::clone(&object), place);
        drop(shard);
        drop(replaced);
        Some(object)
    }

    /// A body cannot be read: the object is not found any more.
    pub(crate) fn body_lost(&self, far: &Arc<FarBody>) {
        let (shard, hash) = self.shard(far.hash);
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash) else {
            return;
        };
        let lost = match entry.resident() {
            Some(object) => object.is_of(far),
            None => entry.place() == far.place,
        };
        if lost {
            self.drop_entry(&mut shard, hash, far.hash);
        }
    }

    fn drop_entry(&self, shard: &mut Shard<H>, hash: u64, key: u128) {
        if let Some(object) = shard.table.get(hash).and_then(|entry| entry.resident()) {
            object.set_dead();
        }
        let gone = shard.table.remove(hash);
        self.note_recent(key);
        self.note_left(gone.as_ref());
    }

    /// An object, or its newer head, did not come to the disk: an older one there must not be found at the next start.
    /// One that has its body there alone is not found now either.
    pub(crate) fn not_written(&self, object: &Arc<Object<H>>) {
        if object.replaces_disk() {
            self.mark_gone(object.key.bytes());
        }
        if object.body.far().is_none() {
            return;
        }
        let (shard, hash) = self.shard(object.key.hash());
        let mut shard = shard.write();
        let resident = shard.table.get(hash).and_then(|entry| entry.resident());
        if resident.is_some_and(|resident| Arc::ptr_eq(resident, object)) {
            self.drop_entry(&mut shard, hash, object.key.hash());
        }
    }

    /// The segment of a body at `own` is reclaimed: an object of which only the head is in memory leaves it, so that no
    /// hit is given for what is gone. One whose newer head is on its way to the disk loses its only body.
    pub(crate) fn leave_far(&self, key: u128, own: Place) {
        let (shard, hash) = self.shard(key);
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash) else {
            return;
        };
        let object = entry
            .resident()
            .filter(|object| object.body.far().is_some());
        if object.is_none_or(|object| object.body_place() != own) {
            return;
        }
        if entry.place().is_none() {
            self.drop_entry(&mut shard, hash, key);
            return;
        }
        let far = shard.forget_far(hash);
        drop(shard);
        drop(far);
    }
}

impl<H: Head> Shard<H> {
    /// Lets an object go from memory that has only its head there.
    pub(super) fn forget_far(&mut self, hash: u64) -> Option<Arc<Object<H>>> {
        let object = self.table.get(hash)?.resident()?;
        object.body.far()?;
        object.set_dead();
        self.table.leave_memory(hash)
    }
}
