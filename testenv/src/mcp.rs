//! **Clients**: rmcp's client in both generations of the protocol, over HTTP and over stdio, and [`raw`] HTTP for what
//! no client sends.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam,
    ProtocolVersion, ServerPeerInfo, Tool,
};
use rmcp::service::{ClientServiceExt, NotificationContext, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient, ServiceError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;

use crate::ferry;

pub mod raw;

/// Time for the handshake, and for `tools/list`.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Time for one call: longer than any deadline of the program.
const CALL: Duration = Duration::from_secs(90);
/// What is kept of a child's standard error, in bytes.
const MAX_LOG: usize = 16 << 20;

/// A generation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Revision 2026-07-28: `server/discover`, no sessions, each request stands alone.
    Modern,
    /// Revision 2025-11-25: begins with `initialize`.
    Legacy,
}

impl Era {
    /// Both, newest first.
    pub const BOTH: [Self; 2] = [Self::Modern, Self::Legacy];

    fn version(self) -> ProtocolVersion {
        match self {
            Self::Modern => ProtocolVersion::V_2026_07_28,
            Self::Legacy => ProtocolVersion::V_2025_11_25,
        }
    }

    fn lifecycle(self) -> rmcp::service::ClientLifecycleMode {
        match self {
            Self::Modern => rmcp::service::ClientLifecycleMode::Discover { preferred_versions: vec![self.version()] },
            Self::Legacy => rmcp::service::ClientLifecycleMode::Initialize,
        }
    }
}

/// A connected MCP client.
#[derive(Debug)]
pub struct Client {
    running: RunningService<RoleClient, Listener>,
    steps: Steps,
    log: Option<Arc<Mutex<Vec<u8>>>>,
    _home: Option<TempDir>,
}

type Steps = Arc<Mutex<Vec<Progress>>>;

/// What `notifications/progress` said.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How far it is.
    pub progress: f64,
    /// Of how much, where it said so.
    pub total: Option<f64>,
    /// The words to it; empty without.
    pub message: String,
}

/// rmcp's side of a [`Client`]: writes down what comes beside answers.
#[derive(Debug)]
struct Listener {
    info: ClientConfig,
    steps: Steps,
}

impl Listener {
    fn new(era: Era) -> (Self, Steps) {
        let steps = Steps::default();
        let info = ClientConfig::new(ClientCapabilities::default(), Implementation::new("kubeferry-testenv", "1"))
            .with_protocol_version(era.version());
        (Self { info, steps: Arc::clone(&steps) }, steps)
    }
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        self.info.clone()
    }

    async fn on_progress(&self, said: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let step = Progress { progress: said.progress, total: said.total, message: said.message.unwrap_or_default() };
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }
}

/// The result of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// All text blocks, joined.
    pub text: String,
    /// `structuredContent`.
    pub structured: Option<Value>,
    /// `isError`.
    pub is_error: bool,
}

/// A JSON-RPC error, as opposed to a tool result that says `isError`. Found in an [`anyhow::Error`] by `downcast_ref`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    /// The code, as -32602.
    pub code: i32,
    /// The message.
    pub message: String,
}

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JSON-RPC error {}: {}", self.code, self.message)
    }
}

impl std::error::Error for RpcError {}

impl Client {
    /// Connects to an HTTP endpoint with a bearer token.
    ///
    /// # Errors
    /// When the handshake fails or takes more than 30 s.
    pub async fn http(url: &str, token: Option<&str>, era: Era) -> anyhow::Result<Self> {
        Self::http_with(url, token, era, &[]).await
    }

    /// As [`Client::http`], with further headers on every request.
    ///
    /// # Errors
    /// As [`Client::http`], and for a malformed header.
    pub async fn http_with(url: &str, token: Option<&str>, era: Era, headers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut custom = HashMap::new();
        for (name, value) in headers {
            custom.insert(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(custom);
        if let Some(token) = token {
            config = config.auth_header(token);
        }
        let transport = StreamableHttpClientTransport::with_client(raw::client()?, config);
        let (listener, steps) = Listener::new(era);
        let serving = listener.serve_with_lifecycle(transport, era.lifecycle());
        let running = timeout(HANDSHAKE, serving).await.with_context(|| format!("the handshake with {url}"))?;
        let running = running.map_err(|error| anyhow::anyhow!("the {era:?} handshake with {url}: {error}"))?;
        Ok(Self { running, steps, log: None, _home: None })
    }

    /// Starts the program with `args` and speaks over its standard input and output. Its environment is empty but for
    /// `PATH`, a new `HOME` and `env`.
    ///
    /// # Errors
    /// When there is no program, or the handshake fails or takes more than 30 s; with what it printed.
    pub async fn stdio(args: &[&str], env: &[(&str, &str)], era: Era) -> anyhow::Result<Self> {
        let program = ferry::binary()?;
        let home = tempfile::tempdir().context("making a home folder")?;
        let mut command = Command::new(&program);
        command.args(args).env_clear().env("HOME", home.path()).current_dir(home.path()).kill_on_drop(true);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(env.iter().copied());
        let (transport, stderr) = TokioChildProcess::builder(command)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = stderr {
            tokio::spawn(keep(stderr, Arc::clone(&log)));
        }
        let (listener, steps) = Listener::new(era);
        let serving = listener.serve_with_lifecycle(transport, era.lifecycle());
        let running = timeout(HANDSHAKE, serving).await.with_context(|| format!("the handshake: {}", text(&log)))?;
        let running = running.map_err(|error| anyhow::anyhow!("the {era:?} handshake: {error}\n{}", text(&log)))?;
        Ok(Self { running, steps, log: Some(log), _home: Some(home) })
    }

    /// What the server said of itself.
    #[must_use]
    pub fn server(&self) -> Option<Arc<ServerPeerInfo>> {
        self.running.peer_info()
    }

    /// The protocol revision in use, as `2026-07-28`.
    #[must_use]
    pub fn revision(&self) -> String {
        self.server().map(|info| info.protocol_version.to_string()).unwrap_or_default()
    }

    /// All tools, in the server's order.
    ///
    /// # Errors
    /// When the server refuses or does not answer in time.
    pub async fn tools(&self) -> anyhow::Result<Vec<Tool>> {
        let listed = timeout(HANDSHAKE, self.running.list_all_tools()).await.context("listing tools")?;
        listed.map_err(rpc).context("listing tools")
    }

    /// Calls a tool. `arguments` is an object.
    ///
    /// # Errors
    /// With [`RpcError`] for a JSON-RPC error; when there is no answer within 90 s.
    pub async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Called> {
        let Value::Object(arguments) = arguments else { bail!("arguments are an object, not {arguments}") };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let called = timeout(CALL, self.running.call_tool(params)).await;
        let result = called.with_context(|| format!("calling {tool}"))?.map_err(rpc)?;
        let texts: Vec<&str> =
            result.content.iter().filter_map(|block| block.as_text()).map(|block| block.text.as_str()).collect();
        Ok(Called {
            text: texts.join("\n"),
            structured: result.structured_content,
            is_error: result.is_error.unwrap_or_default(),
        })
    }

    /// What calls of this client have said of themselves so far, in the order in which rmcp handed it over, which may
    /// be just after the answer. rmcp asks for it with every request.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a program on stdio has logged so far; empty over HTTP.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.as_ref().map(text).unwrap_or_default()
    }

    /// Ends the connection; a program on stdio ends with it. Answers its log.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn close(self) -> anyhow::Result<String> {
        let Self { running, log, .. } = self;
        timeout(HANDSHAKE, running.cancel()).await.context("closing")?.context("closing")?;
        Ok(log.as_ref().map(text).unwrap_or_default())
    }
}

fn rpc(error: ServiceError) -> anyhow::Error {
    let ServiceError::McpError(error) = error else { return error.into() };
    RpcError { code: error.code.0, message: error.message.into_owned() }.into()
}

async fn keep(mut stderr: ChildStderr, into: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = vec![0; 16 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut bytes = into.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_LOG.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..read.min(room)]);
    }
}

fn text(log: &Arc<Mutex<Vec<u8>>>) -> String {
    let bytes = log.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}
