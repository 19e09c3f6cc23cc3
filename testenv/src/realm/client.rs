//! A client of a realm: how it shows who it is, and what its tokens may be for.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// A program that asks for tokens. `Debug` does not show the secret.
#[derive(Clone)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// How it authenticates.
    pub auth: Authentication,
    /// The audiences of tokens that this client obtains: absent, a string or an array, by their number.
    pub audiences: Vec<String>,
    /// Where a browser may be sent back to after signing in; each is compared exactly.
    pub redirect_uris: Vec<String>,
    /// Whether it can be used, and can be an audience.
    pub enabled: bool,
    /// Whether it has an account of its own, and so tokens in its own name; a public client never has.
    pub service_account: bool,
    /// Client scopes of every exchange and grant.
    pub default_scopes: Vec<String>,
    /// Client scopes that it gets when it asks for them.
    pub optional_scopes: Vec<String>,
    /// Whether it may exchange tokens (RFC 8693); a public client never may.
    pub exchange: bool,
    /// The aliases of the providers whose grants it may bring (RFC 7523); `None` is the switch of the grant being off.
    pub jwt_grant: Option<Vec<String>>,
    /// By a provider's alias, the one audience that grants must have, instead of the realm's issuer or token endpoint.
    pub grant_audiences: BTreeMap<String, String>,
    /// Lifetime of its tokens in seconds; `None` is that of the realm.
    pub token_lifetime: Option<i64>,
}

/// How a client authenticates.
#[derive(Clone)]
pub enum Authentication {
    /// It does not: a public client.
    Public,
    /// By a secret, in the header (RFC 6749 section 2.3.1) or in the form.
    Secret(String),
    /// `private_key_jwt`, with one of these public keys (JWK).
    PrivateKeyJwt(Vec<Value>),
    /// By a token of another issuer, such as a projected service account token.
    Federated {
        /// The exact `iss`.
        issuer: String,
        /// The exact `sub`.
        subject: String,
        /// The issuer's public keys (JWK).
        keys: Vec<Value>,
    },
}

/// A client scope with audience mappers: whoever gets the scope gets these audiences.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The name in `scope`.
    pub name: String,
    /// What it adds to `aud`.
    pub audiences: Vec<String>,
}

impl Scope {
    /// A scope that brings these audiences.
    #[must_use]
    pub fn new(name: &str, audiences: &[&str]) -> Self {
        Self { name: name.to_owned(), audiences: owned(audiences) }
    }
}

impl Client {
    /// A client without a secret.
    #[must_use]
    pub fn public(id: &str, audiences: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            auth: Authentication::Public,
            audiences: owned(audiences),
            redirect_uris: Vec::new(),
            enabled: true,
            service_account: true,
            default_scopes: owned(&["profile", "email", "groups"]),
            optional_scopes: Vec::new(),
            exchange: false,
            jwt_grant: None,
            grant_audiences: BTreeMap::new(),
            token_lifetime: None,
        }
    }

    /// A client with a secret.
    #[must_use]
    pub fn confidential(id: &str, secret: &str, audiences: &[&str]) -> Self {
        Self::public(id, audiences).auth(Authentication::Secret(secret.to_owned()))
    }

    /// Lets people sign in to this client, and sends them back to `uri`.
    #[must_use]
    pub fn redirect(mut self, uri: &str) -> Self {
        self.redirect_uris.push(uri.to_owned());
        self
    }

    /// Authenticates as `auth` says.
    #[must_use]
    pub fn auth(mut self, auth: Authentication) -> Self {
        self.auth = auth;
        self
    }

    /// May exchange tokens, for what these scopes bring.
    #[must_use]
    pub fn exchanges(mut self, optional_scopes: &[&str]) -> Self {
        self.exchange = true;
        self.optional_scopes.extend(owned(optional_scopes));
        self
    }

    /// May bring grants of these providers, for what these scopes bring.
    #[must_use]
    pub fn takes_grants(mut self, providers: &[&str], optional_scopes: &[&str]) -> Self {
        self.jwt_grant = Some(owned(providers));
        self.optional_scopes.extend(owned(optional_scopes));
        self
    }

    /// Has no service account, as clients that `kubeferry realm setup` makes.
    #[must_use]
    pub fn without_service_account(mut self) -> Self {
        self.service_account = false;
        self
    }

    /// Obtains tokens that live so many seconds.
    #[must_use]
    pub fn token_lifetime(mut self, seconds: i64) -> Self {
        self.token_lifetime = Some(seconds);
        self
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("audiences", &self.audiences).finish_non_exhaustive()
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::Secret(_) => "Secret",
            Self::PrivateKeyJwt(_) => "PrivateKeyJwt",
            Self::Federated { .. } => "Federated",
        })
    }
}

fn owned(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
