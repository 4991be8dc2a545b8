//! A stored head as the store sees it.

use farmgate_store::Head;

use crate::cache::meta::head::StoredHead;

impl Head for StoredHead {
    fn encode(&self, out: &mut Vec<u8>) {
        Self::encode(self, out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }

    fn weight(&self) -> usize {
        self.memory_bytes()
    }

    fn host(&self) -> u64 {
        self.meta.marks.host
    }

    fn url(&self) -> u64 {
        self.meta.marks.url
    }

    fn path(&self) -> &[u8] {
        let view = self.key.read();
        view.map_or(&[], |view| view.path.as_bytes())
    }

    fn tags(&self) -> &[u64] {
        &self.meta.marks.tags
    }
}
