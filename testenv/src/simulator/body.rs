//! Bodies as they travel: whole, in drops, cut off, or followed by something.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::Notify;

/// What the simulator sends.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// A body before anything is done to it.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Cut>>;

/// Why an answer ends early: it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

/// How long bytes have to leave before the stream or connection goes: both throw away what they still hold.
const BEFORE_CUT: Duration = Duration::from_millis(50);

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// All of it at once.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(never).boxed_unsync()
}

/// The first `after` bytes, and then no more.
pub(super) fn cut(chunks: Chunks, after: usize) -> Body {
    let some = chunks.scan(after, |left, chunk| {
        let chunk = chunk.map(|chunk| chunk.slice(..chunk.len().min(*left)));
        *left -= chunk.as_ref().map_or(0, Bytes::len);
        let more = *left > 0;
        std::future::ready(Some((chunk, more)))
    });
    // Takes the chunk that fills the measure, and asks for none after it.
    let some = stream::unfold(Some(some.boxed()), |some| async {
        let mut some = some?;
        let (chunk, more) = some.next().await?;
        Some((chunk, more.then_some(some)))
    });
    let end = stream::once(async {
        crate::poll::pause(BEFORE_CUT).await;
        Err(Cut)
    });
    streamed(some.chain(end))
}

/// One byte every so often.
pub(super) fn drip(chunks: Chunks, every: Duration) -> Body {
    let bytes = chunks.flat_map(|chunk| {
        let bytes = chunk.unwrap_or_default();
        stream::iter(0..bytes.len()).map(move |at| bytes.slice(at..=at))
    });
    streamed(bytes.then(move |byte| async move {
        crate::poll::pause(every).await;
        Ok(byte)
    }))
}

/// All of it; `sent` is told when that is over.
pub(super) fn then_notify(chunks: Chunks, sent: Arc<Notify>) -> Body {
    let over = NotifyOnDrop(sent);
    streamed(chunks.map(move |chunk| {
        let _held = &over;
        chunk
    }))
}

/// Whatever comes, as it comes.
pub(super) fn streamed(chunks: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static) -> Body {
    StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn never(error: Infallible) -> Cut {
    match error {}
}
