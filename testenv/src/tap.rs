//! **Tap**: a recording TLS relay that tests put before every real server.
//!
//! A Tap ends the client's TLS with a CA of its own, reads HTTP/1.1 and HTTP/2, writes down what came (never a
//! token, only its digest) and passes it on. One client connection is one upstream connection with the protocol
//! that the upstream chose, so the log shows how many connections a server would have seen. It is the proof
//! for "no token reached a wrong server" and for counts of requests.
//!
//! A **sink** is a Tap without an upstream: it answers every request with one status.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, bail};
use http::StatusCode;
use rustls::DistinguishedName;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpListener;

use crate::pki;
use crate::pki::{Ca, LOOPBACK, Leaf};

mod record;
mod relay;
#[cfg(test)]
mod tests;
mod upstream;

pub use record::{TapConnection, TapRequest, digest};
use relay::{Mode, Shared};
use upstream::Target;

/// How to set up a [`Tap`].
#[derive(Debug, Clone)]
pub struct TapConfig {
    /// Name for messages and for the common name of the Tap's own CA.
    pub name: String,
    /// The server behind, `host:port`. It need not run yet.
    pub upstream: String,
    /// The CA that the server's certificate is checked against.
    pub upstream_ca_pem: String,
    /// The certificate that the Tap presents to the server.
    pub upstream_client: Option<Leaf>,
    /// The authority of the Tap's serving certificate; `None` makes a new one.
    pub ca: Option<Ca>,
    /// The serving certificate, for tests of bad ones; `None` has `ca` sign one for the loopback names.
    pub leaf: Option<Leaf>,
    /// Protocols that may be agreed, best first.
    pub alpn: Vec<Vec<u8>>,
    /// Whether the server sees the `Host` (`:authority`) that the client wrote instead of `upstream`.
    pub preserve_host: bool,
}

impl TapConfig {
    /// A Tap before `upstream` (`host:port`) with a CA of its own, HTTP/2 and HTTP/1.1.
    #[must_use]
    pub fn new(name: &str, upstream: &str, upstream_ca_pem: &str) -> Self {
        Self {
            name: name.to_owned(),
            upstream: upstream.to_owned(),
            upstream_ca_pem: upstream_ca_pem.to_owned(),
            upstream_client: None,
            ca: None,
            leaf: None,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            preserve_host: false,
        }
    }
}

/// A running relay. It ends with [`Tap::stop`] or when it is dropped.
pub struct Tap {
    name: String,
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
}

impl Tap {
    /// Starts a relay on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound, or `upstream` is not `host:port`.
    pub async fn start(config: TapConfig) -> anyhow::Result<Self> {
        let Some((host, port)) = config.upstream.rsplit_once(':') else {
            bail!("the upstream {:?} of tap {} is not host:port", config.upstream, config.name);
        };
        if host.is_empty() || port.parse::<u16>().is_err() {
            bail!("the upstream {:?} of tap {} is not host:port", config.upstream, config.name);
        }
        let target = Target::new(&config.upstream, &config.upstream_ca_pem, config.upstream_client.as_ref());
        Self::listen(config, Mode::Relay(RwLock::new(target))).await
    }

    /// Starts a recorder that answers every request with `status` and has nothing behind it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn sink(name: &str, status: u16) -> anyhow::Result<Self> {
        let status = StatusCode::from_u16(status)?;
        Self::listen(TapConfig::new(name, "", ""), Mode::Sink(status)).await
    }

    async fn listen(config: TapConfig, mode: Mode) -> anyhow::Result<Self> {
        let ca = config.ca.unwrap_or_else(|| Ca::new(&format!("tap {}", config.name)));
        let leaf = config.leaf.unwrap_or_else(|| ca.server(LOOPBACK));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the port of a tap")?;
        let address = listener.local_addr()?;
        let tls = recording_config(&leaf, config.alpn)?;
        let shared = Arc::new(Shared::new(mode, config.preserve_host, tls));
        let accepting = relay::accept(Arc::clone(&shared), listener);
        shared.spawn(async move { match accepting.await {} });
        Ok(Self { name: config.name, address, ca_pem: ca.pem().to_owned(), shared })
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `https://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where the Tap listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CA that clients of the Tap must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Puts another server behind the Tap, for connections accepted from now on.
    ///
    /// # Panics
    /// For a sink.
    pub fn retarget(&self, upstream: &str, upstream_ca_pem: &str, upstream_client: Option<&Leaf>) {
        let target = Target::new(upstream, upstream_ca_pem, upstream_client);
        match &self.shared.mode {
            Mode::Relay(slot) => *slot.write().unwrap_or_else(PoisonError::into_inner) = target,
            Mode::Sink(_) => panic!("tap {} is a sink", self.name),
        }
    }

    /// The requests since the start or the last `clear`, in the order of their arrival.
    ///
    /// # Panics
    /// After more than 200 000 requests without a `clear`: a log with holes proves nothing.
    #[must_use]
    pub fn requests(&self) -> Vec<TapRequest> {
        self.shared.log(|log| log.requests().to_vec())
    }

    /// How many TCP connections were accepted since the start or the last `clear`, handshake or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.log(|log| log.connections.len())
    }

    /// The connections accepted since the start or the last `clear`.
    #[must_use]
    pub fn connection_log(&self) -> Vec<TapConnection> {
        self.shared.log(|log| log.connections.clone())
    }

    /// [`digest`]s of every credential that was seen since the start or the last `clear`.
    #[must_use]
    pub fn token_digests(&self) -> BTreeSet<String> {
        self.shared.log(|log| log.requests().iter().flat_map(|request| request.credentials.clone()).collect())
    }

    /// Forgets requests and connections. Open connections stay open and are not counted again.
    pub fn clear(&self) {
        self.shared.log(record::Log::clear);
    }

    /// Stops listening and ends all connections; after that the port refuses connections.
    pub async fn stop(&self) {
        self.shared.take_tasks().shutdown().await;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // The tasks hold `shared`, so they must be ended here.
        self.shared.take_tasks().abort_all();
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}

/// A server side that asks for a client certificate and takes any, since it only records.
fn recording_config(leaf: &Leaf, alpn: Vec<Vec<u8>>) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    pki::install_provider();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let (certs, key) = pki::identity(leaf);
    let mut config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(Arc::new(AnyClient { algorithms }))
        .with_single_cert(certs, key)
        .context("the serving certificate of a tap")?;
    config.alpn_protocols = alpn;
    Ok(Arc::new(config))
}

/// Accepts every client certificate whose key the client holds.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
