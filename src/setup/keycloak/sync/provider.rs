//! The identity provider of the home realm, found by its issuer under whatever alias.

use serde_json::Value;

use super::Round;
use crate::output::scrub_text;
use crate::setup::keycloak::admin::encoded;
use crate::setup::keycloak::diff::created;
use crate::setup::keycloak::plan::{GRANT_PROVIDERS, IdentityProvider, Must, SEPARATOR, Want};
use crate::setup::{SetupError, State};

const INSTANCES: &str = "/identity-provider/instances";
/// Which identity providers our client may use.
const ALLOWED: &str = "oauth2.jwt.authorization.grant.idp";

/// What was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Provider {
    /// Nothing yet, or it is (or will be) as planned.
    AsPlanned,
    /// It is there under this alias.
    Named(String),
    /// Something else is in its place, which our client must not be allowed to use.
    Foreign,
}

impl Round<'_, '_> {
    /// Writes the alias that was found into what our client must be; says what was left out.
    pub(super) fn name_provider(&self, must: &mut Vec<Must>) -> Option<String> {
        let before = must.len();
        match &self.provider {
            Provider::AsPlanned => {}
            Provider::Named(alias) => {
                for must in must.iter_mut() {
                    if let Want::Names(name) = &mut must.want {
                        name.clone_from(alias);
                    }
                }
            }
            Provider::Foreign => must.retain(|must| !matches!(must.want, Want::Names(_))),
        }
        (must.len() < before).then(|| {
            format!("{ALLOWED} was left as it is, so that it names no foreign identity provider: mend that one, and run this again")
        })
    }

    pub(super) async fn identity_provider(&mut self, wanted: &IdentityProvider) -> Result<(), SetupError> {
        let there = self.admin.all(INSTANCES).await?;
        let what = format!("identity provider {}", wanted.alias);
        let Some(found) = self.fitting(&there, wanted).await? else {
            if self.apply {
                self.admin.post(INSTANCES, &created(&wanted.initially, &wanted.must)).await?;
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
            return self.foreign(what, &detail);
        }
        let what = format!("identity provider {}", scrub_text(&alias));
        let kind = found["providerId"].as_str().unwrap_or_default();
        if !GRANT_PROVIDERS.contains(&kind) {
            let detail = format!("its kind {kind:?} takes no JWT authorization grant; make it one of kind oidc");
            return self.foreign(what, &detail);
        }
        let path = format!("{INSTANCES}/{}", encoded(&alias));
        self.provider = Provider::Named(alias);
        self.mend(what, path, found.clone(), &wanted.must).await
    }

    fn foreign(&mut self, what: String, detail: &str) -> Result<(), SetupError> {
        self.provider = Provider::Foreign;
        self.line(State::ByHand, what, scrub_text(detail));
        Ok(())
    }

    /// The one of this issuer, or else the one that has its alias. Where several are of the issuer: the one that has the
    /// grant, then the one that our client may use, then the one of the alias.
    async fn fitting<'v>(
        &mut self,
        there: &'v [Value],
        wanted: &IdentityProvider,
    ) -> Result<Option<&'v Value>, SetupError> {
        let same: Vec<&Value> =
            there.iter().filter(|found| found["config"]["issuer"] == wanted.issuer.as_str()).collect();
        let named = |found: &Value| found["alias"] == wanted.alias.as_str();
        if same.len() < 2 {
            return Ok(same.first().copied().or_else(|| there.iter().find(|found| named(found))));
        }
        let client = self.client_named(&wanted.client).await?.unwrap_or_default();
        let allowed: Vec<&str> =
            client["attributes"][ALLOWED].as_str().map(|names| names.split(SEPARATOR).collect()).unwrap_or_default();
        let rank = |found: &&Value| {
            let grants = found["config"]["jwtAuthorizationGrantEnabled"] == "true";
            (grants, found["alias"].as_str().is_some_and(|alias| allowed.contains(&alias)), named(found))
        };
        // Of equals the first, in every run.
        Ok(same.into_iter().rev().max_by_key(rank))
    }
}
