//! The listener and the HTTP stack in reading order, MCP on top, and MCP over stdio.
//!
//! [`listener`] accepts connections and ends them; [`http`] is hop 1: Host and Origin, routes, authentication, body;
//! [`mcp`] is hop 2: MCP in, `Call` out; [`rescue`] decides what a caller sees of a failure. rmcp's types stop at `mcp`
//! and `stdio`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Live;

mod activity;
mod body;
mod health;
mod http;
mod limits;
mod listener;
mod mcp;
mod origin;
mod person;
pub mod rescue;
mod scrape;
mod sessions;
mod sign_in;
mod stdio;
mod tls;
mod wellknown;

pub use person::{Person, read_token};
pub use stdio::serve_stdio;
pub use tls::check_certificate;

/// Where a request takes its generation from, once.
pub type LiveSource = Arc<ArcSwap<Live>>;

/// What the listener needs; fixed while the process runs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The public URL of the MCP endpoint, as `https://ferry.example/mcp`; none in local mode.
    pub resource: Option<String>,
    /// Hosts (`name` or `name:port`) that requests may be addressed to, besides loopback names and the resource's host.
    pub allowed_hosts: Vec<String>,
    /// Browser origins (`https://app.example`, or with `:*` for any port) that may call.
    pub allowed_origins: Vec<String>,
    /// Certificate and key; none = plain HTTP.
    pub tls: Option<Tls>,
    /// Keep MCP sessions for clients of protocol revisions before 2026-07-28.
    pub legacy_sessions: bool,
    /// Bounds of connections and requests.
    pub limits: Limits,
    /// `scopes_supported` in the metadata document.
    pub scopes_supported: Vec<String>,
    /// A listener of its own for `/metrics`, for whoever reaches it; none = on the main one, for this machine.
    pub metrics_listen: Option<SocketAddr>,
}

/// Certificate and key in PEM files. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key_file: PathBuf,
}

/// Bounds of connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more are told 503 and closed.
    pub connections: usize,
    /// HTTP/2 streams per connection.
    pub streams: u32,
    /// MCP requests in flight; more are told 503 with `Retry-After`.
    pub in_flight: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Time for a request's head.
    pub header_read: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time for a request's body.
    pub body_read: Duration,
    /// Time that a connection may stay without a request.
    pub idle: Duration,
    /// Time that a client may take no bytes of its answer.
    pub write_stall: Duration,
    /// Nesting of JSON in a request.
    pub json_depth: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for requests in flight after shutdown begins.
    pub drain: Duration,
    /// Legacy MCP sessions, when they are switched on.
    pub sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            streams: 100,
            in_flight: 2_048,
            header_bytes: 32 << 10,
            header_read: Duration::from_secs(10),
            body_bytes: 4 << 20,
            body_read: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            write_stall: Duration::from_secs(30),
            json_depth: 64,
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(20),
            sessions: 1_000,
        }
    }
}

/// Why the server does not start, or stopped. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// In use, or not ours.
        #[source]
        source: std::io::Error,
    },
    /// `resource` is not a URL that clients could use.
    #[error("server.resource {value:?} is not an absolute http or https URL without query and fragment")]
    Resource {
        /// As written.
        value: String,
    },
    /// An entry of `allowed_hosts` or `allowed_origins` cannot be read.
    #[error("{key} has the entry {value:?}: {why}")]
    Allowed {
        /// Which list.
        key: &'static str,
        /// As written.
        value: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A PEM file cannot be read.
    #[error("cannot read {}", path.display())]
    CertificateFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A PEM file does not hold what it should.
    #[error("cannot use {}: {why}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong; never content of the file.
        why: String,
    },
    /// MCP over stdio ended with a broken transport.
    #[error("MCP over stdio failed: {0}")]
    Stdio(String),
}

impl ServerError {
    /// True when the configuration, or a file that it names, must change before another start makes sense.
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::Resource { .. } | Self::Allowed { .. } | Self::CertificateFile { .. } | Self::Certificate { .. } => {
                true
            }
            Self::Listen { .. } | Self::Stdio(_) => false,
        }
    }
}

/// A bound listener, not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: listener::Listener,
    scrapes: Option<scrape::Scrapes>,
}

impl Server {
    /// Checks the configuration and takes the address.
    ///
    /// # Errors
    /// When the address is in use or not ours, a certificate cannot be used, or an allowed host or origin cannot be read.
    pub async fn bind(config: ServerConfig, live: LiveSource) -> Result<Self, ServerError> {
        let scrapes = match config.metrics_listen {
            Some(address) => Some(scrape::Scrapes::bind(address, Arc::clone(&live)).await?),
            None => None,
        };
        Ok(Self { listener: listener::Listener::bind(config, live).await?, scrapes })
    }

    /// The address taken, with its port.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The address of the metrics' own listener.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.scrapes.as_ref().map(scrape::Scrapes::address)
    }

    /// Serves until `shutdown`, then drains: no new connections, `GOAWAY` or `Connection: close` on the open ones, and
    /// after `limits.drain` what is left is cut.
    pub async fn serve(self, shutdown: CancellationToken) {
        // Metrics are read until the last call has ended.
        let drained = CancellationToken::new();
        if let Some(scrapes) = self.scrapes {
            tokio::spawn(scrapes.serve(drained.clone()));
        }
        let _end = drained.drop_guard();
        self.listener.serve(shutdown).await;
    }
}

/// The id of one request: in the log, in the answer's `x-request-id`, in internal errors.
#[derive(Debug, Clone)]
struct RequestId(Arc<str>);

impl RequestId {
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes request ids: a random part per process and a counter.
#[derive(Debug)]
struct RequestIds {
    prefix: String,
    next: std::sync::atomic::AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let mut random = [0_u8; 6];
        // Without entropy ids are still unique within the process, and nothing secret hangs on them.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let prefix = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { prefix, next: std::sync::atomic::AtomicU64::new(1) }
    }

    fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        RequestId(format!("{}-{number}", self.prefix).into())
    }
}

#[cfg(test)]
mod tests;
