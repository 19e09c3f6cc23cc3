//! What a realm consists of: its users, its clients, and how it signs.

use std::fmt;

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
    /// Algorithm of the first key and of keys made by `rotate`.
    pub algorithm: Algorithm,
    /// Who can sign in.
    pub users: Vec<User>,
    /// Which programs can ask for tokens.
    pub clients: Vec<Client>,
    /// Lifetime of tokens in seconds.
    pub token_lifetime: i64,
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
}

/// A client. `Debug` does not show the secret.
#[derive(Clone)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// `client_secret`; `None` is a public client.
    pub secret: Option<String>,
    /// The audiences of tokens that this client obtains: absent, a string or an array, by their number.
    pub audiences: Vec<String>,
    /// Where a browser may be sent back to after signing in; each is compared exactly.
    pub redirect_uris: Vec<String>,
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
        let (users, clients) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), algorithm: Algorithm::Rs256, users, clients, token_lifetime: 300 }
    }

    /// Signs with `algorithm`.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
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
        }
    }
}

impl Client {
    /// A client without a secret.
    #[must_use]
    pub fn public(id: &str, audiences: &[&str]) -> Self {
        let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        Self { id: id.to_owned(), secret: None, audiences, redirect_uris: Vec::new() }
    }

    /// Lets people sign in to this client, and sends them back to `uri`.
    #[must_use]
    pub fn redirect(mut self, uri: &str) -> Self {
        self.redirect_uris.push(uri.to_owned());
        self
    }

    /// A client with a secret.
    #[must_use]
    pub fn confidential(id: &str, secret: &str, audiences: &[&str]) -> Self {
        Self { secret: Some(secret.to_owned()), ..Self::public(id, audiences) }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("username", &self.username).field("sub", &self.sub).finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("audiences", &self.audiences).finish_non_exhaustive()
    }
}
