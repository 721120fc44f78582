//! Bodies of answers: whole ones, and those that never end well. All are made while they are read.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

/// A body that may break off.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// What a huge body unpacks to.
const HUGE_BYTES: usize = 10_000_000_000;
/// What is repeated for it.
const BLOCK: usize = 1 << 18;
/// Between two bytes of a slow body.
const SLOW_BEAT: Duration = Duration::from_secs(1);

/// All of it.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))))
}

/// Its first half; then the connection breaks.
pub(super) fn cut(bytes: &Bytes) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    streamed(stream::iter([Ok(half)]).chain(stream::once(async {
        // The half is sent before the end is noticed.
        tokio::task::yield_now().await;
        Err(io::Error::other("the fault `cut`"))
    })))
}

/// A byte a second.
pub(super) fn slow(bytes: Bytes) -> Body {
    streamed(stream::unfold((0, bytes), |(at, bytes)| async move {
        if at >= bytes.len() {
            return None;
        }
        tokio::time::sleep(SLOW_BEAT).await;
        Some((Ok(bytes.slice(at..=at)), (at + 1, bytes)))
    }))
}

/// 10 GB of spaces before a value: JSON, if anybody read to its end.
pub(super) fn huge() -> Body {
    let block = Bytes::from(vec![b' '; BLOCK]);
    let blocks = stream::repeat(block).take(HUGE_BYTES.div_ceil(BLOCK));
    streamed(blocks.chain(stream::once(async { Bytes::from_static(b"1") })).map(Ok))
}

/// The same, packed.
pub(super) fn huge_gzip() -> Body {
    let packer = GzEncoder::new(Vec::new(), Compression::default());
    streamed(stream::try_unfold((Some(packer), 0), |(packer, packed)| async move {
        let Some(mut packer) = packer else { return Ok(None) };
        if packed >= HUGE_BYTES {
            packer.write_all(b"1")?;
            return Ok(Some((Bytes::from(packer.finish()?), (None, packed))));
        }
        packer.write_all(&[b' '; BLOCK])?;
        let made = std::mem::take(packer.get_mut());
        Ok(Some((Bytes::from(made), (Some(packer), packed + BLOCK))))
    }))
}

/// Packed.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes)?;
    packer.finish().map(Bytes::from)
}
