//! `[realms.*]` and `[links.*]`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::limits::{Span, time};
use super::{Text, words};
use crate::realm::{Algorithm, Profile, RealmClient, RealmConfig};

/// A JWS algorithm.
struct AlgorithmWord;

impl JsonSchema for AlgorithmWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(Algorithm::ALL.map(Algorithm::word))
    }
}

/// An identity realm: one OIDC issuer.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Realm {
    /// The issuer, byte by byte as in tokens.
    issuer: Text,
    /// The discovery document, where it is not below the issuer.
    discovery_url: Option<Text>,
    /// A file with the realm's keys (JWKS), instead of discovery.
    jwks_file: Option<Text>,
    /// PEM certificates that the realm's server is checked against; none = the system's.
    ca_file: Option<Text>,
    /// The realm may have a private, loopback or link-local address.
    #[schemars(default)]
    allow_private: bool,
    /// Algorithms that the realm signs with; there is no HMAC and no `none`.
    #[schemars(extend("default" = ["RS256", "ES256"]))]
    algorithms: Option<Vec<AlgorithmWord>>,
    /// The claim that names the user; `email` counts only with `email_verified`.
    #[schemars(extend("default" = "sub"))]
    username_claim: Option<Text>,
    /// The claim that names the groups.
    #[schemars(extend("default" = "groups"))]
    groups_claim: Option<Text>,
    /// Named quirks of the identity provider.
    #[schemars(extend("enum" = Profile::ALL.map(Profile::word), "default" = Profile::Rfc.word()))]
    profile: Option<String>,
    /// Clients (`azp`) whose tokens are accepted; empty = all.
    #[schemars(default)]
    allowed_clients: Vec<Text>,
    /// The longest accepted lifetime of a token, inclusive.
    #[schemars(extend("default" = time(RealmConfig::MAX_TOKEN_LIFETIME)))]
    max_token_lifetime: Option<Span>,
    /// ID tokens are accepted too, for passthrough and impersonate only.
    #[schemars(default)]
    accept_id_token: bool,
    /// Our own client there, for exchange.
    client: Option<Client>,
}

/// Our own client at a realm. Its secret comes from a file.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Client {
    /// The client id.
    id: Text,
    /// How it authenticates.
    #[schemars(extend("enum" = RealmClient::AUTH))]
    auth: String,
    /// For `client_secret_basic` and `client_secret_post`: the file with the secret.
    secret_file: Option<Text>,
    /// For `private_key_jwt`: the file with the PEM key.
    key_file: Option<Text>,
    /// For `federated_file`: the file with a token of another issuer, read anew each time.
    token_file: Option<Text>,
}

/// How a caller of one realm gets a token of another.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Link {
    /// The caller's realm.
    from: Text,
    /// The realm of the clusters.
    to: Text,
    #[schemars(default)]
    request: Request,
}

/// What is asked of the first realm.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Request {
    /// The audience of the intermediate token, usually the issuer of the second realm.
    audience: Option<Text>,
    /// The scope of the intermediate token.
    scope: Option<Text>,
}
