//! What a realm consists of: its users, its clients, whom else it trusts, and how it signs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::client::{Client, Scope};
use super::keys::{Algorithm, uuid};

/// The realms of one server.
#[derive(Debug, Clone)]
pub struct RealmsConfig {
    /// Realms with different names.
    pub realms: Vec<RealmConfig>,
}

/// One realm.
#[derive(Debug, Clone)]
pub struct RealmConfig {
    /// Name in the issuer URL: lower-case letters, digits and `-`.
    pub name: String,
    /// Whose answers it gives.
    pub style: Style,
    /// Algorithm of the first key and of keys made by `rotate`.
    pub algorithm: Algorithm,
    /// Who can sign in.
    pub users: Vec<User>,
    /// Which programs can ask for tokens.
    pub clients: Vec<Client>,
    /// Client scopes beside `openid`, `profile`, `email` and `groups`, which every realm has.
    pub scopes: Vec<Scope>,
    /// Other issuers whose grants are taken.
    pub providers: Vec<Provider>,
    /// Lifetime of tokens in seconds.
    pub token_lifetime: i64,
}

/// How a realm answers an exchange for another realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// As Keycloak: the grant is an `access_token` with the type `Bearer`, and no other kind can be asked for.
    #[default]
    Keycloak,
    /// As RFC 8693 and draft-ietf-oauth-identity-chaining have it: `requested_token_type` is honoured, and a `jwt` has the
    /// type `N_A`, a `typ` of its own and exactly one audience. Nobody gets a scope that was not asked for.
    Rfc,
}

/// Another issuer, whose tokens are taken as grants (RFC 7523); Keycloak calls it an identity provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name in this realm.
    pub alias: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Whether its tokens are taken as grants.
    pub grant_enabled: bool,
    /// Whether a signature is looked at; without it anybody can make a grant, in Keycloak too.
    pub validate_signature: bool,
    /// The most seconds since `iat`, and the longest life of a grant without one.
    pub max_age: i64,
    /// How far `iat` and `nbf` may be ahead, in seconds.
    pub clock_skew: i64,
    /// Whether the token ends with the grant.
    pub limit_exp: bool,
    /// Its keys; `None` takes what the realm of that issuer publishes, which must be on the same server.
    pub keys: Option<Vec<Value>>,
}

/// A user. `Debug` does not show the password.
#[derive(Clone)]
pub struct User {
    /// Sign-in name, the claim `preferred_username`.
    pub username: String,
    /// The claim `sub`.
    pub sub: String,
    /// For the password grant.
    pub password: String,
    /// The claim `groups`.
    pub groups: Vec<String>,
    /// The claim `email`.
    pub email: String,
    /// Whether the account can be used.
    pub enabled: bool,
    /// Whether something is to be done at the next sign-in, such as a new password.
    pub action_pending: bool,
    /// Who this is at other issuers: the `sub` there, by the provider's alias.
    pub links: BTreeMap<String, String>,
}

impl RealmsConfig {
    /// Realms of these names, without users and clients.
    #[must_use]
    pub fn named(names: &[&str]) -> Self {
        Self { realms: names.iter().map(|name| RealmConfig::new(name)).collect() }
    }
}

impl RealmConfig {
    /// An RS256 realm without users and clients, whose tokens live 300 s as Keycloak's do.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            style: Style::Keycloak,
            algorithm: Algorithm::Rs256,
            users: Vec::new(),
            clients: Vec::new(),
            scopes: Vec::new(),
            providers: Vec::new(),
            token_lifetime: 300,
        }
    }

    /// Signs with `algorithm`.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Answers as `style` says.
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Adds a client scope.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds a client.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }
}

impl User {
    /// A user with a random `sub`, a random password and an address at `example.com`.
    #[must_use]
    pub fn new(username: &str, groups: &[&str]) -> Self {
        Self {
            username: username.to_owned(),
            sub: uuid(),
            password: uuid(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            email: format!("{username}@example.com"),
            enabled: true,
            action_pending: false,
            links: BTreeMap::new(),
        }
    }
}

impl Provider {
    /// An issuer whose grants are taken, with the limits that Keycloak starts with.
    #[must_use]
    pub fn new(alias: &str, issuer: &str) -> Self {
        Self {
            alias: alias.to_owned(),
            issuer: issuer.to_owned(),
            enabled: true,
            grant_enabled: true,
            validate_signature: true,
            max_age: 300,
            clock_skew: 0,
            limit_exp: false,
            keys: None,
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("username", &self.username).field("sub", &self.sub).finish_non_exhaustive()
    }
}
