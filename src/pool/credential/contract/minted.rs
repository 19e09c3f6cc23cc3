//! Strategies whose credentials realms issue: two small realms on loopback, and what an issued token must be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{CompileContext, CredentialError, Link, Minting, RealmClient};
use super::{CANARY, caller, compiled, realm, sent};
use crate::inventory::ClusterSettings;
use crate::model::{Admission, Caller, FailureKind, Principal};
use crate::realm::fake::{Answer, Realm};
use crate::realm::{Profile, RealmClient as Ours};

/// The realms `corp`, where callers sign in, and `plant`.
pub(super) struct Lab {
    pub(super) folder: tempfile::TempDir,
    corp: Realm,
    plant: Realm,
}

impl Lab {
    pub(super) async fn start() -> Self {
        crate::auth::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "the client's secret").unwrap();
        let realm = async || {
            let realm = Realm::start(&["localhost"], 2100).await;
            realm.discovery(&[]);
            realm
        };
        let lab = Self { folder, corp: realm().await, plant: realm().await };
        lab.edited(&lab.corp, |_| {});
        lab.edited(&lab.plant, |_| {});
        lab
    }

    /// Lets the token endpoint of `realm` answer as it should, but for `edit`.
    fn edited(&self, realm: &Realm, edit: impl Fn(&mut Answered) + Send + Sync + 'static) {
        let issuer = realm.issuer();
        realm.route("/token", Answer::Made(Arc::new(move |request| answer(&issuer, request, &edit))));
    }

    pub(super) fn exchange(&self) -> ClusterSettings {
        ClusterSettings {
            strategy: "exchange".into(),
            realm: Some(realm("corp")),
            audiences: vec!["kubernetes-c1".into()],
            scope: Some("k8s-c1".into()),
            ..ClusterSettings::default()
        }
    }

    pub(super) fn chain(&self) -> ClusterSettings {
        ClusterSettings {
            strategy: "chain".into(),
            realm: Some(realm("plant")),
            link: Some("corp-to-plant".into()),
            ..self.exchange()
        }
    }

    fn config(&self, name: &str, at: &Realm) -> crate::realm::RealmConfig {
        let mut config = at.config();
        config.name = realm(name);
        config.profile = Profile::Keycloak;
        config.client = Some(Ours {
            id: "ferry".into(),
            auth: "client_secret_basic".into(),
            secret_file: Some(self.folder.path().join("secret")),
            key_file: None,
            token_file: None,
        });
        config
    }

    pub(super) fn context(&self) -> CompileContext {
        let client = |name: &str, at: &Realm| {
            let config = self.config(name, at);
            let reader = Arc::new(crate::realm::RealmReader::new(&config).unwrap());
            (config.name.clone(), Ok(RealmClient::new(&config, reader).unwrap()))
        };
        let (from, to, scope) = (realm("corp"), realm("plant"), Some("access-plant".into()));
        CompileContext {
            home_realms: vec![realm("corp")],
            clients: BTreeMap::from([client("corp", &self.corp), client("plant", &self.plant)]),
            links: BTreeMap::from([("corp-to-plant".into(), Link { from, to, audience: None, scope })]),
            ours: vec!["https://ferry.example/mcp".into()],
        }
    }

    /// True while no realm was asked for a token.
    pub(super) fn untouched(&self) -> bool {
        self.asked() == [0, 0]
    }

    /// How many token requests each realm had.
    fn asked(&self) -> [usize; 2] {
        [&self.corp, &self.plant].map(|realm| realm.asked().iter().filter(|path| *path == "/token").count())
    }

    async fn outcome(&self, settings: &ClusterSettings, caller: &Caller) -> Result<(), CredentialError> {
        let compiled = compiled(settings, &self.context());
        compiled.strategy.credential(caller, &Minting::default()).await.map(|_| ())
    }

    /// The code of the refusal.
    async fn code(&self, settings: &ClusterSettings) -> String {
        let error = self.outcome(settings, &caller("corp", "alice")).await.unwrap_err();
        let failure = error.failure(false);
        assert!(!format!("{error:?} {failure:?} {}", crate::model::chain(&error)).contains(CANARY), "{error:?}");
        failure.code.to_string()
    }
}

/// An answer of a token endpoint before it is sent.
pub(super) struct Answered {
    claims: Value,
    body: Value,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a Keycloak answers: for the exchange a token of this realm, for the grant one of this realm's account.
fn answer(issuer: &str, request: &str, edit: &dyn Fn(&mut Answered)) -> String {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let subject = form.get("subject_token").or_else(|| form.get("assertion")).unwrap();
    let name = subject.rsplit('-').next().unwrap();
    let (sub, aud, kind) = match form.get("audience") {
        Some(audience) => {
            (format!("sub-{name}"), audience.clone(), Some("urn:ietf:params:oauth:token-type:access_token"))
        }
        None => (format!("plant-{name}"), "kubernetes-c1".to_owned(), None),
    };
    let claims = json!({"iss": issuer, "sub": sub, "aud": aud, "exp": now() + 240, "iat": now(), "jti": "ntrtte:1"});
    let mut body = json!({"token_type": "Bearer", "expires_in": 240, "scope": form.get("scope")});
    if let Some(kind) = kind {
        body["issued_token_type"] = kind.into();
    }
    let mut answered = Answered { claims, body };
    edit(&mut answered);
    let claims = URL_SAFE_NO_PAD.encode(answered.claims.to_string());
    if answered.body.get("access_token").is_none() {
        answered.body["access_token"] = format!("e30.{claims}.{CANARY}-{name}").into();
    }
    answered.body.to_string()
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_refused() {
    let lab = Lab::start().await;
    type Edit = fn(&mut Answered);
    let edits: [(Edit, &str); 14] = [
        (|a| a.body["access_token"] = "".into(), "unusable_answer"),
        (|a| a.body["access_token"] = 7.into(), "unusable_answer"),
        (|a| a.body["access_token"] = "opaque".into(), "unusable_answer"),
        (|a| a.body["access_token"] = format!("{CANARY}-alice").into(), "unusable_answer"),
        (|a| a.body["token_type"] = "DPoP".into(), "unusable_answer"),
        (|a| a.body["token_type"] = Value::Null, "unusable_answer"),
        (|a| a.body["issued_token_type"] = "urn:ietf:params:oauth:token-type:refresh_token".into(), "unusable_answer"),
        (|a| a.body["error"] = "invalid_request".into(), "unusable_answer"),
        (|a| a.claims["iss"] = "https://evil.example".into(), "token_issuer"),
        (|a| a.claims["sub"] = "sub-bob".into(), "token_subject"),
        (|a| a.claims["aud"] = Value::Null, "token_audience"),
        (|a| a.claims["aud"] = json!(["kubernetes-c1", "https://ferry.example/mcp"]), "token_audience"),
        (|a| a.claims["aud"] = "kubernetes-c2".into(), "token_audience"),
        (|a| a.claims["exp"] = (now() - 1).into(), "token_lifetime"),
    ];
    for (edit, code) in edits {
        lab.edited(&lab.corp, edit);
        assert_eq!(lab.code(&lab.exchange()).await, code);
    }
    lab.edited(&lab.corp, |_| {});
    lab.outcome(&lab.exchange(), &caller("corp", "alice")).await.unwrap();
}

#[tokio::test]
async fn a_grant_that_is_not_what_was_asked_for_never_reaches_the_other_realm() {
    let lab = Lab::start().await;
    type Edit = fn(&mut Answered);
    let edits: [(Edit, &str); 7] = [
        (|a| a.claims["iss"] = "https://evil.example".into(), "token_issuer"),
        (|a| a.claims["sub"] = Value::Null, "token_subject"),
        (|a| a.claims["aud"] = "https://lake.example".into(), "token_audience"),
        (|a| a.claims["aud"] = json!([a.claims["aud"], a.claims["aud"]]), "grant_audience"),
        (|a| a.claims["exp"] = Value::Null, "token_lifetime"),
        (|a| a.claims["exp"] = (now() + 3600).into(), "grant_lifetime"),
        (|a| a.body["token_type"] = "N_A".into(), "unusable_answer"),
    ];
    for (edit, code) in edits {
        lab.edited(&lab.corp, edit);
        assert_eq!(lab.code(&lab.chain()).await, code);
    }
    assert_eq!(lab.asked()[1], 0);
    lab.edited(&lab.corp, |a| a.claims["aud"] = json!([a.claims["aud"]]));
    lab.outcome(&lab.chain(), &caller("corp", "alice")).await.unwrap();
    lab.edited(&lab.plant, |a| a.claims["iss"] = "https://corp.example".into());
    assert_eq!(lab.code(&lab.chain()).await, "token_issuer");
}

#[tokio::test]
async fn every_setting_of_a_realm_that_decides_where_secrets_go_is_in_the_key() {
    let lab = Lab::start().await;
    type Edit = fn(&mut crate::realm::RealmConfig);
    let edits: [Edit; 7] = [
        |_| {},
        |realm| realm.issuer = "https://localhost:1".into(),
        |realm| realm.discovery_url = Some("https://localhost:2/x".into()),
        |realm| realm.ca = None,
        |realm| realm.allow_private = false,
        |realm| realm.profile = Profile::Rfc,
        |realm| realm.client.as_mut().unwrap().id = "another".into(),
    ];
    let mut keys = std::collections::BTreeSet::new();
    for edit in edits {
        let mut config = lab.config("corp", &lab.corp);
        edit(&mut config);
        let mut context = lab.context();
        let reader = Arc::new(crate::realm::RealmReader::new(&config).unwrap());
        context.clients.insert(realm("corp"), Ok(RealmClient::new(&config, reader).unwrap()));
        for settings in [lab.exchange(), lab.chain()] {
            keys.insert(compiled(&settings, &context).key.bytes().to_vec());
        }
    }
    assert_eq!(keys.len(), 2 * edits.len());
}

#[tokio::test]
async fn no_other_realm_gets_a_grant_that_opens_our_door() {
    let lab = Lab::start().await;
    let mut context = lab.context();
    context.links.get_mut("corp-to-plant").unwrap().audience = Some("https://ferry.example/mcp".into());
    let problems = super::compile(&super::entry(lab.chain()), &context).unwrap_err();
    assert_eq!(problems[0].key, "clusters.c1.link");
}

#[tokio::test]
async fn another_account_than_before_is_refused_until_a_reload() {
    let lab = Lab::start().await;
    let (compiled, minting) = (compiled(&lab.chain(), &lab.context()), Minting::default());
    let alice = caller("corp", "alice");
    compiled.strategy.credential(&alice, &minting).await.unwrap();
    lab.edited(&lab.plant, |a| a.claims["sub"] = "somebody-else".into());
    let error = compiled.strategy.credential(&alice, &minting).await.unwrap_err();
    assert_eq!(error.failure(false).code, "subject_changed");
    minting.pins.clear();
    compiled.strategy.credential(&alice, &minting).await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_about_to_end_or_not_fully_admitted_is_not_exchanged() {
    let lab = Lab::start().await;
    for settings in [lab.exchange(), lab.chain()] {
        let with = |change: &dyn Fn(&mut Principal)| {
            let alice = caller("corp", "alice");
            let mut principal = Principal::clone(alice.principal());
            change(&mut principal);
            Caller::new(Arc::new(principal), alice.token().clone())
        };
        let ending = with(&|principal| principal.expires = Some(SystemTime::now() + Duration::from_secs(5)));
        let error = lab.outcome(&settings, &ending).await.unwrap_err();
        assert_eq!(error.failure(false).kind, FailureKind::SignIn);
        for admission in [Admission::PassthroughOnly, Admission::IdToken] {
            let narrow = with(&|principal| principal.admission = admission);
            assert!(lab.outcome(&settings, &narrow).await.is_err());
        }
    }
    assert!(lab.untouched());
}

#[tokio::test]
async fn a_token_ends_with_whatever_ends_first() {
    let lab = Lab::start().await;
    let compiled = compiled(&lab.exchange(), &lab.context());
    let alice = caller("corp", "alice");
    type Edit = fn(&mut Answered);
    let edits: [(Edit, u64); 5] = [
        (|a| a.body["expires_in"] = 60.into(), 60),
        (|a| a.claims["exp"] = (now() + 90).into(), 90),
        (|a| a.body["expires_in"] = "60".into(), 240),
        (|a| a.body["expires_in"] = (-5).into(), 240),
        // The caller's own token has 300 s.
        (|a| (a.body["expires_in"], a.claims["exp"]) = (86_400.into(), (now() + 86_400).into()), 300),
    ];
    for (edit, seconds) in edits {
        lab.edited(&lab.corp, edit);
        let credential = compiled.strategy.credential(&alice, &Minting::default()).await.unwrap();
        let left = credential.left(SystemTime::now()).unwrap().as_secs();
        assert!((seconds - 3..=seconds).contains(&left), "{left} of {seconds}");
        assert_eq!(sent(&compiled, &credential).len(), 1);
    }
}
