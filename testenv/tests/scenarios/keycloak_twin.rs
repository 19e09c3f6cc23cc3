//! The Rust realm server answers as a real Keycloak does: the same questions to both, answers compared.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testenv::keycloak::{FERRY_CLIENT, Keycloak, LOGIN_CLIENT};
use testenv::realm::{Client, RealmConfig, Realms, RealmsConfig, Scope, User};
use testenv::world::RESOURCE;

use super::keycloak::play;

/// A form's parameters in place of those of a good request; an empty value leaves one out. `$NAME` is filled in.
type Changes = &'static [(&'static str, &'static str)];

/// Questions to realm corp, in place of a good leg 1.
const EXCHANGES: &[Changes] = &[
    &[],
    &[("audience", "kubernetes-corp-1"), ("scope", "k8s-corp-1")],
    &[("audience", ""), ("scope", "")],
    &[("audience", "")],
    &[("audience", "nobody")],
    &[("scope", "")],
    &[("scope", "k8s-corp-1")],
    &[("scope", "no-such-scope")],
    &[("scope", "access-plant no-such-scope")],
    &[("subject_token", "")],
    &[("subject_token", "x.y.z")],
    &[("subject_token", "garbage")],
    &[("subject_token", "$FORGED")],
    &[("subject_token", "$ISSUED")],
    &[("subject_token", "$GRANT")],
    &[("subject_token_type", "")],
    &[("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")],
    &[("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")],
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")],
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")],
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag")],
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:saml2")],
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
    &[("resource", "https://elsewhere.test/")],
    &[("client_secret", "wrong")],
    &[("client_secret", "")],
    &[("client_id", "nobody")],
    &[("client_id", "mcp-client"), ("client_secret", "")],
    &[("client_id", "")],
    &[("grant_type", "magic")],
    &[("grant_type", "client_credentials"), ("audience", ""), ("scope", "")],
    &[("grant_type", "client_credentials"), ("client_id", "mcp-client"), ("client_secret", "")],
];

/// Questions to realm plant, in place of a good leg 2. Each `$GRANT` is a new one.
const GRANTS: &[Changes] = &[
    &[],
    &[("assertion", "")],
    &[("assertion", "garbage")],
    &[("assertion", "$INBOUND")],
    &[("assertion", "$FOR_CORP_1")],
    &[("assertion", "$ISSUED")],
    &[("assertion", "$FORGED_GRANT")],
    &[("assertion", "$GRANT_OF_BOB")],
    &[("assertion", "$USED")],
    &[("scope", "")],
    &[("scope", "no-such-scope")],
    &[("audience", "elsewhere")],
    &[("client_secret", "wrong")],
    &[("client_id", "nobody")],
];

/// What realm plant is asked with a grant, for whom, and whether that burns the grant.
const FIRST_USES: &[(&str, Changes, bool)] = &[
    ("$INBOUND", &[], true),
    ("$INBOUND", &[("scope", "no-such-scope")], true),
    ("$INBOUND_OF_BOB", &[], true),
    ("$INBOUND", &[("client_secret", "wrong")], false),
    ("$INBOUND", &[("client_id", "nobody")], false),
    ("$INBOUND", &[("assertion", "$FORGED_COPY")], false),
];

/// One of the two.
struct Side {
    http: reqwest::Client,
    base: String,
    secrets: [String; 2],
    /// What `$NAME` stands for, but for the grants.
    tokens: BTreeMap<&'static str, String>,
}

/// Both are asked each question, and must say the same.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn the_rust_realms_answer_as_keycloak_does() {
    play(|scene| {
        Box::pin(async move {
            let keycloak = &scene.fleet.keycloak;
            let rust = rust_realms(keycloak).await?;
            let [mut real, mut played] = [
                Side::new(keycloak.url(), keycloak.ca_pem(), keycloak)?,
                Side::new(&format!("https://{}", rust.address()), rust.ca_pem(), keycloak)?,
            ];
            for (side, passwords) in [
                (&mut real, ["alice", "bob"].map(|_| keycloak.password().to_owned())),
                (&mut played, ["alice", "bob"].map(|user| rust.user("corp", user).password)),
            ] {
                side.prepare(&passwords).await.with_context(|| side.base.clone())?;
            }
            let mut differ = Vec::new();
            for (realm, questions) in [("corp", EXCHANGES), ("plant", GRANTS)] {
                for changes in questions {
                    let [says, plays] = [real.ask(realm, changes).await?, played.ask(realm, changes).await?];
                    if says != plays {
                        differ.push(format!("{realm} {changes:?}\n  Keycloak: {says}\n  Rust:     {plays}"));
                    }
                }
            }
            for (whose, changes, burns) in FIRST_USES {
                let [says, plays] = [real.twice(whose, changes).await?, played.twice(whose, changes).await?];
                let burnt = says[1][2] == "Token reuse detected";
                if says != plays || burnt != *burns {
                    let [says, plays] = [says, plays].map(|[first, then]| format!("{first}, then {then}"));
                    differ.push(format!(
                        "twice {whose} {changes:?}, burns: {burns}\n  Keycloak: {says}\n  Rust:     {plays}"
                    ));
                }
            }
            ensure!(differ.is_empty(), "{} answers differ:\n{}", differ.len(), differ.join("\n"));
            Ok(())
        })
    });
}

/// The realms of `clusters/keycloak`, with the real one's secrets.
async fn rust_realms(keycloak: &Keycloak) -> anyhow::Result<Realms> {
    let own = |realm| Client::confidential(FERRY_CLIENT, keycloak.client_secret(realm), &[]).without_service_account();
    let corp = RealmConfig::new("corp")
        .user(User::new("alice", &["dev", "ops"]))
        .user(User::new("bob", &["dev"]))
        .scope(Scope::new("k8s-corp-1", &["kubernetes-corp-1"]))
        .client(Client::public("kubernetes-corp-1", &[]))
        .client(Client::public(LOGIN_CLIENT, &[RESOURCE, FERRY_CLIENT]))
        .client(own("corp").exchanges(&["k8s-corp-1"]).token_lifetime(240));
    let plant = RealmConfig::new("plant")
        .user(User::new("alice", &["operators"]))
        .user(User::new("bob", &["operators"]))
        .scope(Scope::new("k8s-plant-1", &["kubernetes-plant-1"]))
        .client(own("plant").takes_grants(&["corp"], &["k8s-plant-1"]));
    let realms = Realms::start(RealmsConfig { realms: vec![corp, plant] }).await?;
    realms.connect("corp", "plant", FERRY_CLIENT);
    realms.link("plant", "alice", "corp", &realms.user("corp", "alice").sub);
    Ok(realms)
}

impl Side {
    fn new(base: &str, ca_pem: &str, keycloak: &Keycloak) -> anyhow::Result<Self> {
        let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes())?;
        let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(30));
        let http = http.tls_certs_only(roots).build()?;
        let secrets = ["corp", "plant"].map(|realm| keycloak.client_secret(realm).to_owned());
        Ok(Self { http, base: base.to_owned(), secrets, tokens: BTreeMap::new() })
    }

    /// Signs alice and bob in and gets every token that is needed once.
    async fn prepare(&mut self, passwords: &[String; 2]) -> anyhow::Result<()> {
        for (user, name, password) in [("alice", "$INBOUND", &passwords[0]), ("bob", "$INBOUND_OF_BOB", &passwords[1])]
        {
            let form = [
                ("grant_type", "password"),
                ("client_id", LOGIN_CLIENT),
                ("username", user),
                ("password", password),
                ("scope", "openid"),
            ];
            let (_, body) = self.post("corp", &form).await?;
            self.tokens.insert(name, access_token(&body)?);
        }
        let inbound = self.tokens["$INBOUND"].clone();
        self.tokens.insert("$FORGED", forged(&inbound));
        let for_corp = [("audience", "kubernetes-corp-1"), ("scope", "k8s-corp-1")];
        let (_, body) = self.post_changed("corp", &for_corp).await?;
        self.tokens.insert("$FOR_CORP_1", access_token(&body)?);
        let used = self.grant("$INBOUND").await?;
        let (_, body) = self.post_changed("plant", &[("assertion", &used)]).await?;
        self.tokens.insert("$ISSUED", access_token(&body)?);
        self.tokens.insert("$USED", used);
        Ok(())
    }

    async fn grant(&self, subject: &str) -> anyhow::Result<String> {
        let subject = self.tokens[subject].clone();
        let (_, body) = self.post_changed("corp", &[("subject_token", &subject)]).await?;
        access_token(&body)
    }

    /// The answer to a question, without what differs between two servers or two moments.
    async fn ask(&self, realm: &str, changes: Changes) -> anyhow::Result<Value> {
        let mut filled = Vec::new();
        for (name, value) in changes {
            let value = match *value {
                "$GRANT" => self.grant("$INBOUND").await?,
                "$GRANT_OF_BOB" => self.grant("$INBOUND_OF_BOB").await?,
                "$FORGED_GRANT" => forged(&self.grant("$INBOUND").await?),
                value => self.tokens.get(value).cloned().unwrap_or_else(|| value.to_owned()),
            };
            filled.push((*name, value));
        }
        let needs_grant = realm == "plant" && !changes.iter().any(|(name, _)| *name == "assertion");
        if needs_grant {
            filled.push(("assertion", self.grant("$INBOUND").await?));
        }
        let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (status, body) = self.post_changed(realm, &filled).await?;
        Ok(self.gist(status, &body))
    }

    /// The answers to a first use of a new grant, with changes, and then to a good one of the same grant.
    async fn twice(&self, whose: &str, changes: Changes) -> anyhow::Result<[Value; 2]> {
        let grant = self.grant(whose).await?;
        let forged = forged(&grant);
        let mut first: Vec<(&str, &str)> = changes
            .iter()
            .map(|(name, value)| (*name, if *value == "$FORGED_COPY" { forged.as_str() } else { *value }))
            .collect();
        if !first.iter().any(|(name, _)| *name == "assertion") {
            first.push(("assertion", &grant));
        }
        let (status, body) = self.post_changed("plant", &first).await?;
        let first = self.gist(status, &body);
        let (status, body) = self.post_changed("plant", &[("assertion", &grant)]).await?;
        Ok([first, self.gist(status, &body)])
    }

    /// A good request with changes: leg 1 at corp, leg 2 at plant (which needs its assertion).
    async fn post_changed(&self, realm: &str, changes: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        let plant = format!("{}/realms/plant", self.base);
        let [of_corp, of_plant] = &self.secrets;
        let good: &[(&str, &str)] = match realm {
            "corp" => &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", &self.tokens["$INBOUND"]),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("audience", &plant),
                ("scope", "access-plant"),
                ("client_id", FERRY_CLIENT),
                ("client_secret", of_corp),
            ],
            _ => &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("scope", "k8s-plant-1"),
                ("client_id", FERRY_CLIENT),
                ("client_secret", of_plant),
            ],
        };
        let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        let form: Vec<_> = kept.chain(changes).filter(|(_, value)| !value.is_empty()).copied().collect();
        self.post(realm, &form).await
    }

    async fn post(&self, realm: &str, form: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/token", self.base);
        let response = self.http.post(url).form(form).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.context("an answer that is no JSON")?))
    }

    fn gist(&self, status: u16, body: &Value) -> Value {
        let here = |value: &Value| match value.as_str() {
            Some(text) => text.replace(&self.base, "BASE").into(),
            None => value.clone(),
        };
        let Ok(token) = access_token(body) else {
            return json!([status, here(&body["error"]), here(&body["error_description"])]);
        };
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
        let mut scopes: Vec<&str> = body["scope"].as_str().unwrap_or_default().split(' ').collect();
        scopes.sort_unstable();
        let mut keys: Vec<&String> = body.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        keys.sort();
        json!({
            "status": status,
            "keys": keys,
            "types": [body["token_type"], body["issued_token_type"], claims["typ"]],
            "scope": scopes,
            "life": life,
            // A second may pass between the token and the answer.
            "said": life.zip(body["expires_in"].as_i64()).map(|(life, said)| (life - 1..=life).contains(&said)),
            "aud": here(&claims["aud"]),
            "iss": here(&claims["iss"]),
            "azp": claims["azp"],
            "who": [claims["preferred_username"], claims["groups"], claims["email"]],
            "jti": claims["jti"].as_str().and_then(|jti| jti.split(':').next()),
            "sid": claims["sid"].is_string(),
        })
    }
}

fn access_token(body: &Value) -> anyhow::Result<String> {
    Ok(body["access_token"]
        .as_str()
        .with_context(|| format!("no token: {} {}", body["error"], body["error_description"]))?
        .to_owned())
}

/// The same token with another signature.
fn forged(token: &str) -> String {
    let signature = URL_SAFE_NO_PAD.encode([7; 256]);
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    format!("{signed}.{signature}")
}
