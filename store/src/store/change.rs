//! What changes the objects of a store: fills that end, new heads, staleness, removal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use crate::counters::{count, count_by};
use crate::fill::flow::Flow;
use crate::head::Head;
use crate::index::Place;
use crate::key::Key;
use crate::object::{Object, ObjectId};
use crate::stamp::Stamp;

impl<H: Head> Core<H> {
    /// Puts a filled object into the index, unless one that began later is there. The fill is not running any more.
    pub(crate) fn insert_filled(&self, flow: &Arc<Flow<H>>, object: &Arc<Object<H>>) -> bool {
        let (shard, hash) = self.shard(object.key.hash());
        let mut shard = shard.write();
        let entry = shard.table.get(hash);
        let stored = entry.and_then(|entry| entry.resident());
        if flow.is_overtaken()
            || stored.is_some_and(|stored| stored.key == object.key && stored.start > object.start)
        {
            return false;
        }
        // The older one may lie on disk, or be on its way there.
        let on_disk = entry.is_some_and(|entry| !entry.place().is_none());
        if on_disk
            || stored.is_some_and(|stored| stored.touches_disk())
            || self.recovering.load(Ordering::Acquire) > 0
        {
            object.set_replaces_disk();
        }
        if let Some(stored) = stored {
            stored.set_dead();
        }
        shard.remove_running(flow);
        // What is on disk only has no stamp here; so the running fills remember.
        for other in shard.running.get(&object.key.hash()).into_iter().flatten() {
            if other.start < object.start && other.key == object.key {
                other.set_overtaken();
            }
        }
        // Without a place: whatever becomes of the new one, the old one is not found on disk any more.
        let replaced = shard.table.insert(hash, Arc::clone(object), Place::NONE);
        self.note_recent(object.key.hash());
        self.count_index(&mut shard);
        drop(shard);
        count_by(
            &self.counters.evicted_replaced,
            usize::from(replaced.is_some()),
        );
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
        self.to_disk(object);
        true
    }

    /// An object for which there is a newer one on disk already, or that needs no second use, goes there at once.
    fn to_disk(&self, object: &Arc<Object<H>>) {
        if self.disks.is_empty() {
            return;
        }
        let (uses, replaces) = (object.disk_uses, object.replaces_disk());
        if uses == 1 || (uses > 1 && replaces) {
            self.admit(object);
        } else if replaces {
            self.mark_gone(object.key.bytes());
        } else if uses > 1 {
            count(&self.counters.disk_not_admitted);
        }
    }

    pub(crate) fn update_head(&self, key: &Key, id: ObjectId, head: H, start: Stamp) -> bool {
        let fits = |old: &Object<H>| old.key == *key && old.id == id && old.start <= start;
        let done = self.change(key, fits, |old| {
            let (key, body) = (old.key.clone(), old.body.clone());
            Object::new(
                (&self.budget, &self.counters),
                key,
                Arc::new(head),
                body,
                id,
                start,
                old.disk_uses,
            )
        });
        if done {
            count(&self.counters.heads_updated);
        }
        done
    }

    pub(crate) fn expire(&self, key: &Key, now_ms: u64) -> bool {
        self.change(
            key,
            |old| old.key == *key,
            |old| {
                let (key, head, body) = (old.key.clone(), Arc::clone(&old.head), old.body.clone());
                let object = Object::new(
                    (&self.budget, &self.counters),
                    key,
                    head,
                    body,
                    old.id,
                    old.start,
                    old.disk_uses,
                );
                object.expire(now_ms);
                object
            },
        )
    }

    /// Puts another object with the same body in the place of one in memory, and its head on disk.
    fn change(
        &self,
        key: &Key,
        fits: impl Fn(&Object<H>) -> bool,
        make: impl FnOnce(&Object<H>) -> Arc<Object<H>>,
    ) -> bool {
        let (shard, hash) = self.shard(key.hash());
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash) else {
            return false;
        };
        let on_disk = !entry.place().is_none();
        let Some(old) = entry.resident().filter(|old| fits(old)).cloned() else {
            return false;
        };
        let object = make(&old);
        old.set_dead();
        let body = old.body_place();
        if on_disk || old.touches_disk() {
            object.set_replaces_disk();
        }
        object.set_body_place(body);
        let replaced = shard.table.insert(hash, Arc::clone(&object), Place::NONE);
        self.note_recent(key.hash());
        drop(shard);
        drop(replaced);
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
        if !self.disks.is_empty() {
            self.write_head(&object, if on_disk { body } else { Place::NONE });
        }
        self.make_room();
        true
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<ObjectId> {
        let (shard, hash) = self.shard(key.hash());
        let mut shard = shard.write();
        for flow in shard
            .running
            .get(&key.hash())
            .into_iter()
            .flatten()
            .filter(|flow| flow.key == *key)
        {
            flow.set_overtaken();
        }
        let entry = shard.table.get(hash)?;
        let resident = entry.resident().cloned();
        // One that lies on disk only cannot be compared; a collision costs an object that is fetched again.
        if resident.as_ref().is_some_and(|object| object.key != *key) {
            return None;
        }
        let on_disk = !entry.place().is_none()
            || resident
                .as_ref()
                .is_some_and(|object| object.touches_disk());
        if let Some(object) = &resident {
            object.set_dead();
        }
        let removed = shard.table.remove(hash);
        self.note_recent(key.hash());
        drop(shard);
        self.note_left(removed.as_ref());
        if on_disk || self.recovering.load(Ordering::Acquire) > 0 {
            self.mark_gone(key.bytes());
        }
        count(&self.counters.evicted_removed);
        Some(resident.map_or(ObjectId(0), |object| object.id))
    }

    /// Counts what left the index.
    pub(super) fn note_left(&self, gone: Option<&(Option<Arc<Object<H>>>, Place)>) {
        let on_disk = gone.is_some_and(|(_, place)| !place.is_none());
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
    }
}
