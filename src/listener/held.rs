//! An accepted connection's stream, with everything that must last as long as it does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admission::Admitted;

/// A stream that gives up on a peer that takes nothing.
///
/// Its place among the connections goes with it: an upgraded stream lives on after HTTP has ended, and still counts
/// against the caps and among what a stop waits for.
pub(super) struct Held<S> {
    stream: Pin<Box<TimeoutStream<S>>>,
    _admitted: Admitted,
    _awaited: TaskTrackerToken,
}

impl<S: AsyncRead + AsyncWrite> Held<S> {
    /// Holds a stream whose peer may take nothing for `write_timeout` at most.
    pub(super) fn new(stream: S, write_timeout: Duration, admitted: Admitted, awaited: TaskTrackerToken) -> Self {
        let mut stream = TimeoutStream::new(stream);
        // A body is not polled while its connection takes nothing, so the connection itself must give up.
        stream.set_write_timeout(Some(write_timeout));
        Self { stream: Box::pin(stream), _admitted: admitted, _awaited: awaited }
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}
