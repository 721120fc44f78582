//! What viewers see: every message after their place, in order, once; or an explicit reset with a snapshot.

mod conflation;
mod feeds;
mod frames;
mod proxied;
mod replay;
mod several;
mod slow;
mod streaming;
mod strength;
mod websocket;
