//! **Realms**: an https OpenID Connect server with several realms, their users and clients, and a mint.
//!
//! It looks like Keycloak (paths, claims, texts) because that is what callers meet most. Besides good tokens it
//! makes every bad one, and each endpoint can be told to misbehave. All realms share one port and one CA: to
//! take one down alone, reset its endpoints ([`Fault::Reset`]) or start it in a server of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::pki;
use crate::pki::{Ca, LOOPBACK, Leaf};

mod bearer;
mod client;
mod client_auth;
mod config;
mod exchange;
mod faults;
mod grants;
mod handles;
mod http;
mod keys;
mod ledger;
mod login;
mod mint;
mod scopes;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod verify;

pub use client::{Authentication, Client, Scope};
pub use client_auth::AuthMethod;
pub use config::{Provider, RealmConfig, RealmsConfig, Style, User};
pub use faults::Fault;
pub use grants::{GrantRequest, GrantType};
pub use keys::{Algorithm, SigningKey, oct_jwk, short_rsa_jwk, uuid};
pub use mint::TokenBuilder;
pub use state::{Endpoint, RealmRequest};
use state::{Realm, Site};

/// The protocols that the server agrees to.
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A running server of realms. It ends with [`Realms::down`] or when it is dropped.
///
/// Methods that take a realm's name panic when there is no such realm: that is a mistake in the test.
pub struct Realms {
    address: SocketAddr,
    ca: Ca,
    tls: http::Tls,
    site: Arc<Site>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Realms {
    /// Starts the realms on a free port of 127.0.0.1, with a CA of their own.
    ///
    /// # Errors
    /// When no port can be bound, or a name is empty, not plain, or used twice.
    pub async fn start(config: RealmsConfig) -> anyhow::Result<Self> {
        let mut names = BTreeSet::new();
        for RealmConfig { name, .. } in &config.realms {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(plain) || !names.insert(name.clone()) {
                bail!("{name:?} cannot be the name of a realm here");
            }
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the port of the realms")?;
        let address = listener.local_addr()?;
        let ca = Ca::new("realms");
        let tls = Arc::new(RwLock::new(pki::server_config(&ca.server(LOOPBACK), ALPN)));
        let realms = config.realms.into_iter().map(|config| realm(config, address));
        let site = Arc::new(Site::new(realms));
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&tls), Arc::clone(&site)));
        Ok(Self { address, ca, tls, site, serving: Mutex::new(Some(serving)) })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CA that clients of the realms must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// The authority behind [`Realms::ca_pem`], to sign other certificates for [`Realms::present`].
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The issuer, such as `https://127.0.0.1:PORT/realms/corp`.
    ///
    /// # Panics
    /// When there is no such realm; so do all methods below.
    #[must_use]
    pub fn issuer(&self, realm: &str) -> String {
        self.with(realm, |realm| realm.issuer.clone())
    }

    /// The URL of an endpoint.
    #[must_use]
    pub fn url(&self, realm: &str, endpoint: Endpoint) -> String {
        let path = match endpoint {
            Endpoint::Discovery => ".well-known/openid-configuration",
            Endpoint::Certs => "protocol/openid-connect/certs",
            Endpoint::Token => "protocol/openid-connect/token",
            Endpoint::Authorization => "protocol/openid-connect/auth",
        };
        format!("{}/{path}", self.issuer(realm))
    }

    /// A user of the configuration.
    #[must_use]
    pub fn user(&self, realm: &str, username: &str) -> User {
        let user = self.with(realm, |realm| realm.config.users.iter().find(|user| user.username == username).cloned());
        user.unwrap_or_else(|| panic!("realm {realm} has no user {username}"))
    }

    /// Registers a client, in place of one with the same id.
    pub fn register(&self, realm: &str, client: Client) {
        self.with(realm, |realm| {
            realm.config.clients.retain(|other| other.id != client.id);
            realm.config.clients.push(client);
        });
    }

    /// A good token of `username` for one `audience`, to be edited or minted.
    #[must_use]
    pub fn token(&self, realm: &str, username: &str, audience: &str) -> TokenBuilder {
        let user = self.user(realm, username);
        self.with(realm, |realm| token::user_token(realm, &user)).claim("azp", "mcp-client").audience(audience)
    }

    /// A good token of `username` for one `audience`.
    #[must_use]
    pub fn mint(&self, realm: &str, username: &str, audience: &str) -> String {
        self.token(realm, username, audience).mint()
    }

    /// The key that signs now.
    #[must_use]
    pub fn key(&self, realm: &str) -> SigningKey {
        self.with(realm, |realm| realm.keys[0].clone())
    }

    /// Makes a new key that signs from now on. The old ones stay published only with `keep_old`.
    pub fn rotate(&self, realm: &str, keep_old: bool) -> SigningKey {
        let key = SigningKey::generate(self.with(realm, |realm| realm.config.algorithm));
        self.with(realm, |realm| {
            if !keep_old {
                realm.keys.clear();
            }
            realm.keys.insert(0, key.clone());
        });
        key
    }

    /// Replaces the published keys. The first signs; several may share a `kid`.
    ///
    /// # Panics
    /// With no key at all.
    pub fn set_keys(&self, realm: &str, keys: Vec<SigningKey>) {
        assert!(!keys.is_empty(), "a realm needs a key to sign with");
        self.with(realm, |realm| realm.keys = keys);
    }

    /// Publishes these JWKs after the keys, whatever they are; an empty list ends that.
    pub fn publish(&self, realm: &str, jwks: Vec<Value>) {
        self.with(realm, |realm| realm.extra_jwks = jwks);
    }

    /// Replaces one member of the metadata, such as `issuer` or `jwks_uri`; `null` leaves it out.
    pub fn set_metadata(&self, realm: &str, member: &str, value: impl Into<Value>) {
        self.with(realm, |realm| realm.metadata.insert(member.to_owned(), value.into()));
    }

    /// Makes `endpoint` misbehave from now on.
    pub fn fault(&self, realm: &str, endpoint: Endpoint, fault: Fault) {
        self.with(realm, |realm| realm.faults.insert(endpoint, (fault, None)));
    }

    /// Makes the next `times` requests to `endpoint` meet `fault`.
    pub fn fault_times(&self, realm: &str, endpoint: Endpoint, fault: Fault, times: usize) {
        self.with(realm, |realm| match times {
            0 => realm.faults.remove(&endpoint),
            _ => realm.faults.insert(endpoint, (fault, Some(times))),
        });
    }

    /// Ends faults, edits, published extras and metadata changes, and sets the clock right. Keys, users and clients stay as they are.
    pub fn heal(&self, realm: &str) {
        self.with(realm, |realm| {
            realm.faults.clear();
            realm.extra_jwks.clear();
            realm.metadata.clear();
            realm.behaviour.clear();
            realm.clock_ahead = 0;
        });
    }

    /// The requests since the start or the last `clear`, in the order of their arrival.
    ///
    /// # Panics
    /// After more than 200 000 requests without a `clear`.
    #[must_use]
    pub fn requests(&self) -> Vec<RealmRequest> {
        self.site.requests()
    }

    /// How many requests reached `endpoint` of `realm` since the start or the last `clear`.
    #[must_use]
    pub fn fetches(&self, realm: &str, endpoint: Endpoint) -> usize {
        assert!(self.site.realms.contains_key(realm), "there is no realm {realm}");
        let reached =
            |request: &&RealmRequest| request.realm.as_deref() == Some(realm) && request.endpoint == Some(endpoint);
        self.requests().iter().filter(reached).count()
    }

    /// Forgets the requests.
    pub fn clear(&self) {
        self.site.clear();
    }

    /// Serves `leaf` to connections from now on: another CA's, another host's, an expired one.
    pub fn present(&self, leaf: &Leaf) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = pki::server_config(leaf, ALPN);
    }

    /// Stops listening and ends all connections, so that the port refuses connections.
    pub async fn down(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            // The end of the task frees the port; that it was cancelled is the point.
            drop(serving.await);
        }
    }

    /// Listens again on the same port after [`Realms::down`], with all state kept.
    ///
    /// # Errors
    /// When somebody else has taken the port meanwhile.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.down().await;
        let listener = TcpListener::bind(self.address).await.context("binding the port of the realms again")?;
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&self.tls), Arc::clone(&self.site)));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }

    fn with<T>(&self, realm: &str, f: impl FnOnce(&mut Realm) -> T) -> T {
        self.site.realm(realm, f).unwrap_or_else(|| panic!("there is no realm {realm}"))
    }
}

impl Drop for Realms {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            serving.abort();
        }
    }
}

impl fmt::Debug for Realms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realms").field("address", &self.address).finish_non_exhaustive()
    }
}

fn realm(config: RealmConfig, address: SocketAddr) -> Realm {
    /// Nothing is ever encrypted to it, so one for the whole process will do.
    static ENCRYPTION: OnceLock<SigningKey> = OnceLock::new();
    let encryption = ENCRYPTION.get_or_init(|| SigningKey::generate(Algorithm::Rs256));
    Realm {
        issuer: format!("https://{address}/realms/{}", config.name),
        keys: vec![SigningKey::generate(config.algorithm)],
        encryption: encryption.clone().with_kid(&uuid()),
        extra_jwks: Vec::new(),
        metadata: serde_json::Map::new(),
        faults: std::collections::BTreeMap::new(),
        codes: login::Codes::default(),
        ledger: ledger::Ledger::default(),
        behaviour: grants::Behaviour::default(),
        clock_ahead: 0,
        config,
    }
}
