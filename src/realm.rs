//! Reading a realm: what is configured about an OIDC issuer, its discovery document, its keys, and an HTTP client that
//! cannot be led astray.
//!
//! Plain data is here; [`RealmReader`] is in `realm/reader.rs`, the address guard in `realm/guard.rs`, the public half of our
//! client's key in `realm/jwk.rs`.

#[cfg(test)]
pub(crate) mod fake;
mod guard;
mod jwk;
mod reader;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub use self::guard::is_private;
pub use self::jwk::public_jwk;
pub use self::reader::{RawAnswer, RealmReader};
use crate::model::RealmName;

/// One OIDC issuer as configured (`[realms.<name>]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmConfig {
    /// The name of the table.
    pub name: RealmName,
    /// The issuer, compared byte by byte with `iss` and with the discovery document.
    pub issuer: String,
    /// The whole address of the discovery document; `None` = issuer + `/.well-known/openid-configuration`.
    pub discovery_url: Option<String>,
    /// A JWKS file that replaces discovery for keys.
    pub jwks_file: Option<PathBuf>,
    /// Certificate authorities in PEM that replace those of the system.
    pub ca: Option<Arc<[u8]>>,
    /// Allows private, loopback and link-local addresses for this realm.
    pub allow_private: bool,
    /// The algorithms that this realm signs with.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the user.
    pub username_claim: String,
    /// The claim that names the groups.
    pub groups_claim: String,
    /// Named quirks.
    pub profile: Profile,
    /// Values of `azp` that are allowed; empty = all.
    pub allowed_clients: Vec<String>,
    /// The longest life of a token that is accepted, inclusive.
    pub max_token_lifetime: Duration,
    /// Accepts ID tokens, which then reach passthrough and impersonate only.
    pub accept_id_token: bool,
    /// Our own client at this realm.
    pub client: Option<RealmClient>,
}

impl RealmConfig {
    /// The longest life of a token unless configured: 24 hours.
    pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// A realm with every default: RS256 and ES256, `sub` and `groups`, profile `rfc`, 24 h.
    pub fn new(name: RealmName, issuer: impl Into<String>) -> Self {
        Self {
            name,
            issuer: issuer.into(),
            discovery_url: None,
            jwks_file: None,
            ca: None,
            allow_private: false,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            username_claim: "sub".to_owned(),
            groups_claim: "groups".to_owned(),
            profile: Profile::Rfc,
            allowed_clients: Vec::new(),
            max_token_lifetime: Self::MAX_TOKEN_LIFETIME,
            accept_id_token: false,
            client: None,
        }
    }
}

/// Our own client at a realm (`[realms.<name>.client]`): plain data, read by the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmClient {
    /// The client id.
    pub id: String,
    /// How it authenticates, as written: one of [`RealmClient::AUTH`].
    pub auth: String,
    /// File with the client secret.
    pub secret_file: Option<PathBuf>,
    /// File with the private key in PEM.
    pub key_file: Option<PathBuf>,
    /// File with a token of another issuer, read anew each time; it need not exist yet.
    pub token_file: Option<PathBuf>,
}

impl RealmClient {
    /// How a client may authenticate.
    pub const AUTH: [&str; 5] =
        ["client_secret_basic", "client_secret_post", "private_key_jwt", "federated_file", "none"];
}

/// An asymmetric signature algorithm of JWS (RFC 7518 3.1, RFC 8037). There is no HMAC and no `none` on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Reads the word of JWS, as `RS256`; exact case. `Ed25519` (RFC 9864) is EdDSA with the curve that we have. `None`
    /// for everything else, `none` and `HS256` included.
    pub fn parse(word: &str) -> Option<Self> {
        let word = if word == "Ed25519" { "EdDSA" } else { word };
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }

    /// The word of JWS.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Named quirks of identity providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// By the letter of the RFCs.
    #[default]
    Rfc,
    /// Keycloak: the claim `typ` tells access tokens (`Bearer`) from ID tokens (`ID`).
    Keycloak,
    /// Dex: its access tokens look like ID tokens and are treated as such.
    Dex,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rfc, Self::Keycloak, Self::Dex];

    /// Reads the word of the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.word() == word)
    }

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rfc => "rfc",
            Self::Keycloak => "keycloak",
            Self::Dex => "dex",
        }
    }
}

/// What we take from a discovery document (OpenID Connect Discovery 1.0, RFC 8414). Every address in it was checked:
/// https, on the host of the issuer or of `discovery_url`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Equal to the configured issuer.
    pub issuer: String,
    /// Where the keys are.
    pub jwks_uri: String,
    /// Where tokens are exchanged; absent at issuers that only sign, as a Kubernetes API server.
    pub token_endpoint: Option<String>,
    /// How clients may authenticate there.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Grants that the realm offers; a Keycloak names all that it knows, whether a client may use them or not.
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// Scopes that the realm knows; absent = it does not say.
    pub scopes_supported: Option<Vec<String>>,
    /// Kinds of token that it issues for other realms (draft-ietf-oauth-identity-chaining); absent = it does not say.
    pub identity_chaining_requested_token_types_supported: Option<Vec<String>>,
}

/// One key of a JWKS, as published and not yet judged (RFC 7517 4, RFC 7518 6). Private and symmetric parts are not
/// read at all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RawJwk {
    /// Family: `RSA`, `EC`, `OKP`, `oct`, …
    pub kty: String,
    /// The key's id; may be missing and need not be unique.
    pub kid: Option<String>,
    /// `sig` or `enc`.
    #[serde(rename = "use")]
    pub usage: Option<String>,
    /// What the key may do, as `verify`.
    pub key_ops: Option<Vec<String>>,
    /// The only algorithm of the key.
    pub alg: Option<String>,
    /// Curve.
    pub crv: Option<String>,
    /// RSA modulus.
    pub n: Option<String>,
    /// RSA exponent.
    pub e: Option<String>,
    /// Curve point.
    pub x: Option<String>,
    /// Curve point.
    pub y: Option<String>,
}

/// Why a realm could not be read. Cloned to everybody who waited for the same request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RealmError {
    /// The configuration cannot work.
    #[error("realm {realm}: {what}")]
    Config {
        /// Which realm.
        realm: RealmName,
        /// What is wrong.
        what: String,
    },
    /// An address that is not asked: not https, of another host, private.
    #[error("realm {realm}: the {what} address {url} is refused: {why}")]
    Refused {
        /// Which realm.
        realm: RealmName,
        /// What is there, as "keys".
        what: &'static str,
        /// The address, masked.
        url: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// No answer, or not a whole one in time.
    #[error("realm {realm}: reading the {what} from {url}{hint}")]
    Fetch {
        /// Which realm.
        realm: RealmName,
        /// What was read.
        what: &'static str,
        /// The address, masked.
        url: String,
        /// The next step, where the cause is known; empty otherwise.
        hint: &'static str,
        /// The cause.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// An answer that is not what it should be.
    #[error("realm {realm}: the {what} of the realm cannot be used: {why}")]
    Document {
        /// Which realm.
        realm: RealmName,
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It gave no answer to the last requests, or said when to come back: it is not asked before.
    #[error("realm {realm}: it is not asked for {} s more, because it was away or said so", after.as_secs() + 1)]
    Resting {
        /// Which realm.
        realm: RealmName,
        /// How long it is left alone.
        after: Duration,
    },
    /// The JWKS file could not be read.
    #[error("realm {realm}: reading the JWKS file {path}")]
    File {
        /// Which realm.
        realm: RealmName,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
}
