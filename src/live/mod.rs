//! Viewers: the hub that wakes them, and the wire forms they receive.

mod close;
mod envelope;
mod frame;
mod hub;
mod registry;
mod request;
mod rhythm;
mod sse;
mod step;
mod subscription;
mod tail;
mod viewer;
mod websocket;

pub(crate) use close::Close;
pub(crate) use hub::Hub;
pub(crate) use registry::{Entry, Visitor};
pub(crate) use request::parse_every;
pub(crate) use rhythm::Pace;
pub(crate) use sse::{Form, closing, stream};
pub(crate) use subscription::{Cursor, Follow};
pub(crate) use tail::Behind;
pub(crate) use websocket::{Socket, SocketLimits, turn_away};
