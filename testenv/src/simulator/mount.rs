//! What a kcp shard does with a request below a mount: it sends it on, credential and all, before looking at it.
//!
//! The real one does the same (TLS unverified, every header verbatim), which is why nobody should send a
//! credential to a reference that might be a mount. Tests prove that with this.

use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use super::reply::{Reply, bytes_reply};
use super::request::Call;

const DEADLINE: Duration = Duration::from_secs(10);
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The client side of all mounts.
pub(super) struct Forwarder {
    client: reqwest::Client,
}

impl Forwarder {
    pub(super) fn new() -> anyhow::Result<Self> {
        crate::pki::install_provider();
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .http1_only()
            .build()
            .context("build the client for mounts")?;
        Ok(Self { client })
    }

    /// The answer of `url` to the rest of the path, or an empty 502.
    pub(super) async fn forward(&self, url: &str, call: &Call) -> Reply {
        match self.send(url, call).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!("mount target: {error:#}");
                let mut reply = bytes_reply(StatusCode::BAD_GATEWAY, "text/plain", Bytes::new());
                reply.headers_mut().remove(CONTENT_TYPE);
                reply
            }
        }
    }

    async fn send(&self, url: &str, call: &Call) -> anyhow::Result<Reply> {
        let mut target = url::Url::parse(&format!("{}{}", url.trim_end_matches('/'), call.path))
            .context("read the URL of a mount")?;
        if !call.query.is_empty() {
            target.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut headers = call.headers.clone();
        for of_this_connection in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(of_this_connection);
        }
        let mut answer =
            self.client.request(call.method.clone(), target).headers(headers).body(call.body.clone()).send().await?;
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = answer.status();
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            reply.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= BODY_LIMIT, "the answer is too large");
            body.extend_from_slice(&chunk);
        }
        *reply.body_mut() = body.freeze();
        Ok(reply)
    }
}
