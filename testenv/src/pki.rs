//! Certificate authorities, leaf certificates and rustls configurations of the lab.
//!
//! Every key is made when it is asked for (ECDSA P-256) and lives as long as the test. Nothing here is
//! shared with the program under test, so a test can tell whether the right CA was checked.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The names that a server on this machine is usually asked for.
pub const LOOPBACK: &[&str] = &["127.0.0.1", "localhost"];

/// A certificate authority whose private key never leaves this value. Clones share the key.
#[derive(Clone)]
pub struct Ca {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
    pem: String,
}

/// A certificate and its private key, both as PEM (PKCS #8 for the key).
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, without its issuer.
    pub cert_pem: String,
    /// The private key; `Debug` does not print it.
    pub key_pem: String,
}

impl Ca {
    /// A fresh, self-signed authority called `common_name`.
    #[must_use]
    pub fn new(common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("fixed CA parameters can be signed");
        let pem = issuer.pem();
        Self { issuer: Arc::new(issuer), pem }
    }

    /// The authority's own certificate, for the trust store of a client.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for `sans`, each an IP address or a DNS name ([`LOOPBACK`] is the usual choice).
    ///
    /// # Panics
    /// When a name is not ASCII.
    #[must_use]
    pub fn server(&self, sans: &[&str]) -> Leaf {
        self.sign(&server_params(sans))
    }

    /// A server certificate for `sans` that stopped being valid on 2 January 2021.
    ///
    /// # Panics
    /// When a name is not ASCII.
    #[must_use]
    pub fn expired_server(&self, sans: &[&str]) -> Leaf {
        let mut params = server_params(sans);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 2);
        self.sign(&params)
    }

    /// A client certificate. To an API server, `common_name` is the user and `organizations` are its groups.
    ///
    /// # Panics
    /// With more than two organizations, which rcgen's subject names cannot hold.
    #[must_use]
    pub fn client(&self, common_name: &str, organizations: &[&str]) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name, organizations);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = key();
        let cert = params.signed_by(&key, &self.issuer).expect("a leaf with a fresh key can be signed");
        Leaf { cert_pem: cert.pem(), key_pem: key.serialize_pem() }
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// Makes aws-lc-rs the crypto provider of rustls for this process. May be called any number of times.
pub fn install_provider() {
    // An error only says that a provider is there already, and this workspace has no other.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// A server side that offers `alpn` in this order and asks for no client certificate.
///
/// # Panics
/// When `leaf` is not a certificate and key that belong together.
#[must_use]
pub fn server_config(leaf: &Leaf, alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    install_provider();
    let (certs, key) = identity(leaf);
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("the leaf's key belongs to its certificate");
    config.alpn_protocols = protocols(alpn);
    Arc::new(config)
}

/// A server side that also accepts, but does not demand, client certificates signed by `client_ca_pem`.
///
/// # Panics
/// When a PEM text is not what it should be.
#[must_use]
pub fn mutual_server_config(leaf: &Leaf, client_ca_pem: &str, alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    install_provider();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots(client_ca_pem)))
        .allow_unauthenticated()
        .build()
        .expect("a CA of the lab can anchor client certificates");
    let (certs, key) = identity(leaf);
    let mut config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certs, key)
        .expect("the leaf's key belongs to its certificate");
    config.alpn_protocols = protocols(alpn);
    Arc::new(config)
}

/// A client side that trusts `ca_pem` only and, with `client`, presents a certificate.
///
/// # Panics
/// When a PEM text is not what it should be.
#[must_use]
pub fn client_config(ca_pem: &str, client: Option<&Leaf>, alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    install_provider();
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots(ca_pem));
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let (certs, key) = identity(leaf);
            builder.with_client_auth_cert(certs, key).expect("the leaf's key belongs to its certificate")
        }
    };
    config.alpn_protocols = protocols(alpn);
    Arc::new(config)
}

/// The DER certificates and the DER key of `leaf`.
///
/// # Panics
/// When `leaf` does not hold PEM.
pub(crate) fn identity(leaf: &Leaf) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certs = CertificateDer::pem_slice_iter(leaf.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a leaf holds PEM certificates");
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("a leaf holds a PEM key");
    (certs, key)
}

fn roots(ca_pem: &str) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        store.add(cert.expect("a CA file holds PEM certificates")).expect("a CA certificate can anchor trust");
    }
    store
}

fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has randomness for a P-256 key")
}

fn server_params(sans: &[&str]) -> CertificateParams {
    let sans: Vec<String> = sans.iter().map(|san| (*san).to_owned()).collect();
    let common_name = sans.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(sans).expect("names of lab servers are ASCII");
    params.distinguished_name = name(&common_name, &[]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// rcgen keeps one value per attribute type; the same OID under its "custom" type makes room for a second.
fn name(common_name: &str, organizations: &[&str]) -> DistinguishedName {
    assert!(organizations.len() <= 2, "a lab certificate carries at most two organizations");
    let organization_types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    let mut name = DistinguishedName::new();
    for (attribute, organization) in organization_types.into_iter().zip(organizations) {
        name.push(attribute, *organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verifies `leaf` as a server for `127.0.0.1` the way a client would, at this moment.
    fn verify(ca: &Ca, leaf: &Leaf) -> Result<(), rustls::Error> {
        install_provider();
        let verifier = rustls::client::WebPkiServerVerifier::builder(Arc::new(roots(ca.pem()))).build().unwrap();
        let (certs, _) = identity(leaf);
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let now = rustls_pki_types::UnixTime::now();
        rustls::client::danger::ServerCertVerifier::verify_server_cert(&*verifier, &certs[0], &[], &name, &[], now)
            .map(drop)
    }

    #[test]
    fn a_leaf_verifies_only_under_its_own_ca() {
        let (ours, other) = (Ca::new("ours"), Ca::new("other"));
        let leaf = ours.server(LOOPBACK);
        assert_eq!(verify(&ours, &leaf), Ok(()));
        assert!(verify(&other, &leaf).is_err());
        assert!(verify(&ours, &ours.server(&["other.example"])).is_err(), "another name is refused");
        assert!(verify(&ours, &ours.client("alice", &["dev"])).is_err(), "a client certificate is no server");
    }

    #[test]
    fn an_expired_server_is_refused_as_expired() {
        let ca = Ca::new("ours");
        let error = verify(&ca, &ca.expired_server(LOOPBACK)).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }

    #[test]
    fn no_key_is_printed() {
        let ca = Ca::new("ours");
        let leaf = ca.client("alice", &["dev", "ops"]);
        assert!(!format!("{ca:?}{leaf:?}").contains("PRIVATE"));
        assert!(leaf.key_pem.contains("PRIVATE"));
    }
}
