//! Connections to one cluster: one hyper client per cluster key and TLS identity. A caller is a header, not a
//! connection: a new identity on a warm cluster costs no handshake. Client-certificate identities have transports of
//! their own, because the certificate belongs to the connection.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::ConfigExt;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use super::Limits;
use super::credential::TlsIdentity;
use crate::model::{ClusterKey, Endpoint};

/// An idle connection is closed after this.
const IDLE: Duration = Duration::from_secs(90);

/// A connection without an answer for this long is suspicious, whatever ended the waiting.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// Boxed so that its future may be moved, as the client demands.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// The connections of one cluster key and TLS identity.
pub struct Transport {
    key: ClusterKey,
    base: Uri,
    limits: Limits,
    client: Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("key", &self.key).field("base", &self.base).finish_non_exhaustive()
    }
}

/// Why there is no transport for a cluster: its endpoint or its TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The server URL is not usable.
    #[error("the server URL is not usable")]
    Server(#[source] http::uri::InvalidUri),
    /// The CA file holds no usable certificate.
    #[error("the CA certificates cannot be read")]
    Ca(#[source] rustls_pki_types::pem::Error),
    /// TLS could not be set up, as with a client key that does not fit its certificate.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<kube::Error>),
    /// `tls-server-name` is not a name.
    #[error("the TLS server name is not valid")]
    ServerName(#[source] rustls_pki_types::InvalidDnsNameError),
}

/// Why a request brought no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: refused, unknown host, TLS, or not within the time that connecting has.
    #[error("no connection")]
    Connect(#[source] ClientError, Duration),
    /// The connection broke before an answer; the request may or may not have been handled.
    #[error("the connection broke")]
    Broken(#[source] ClientError),
    /// No answer within the deadline.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The answer is larger than we take.
    #[error("the answer is larger than {} MiB", .0 / 1024 / 1024)]
    TooLarge(usize),
    /// The answer broke off.
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Status line and headers.
    pub head: http::response::Parts,
    /// The body, at most [`Limits::answer_bytes`].
    pub body: Bytes,
}

impl Transport {
    /// Prepares the connections of a cluster; connects nothing.
    ///
    /// # Errors
    /// When the endpoint or the TLS material is not usable.
    pub fn new(
        key: ClusterKey,
        endpoint: &Endpoint,
        identity: Option<&TlsIdentity>,
        limits: Limits,
    ) -> Result<Self, SetupError> {
        let base: Uri = endpoint.server.parse().map_err(SetupError::Server)?;
        let mut config = kube::Config::new(base.clone());
        config.accept_invalid_certs = endpoint.insecure;
        if let Some(pem) = &endpoint.ca {
            let ders: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(pem).map(|der| der.map(|der| der.to_vec())).collect();
            config.root_cert = Some(ders.map_err(SetupError::Ca)?);
        }
        if let Some(identity) = identity {
            identity.configure(&mut config);
        }
        let tls = config.rustls_client_config().map_err(|error| SetupError::Tls(Box::new(error)))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limits.connect));
        let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        if let Some(name) = &endpoint.tls_server_name {
            let name = ServerName::try_from(name.clone()).map_err(SetupError::ServerName)?;
            builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector =
            BoxCloneSyncService::new(Timeout::new(builder.enable_all_versions().wrap_connector(http), limits.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector);
        Ok(Self { key, base, limits, client })
    }

    /// The cluster key that these connections belong to.
    pub fn key(&self) -> &ClusterKey {
        &self.key
    }

    /// The absolute URL of `path` below the cluster's base (which may have a path of its own).
    ///
    /// # Errors
    /// When `path` cannot stand in a URL; the send site checked it before.
    pub fn url(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        let base = self.base.to_string();
        format!("{}{path}", base.trim_end_matches('/')).parse()
    }

    /// Sends one request and reads the whole answer, within `deadline` (at most [`Limits::answer`]). Redirects are not
    /// followed.
    ///
    /// # Errors
    /// Everything but an HTTP answer.
    pub async fn send(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Reply, TransportError> {
        let total = deadline.min(self.limits.answer);
        let sent = Instant::now();
        let response = self.begin(request, total.min(self.limits.first_byte)).await?;
        let reading = read(response, self.limits.answer_bytes);
        let left = total.saturating_sub(sent.elapsed());
        tokio::time::timeout(left, reading).await.map_err(|_elapsed| TransportError::Timeout(total))?
    }

    /// The beginning of an answer that is due within `first`. A connection on which it did not come takes no further
    /// request: it may be dead, and with HTTP/2 nobody else would find out.
    async fn begin(
        &self,
        mut request: Request<Full<Bytes>>,
        first: Duration,
    ) -> Result<Response<Incoming>, TransportError> {
        let connection = capture_connection(&mut request);
        let begun = self.open(request, first).await;
        if matches!(begun, Err(TransportError::Timeout(_)))
            && is_suspicious(first, &self.limits)
            && let Some(connection) = connection.connection_metadata().as_ref()
        {
            connection.poison();
        }
        begun
    }

    /// Sends one request and gives back its answer with the body still to come, when it begins within `first`. For a
    /// stream: that may be silent, which says nothing of its connection.
    ///
    /// # Errors
    /// Everything but the beginning of an HTTP answer.
    pub async fn open(
        &self,
        request: Request<Full<Bytes>>,
        first: Duration,
    ) -> Result<Response<Incoming>, TransportError> {
        let response = tokio::time::timeout(first, self.client.request(request)).await;
        response.map_err(|_elapsed| TransportError::Timeout(first))?.map_err(|error| sent(error, self.limits.connect))
    }

    /// The rest of an answer that was opened, within `deadline`.
    ///
    /// # Errors
    /// When it is too late, too large or breaks off.
    pub async fn rest(&self, response: Response<Incoming>, deadline: Duration) -> Result<Reply, TransportError> {
        let reading = read(response, self.limits.answer_bytes);
        tokio::time::timeout(deadline, reading).await.map_err(|_elapsed| TransportError::Timeout(deadline))?
    }
}

/// Whether nothing within `waited` says that a connection may be dead: as long as the limits of an answer, or as a call
/// that has no more time may wait; not the rest of a call that was nearly over when it sent.
fn is_suspicious(waited: Duration, limits: &Limits) -> bool {
    waited >= limits.first_byte.min(limits.answer).min(SUSPICIOUS)
}

fn sent(error: ClientError, limit: Duration) -> TransportError {
    if error.is_connect() { TransportError::Connect(error, limit) } else { TransportError::Broken(error) }
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Reply, TransportError> {
    let (head, body) = response.into_parts();
    let collected = Limited::new(body, most).collect().await;
    match collected {
        Ok(body) => Ok(Reply { head, body: body.to_bytes() }),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(TransportError::TooLarge(most)),
        Err(error) => Err(TransportError::Body(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Limits, Transport, is_suspicious};
    use crate::model::{ClusterKey, Endpoint, KeyHasher};

    #[test]
    fn whatever_ends_the_waiting_a_silent_connection_is_suspicious() {
        let limits = Limits::default();
        let seconds = Duration::from_secs;
        assert!(is_suspicious(limits.first_byte, &limits));
        assert!(is_suspicious(seconds(5), &limits), "the call's deadline was shorter");
        assert!(!is_suspicious(Duration::from_millis(50), &limits), "the rest of a call that was over");
        let quick = Limits { answer: Duration::from_millis(200), ..limits };
        assert!(is_suspicious(quick.answer, &quick), "the whole answer has less time than its first byte");
    }

    #[tokio::test]
    async fn urls_stay_below_the_base() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let endpoint =
            Endpoint { server: "https://h:6443/k8s/c1".into(), ca: None, tls_server_name: None, insecure: false };
        let transport =
            Transport::new(ClusterKey::from(KeyHasher::new("t")), &endpoint, None, Limits::default()).unwrap();
        let url = transport.url("/clusters/root/api/v1/pods?limit=1").unwrap();
        assert_eq!(url.to_string(), "https://h:6443/k8s/c1/clusters/root/api/v1/pods?limit=1");
    }
}
