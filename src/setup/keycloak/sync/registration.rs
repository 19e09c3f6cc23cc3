//! What clients get that register themselves, and from where they may.

use serde_json::json;

use super::{Round, id};
use crate::setup::keycloak::plan;
use crate::setup::{SetupError, State};

const POLICIES: &str = "/components?type=org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy";

impl Round<'_, '_> {
    pub(super) async fn realm_default(&mut self, scope: &str) -> Result<(), SetupError> {
        let what = format!("default client scope {scope} of new clients");
        let named = |there: &[serde_json::Value]| there.iter().any(|found| found["name"] == scope);
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

    pub(super) async fn trusted_hosts(&mut self, hosts: Vec<String>) -> Result<(), SetupError> {
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
