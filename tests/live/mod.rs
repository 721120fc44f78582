//! What viewers see: every message after their place, in order, once; or an explicit reset with a snapshot.

mod frames;
mod proxied;
mod replay;
mod streaming;
mod strength;
mod websocket;
