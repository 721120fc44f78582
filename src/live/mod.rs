//! Connected viewers: the hub that fans topics out, a viewer's place in its topic, and the wire form of SSE.

mod hub;
mod sse;
mod tail;
mod viewer;

pub(crate) use hub::{Cursor, Hub};
pub(crate) use sse::stream;
