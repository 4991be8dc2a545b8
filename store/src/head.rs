//! What the engine asks of an object's head.

/// The head of an object: what its user wants beside the body (status, fields, freshness). Shared as it is by all
/// hits: nothing is decoded or copied per hit.
///
/// The four names below are what purges select by. They are hashes of [`crate::hash64`], except the path, which is
/// compared as bytes. They must not change while the object lives.
pub trait Head: Send + Sync + Sized + 'static {
    /// Appends the head as it stands on disk.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what [`Head::encode`] wrote, perhaps of another version; `None` makes it a miss.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Bytes of memory that the head occupies, with all it owns.
    fn weight(&self) -> usize;

    /// The host, for purges of a host.
    fn host(&self) -> u64;

    /// The whole URL without what belongs to the route, for purges of one URL with all its variants.
    fn url(&self) -> u64;

    /// The path, for purges by prefix.
    fn path(&self) -> &[u8];

    /// The tags, for purges by tag.
    fn tags(&self) -> &[u64];
}
