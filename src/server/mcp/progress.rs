//! `notifications/progress` for a call whose client sent a `progressToken`.
//!
//! rmcp answers with one JSON document unless something is sent before the answer: then the answer is an event stream. So
//! a call without a token, and one that is over before its first step, stay one document, whose status hop 1 can still
//! change. The credential is obtained before any tool runs, so before any step.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use rmcp::{RoleServer, ServiceError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::output::{Progress, Step, Steps, scrub_text};
use crate::server::rescue::one_line;

/// Characters of a message.
const MESSAGE_CHARS: usize = 200;
/// Time for the last step to leave before the answer; a client that takes nothing gets no answer either.
const FLUSH: Duration = Duration::from_secs(1);

/// A client that wants to know.
pub(super) struct Listener {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    steps: Steps,
}

/// Where a call reports to, and who listens there, if the client asked.
pub(super) fn wanted(cx: &RequestContext<RoleServer>) -> (Progress, Option<Listener>) {
    let Some(token) = cx.meta.get_progress_token() else { return (Progress::default(), None) };
    let (progress, steps) = Progress::heard();
    (progress, Some(Listener { peer: cx.peer.clone(), token, steps }))
}

/// Does `work`, and meanwhile tells the listener about it. The last step has left when this returns.
pub(super) async fn telling<T>(listener: Option<Listener>, work: impl Future<Output = T>) -> T {
    let Some(listener) = listener else { return work.await };
    let over = CancellationToken::new();
    let (mut work, mut telling) = (pin!(work), pin!(listener.tell(&over)));
    let ended = tokio::select! {
        biased;
        ended = &mut work => ended,
        // The client takes no more.
        () = &mut telling => return work.await,
    };
    over.cancel();
    if timeout(FLUSH, telling).await.is_err() {
        tracing::debug!("a client does not take its progress");
    }
    ended
}

impl Listener {
    /// Sends steps until `over`; then the last one, if others were sent before it.
    async fn tell(mut self, over: &CancellationToken) {
        let mut begun = false;
        loop {
            let step = tokio::select! {
                biased;
                () = over.cancelled() => break,
                step = self.steps.next() => step,
            };
            if self.send(step).await.is_err() {
                return;
            }
            begun = true;
        }
        if let Some(step) = self.steps.rest().filter(|_| begun)
            && let Err(error) = self.send(step).await
        {
            tracing::debug!(%error, "the last progress was not sent");
        }
    }

    /// Returns when the transport has taken it, so that nothing overtakes it.
    async fn send(&self, Step { done, total, message }: Step) -> Result<(), ServiceError> {
        let mut said = ProgressNotificationParam::new(self.token.clone(), done as f64);
        said.total = total.map(|total| total as f64);
        said.message = Some(one_line(&scrub_text(&message), MESSAGE_CHARS)).filter(|message| !message.is_empty());
        self.peer.notify_progress(said).await
    }
}
