//! The front door against the table of hostile and odd tokens; each test bears the id of its row.

mod claims;
mod keys;
mod local;
mod mint;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use self::mint::{Fake, Signer, now};
use super::{AuthConfig, AuthError, Authenticator, Keys, LocalMode, install_crypto};
use crate::model::{Caller, RealmName};
use crate::realm::{Algorithm, RealmConfig};

const ISSUER: &str = "https://kc.corp.example/realms/corp";
const OTHER_ISSUER: &str = "https://kc.plant.example/realms/plant";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// A front door with the home realms corp and plant, whose keys come from counters.
struct Door {
    config: AuthConfig,
    corp: Signer,
    plant: Signer,
    sources: HashMap<RealmName, Arc<Fake>>,
}

fn name(text: &str) -> RealmName {
    RealmName::parse(text).unwrap()
}

impl Door {
    fn new() -> Self {
        install_crypto();
        let (corp, plant) = (Signer::p256("corp-1"), Signer::p256("plant-1"));
        let sources = HashMap::from([
            (name("corp"), Arc::new(Fake::new(vec![corp.jwk()]))),
            (name("plant"), Arc::new(Fake::new(vec![plant.jwk()]))),
        ]);
        let config = AuthConfig {
            realms: vec![RealmConfig::new(name("corp"), ISSUER), RealmConfig::new(name("plant"), OTHER_ISSUER)],
            home: vec![name("corp"), name("plant")],
            resource: Some(RESOURCE.to_owned()),
            audiences: vec!["team/mcp".to_owned()],
            passthrough_audiences: BTreeMap::from([(name("corp"), ["kind-dev".to_owned()].into())]),
            gateway_server_names: vec!["team/mcp".to_owned()],
            required_scopes: Vec::new(),
            local: LocalMode::Off,
            generation: 1,
        };
        Self { config, corp, plant, sources }
    }

    /// Changes the configuration of corp.
    fn corp(mut self, change: impl FnOnce(&mut RealmConfig)) -> Self {
        change(self.config.realms.first_mut().unwrap());
        self
    }

    fn source(&self, realm: &str) -> &Arc<Fake> {
        &self.sources[&name(realm)]
    }

    fn keys(&self) -> Arc<Keys> {
        let sources = self.sources.clone();
        Arc::new(Keys::with(move |realm| Ok(sources[&realm.name].clone())))
    }

    fn open(&self) -> Authenticator {
        Authenticator::new(self.config.clone(), self.keys()).unwrap()
    }

    /// A token of corp with these changes to the good claims; `null` removes one.
    fn token(&self, changes: &Value) -> String {
        self.corp.sign(&self.corp.header(), &claims(changes).to_string())
    }

    async fn accepts(&self, token: &str) -> Caller {
        ask(&self.open(), token).await.unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// The token is refused with a 401 that has the error code and names the metadata; gives the reason.
    async fn refuses(&self, token: &str) -> String {
        let door = self.open();
        let error =
            ask(&door, token).await.map(|caller| format!("{:?}", caller.principal())).expect_err("must be refused");
        assert_eq!(error.status(), 401, "{error}");
        let challenge = door.challenge(Some(METADATA), &error).unwrap();
        let challenge = challenge.to_str().unwrap();
        assert!(challenge.starts_with(&format!("Bearer resource_metadata=\"{METADATA}\", ")), "{challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        error.to_string()
    }
}

/// The claims of a good token, changed; `null` removes one.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "alice-id", "exp": now() + 300, "iat": now(), "azp": "desktop",
        "preferred_username": "alice", "email": "alice@corp.example", "groups": ["dev", "ops"], "scope": "openid mcp",
    });
    let map = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            map.remove(name)
        } else {
            map.insert(name.clone(), value.clone())
        };
    }
    claims
}

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
}

async fn ask(door: &Authenticator, token: &str) -> Result<Caller, AuthError> {
    door.authenticate(&headers(&[&format!("Bearer {token}")]), None, None).await
}

/// Changes of a good token's claims, each of which makes it bad.
async fn all_refused(door: &Door, changes: impl IntoIterator<Item = Value>) {
    door.accepts(&door.token(&json!({}))).await;
    for change in changes {
        let why = door.refuses(&door.token(&change)).await;
        assert!(!why.is_empty(), "{change}");
    }
}

fn algorithms(list: &[Algorithm]) -> impl FnOnce(&mut RealmConfig) {
    let list = list.to_vec();
    move |realm| realm.algorithms = list
}

const MINUTE: Duration = Duration::from_secs(60);
