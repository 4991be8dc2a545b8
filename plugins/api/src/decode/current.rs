//! The value that is being decoded on this thread, for visitors that need more than serde gives
//! them: the place, the folder of the file, the text as written, the raw table.
//!
//! Decoding nests, so this is a stack; the decoder pushes a frame around each value. Outside a
//! decoder (a test that reads JSON, say) there is no frame and every answer is "unknown".

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::diagnostic::Place;
use super::error::DecodeError;
use super::source_file::SourceFile;
use super::table::Table;
use super::value::{Node, Span, Value};

/// What one run over a table shares.
pub(super) struct Run {
    pub(super) source: Arc<SourceFile>,
    /// Entries and items that were reported already and are passed over in the next run.
    pub(super) skipped: RefCell<BTreeSet<u32>>,
}

/// One value on the way down.
#[derive(Clone)]
struct Frame {
    run: Rc<Run>,
    span: Span,
    /// None while a key is decoded.
    node: Option<Node>,
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    /// An error that passes through a generic serde error on its way out.
    static STASH: RefCell<Option<DecodeError>> = const { RefCell::new(None) };
}

/// Pops its frame when dropped.
pub(super) struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        FRAMES.with_borrow_mut(|frames| frames.pop());
    }
}

/// Enters a value, or a key (no node).
pub(super) fn enter(run: &Rc<Run>, span: Span, node: Option<&Node>) -> Guard {
    let frame = Frame {
        run: Rc::clone(run),
        span,
        node: node.cloned(),
    };
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
    Guard(())
}

fn top<T>(read: impl FnOnce(&Frame) -> Option<T>) -> Option<T> {
    FRAMES.with_borrow(|frames| frames.last().and_then(read))
}

pub(super) fn run() -> Option<Rc<Run>> {
    top(|frame| Some(Rc::clone(&frame.run)))
}

pub(super) fn stash(error: DecodeError) {
    STASH.set(Some(error));
}

pub(super) fn take_stashed() -> Option<DecodeError> {
    STASH.take()
}

/// Where the value stands.
pub fn place() -> Option<Place> {
    top(|frame| Some(frame.run.source.place(frame.span.start)))
}

/// The folder relative paths of the value's file start at.
pub fn folder() -> Option<PathBuf> {
    top(|frame| Some(frame.run.source.folder().to_owned()))
}

/// A text as written, before `${NAME}` was replaced.
pub fn written() -> Option<Arc<str>> {
    top(|frame| match frame.node.as_ref()?.value {
        Value::Text { ref written, .. } => Some(Arc::clone(written)),
        _ => None,
    })
}

/// The value as a raw table.
pub fn table() -> Option<Table> {
    top(|frame| Table::of(Arc::clone(&frame.run.source), frame.node.as_ref()?))
}
