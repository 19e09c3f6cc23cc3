//! Compares a realm with what it must have, thing by thing, and mends it where that is asked for. Nothing is deleted; an
//! identity provider is never made anew, because the links of people would go with it.
//!
//! Client scopes are here, clients in `sync/client.rs`, identity providers in `sync/provider.rs`, and what clients get that
//! register themselves in `sync/registration.rs`.

mod client;
mod provider;
mod registration;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::provider::Provider;
use super::admin::Admin;
use super::body::{audience, new_mapper, new_scope};
use super::diff::{differences, mend};
use super::plan::{Mapper, Must, Others, Scope, Thing};
use crate::model::RealmName;
use crate::output::scrub_text;
use crate::setup::{Line, SetupError, State, Tell};

/// Looks at all `things`, in their order.
pub(super) async fn run(
    admin: &Admin<'_>,
    realm: &RealmName,
    things: Vec<Thing>,
    apply: bool,
    tell: Tell<'_>,
) -> Result<(), SetupError> {
    let mut round = Round { admin, realm, apply, tell, scopes: Vec::new(), provider: Provider::AsPlanned };
    round.line(State::Working, "reading the client scopes".to_owned(), format!("from {}", admin.address()));
    round.scopes = admin.list("/client-scopes").await?;
    for thing in things {
        match thing {
            Thing::Scope(scope) => round.scope(&scope).await?,
            Thing::Client(client) => round.client(client).await?,
            Thing::IdentityProvider(provider) => round.identity_provider(&provider).await?,
            Thing::RealmDefault { scope } => round.realm_default(&scope).await?,
            Thing::LoginClient { client, scope } => round.login_client(&client, &scope).await?,
            Thing::Policy(policy) => round.policy(&policy).await?,
        }
    }
    Ok(())
}

struct Round<'a, 't> {
    admin: &'a Admin<'a>,
    realm: &'a RealmName,
    apply: bool,
    tell: Tell<'t>,
    /// As they are in the realm.
    scopes: Vec<Value>,
    /// What was found of the identity provider of the home realm.
    provider: Provider,
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
        self.other_audiences(scope, &mappers);
        if self.apply {
            self.scopes = self.admin.list("/client-scopes").await?;
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

    /// Audiences that the scope brings in beside the wanted ones.
    fn other_audiences(&mut self, scope: &Scope, there: &[Value]) {
        let (state, advice) = match scope.others {
            Others::Ignored => return,
            Others::Told => (State::Left, "another kubeferry at this realm, or somebody's addition"),
            Others::ByHand => (
                State::ByHand,
                "each token with this scope has it, and kubeferry refuses a token for more than its cluster: take the \
                 mapper out, or choose another scope in the configuration",
            ),
        };
        let wanted: Vec<Value> = scope.mappers.iter().map(new_mapper).collect();
        // One that has a name of ours was mended, or reported, as what it should be.
        let ours = |mapper: &Value| {
            wanted.iter().any(|ours| ours["name"] == mapper["name"] || audience(ours) == audience(mapper))
        };
        for mapper in there.iter().filter(|mapper| audience(mapper).is_some() && !ours(mapper)) {
            let name = mapper["name"].as_str().unwrap_or_default();
            let what = format!("mapper {} of client scope {}", scrub_text(name), scope.name);
            let other = scrub_text(audience(mapper).unwrap_or_default());
            self.line(state, what, format!("it brings in audience {other}: {advice}"));
        }
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
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_default()
}
