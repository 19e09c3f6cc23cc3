//! The state of the realms of one server, and its log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::config::RealmConfig;
use super::faults::Fault;
use super::grants::{Behaviour, GrantRequest, GrantType};
use super::keys::{SigningKey, encryption_jwk};
use super::ledger::Ledger;
use super::login::Codes;
use super::mint::now;

/// Requests kept between two calls of `clear`; a log with holes would prove nothing.
const MAX_REQUESTS: usize = 200_000;

/// An endpoint of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration` and the paths of RFC 8414.
    Discovery,
    /// `/protocol/openid-connect/certs`
    Certs,
    /// `/protocol/openid-connect/token`
    Token,
    /// `/protocol/openid-connect/auth`, where people sign in.
    Authorization,
}

/// One request that reached the server.
#[derive(Debug, Clone)]
pub struct RealmRequest {
    /// The realm in the path, if there is such a realm.
    pub realm: Option<String>,
    /// Its endpoint, if the path is one.
    pub endpoint: Option<Endpoint>,
    /// The method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// When its head arrived.
    pub at: SystemTime,
}

/// One realm at work.
#[derive(Debug)]
pub(super) struct Realm {
    pub config: RealmConfig,
    pub issuer: String,
    /// Published keys; the first signs.
    pub keys: Vec<SigningKey>,
    pub encryption: SigningKey,
    /// JWKs published after the keys, whatever they are.
    pub extra_jwks: Vec<Value>,
    /// Members that replace those of the metadata; `null` removes one.
    pub metadata: Map<String, Value>,
    /// Faults and how often they still happen; `None` is for ever.
    pub faults: BTreeMap<Endpoint, (Fault, Option<usize>)>,
    /// What people who signed in may still fetch.
    pub codes: Codes,
    /// Sessions, and what is spent.
    pub ledger: Ledger,
    /// How the next token requests differ.
    pub behaviour: Behaviour,
    /// How far this realm's clock is ahead of the machine's, in seconds; negative when it is behind.
    pub clock_ahead: i64,
}

/// The key sets that the realms of one server publish, by issuer.
pub(super) type Published = BTreeMap<String, Vec<Value>>;

impl Realm {
    /// The fault that this request meets.
    pub fn next_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let (fault, left) = self.faults.get_mut(&endpoint)?;
        let fault = fault.clone();
        if let Some(left) = left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.faults.remove(&endpoint);
            }
        }
        Some(fault)
    }

    /// The time of this realm's clock, in seconds since 1970.
    pub fn now(&self) -> i64 {
        now() + self.clock_ahead
    }

    /// Where this realm gives tokens.
    pub fn token_endpoint(&self) -> String {
        format!("{}/protocol/openid-connect/token", self.issuer)
    }

    /// The metadata (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2) of what this server can do.
    pub fn discovery(&self) -> Value {
        let protocol = format!("{}/protocol/openid-connect", self.issuer);
        let scopes = ["openid", "profile", "email", "groups"].into_iter();
        let scopes: Vec<&str> = scopes.chain(self.config.scopes.iter().map(|scope| scope.name.as_str())).collect();
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": format!("{protocol}/auth"),
            "token_endpoint": self.token_endpoint(),
            "jwks_uri": format!("{protocol}/certs"),
            "grant_types_supported": GrantType::ALL.map(GrantType::name),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.config.algorithm.name()],
            "token_endpoint_auth_methods_supported":
                ["private_key_jwt", "client_secret_basic", "client_secret_post", "none"],
            "scopes_supported": scopes,
        });
        for (name, value) in &self.metadata {
            document[name] = value.clone();
        }
        if let Some(members) = document.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        document
    }

    /// The key set, an encryption key first.
    pub fn jwks(&self) -> Value {
        let mut keys = vec![encryption_jwk(&self.encryption)];
        keys.extend(self.keys.iter().map(SigningKey::jwk));
        keys.extend(self.extra_jwks.iter().cloned());
        json!({ "keys": keys })
    }
}

/// All realms of one server.
#[derive(Debug)]
pub(super) struct Site {
    pub realms: BTreeMap<String, Mutex<Realm>>,
    log: Mutex<(Vec<RealmRequest>, usize)>,
    /// Token requests; each is in `log` too, which is never shorter.
    grants: Mutex<Vec<GrantRequest>>,
}

impl Site {
    pub fn new(realms: impl IntoIterator<Item = Realm>) -> Self {
        let realms = realms.into_iter().map(|realm| (realm.config.name.clone(), Mutex::new(realm))).collect();
        Self { realms, log: Mutex::default(), grants: Mutex::default() }
    }

    /// Looks at or changes one realm; `None` when there is no such realm.
    pub fn realm<T>(&self, name: &str, f: impl FnOnce(&mut Realm) -> T) -> Option<T> {
        let realm = self.realms.get(name)?;
        Some(f(&mut realm.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What each issuer publishes now. Realms are looked at one after the other, so that none waits for another.
    pub fn published(&self) -> Published {
        let set = |realm: &mut Realm| (realm.issuer.clone(), realm.jwks()["keys"].as_array().cloned());
        let sets = self.realms.keys().filter_map(|name| self.realm(name, set));
        sets.map(|(issuer, keys)| (issuer, keys.unwrap_or_default())).collect()
    }

    pub fn granted(&self, seen: GrantRequest) {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() < MAX_REQUESTS {
            grants.push(seen);
        }
    }

    pub fn grants(&self, realm: &str) -> Vec<GrantRequest> {
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(grants.len() < MAX_REQUESTS, "the log of token requests is full; clear it earlier");
        grants.iter().filter(|seen| seen.realm == realm).cloned().collect()
    }

    pub fn record(&self, request: RealmRequest) {
        self.log(
            |(requests, overflowed)| {
                if requests.len() < MAX_REQUESTS { requests.push(request) } else { *overflowed += 1 }
            },
        );
    }

    pub fn requests(&self) -> Vec<RealmRequest> {
        self.log(|(requests, overflowed)| {
            assert!(*overflowed == 0, "{overflowed} requests did not fit into the log; clear it earlier");
            requests.clone()
        })
    }

    pub fn clear(&self) {
        self.log(|log| *log = (Vec::new(), 0));
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn log<T>(&self, f: impl FnOnce(&mut (Vec<RealmRequest>, usize)) -> T) -> T {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
