//! Two realms that trust each other one way: corp exchanges for itself and for plant, plant takes corp's grants.

use serde_json::Value;

use super::{client, part};
use crate::realm::{Client, Endpoint, GrantType, RealmConfig, Realms, RealmsConfig, Scope, SigningKey, Style, User};

pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const SECRET: &str = "s3cret+/=%";

/// The realms, with `fed-proxy` at both.
pub(super) struct Pair {
    pub realms: Realms,
    pub http: reqwest::Client,
}

/// Status and body of an answer.
pub(super) type Answer = (u16, Value);

impl Pair {
    pub async fn start(style: Style) -> Self {
        let corp = RealmConfig::new("corp")
            .style(style)
            .user(User::new("alice", &["dev"]))
            .user(User::new("bob", &[]))
            .scope(Scope::new("k8s-corp-1", &["kubernetes-corp-1"]))
            .client(Client::public("kubernetes-corp-1", &[]))
            .client(Client::public("mcp-client", &["https://ferry.test/mcp", "fed-proxy"]))
            .client(Client::confidential("fed-proxy", SECRET, &[]).exchanges(&["k8s-corp-1"]).token_lifetime(240));
        let plant = RealmConfig::new("plant")
            .user(User::new("alice-p", &["operators"]))
            .scope(Scope::new("k8s-plant-1", &["kubernetes-plant-1"]))
            .client(Client::confidential("fed-proxy", "other", &[]).takes_grants(&["corp"], &["k8s-plant-1"]));
        let realms = Realms::start(RealmsConfig { realms: vec![corp, plant] }).await.unwrap();
        realms.connect("corp", "plant", "fed-proxy");
        realms.link("plant", "alice-p", "corp", &realms.user("corp", "alice").sub);
        let http = client(&realms);
        Self { realms, http }
    }

    pub fn inbound(&self) -> String {
        self.realms.token("corp", "alice", "").audiences(&["https://ferry.test/mcp", "fed-proxy"]).mint()
    }

    /// Posts a form; an empty value leaves its parameter out.
    pub async fn post(&self, realm: &str, form: &[(&str, &str)]) -> Answer {
        let form: Vec<_> = form.iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = self.http.post(self.realms.url(realm, Endpoint::Token)).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// An exchange at corp for plant, with `changes`.
    pub async fn leg_1(&self, subject: &str, changes: &[(&str, &str)]) -> Answer {
        let plant = self.realms.issuer("plant");
        let form = [
            ("grant_type", GrantType::TokenExchange.name()),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", &plant),
            ("scope", "access-plant"),
            ("client_id", "fed-proxy"),
            ("client_secret", SECRET),
        ];
        self.post("corp", &changed(&form, changes)).await
    }

    /// The grant at plant, with `changes`.
    pub async fn leg_2(&self, assertion: &str, changes: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", GrantType::JwtBearer.name()),
            ("assertion", assertion),
            ("scope", "k8s-plant-1"),
            ("client_id", "fed-proxy"),
            ("client_secret", "other"),
        ];
        self.post("plant", &changed(&form, changes)).await
    }

    /// A good grant of alice.
    pub async fn grant(&self) -> String {
        token(&self.leg_1(&self.inbound(), &[]).await)
    }

    /// The key that signs at corp.
    pub fn corp_key(&self) -> SigningKey {
        self.realms.key("corp")
    }
}

fn changed<'a>(form: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = form.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    kept.chain(changes).copied().collect()
}

/// The token of a success.
pub(super) fn token(answer: &Answer) -> String {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["access_token"].as_str().unwrap().to_owned()
}

/// The claims of a token.
pub(super) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The words of a scope, in order.
pub(super) fn words(scope: &Value) -> Vec<&str> {
    let mut words: Vec<_> = scope.as_str().unwrap().split(' ').collect();
    words.sort_unstable();
    words
}

/// Status, error and text of a refusal.
pub(super) fn refused(answer: &Answer) -> (u16, &str, &str) {
    let text = |name: &str| answer.1[name].as_str().unwrap_or_else(|| panic!("{}", answer.1));
    (answer.0, text("error"), text("error_description"))
}
