//! A relay between a client and kubeferry that writes down what the client says. Plain HTTP/1.1, on this machine.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// How long a connection may live.
const CONNECTION: Duration = Duration::from_secs(600);
/// How long a client may go on after the server has closed.
const LINGER: Duration = Duration::from_secs(5);
/// The most that is kept of one connection, in bytes.
const MAX_SAID: usize = 8 << 20;
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What was said on each connection.
type Said = Arc<Mutex<Vec<Vec<u8>>>>;

/// The relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    url: String,
    upstream: Arc<OnceLock<String>>,
    said: Said,
    serving: JoinHandle<()>,
}

/// One MCP message that a client sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The `mcp-protocol-version` header; none over stdio.
    pub header: Option<String>,
    /// The JSON-RPC message.
    pub message: Value,
}

/// How a client spoke: by its own words, not by what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoke {
    /// No `initialize`, and this revision in the `_meta` of every request.
    Stateless(String),
    /// `initialize` first; this revision in the header of what followed, over stdio the one that it asked for.
    Initialized(String),
}

impl Recorder {
    /// A relay to the server of `url`.
    ///
    /// # Errors
    /// When `url` is not `http://HOST:PORT/…`, or no port can be had.
    pub async fn before(url: &str) -> anyhow::Result<Self> {
        let recorder = Self::bind().await?;
        recorder.forward_to(url)?;
        Ok(recorder)
    }

    /// A relay whose server is not known yet; see [`Recorder::forward_to`].
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the port of a relay")?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let (upstream, said) = (Arc::new(OnceLock::new()), Said::default());
        let serving = tokio::spawn(serve(listener, Arc::clone(&upstream), Arc::clone(&said)));
        Ok(Self { url, upstream, said, serving })
    }

    /// Names the server, once.
    ///
    /// # Errors
    /// When `url` is not `http://HOST:PORT/…`, or the server is named already.
    pub fn forward_to(&self, url: &str) -> anyhow::Result<()> {
        let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = address.with_context(|| format!("{url} is no plain HTTP URL"))?;
        ensure!(self.upstream.set(address.to_owned()).is_ok(), "this relay has a server already");
        Ok(())
    }

    /// The URL for the client, `http://127.0.0.1:PORT/mcp`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Every bearer token that was shown, to look for in logs.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = said.iter().map(|connection| String::from_utf8_lossy(connection));
        let tokens = text.flat_map(|text| text.lines().filter_map(bearer).collect::<Vec<_>>());
        let tokens: std::collections::BTreeSet<String> = tokens.collect();
        tokens.into_iter().collect()
    }

    /// The messages so far, by connection.
    ///
    /// # Errors
    /// When something is not HTTP/1.1 with a `content-length`, or a body is no JSON.
    pub fn sent(&self) -> anyhow::Result<Vec<Sent>> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for connection in said.iter() {
            ensure!(connection.len() < MAX_SAID, "a client said more than {MAX_SAID} bytes");
            all.extend(requests(connection)?);
        }
        Ok(all)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sent {
    /// Messages of stdio, one per line.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn lines(said: &[u8]) -> anyhow::Result<Vec<Self>> {
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let messages = lines.map(|line| serde_json::from_slice(line).context("a line that is no JSON"));
        messages.map(|message| Ok(Self { header: None, message: message? })).collect()
    }

    /// How the calls among these messages were spoken.
    ///
    /// # Errors
    /// When none calls a tool, or they mix both generations.
    pub fn spoke(sent: &[Self]) -> anyhow::Result<Spoke> {
        let of = |method: &'static str| sent.iter().filter(move |sent| sent.message["method"] == method);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let call = of("tools/call").next().context("the client called no tool")?;
        let stated = text(&call.message["params"]["_meta"][VERSION]);
        let begun = of("initialize").next().map(|first| text(&first.message["params"]["protocolVersion"]));
        Ok(match (stated, begun) {
            (Some(revision), None) => {
                ensure!(call.header.as_ref().is_none_or(|header| *header == revision), "header and body disagree");
                Spoke::Stateless(revision)
            }
            (None, Some(asked)) => {
                Spoke::Initialized(call.header.clone().or(asked).context("`initialize` without a revision")?)
            }
            (stated, begun) => bail!("neither generation: a call says {stated:?}, `initialize` says {begun:?}"),
        })
    }
}

async fn serve(listener: TcpListener, upstream: Arc<OnceLock<String>>, said: Said) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            crate::poll::pause(Duration::from_millis(50)).await;
            continue;
        };
        // Before there is a server, a client finds a closed connection.
        let Some(upstream) = upstream.get().cloned() else { continue };
        let relaying = relay(client, upstream, Arc::clone(&said));
        connections.spawn(async move { drop(timeout(CONNECTION, relaying).await) });
    }
}

async fn relay(client: TcpStream, upstream: String, said: Said) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let mut recording = std::pin::pin!(record(from_client, to_server, &said));
    tokio::select! {
        recorded = &mut recording => return recorded,
        copied = tokio::io::copy(&mut from_server, &mut to_client) => copied?,
    };
    // A refusal may come before the body was read. What the client still says is for the record, and unread it would
    // reset the connection under the answer.
    to_client.shutdown().await?;
    timeout(LINGER, recording).await.unwrap_or(Ok(()))
}

async fn record(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, said: &Said) -> std::io::Result<()> {
    let index = {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(Vec::new());
        said.len() - 1
    };
    let mut chunk = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        if let Some(connection) = said.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            let room = MAX_SAID.saturating_sub(connection.len());
            connection.extend_from_slice(&chunk[..read.min(room)]);
        }
        // The server may have closed; the client's words are recorded all the same.
        drop(to.write_all(&chunk[..read]).await);
    }
}

/// The token in a line of a request.
fn bearer(line: &str) -> Option<String> {
    let (name, value) = line.split_once(": ")?;
    let token = value.strip_prefix("Bearer ").filter(|_| name.eq_ignore_ascii_case("authorization"))?;
    Some(token.trim().to_owned())
}

/// The messages of one connection. A request without a body holds none, and one that was refused before its body came
/// is the last.
fn requests(mut bytes: &[u8]) -> anyhow::Result<Vec<Sent>> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).context("a request that is no text")?;
        let header = |wanted: &str| {
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim().to_owned())
        };
        ensure!(header("transfer-encoding").is_none(), "a body in chunks");
        let length: usize =
            header("content-length").map_or(Ok(0), |length| length.parse()).context("content-length")?;
        let Some(body) = bytes.get(end + 4..end + 4 + length) else { break };
        if !body.is_empty() {
            let message = serde_json::from_slice(body).context("a body that is no JSON")?;
            all.push(Sent { header: header("mcp-protocol-version"), message });
        }
        bytes = &bytes[end + 4 + length..];
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn post(header: &str, body: &Value) -> String {
        let body = body.to_string();
        format!("POST /mcp HTTP/1.1\r\nHost: x\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn both_generations_are_told_apart() {
        let stateless = json!({"method": "tools/call", "params": {"_meta": {VERSION: "2026-07-28"}}});
        let said = post("Mcp-Protocol-Version: 2026-07-28\r\n", &stateless);
        let sent = requests(format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{said}").as_bytes()).unwrap();
        assert_eq!(Sent::spoke(&sent).unwrap(), Spoke::Stateless("2026-07-28".to_owned()));

        let first = json!({"method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
        let call = json!({"method": "tools/call", "params": {}});
        let said = post("", &first) + &post("mcp-protocol-version: 2025-06-18\r\n", &call);
        let sent = requests(said.as_bytes()).unwrap();
        assert_eq!(Sent::spoke(&sent).unwrap(), Spoke::Initialized("2025-06-18".to_owned()));
        let lines = Sent::lines(format!("{first}\n{call}\n").as_bytes()).unwrap();
        assert_eq!(Sent::spoke(&lines).unwrap(), Spoke::Initialized("2025-11-25".to_owned()));

        assert!(Sent::spoke(&Sent::lines(format!("{first}\n{stateless}\n").as_bytes()).unwrap()).is_err(), "both");
        assert!(Sent::spoke(&Sent::lines(format!("{call}\n").as_bytes()).unwrap()).is_err(), "neither");
        assert!(Sent::spoke(&[]).is_err(), "nothing");
        assert_eq!(requests(&said.as_bytes()[..said.len() - 1]).unwrap().len(), 1, "a call that was cut");
    }
}
