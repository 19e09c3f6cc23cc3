//! One connection of the load generator to one server, and the words of the protocol that it speaks.
//!
//! kubeferry is spoken to in revision 2026-07-28: each POST stands alone. The peer needs `initialize` first and a session.
//! An API server is asked directly, over TLS and HTTP/2, as kubeferry does it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Time for one request and its whole answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// The largest answer that is read: the peer shows 10,000 pods in about 5 MB.
const MAX_ANSWER: usize = 64 << 20;
const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-06-18";
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// What kubeferry asks for: the server's own table, without the objects.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Where a server is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its address.
    pub address: SocketAddr,
    /// The protocol.
    pub speaks: Speaks,
}

/// A protocol.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// The Kubernetes API over TLS and HTTP/2.
    Kubernetes(Arc<rustls::ClientConfig>),
    /// MCP 2026-07-28 on `/mcp`: no state.
    Stateless,
    /// MCP 2025-06-18 on `/mcp`, with `initialize` and a session.
    Session,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A GET of this path at an API server, as a table.
    Get(String),
    /// `tools/list`.
    ToolsList,
    /// `tools/call` of this tool with these arguments.
    Call(&'static str, Value),
}

/// A request that needs only a token to be sent; cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The value of an `Authorization` header.
///
/// # Errors
/// When the token is no header value.
pub fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).context("a token that is no header")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Door {
    /// The request for `ask` in this door's protocol.
    #[must_use]
    pub fn prepare(&self, ask: &Ask) -> Prepared {
        let (method, tool, params) = match ask {
            Ask::Get(path) => {
                let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(TABLE))]);
                return Prepared { method: Method::GET, path: path.clone(), headers, body: Bytes::new() };
            }
            Ask::ToolsList => ("tools/list", None, json!({})),
            Ask::Call(tool, arguments) => ("tools/call", Some(*tool), json!({"name": tool, "arguments": arguments})),
        };
        self.post(method, tool, params, true)
    }

    fn post(&self, method: &'static str, tool: Option<&'static str>, mut params: Value, answered: bool) -> Prepared {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if matches!(self.speaks, Speaks::Stateless) {
            headers.insert(REVISION, HeaderValue::from_static(MODERN));
            headers.insert(HeaderName::from_static("mcp-method"), HeaderValue::from_static(method));
            if let Some(tool) = tool {
                headers.insert(HeaderName::from_static("mcp-name"), HeaderValue::from_static(tool));
            }
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        } else {
            headers.insert(REVISION, HeaderValue::from_static(LEGACY));
        }
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if answered {
            message["id"] = 1.into();
        }
        Prepared { method: Method::POST, path: "/mcp".to_owned(), headers, body: message.to_string().into() }
    }

    /// Connects, and does what the protocol wants before the first call.
    ///
    /// # Errors
    /// When that fails or takes more than a minute.
    pub async fn open(&self, token: &HeaderValue) -> anyhow::Result<Connection> {
        let opened = timeout(DEADLINE, async {
            let stream = TcpStream::connect(self.address).await.context("connecting")?;
            stream.set_nodelay(true)?;
            let sender = match &self.speaks {
                Speaks::Kubernetes(tls) => {
                    let name = ServerName::from(self.address.ip());
                    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.context("TLS")?;
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    Sender::Two(sender)
                }
                Speaks::Stateless | Speaks::Session => {
                    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    Sender::One(sender)
                }
            };
            let mut connection = Connection { sender, address: self.address, session: None };
            if matches!(self.speaks, Speaks::Session) {
                connection.initialize(self, token).await?;
            }
            Ok(connection)
        });
        opened.await.with_context(|| format!("opening {} took too long", self.address))?
    }
}

/// An open connection; it closes when this is dropped.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    address: SocketAddr,
    session: Option<HeaderValue>,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Sends a request and reads the whole answer, which must be 2xx.
    ///
    /// # Errors
    /// Otherwise, with the beginning of the answer; and after a minute.
    pub async fn ask(&mut self, request: &Prepared, token: &HeaderValue) -> anyhow::Result<Bytes> {
        let answered = timeout(DEADLINE, async {
            let response = self.send(request, token).await?;
            body(response).await
        });
        answered.await.context("no answer within a minute")?
    }

    async fn send(&mut self, request: &Prepared, token: &HeaderValue) -> anyhow::Result<Response<Incoming>> {
        let mut sent = Request::new(Full::new(request.body.clone()));
        *sent.method_mut() = request.method.clone();
        *sent.headers_mut() = request.headers.clone();
        sent.headers_mut().insert(AUTHORIZATION, token.clone());
        if let Some(session) = &self.session {
            sent.headers_mut().insert(SESSION, session.clone());
        }
        Ok(match &mut self.sender {
            Sender::One(sender) => {
                sent.headers_mut().insert(HOST, HeaderValue::try_from(self.address.to_string())?);
                *sent.uri_mut() = request.path.parse()?;
                sender.ready().await?;
                sender.send_request(sent).await?
            }
            Sender::Two(sender) => {
                *sent.uri_mut() = format!("https://{}{}", self.address, request.path).parse()?;
                sender.ready().await?;
                sender.send_request(sent).await?
            }
        })
    }

    /// The handshake of the older revisions.
    async fn initialize(&mut self, door: &Door, token: &HeaderValue) -> anyhow::Result<()> {
        let params =
            json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}});
        let response = self.send(&door.post("initialize", None, params, true), token).await?;
        self.session = response.headers().get(SESSION).cloned();
        body(response).await.context("initialize")?;
        ensure!(self.session.is_some(), "initialize gave no session");
        self.ask(&door.post("notifications/initialized", None, json!({}), false), token).await?;
        Ok(())
    }
}

async fn body(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("reading an answer: {error}"))?.to_bytes();
    if !status.is_success() {
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        bail!("status {status}: {shown}");
    }
    Ok(body)
}
