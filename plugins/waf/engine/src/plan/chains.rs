//! The lists of transformations of all rules as one tree: lists that begin alike share their beginning.

use crate::transform::Transformation;

/// The root: the value as it is.
pub(crate) const ROOT: u16 = 0;

/// A step of the tree. Parents stand before their children.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: u16,
    pub(crate) transformation: Option<Transformation>,
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Chains {
    nodes: Vec<Node>,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node {
                parent: ROOT,
                transformation: None,
            }],
        }
    }

    /// The node of a list, made if there is none; `None` when the tree has 65,536 nodes.
    pub(crate) fn intern(&mut self, list: &[Transformation]) -> Option<u16> {
        let mut at = ROOT;
        for &transformation in list {
            let found = self
                .nodes
                .iter()
                .position(|node| node.parent == at && node.transformation == Some(transformation));
            at = match found {
                Some(found) => u16::try_from(found).ok()?,
                None => {
                    let new = u16::try_from(self.nodes.len()).ok()?;
                    self.nodes.push(Node {
                        parent: at,
                        transformation: Some(transformation),
                    });
                    new
                }
            };
        }
        Some(at)
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes from the root (left out) to this one.
    pub(crate) fn path(&self, mut node: u16) -> Vec<u16> {
        let mut path = Vec::new();
        while node != ROOT {
            path.push(node);
            node = self
                .nodes
                .get(usize::from(node))
                .map_or(ROOT, |node| node.parent);
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::{Chains, ROOT};
    use crate::transform::Transformation::{Lowercase, RemoveNulls, UrlDecodeUni};

    #[test]
    fn lists_share_their_beginnings() {
        let mut chains = Chains::new();
        assert_eq!(chains.intern(&[]), Some(ROOT));
        let url = chains.intern(&[UrlDecodeUni]).unwrap();
        let both = chains.intern(&[UrlDecodeUni, Lowercase]).unwrap();
        let other = chains.intern(&[Lowercase, RemoveNulls]).unwrap();
        assert_eq!(chains.intern(&[UrlDecodeUni, Lowercase]), Some(both));
        assert_eq!(chains.path(both), [url, both]);
        assert_eq!(chains.nodes().len(), 5);
        assert_ne!(both, other);
    }
}
