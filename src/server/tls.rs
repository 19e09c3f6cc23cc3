//! The server's certificate: read from two PEM files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{ServerError, Tls};
use crate::model::chain;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long reading the files may take, on a network file system as well.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The TLS configuration of new connections. Old connections keep theirs.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    current: ArcSwap<ServerConfig>,
    digest: ArcSwap<[u8; 32]>,
}

impl Certificate {
    /// Reads and checks the files.
    pub(super) async fn load(files: Tls) -> Result<Arc<Self>, ServerError> {
        let (config, digest) = read(&files).await?;
        Ok(Arc::new(Self { files, current: ArcSwap::new(config), digest: ArcSwap::from_pointee(digest) }))
    }

    /// What a new connection uses.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads the files again whenever their content changes, until `stop`. A bad pair is logged and the old one kept.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.reload().await;
        }
    }

    async fn reload(&self) {
        match read(&self.files).await {
            Ok((_, digest)) if digest == **self.digest.load() => {}
            Ok((config, digest)) => {
                self.current.store(config);
                self.digest.store(Arc::new(digest));
                tracing::info!("the TLS certificate was replaced");
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the TLS certificate cannot be read again; the old one stays")
            }
        }
    }
}

/// Reads certificate and key as a start does.
///
/// # Errors
/// When a file cannot be read or used, or the key is not the certificate's.
pub async fn check_certificate(files: &Tls) -> Result<(), ServerError> {
    read(files).await.map(drop)
}

async fn read(files: &Tls) -> Result<(Arc<ServerConfig>, [u8; 32]), ServerError> {
    let certificates = read_file(&files.cert_file).await?;
    let key = read_file(&files.key_file).await?;
    let digest = Sha256::new().chain_update(&certificates).chain_update(&key).finalize().into();
    Ok((Arc::new(build(files, &certificates, &key)?), digest))
}

async fn read_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    let failed = |source| ServerError::CertificateFile { path: path.to_owned(), source };
    match timeout(READ_WITHIN, tokio::fs::read(path)).await {
        Ok(read) => read.map_err(failed),
        Err(_elapsed) => Err(failed(std::io::ErrorKind::TimedOut.into())),
    }
}

fn build(files: &Tls, certificates: &[u8], key: &[u8]) -> Result<ServerConfig, ServerError> {
    let bad = |path: &PathBuf, why: String| ServerError::Certificate { path: path.clone(), why };
    let chain = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(&files.cert_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(&files.cert_file, "no CERTIFICATE block".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| bad(&files.key_file, format!("no usable private key: {error}")))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| bad(&files.cert_file, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::{Certificate, Tls};
    use std::sync::Arc;

    fn write(tls: &Tls, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(&tls.cert_file, made.cert.pem()).unwrap();
        std::fs::write(&tls.key_file, made.signing_key.serialize_pem()).unwrap();
    }

    #[tokio::test]
    async fn a_key_of_another_certificate_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { cert_file: folder.path().join("tls.crt"), key_file: folder.path().join("tls.key") };
        write(&tls, "a.example");
        super::check_certificate(&tls).await.unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&tls.key_file, other.serialize_pem()).unwrap();
        let error = super::check_certificate(&tls).await.unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains("tls.crt"), "{error}");
    }

    #[tokio::test]
    async fn a_changed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { cert_file: folder.path().join("tls.crt"), key_file: folder.path().join("tls.key") };
        assert!(Certificate::load(tls.clone()).await.unwrap_err().to_string().contains("tls.crt"));
        write(&tls, "a.example");
        let certificate = Certificate::load(tls.clone()).await.unwrap();
        let first = certificate.current();
        certificate.reload().await;
        assert!(Arc::ptr_eq(&first, &certificate.current()), "the same content is no change");
        write(&tls, "b.example");
        certificate.reload().await;
        let second = certificate.current();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&tls.key_file, "not a key").unwrap();
        certificate.reload().await;
        assert!(Arc::ptr_eq(&second, &certificate.current()), "the last good pair stays");
    }
}
