//! Compares a realm with what it must have, thing by thing, and mends it where that is asked for. Nothing is deleted; an
//! identity provider is never made anew, because the links of people would go with it.

use serde_json::{Value, json};

use super::admin::{Admin, encoded};
use super::diff::{created, differences, mend, put};
use super::jwk;
use super::plan::{self, Client, Credential, GRANT_PROVIDERS, IdentityProvider, Mapper, Must, Scope, Thing, Want};
use crate::kubeconfig::read_bounded;
use crate::model::{RealmName, Secret};
use crate::output::scrub_text;
use crate::setup::{Line, SetupError, State, Tell};

const POLICIES: &str = "/components?type=org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy";

/// Looks at all `things`, in their order.
pub(super) async fn run(
    admin: &Admin<'_>,
    realm: &RealmName,
    things: Vec<Thing>,
    apply: bool,
    tell: Tell<'_>,
) -> Result<(), SetupError> {
    let mut round = Round { admin, realm, apply, tell, scopes: Vec::new(), alias: None };
    round.line(State::Working, "reading the client scopes".to_owned(), format!("from {}", admin.address()));
    round.scopes = admin.list("/client-scopes").await?;
    for thing in things {
        match thing {
            Thing::Scope(scope) => round.scope(&scope).await?,
            Thing::Client(client) => round.client(client).await?,
            Thing::IdentityProvider(provider) => round.identity_provider(&provider).await?,
            Thing::RealmDefault { scope } => round.realm_default(&scope).await?,
            Thing::LoginClient { client, scope } => round.login_client(&client, &scope).await?,
            Thing::TrustedHosts { hosts } => round.trusted_hosts(hosts).await?,
        }
    }
    Ok(())
}

/// The secret in a file: its first and only line.
pub(super) fn secret(file: &std::path::Path) -> Result<Secret, SetupError> {
    let wrong = |source| SetupError::File { what: "client secret", file: file.to_owned(), source };
    let text = String::from_utf8(read_bounded(file).map_err(wrong)?);
    let text = text.map_err(|_| wrong(std::io::Error::other("it is not text")))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong(std::io::Error::other("it is empty"))),
        text => Ok(Secret::new(text)),
    }
}

/// The public half of a key as the text that Keycloak keeps.
pub(super) fn public_key(file: &std::path::Path) -> Result<Value, SetupError> {
    jwk::public_jwk(file).map_err(|source| SetupError::File { what: "private key", file: file.to_owned(), source })
}

struct Round<'a, 't> {
    admin: &'a Admin<'a>,
    realm: &'a RealmName,
    apply: bool,
    tell: Tell<'t>,
    /// As they are in the realm.
    scopes: Vec<Value>,
    /// The identity provider of the home realm, where one of its issuer is there under another alias.
    alias: Option<String>,
}

impl Round<'_, '_> {
    fn line(&mut self, state: State, what: String, detail: String) {
        (self.tell)(Line { realm: self.realm.clone(), state, what, detail });
    }

    fn missing(&mut self, what: String) {
        self.line(if self.apply { State::Created } else { State::Missing }, what, String::new());
    }

    fn otherwise(&mut self, what: String, differences: &[String]) {
        let detail = differences.join("; ");
        self.line(if self.apply { State::Changed } else { State::Differs }, what, detail);
    }

    fn found(&self, scope: &str) -> Option<&Value> {
        self.scopes.iter().find(|found| found["name"] == scope)
    }

    async fn scope(&mut self, scope: &Scope) -> Result<(), SetupError> {
        let what = format!("client scope {}", scope.name);
        let Some(found) = self.found(&scope.name).cloned() else {
            if self.apply {
                self.admin.post("/client-scopes", &new_scope(scope)).await?;
                self.scopes = self.admin.list("/client-scopes").await?;
            }
            self.missing(what);
            return Ok(());
        };
        if found["protocol"] != "openid-connect" {
            let detail = "it is no scope of OpenID Connect: rename it, or choose another scope in the configuration";
            self.line(State::ByHand, what, detail.to_owned());
            return Ok(());
        }
        self.line(State::Left, what, String::new());
        if scope.only_made {
            return Ok(());
        }
        let id = id(&found);
        let mappers = found["protocolMappers"].as_array().cloned().unwrap_or_default();
        for wanted in &scope.mappers {
            self.mapper(&format!("/client-scopes/{id}/protocol-mappers/models"), &scope.name, wanted, &mappers).await?;
        }
        Ok(())
    }

    async fn mapper(&mut self, path: &str, scope: &str, wanted: &Mapper, there: &[Value]) -> Result<(), SetupError> {
        let what = format!("mapper {} of client scope {scope}", wanted.name);
        // One that somebody made under another name does as well.
        let same =
            |mapper: &&Value| mapper["protocolMapper"] == wanted.kind && differences(mapper, &wanted.must).is_empty();
        let named = |mapper: &&Value| mapper["name"] == wanted.name.as_str();
        let Some(found) = there.iter().find(same).or_else(|| there.iter().find(named)) else {
            if self.apply {
                self.admin.post(path, &new_mapper(wanted)).await?;
            }
            self.missing(what);
            return Ok(());
        };
        if found["protocolMapper"] != wanted.kind {
            let detail = format!("it is no {}: rename it, and run this again", wanted.kind);
            self.line(State::ByHand, what, detail);
            return Ok(());
        }
        self.mend(what, format!("{path}/{}", id(found)), found.clone(), &wanted.must).await
    }

    /// Puts an object that differs.
    async fn mend(&mut self, what: String, path: String, mut object: Value, must: &[Must]) -> Result<(), SetupError> {
        let differs = differences(&object, must);
        if differs.is_empty() {
            self.line(State::Left, what, String::new());
            return Ok(());
        }
        if self.apply {
            mend(&mut object, must);
            self.admin.put(&path, &object).await?;
        }
        self.otherwise(what, &differs);
        Ok(())
    }

    async fn client_named(&mut self, id: &str) -> Result<Option<Value>, SetupError> {
        let found = self.admin.list(&format!("/clients?clientId={}", encoded(id))).await?;
        Ok(found.into_iter().find(|client| client["clientId"] == id))
    }

    async fn client(&mut self, mut client: Client) -> Result<(), SetupError> {
        if let Some(alias) = &self.alias {
            for must in &mut client.must {
                if let Want::Names(name) = &mut must.want {
                    name.clone_from(alias);
                }
            }
        }
        let what = format!("client {}", client.id);
        let Some(mut found) = self.client_named(&client.id).await? else {
            if self.apply {
                let mut body = new_client(&client);
                credential(&mut body, client.credential.as_ref())?;
                self.admin.post("/clients", &body).await?;
            }
            self.missing(what);
            if self.apply {
                // Keycloak leaves out scopes that it does not have.
                let made = self.client_named(&client.id).await?.unwrap_or_default();
                self.assignments(&client, &made).await?;
            }
            self.by_hand(&client);
            return Ok(());
        };
        let mut differs = differences(&found, &client.must);
        differs.extend(credential(&mut found, client.credential.as_ref())?);
        if differs.is_empty() {
            self.line(State::Left, what, String::new());
        } else {
            if self.apply {
                mend(&mut found, &client.must);
                self.admin.put(&format!("/clients/{}", id(&found)), &found).await?;
            }
            self.otherwise(what, &differs);
        }
        self.assignments(&client, &found).await?;
        self.by_hand(&client);
        Ok(())
    }

    fn by_hand(&mut self, client: &Client) {
        if let Some(Credential::ByHand(what)) = &client.credential {
            let detail = "not compared: configure it in Keycloak".to_owned();
            self.line(State::Left, what.clone(), detail);
        }
    }

    /// The scopes of our client. One that should be optional may as well be a default.
    async fn assignments(&mut self, client: &Client, found: &Value) -> Result<(), SetupError> {
        let names = |member: &str| -> Vec<String> {
            let names = found[member].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        let (defaults, optional) = (names("defaultClientScopes"), names("optionalClientScopes"));
        for scope in &client.default_scopes {
            let what = format!("default client scope {scope} of client {}", client.id);
            if defaults.contains(scope) {
                self.line(State::Left, what, String::new());
                continue;
            }
            let other = optional.contains(scope).then_some("optional-client-scopes");
            self.assign(what, scope, id(found), "default-client-scopes", other).await?;
        }
        for scope in &client.optional_scopes {
            let what = format!("optional client scope {scope} of client {}", client.id);
            if optional.contains(scope) || defaults.contains(scope) {
                self.line(State::Left, what, String::new());
                continue;
            }
            self.assign(what, scope, id(found), "optional-client-scopes", None).await?;
        }
        Ok(())
    }

    async fn assign(
        &mut self,
        what: String,
        scope: &str,
        client: &str,
        list: &str,
        other: Option<&str>,
    ) -> Result<(), SetupError> {
        let scope_id = self.found(scope).map(|found| id(found).to_owned());
        let Some(scope_id) = scope_id else {
            // A run that may not change anything has said already that the scope is missing.
            if self.apply || ["basic", "profile", "email"].contains(&scope) {
                let detail = "the realm has no such scope: make it as new realms have it";
                self.line(State::ByHand, what, detail.to_owned());
            } else {
                self.missing(what);
            }
            return Ok(());
        };
        if self.apply {
            if let Some(other) = other {
                self.admin.release(&format!("/clients/{client}/{other}/{scope_id}")).await?;
            }
            self.admin.put(&format!("/clients/{client}/{list}/{scope_id}"), &json!({})).await?;
        }
        match other {
            Some(_) => self.otherwise(what, &["it is optional, should be a default".to_owned()]),
            None => self.missing(what),
        }
        Ok(())
    }

    async fn identity_provider(&mut self, wanted: &IdentityProvider) -> Result<(), SetupError> {
        let there = self.admin.list("/identity-provider/instances").await?;
        let same = |found: &&Value| found["config"]["issuer"] == wanted.issuer.as_str();
        let named = |found: &&Value| found["alias"] == wanted.alias.as_str();
        let what = format!("identity provider {}", wanted.alias);
        let Some(found) = there.iter().find(same).or_else(|| there.iter().find(named)) else {
            if self.apply {
                self.admin.post("/identity-provider/instances", &created(&wanted.initially, &wanted.must)).await?;
            }
            self.missing(what);
            return Ok(());
        };
        let alias = found["alias"].as_str().unwrap_or_default().to_owned();
        let issuer = found["config"]["issuer"].as_str().unwrap_or_default();
        if issuer != wanted.issuer {
            let detail = format!(
                "it is of issuer {issuer:?}, should be {:?}: another realm has this alias, and its links of people would lead \
                 elsewhere; give one of the two another alias",
                wanted.issuer
            );
            self.line(State::ByHand, what, scrub_text(&detail));
            return Ok(());
        }
        let kind = found["providerId"].as_str().unwrap_or_default();
        if !GRANT_PROVIDERS.contains(&kind) {
            let detail = format!("its kind {kind:?} takes no JWT authorization grant; make it one of kind oidc");
            self.line(State::ByHand, what, scrub_text(&detail));
            return Ok(());
        }
        let what = format!("identity provider {}", scrub_text(&alias));
        let path = format!("/identity-provider/instances/{}", encoded(&alias));
        self.alias = Some(alias);
        self.mend(what, path, found.clone(), &wanted.must).await
    }

    async fn realm_default(&mut self, scope: &str) -> Result<(), SetupError> {
        let what = format!("default client scope {scope} of new clients");
        let there = self.admin.list("/default-default-client-scopes").await?;
        if there.iter().any(|found| found["name"] == scope) {
            self.line(State::Left, what, String::new());
            return Ok(());
        }
        if self.apply
            && let Some(found) = self.found(scope)
        {
            self.admin.put(&format!("/default-default-client-scopes/{}", id(found)), &json!({})).await?;
        }
        self.missing(what);
        Ok(())
    }

    async fn login_client(&mut self, client: &str, scope: &str) -> Result<(), SetupError> {
        let what = format!("default client scope {scope} of client {client}");
        let Some(found) = self.client_named(client).await? else {
            let detail = "there is no such client, and this program makes no clients for people".to_owned();
            self.line(State::ByHand, what, detail);
            return Ok(());
        };
        let has = |list: &str| found[list].as_array().is_some_and(|names| names.iter().any(|name| name == scope));
        if has("defaultClientScopes") {
            self.line(State::Left, what, String::new());
            return Ok(());
        }
        let other = has("optionalClientScopes").then_some("optional-client-scopes");
        self.assign(what, scope, id(&found), "default-client-scopes", other).await
    }

    async fn trusted_hosts(&mut self, hosts: Vec<String>) -> Result<(), SetupError> {
        let what = "policy trusted-hosts of anonymous client registration".to_owned();
        let there = self.admin.list(POLICIES).await?;
        let found =
            there.into_iter().find(|found| found["providerId"] == "trusted-hosts" && found["subType"] == "anonymous");
        let Some(found) = found else {
            self.line(State::Left, what, "there is none, so every host may register clients".to_owned());
            return Ok(());
        };
        let path = format!("/components/{}", id(&found));
        self.mend(what, path, found, &plan::trusted_hosts(hosts)).await
    }
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_default()
}

/// Writes the credential into `client` where it is another, and says so without showing it.
fn credential(client: &mut Value, wanted: Option<&Credential>) -> Result<Option<String>, SetupError> {
    match wanted {
        Some(Credential::Secret(file)) => {
            let secret = secret(file)?;
            if client["secret"] == secret.expose() {
                return Ok(None);
            }
            put(client, "secret", secret.expose().into());
            Ok(Some("its secret is another than the one in secret_file".to_owned()))
        }
        Some(Credential::PublicKey(file)) => {
            let key = public_key(file)?;
            let attributes = &client["attributes"];
            let by_url = attributes["use.jwks.url"] == "true";
            if !by_url && attributes["jwks.string"].as_str().is_some_and(|jwks| jwk::holds(jwks, &key)) {
                return Ok(None);
            }
            if by_url {
                put(client, "attributes/use.jwks.url", "false".into());
            }
            put(client, "attributes/jwks.string", json!({"keys": [key]}).to_string().into());
            Ok(Some("its key is another than the one in key_file".to_owned()))
        }
        Some(Credential::ByHand(_)) | None => Ok(None),
    }
}

pub(super) fn new_scope(scope: &Scope) -> Value {
    json!({
        "name": scope.name, "description": scope.why, "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "true", "display.on.consent.screen": "false"},
        "protocolMappers": scope.mappers.iter().map(new_mapper).collect::<Vec<_>>(),
    })
}

fn new_mapper(mapper: &Mapper) -> Value {
    let mut body = created(&mapper.initially, &mapper.must);
    put(&mut body, "name", mapper.name.as_str().into());
    put(&mut body, "protocol", "openid-connect".into());
    put(&mut body, "protocolMapper", mapper.kind.into());
    body
}

/// Without its credential.
pub(super) fn new_client(client: &Client) -> Value {
    let mut body = created(&client.initially, &client.must);
    put(&mut body, "clientId", client.id.as_str().into());
    put(&mut body, "defaultClientScopes", json!(client.default_scopes));
    put(&mut body, "optionalClientScopes", json!(client.optional_scopes));
    body
}
