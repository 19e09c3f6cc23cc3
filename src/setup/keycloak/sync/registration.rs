//! What clients get that register themselves, and from where they may.

use serde_json::{Value, json};

use super::{Round, id};
use crate::setup::keycloak::plan::Policy;
use crate::setup::{SetupError, State};

const POLICIES: &str = "/components?type=org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy";

impl Round<'_, '_> {
    pub(super) async fn realm_default(&mut self, scope: &str) -> Result<(), SetupError> {
        let what = format!("default client scope {scope} of new clients");
        let named = |there: &[Value]| there.iter().any(|found| found["name"] == scope);
        if named(&self.admin.list("/default-default-client-scopes").await?) {
            self.line(State::Left, what, String::new());
            return Ok(());
        }
        let optional = named(&self.admin.list("/default-optional-client-scopes").await?);
        if self.apply
            && let Some(scope) = self.found(scope).map(|found| id(found).to_owned())
        {
            if optional {
                self.admin.release(&format!("/default-optional-client-scopes/{scope}")).await?;
            }
            self.admin.put(&format!("/default-default-client-scopes/{scope}"), &json!({})).await?;
        }
        match optional {
            true => self.otherwise(what, &["it is optional, should be a default".to_owned()]),
            false => self.missing(what),
        }
        Ok(())
    }

    pub(super) async fn policy(&mut self, policy: &Policy) -> Result<(), SetupError> {
        let what = format!("policy {} of anonymous client registration", policy.provider);
        let there = self.admin.list(POLICIES).await?;
        let found =
            there.into_iter().find(|found| found["providerId"] == policy.provider && found["subType"] == "anonymous");
        let Some(found) = found else {
            self.line(State::Left, what, "there is none, so it refuses nobody".to_owned());
            return Ok(());
        };
        let path = format!("/components/{}", id(&found));
        self.mend(what, path, found, &policy.must).await
    }
}
