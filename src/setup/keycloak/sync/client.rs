//! Clients: ours, those that stand for an audience, and the scopes that each has.

use serde_json::{Value, json};

use super::{Round, id};
use crate::output::scrub_text;
use crate::setup::keycloak::admin::encoded;
use crate::setup::keycloak::body::{Compared, audience, credential, new_client};
use crate::setup::keycloak::diff::{differences, mend};
use crate::setup::keycloak::plan::{AUDIENCE_DESCRIPTION, Client, Credential};
use crate::setup::{SetupError, State};

/// Ways to authenticate that Keycloak gives a client itself, and that no token of another issuer fits.
const OWN_AUTHENTICATORS: [&str; 4] = ["client-secret", "client-secret-jwt", "client-jwt", "client-x509"];
/// What makes a client more than an audience.
const FLOWS: [&str; 4] =
    ["standardFlowEnabled", "implicitFlowEnabled", "directAccessGrantsEnabled", "serviceAccountsEnabled"];

impl Round<'_, '_> {
    pub(super) async fn client_named(&mut self, id: &str) -> Result<Option<Value>, SetupError> {
        let found = self.admin.list(&format!("/clients?clientId={}", encoded(id))).await?;
        Ok(found.into_iter().find(|client| client["clientId"] == id))
    }

    pub(super) async fn client(&mut self, mut client: Client) -> Result<(), SetupError> {
        let unnamed = self.name_provider(&mut client.must);
        match self.client_named(&client.id).await? {
            Some(found) => self.client_there(&client, found).await?,
            None => self.client_missing(&client).await?,
        }
        if let Some(detail) = unnamed {
            self.line(State::ByHand, format!("JWT authorization grant of client {}", client.id), detail);
        }
        Ok(())
    }

    async fn client_missing(&mut self, client: &Client) -> Result<(), SetupError> {
        let mut made = None;
        if self.apply {
            let mut body = new_client(client);
            credential(&mut body, client.credential.as_ref())?;
            self.admin.post("/clients", &body).await?;
            made = self.client_named(&client.id).await?;
        }
        self.missing(format!("client {}", client.id));
        if self.apply {
            // Keycloak leaves out scopes that it does not have.
            self.assignments(client, made.as_ref().unwrap_or(&Value::Null)).await?;
        }
        self.authenticator(client, made.as_ref());
        Ok(())
    }

    async fn client_there(&mut self, client: &Client, mut found: Value) -> Result<(), SetupError> {
        let what = format!("client {}", client.id);
        let mut differs = differences(&found, &client.must);
        if client.credential.is_none() && !differs.is_empty() && !is_audience(&found) {
            let detail = "it is disabled, and it is more than an audience: enable it if people may use it again, or choose \
                          another audience in the configuration";
            self.line(State::ByHand, what, detail.to_owned());
            return Ok(());
        }
        let mut note = String::new();
        match credential(&mut found, client.credential.as_ref())? {
            Compared::Same => {}
            Compared::Other(how) => differs.push(how),
            Compared::Hidden(why) => note = why,
        }
        if differs.is_empty() {
            self.line(State::Left, what, note);
        } else {
            if self.apply {
                mend(&mut found, &client.must);
                self.admin.put(&format!("/clients/{}", id(&found)), &found).await?;
            } else if !note.is_empty() {
                differs.push(note);
            }
            self.otherwise(what, &differs);
        }
        self.assignments(client, &found).await?;
        self.authenticator(client, Some(&found));
        Ok(())
    }

    /// How our client authenticates, where this program cannot write it.
    fn authenticator(&mut self, client: &Client, found: Option<&Value>) {
        let Some(Credential::ByHand(what)) = &client.credential else { return };
        let kind = found.and_then(|found| found["clientAuthenticatorType"].as_str());
        match kind.filter(|kind| !OWN_AUTHENTICATORS.contains(kind)) {
            Some(kind) => {
                let detail = format!("it is {}; what that accepts was not compared", scrub_text(kind));
                self.line(State::Left, what.clone(), detail);
            }
            None => {
                let is = kind.unwrap_or("not there yet");
                let detail = format!("it is {is}: configure in Keycloak whose token this client authenticates with");
                self.line(State::ByHand, what.clone(), detail);
            }
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
        self.audiences_of_all(client, &defaults);
        Ok(())
    }

    /// A default scope brings its audience into each token, also into those for clusters that must not have it.
    fn audiences_of_all(&mut self, client: &Client, defaults: &[String]) {
        for scope in defaults {
            let mappers = self.found(scope).and_then(|found| found["protocolMappers"].as_array());
            let brought = mappers.into_iter().flatten().filter_map(audience);
            let unfit = brought
                .filter(|brought| client.allowed.iter().any(|cluster| cluster.iter().all(|one| one != brought)))
                .map(scrub_text)
                .collect::<Vec<_>>();
            if !unfit.is_empty() {
                let what = format!("default client scope {} of client {}", scrub_text(scope), client.id);
                let detail = format!(
                    "it brings {} into each token, and kubeferry refuses a token for more than its cluster: make it optional",
                    unfit.join(", ")
                );
                self.line(State::ByHand, what, detail);
            }
        }
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

    pub(super) async fn login_client(&mut self, client: &str, scope: &str) -> Result<(), SetupError> {
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
}

/// True for a client that this program made to stand for an audience, and that nobody gave more to do.
fn is_audience(client: &Value) -> bool {
    client["description"] == AUDIENCE_DESCRIPTION && FLOWS.iter().all(|flow| client[*flow] != true)
}
