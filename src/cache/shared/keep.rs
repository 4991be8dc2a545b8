//! Keeping: a fill at the place of its variant, and the list of variants at the key.

use farmgate_store::{FillOptions, Finished, Stamp};
use http::{HeaderMap, StatusCode};

use super::compress::Wanted;
use super::{Fill, Place, SharedCache};
use crate::cache::key::Key;
use crate::cache::meta::Meta;
use crate::cache::meta::head::{MOST_VARIANTS, StoredHead, Variants};
use crate::cache::storable::Refusal;
use crate::cache::vary::{Variance, Vary, VaryRules};

/// How a response is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// The client's fields, by which its variant is told.
    pub fields: &'a HeaderMap,
    /// The policy's choices about variants.
    pub rules: &'a VaryRules,
    /// When the origin was asked.
    pub start: Stamp,
    /// Bytes of the body, where the origin said it.
    pub length: Option<u64>,
    /// Most bytes of a body.
    pub most_bytes: u64,
    /// Uses, this one counted, before it is put on disk; 0: never.
    pub disk_uses: u8,
}

impl SharedCache {
    /// Begins to keep a response; gives its place too.
    ///
    /// # Errors
    /// Its Vary names more than can be told apart.
    pub async fn keep(&self, head: StoredHead, keep: &Keep<'_>) -> Result<(Fill, Place), Refusal> {
        let place = self.place(&head.key, &head.meta.vary, keep).await?;
        let store = self.store();
        let fill = store.begin(
            store.key(&place.primary.0, place.variance()),
            head,
            FillOptions {
                start: keep.start,
                length: keep.length,
                max_bytes: keep.most_bytes,
                disk_uses: keep.disk_uses,
            },
        );
        Ok((fill, place))
    }

    /// Finds the place of a response, and notes it in the list of its key's variants.
    ///
    /// Responses of one key may name different fields in Vary. All are told apart by all of these fields: that is
    /// never too few, and one list of names serves every lookup.
    async fn place(&self, key: &Key, vary: &Vary, keep: &Keep<'_>) -> Result<Place, Refusal> {
        let root = Place::root(key.hash);
        let known = self.at(&root).await;
        let known = known
            .as_ref()
            .map(|found| found.hit.head())
            .filter(|head| head.key.text == key.text)
            .and_then(|head| Some((&head.meta.vary, head.variants.as_deref()?)));
        let (names, mut list) = match known {
            None if vary.is_empty() => return Ok(root),
            Some((names, list)) if names.holds(vary) => (names.clone(), list.clone()),
            known => {
                let names = match known {
                    None => vary.clone(),
                    Some((names, _)) => names.joined(vary).ok_or(Refusal::VaryMany)?,
                };
                (names, Variants::default())
            }
        };
        let variance = names.variance(keep.fields, keep.rules);
        let listed = list.known.contains(&variance);
        if !listed {
            // The oldest goes: else whoever came first with invented values would keep the others out.
            while !keep.rules.admits(list.known.len()) || list.known.len() >= MOST_VARIANTS {
                if list.known.is_empty() {
                    return Err(Refusal::VaryMany);
                }
                let oldest = list.known.remove(0);
                let store = self.store();
                let key = store.key(&root.primary.0, &list.place(&oldest));
                store.remove(&key);
            }
            self.list(key, names, &mut list, variance, keep);
        }
        Ok(Place {
            primary: key.hash,
            variant: Some(list.place(&variance)),
        })
    }

    /// Writes the list with one variant more. Two that do so at once may lose one of the two from the list, not from
    /// the store: the bound of variants is then missed by one.
    fn list(
        &self,
        key: &Key,
        names: Vary,
        list: &mut Variants,
        variance: Variance,
        keep: &Keep<'_>,
    ) {
        if list.known.is_empty() && list.nonce == 0 {
            list.nonce = keep.start.bits().max(1);
        }
        list.known.push(variance);
        let Some(view) = key.read() else { return };
        let head = StoredHead {
            meta: Meta {
                vary: names,
                marks: crate::cache::purge::Marks::of(&view, Vec::new()),
                ..Meta::default()
            },
            status: StatusCode::OK,
            fields: HeaderMap::new(),
            key: key.clone(),
            variants: Some(Box::new(list.clone())),
            wanted: Wanted::default(),
        };
        let store = self.store();
        let fill = store.begin(
            store.key(&key.hash.0, &[]),
            head,
            FillOptions {
                start: store.start(),
                length: Some(0),
                max_bytes: 0,
                disk_uses: keep.disk_uses,
            },
        );
        match fill.finish() {
            Finished::Stored(_) => {}
            other => log::debug!("the list of variants of a key is not kept: {other:?}"),
        }
    }
}
