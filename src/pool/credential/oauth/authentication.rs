//! How our client authenticates at a realm: a secret (RFC 6749 2.3.1), a signed assertion (RFC 7523 2.2), or a token that
//! somebody else projects into a file. Secrets are read from their files for each request, so that a rotated one is used
//! without a restart, and a key or a secret that cannot be read is an error of that request alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::kubeconfig::read_bounded;
use crate::model::{KeyHasher, RealmName, Secret};
use crate::realm::{RealmConfig, public_jwk};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Life of a client assertion, in seconds.
const ASSERTION_LIFE: u64 = 60;
/// It says that it was made this much earlier, in seconds: a realm refuses what was made ahead of its own clock.
const BACKDATED: u64 = 10;

/// Why our client cannot authenticate. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The realm has no `[realms.<name>.client]`.
    #[error("realm {0} has no client of ours")]
    NoClient(RealmName),
    /// The configuration does not say enough.
    #[error("realm {realm}: the client's {key} is missing")]
    Missing {
        /// Which realm.
        realm: RealmName,
        /// Which key.
        key: &'static str,
    },
    /// A word that is not known.
    #[error("realm {realm}: client authentication {word} is not known")]
    Unknown {
        /// Which realm.
        realm: RealmName,
        /// The word.
        word: String,
    },
    /// A file cannot be read.
    #[error("the {what} of our client cannot be read")]
    File {
        /// What is in it.
        what: &'static str,
        /// The cause, which names the file for the log.
        #[source]
        source: std::io::Error,
    },
    /// A file has nothing in it, or nothing that fits.
    #[error("the {what} of our client cannot be used: {why}")]
    Content {
        /// What is in it.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

/// A method of client authentication with where its secret is.
#[derive(Clone)]
pub(in super::super) struct ClientAuthentication {
    id: String,
    method: Method,
}

#[derive(Clone, PartialEq, Eq)]
enum Method {
    Basic(PathBuf),
    Post(PathBuf),
    PrivateKeyJwt(PathBuf),
    FederatedFile(PathBuf),
    None,
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthentication").field("id", &self.id).field("method", &self.method.word()).finish()
    }
}

impl Method {
    fn word(&self) -> &'static str {
        match self {
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::FederatedFile(_) => "federated_file",
            Self::None => "none",
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::Basic(file) | Self::Post(file) | Self::PrivateKeyJwt(file) | Self::FederatedFile(file) => Some(file),
            Self::None => None,
        }
    }
}

impl ClientAuthentication {
    pub(super) fn new(config: &RealmConfig) -> Result<Self, AuthenticationError> {
        let realm = &config.name;
        let client = config.client.as_ref().ok_or_else(|| AuthenticationError::NoClient(realm.clone()))?;
        let file = |file: &Option<PathBuf>, key| {
            file.clone().ok_or_else(|| AuthenticationError::Missing { realm: realm.clone(), key })
        };
        let method = match client.auth.as_str() {
            "client_secret_basic" => Method::Basic(file(&client.secret_file, "secret_file")?),
            "client_secret_post" => Method::Post(file(&client.secret_file, "secret_file")?),
            "private_key_jwt" => Method::PrivateKeyJwt(file(&client.key_file, "key_file")?),
            "federated_file" => Method::FederatedFile(file(&client.token_file, "token_file")?),
            "none" => Method::None,
            word => return Err(AuthenticationError::Unknown { realm: realm.clone(), word: word.to_owned() }),
        };
        Ok(Self { id: client.id.clone(), method })
    }

    /// The client id and the method.
    pub(super) fn words(&self) -> String {
        format!("{} ({})", self.id, self.method.word())
    }

    /// Of everything that decides as whom, and to whom, our credentials and people's tokens go.
    pub(super) fn digest(&self, realm: &RealmConfig) -> [u8; 32] {
        let file = self.method.file().map(|file| file.as_os_str().as_encoded_bytes());
        KeyHasher::new("realm-client")
            .field("realm", realm.name.as_str())
            .field("issuer", &realm.issuer)
            .optional("discovery", realm.discovery_url.as_deref())
            .optional("ca", realm.ca.as_deref())
            .field("private", [u8::from(realm.allow_private)])
            .field("profile", realm.profile.word())
            .field("id", &self.id)
            .field("method", self.method.word())
            .optional("file", file)
            .finish()
    }

    /// Puts the authentication into the form or into a header.
    pub(super) fn authenticate(
        &self,
        issuer: &str,
        form: &mut Serializer<'_, String>,
    ) -> Result<HeaderMap, AuthenticationError> {
        let mut headers = HeaderMap::new();
        match &self.method {
            Method::Basic(file) => {
                let secret = read("secret", file)?;
                headers.insert(AUTHORIZATION, basic(&self.id, &secret)?);
                return Ok(headers);
            }
            Method::Post(file) => {
                form.append_pair("client_secret", read("secret", file)?.expose());
            }
            Method::PrivateKeyJwt(file) => {
                let assertion = assertion(&self.id, issuer, &read("private key", file)?)?;
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", assertion.expose());
            }
            Method::FederatedFile(file) => {
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", read("projected token", file)?.expose());
            }
            Method::None => {}
        }
        form.append_pair("client_id", &self.id);
        Ok(headers)
    }
}

fn read(what: &'static str, file: &Path) -> Result<Secret, AuthenticationError> {
    let bytes = read_bounded(file).map_err(|source| AuthenticationError::File { what, source })?;
    let text = String::from_utf8(bytes).map_err(|_| AuthenticationError::Content { what, why: "it is not text" })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(AuthenticationError::Content { what, why: "the file is empty" }),
        text => Ok(Secret::new(text)),
    }
}

/// RFC 6749 2.3.1: id and secret are form-encoded, then joined and base64-encoded. Sent raw, a `%` or `:` in either breaks
/// it at servers that decode, as they must.
fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, AuthenticationError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let joined = STANDARD.encode(format!("{}:{}", encode(id), encode(secret.expose())));
    let mut value = HeaderValue::from_str(&format!("Basic {joined}"))
        .map_err(|_| AuthenticationError::Content { what: "secret", why: "it does not fit into a header" })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A client assertion (RFC 7523 3): the audience is the issuer alone, as draft-ietf-oauth-rfc7523bis asks, with a fresh
/// `jti`. It names its key by the thumbprint of RFC 7638, so that a realm which has two of ours, while one is replaced, takes
/// the right one.
fn assertion(id: &str, issuer: &str, pem: &Secret) -> Result<Secret, AuthenticationError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        sub: &'a str,
        aud: &'a str,
        jti: String,
        iat: u64,
        exp: u64,
    }
    let unusable = AuthenticationError::Content {
        what: "private key",
        why: "it is no PEM of an RSA, P-256, P-384 or Ed25519 key in PKCS #8",
    };
    let mut random = [0; 16];
    let failed = AuthenticationError::Content { what: "private key", why: "no random number could be had" };
    rand::fill(&mut random).map_err(|_unspecified| failed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let jti = URL_SAFE_NO_PAD.encode(random);
    let iat = now.saturating_sub(BACKDATED);
    let claims = Claims { iss: id, sub: id, aud: issuer, jti, iat, exp: iat + ASSERTION_LIFE };
    let pem = pem.expose().as_bytes();
    let kid = public_jwk(pem).and_then(|jwk| jwk["kid"].as_str().map(str::to_owned));
    // The PEM says the family but not the curve: whichever signs is the one.
    let keys = [
        (EncodingKey::from_rsa_pem(pem), &[Algorithm::RS256][..]),
        (EncodingKey::from_ec_pem(pem), &[Algorithm::ES256, Algorithm::ES384]),
        (EncodingKey::from_ed_pem(pem), &[Algorithm::EdDSA]),
    ];
    for (key, algorithms) in keys {
        let Ok(key) = key else { continue };
        for algorithm in algorithms {
            let (typ, kid) = (Some("client-authentication+jwt".to_owned()), kid.clone());
            let header = Header { typ, kid, ..Header::new(*algorithm) };
            if let Ok(signed) = jsonwebtoken::encode(&header, &claims, &key) {
                return Ok(Secret::new(signed));
            }
        }
    }
    Err(unusable)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::{assertion, basic};
    use crate::model::Secret;
    use crate::realm::public_jwk;

    #[test]
    fn id_and_secret_are_form_encoded_first() {
        let header = basic("https://a.example/mcp", &Secret::new("p:%+ ü")).unwrap();
        let text = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        let joined = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(joined, "https%3A%2F%2Fa.example%2Fmcp:p%3A%25%2B+%C3%BC");
        assert!(!format!("{header:?}").contains("http"), "it must not print");
    }

    #[test]
    fn an_assertion_is_for_the_issuer_alone_and_fresh_each_time() {
        for (algorithm, name) in [
            (&rcgen::PKCS_RSA_SHA256, "RS256"),
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
            (&rcgen::PKCS_ED25519, "EdDSA"),
        ] {
            let pem = Secret::new(rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem());
            let kid = public_jwk(pem.expose().as_bytes()).unwrap()["kid"].clone();
            assert!(kid.is_string());
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..20 {
                let signed = assertion("ferry", "https://kc.example/realms/corp", &pem).unwrap();
                let part = |index| {
                    let piece = signed.expose().split('.').nth(index).unwrap().to_owned();
                    serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(piece).unwrap()).unwrap()
                };
                let (header, claims): (Value, Value) = (part(0), part(1));
                assert_eq!((&header["alg"], &header["typ"]), (&name.into(), &"client-authentication+jwt".into()));
                assert_eq!(header["kid"], kid, "the realm may have several keys of ours");
                assert_eq!(claims["aud"], "https://kc.example/realms/corp");
                assert_eq!((&claims["iss"], &claims["sub"]), (&"ferry".into(), &"ferry".into()));
                assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
                assert!(seen.insert(claims["jti"].as_str().unwrap().to_owned()));
            }
        }
        assert!(assertion("ferry", "https://x", &Secret::new("no key")).is_err());
    }
}
