//! Turning viewers away for now.
//!
//! A browser's `EventSource` gives up for ever on any answer but 200. So a stream that there is no room for is
//! answered well, told when to come back, and ended.

use std::time::Duration;

use super::{Response, event_stream};
use crate::live::{self, Close};

/// The least a client waits: less would only bring it back too early.
const SHORTEST: Duration = Duration::from_secs(1);
/// Over how much longer those who were turned away at once are spread.
const SPREAD: Duration = Duration::from_secs(9);

/// A stream that ends at once; its client comes back after `wait`, or somewhat later.
///
/// `why` is a line for people; programs read the event `close`.
pub(super) fn shed(why: &str, wait: Duration) -> Response {
    let wait = wait.max(SHORTEST) + SPREAD.mul_f64(rand::random());
    let body = live::closing(Close::TryLater, why, wait);
    event_stream(futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]))
}
