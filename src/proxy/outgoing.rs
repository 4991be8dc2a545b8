//! What filters made of the response that goes out: a body of another length, or another body.

use bytes::Bytes;

/// Of one response.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// It comes out of the cache's store.
    pub stored: bool,
    /// What a filter made of its body.
    pub body: Body,
    /// What filters had left to say when trailers came instead of a last piece.
    pub tail: Option<Bytes>,
}

/// A body on its way.
#[derive(Debug, Default)]
pub enum Body {
    /// As it came.
    #[default]
    AsIs,
    /// Filters change its length piece by piece.
    Resized,
    /// This one goes out instead; none once it has. Filters of bodies do not see it, as they do not see our own.
    Replaced(Option<Bytes>),
}

impl Outgoing {
    /// The length of the body that goes out instead.
    pub fn own_length(&self) -> Option<usize> {
        match &self.body {
            Body::Replaced(body) => Some(body.as_ref().map_or(0, Bytes::len)),
            Body::AsIs | Body::Resized => None,
        }
    }

    /// The body that goes out instead, once.
    pub fn take_own(&mut self) -> Option<Bytes> {
        match &mut self.body {
            Body::Replaced(body) => body.take(),
            Body::AsIs | Body::Resized => None,
        }
    }
}
