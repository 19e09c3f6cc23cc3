//! HTTP as it is on the wire: for requests that no MCP client sends, and for answers before MCP begins.

use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::pki;

/// Time for one request and its answer.
const DEADLINE: Duration = Duration::from_secs(90);
/// The revision that [`tools_call`] speaks.
const REVISION: &str = "2026-07-28";

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// A header's value; empty when it is absent or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; also that of the first event of an event stream.
    ///
    /// # Errors
    /// When it is neither; with the body.
    pub fn json(&self) -> anyhow::Result<Value> {
        let event =
            self.text.lines().filter_map(|line| line.strip_prefix("data:")).find(|data| !data.trim().is_empty());
        serde_json::from_str(event.unwrap_or(&self.text)).with_context(|| format!("no JSON: {}", self.text))
    }
}

/// A client without proxies and redirects.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn client() -> anyhow::Result<reqwest::Client> {
    pki::install_provider();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.build().context("building an HTTP client")
}

/// Posts `body` with a bearer token and the headers that every MCP client sends. `headers` replace those,
/// but an `authorization` among them stands beside the token.
///
/// # Errors
/// When there is no answer within 90 s.
pub async fn post(url: &str, token: Option<&str>, headers: &[(&str, &str)], body: String) -> anyhow::Result<Reply> {
    let request = client()?.post(url).timeout(DEADLINE).body(body);
    let mut all = HeaderMap::new();
    let usual = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    for (name, value) in usual {
        all.insert(name, http::HeaderValue::from_static(value));
    }
    for (name, value) in headers {
        all.insert(http::HeaderName::try_from(*name)?, http::HeaderValue::try_from(*value)?);
    }
    if let Some(token) = token {
        // Beside one that `headers` may hold: two credentials are a case of their own.
        all.append(http::header::AUTHORIZATION, format!("Bearer {token}").try_into()?);
    }
    answer(request.headers(all)).await
}

/// Gets `url`.
///
/// # Errors
/// When there is no answer within 90 s.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> anyhow::Result<Reply> {
    let mut request = client()?.get(url).timeout(DEADLINE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request).await
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Reply> {
    let response = request.send().await.context("sending a request")?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Reply { status, headers, text: response.text().await.context("reading an answer")? })
}

/// One `tools/call` of revision 2026-07-28, which needs nothing before it.
///
/// # Errors
/// As [`post`].
pub async fn tools_call(url: &str, token: Option<&str>, tool: &str, arguments: Value) -> anyhow::Result<Reply> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let headers = [("mcp-protocol-version", REVISION), ("mcp-method", "tools/call"), ("mcp-name", tool)];
    post(url, token, &headers, body.to_string()).await
}
