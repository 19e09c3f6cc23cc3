//! `passthrough`: the caller's own token goes to the cluster. The MCP specification forbids it (2026-07-28,
//! authorization, "MUST NOT pass through"), so the operator opts in per cluster, and only a token of the cluster's realm
//! whose `aud` names the cluster goes.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{CompileContext, Credential, CredentialError, Draft, Minting, Step, Strategy, problem};
use crate::inventory::Entry;
use crate::model::{Caller, ClusterKey, Principal, Problem, Reach, RealmName, Way};

#[derive(Debug)]
struct Passthrough {
    key: ClusterKey,
    realm: RealmName,
    audiences: Vec<String>,
}

pub(super) fn compile(entry: &Entry, context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    let settings = &entry.settings;
    let mut problems = Vec::new();
    if !settings.i_accept_token_passthrough {
        let what = "passthrough sends the caller's own token to the cluster, which the MCP specification forbids";
        let fix = "write i_accept_token_passthrough = true if that is what you want, or use another strategy";
        problems.push(problem(entry, "strategy", what, fix));
    }
    let realm = settings.realm.clone();
    match &realm {
        None => problems.push(problem(entry, "realm", "missing", "name the realm whose tokens this cluster accepts")),
        Some(realm) if !context.home_realms.contains(realm) => {
            let what = format!("realm \"{realm}\" is not a home realm, so none of its tokens is accepted at our door");
            problems.push(problem(entry, "realm", what, "add it to server.home_realms"));
        }
        Some(_) => {}
    }
    if settings.audiences.is_empty() {
        let fix = "write audiences = [\"…\"]: what the API server accepts as aud";
        problems.push(problem(entry, "audiences", "missing", fix));
    }
    let (Some(realm), true) = (realm, problems.is_empty()) else { return Err(problems) };
    let missing =
        format!("sign in at realm {realm} with a token whose audience is {}", settings.audiences.join(" or "));
    let mut audiences = settings.audiences.clone();
    audiences.push(entry.endpoint.server.clone());
    let way = Way::Passthrough { audiences: audiences.clone() };
    Ok(Draft {
        reach: Reach::by([realm.clone()], &way, missing),
        digest: [0; 32],
        build: Box::new(|key| Arc::new(Passthrough { key, realm, audiences })),
    })
}

impl Strategy for Passthrough {
    fn explain(&self, _principal: &Principal) -> Vec<Step> {
        // The last is the server's URL, which callers are not told.
        let named = self.audiences.split_last().map(|(_server, named)| named.join(" or ")).unwrap_or_default();
        let checked = [
            format!("your token is of realm {}", self.realm),
            format!("its audience names {named} or the API server's URL"),
        ];
        vec![Step::cluster("your own token goes as it is, as Authorization: Bearer").checked(checked)]
    }

    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        _minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            let principal = caller.principal();
            let named = principal.audiences.iter().any(|audience| self.audiences.contains(audience));
            if principal.realm != self.realm || !named {
                return Err(CredentialError::NotReachable { strategy: "passthrough" });
            }
            let token = caller.token().secret().ok_or(CredentialError::NotReachable { strategy: "passthrough" })?;
            Ok(Credential::bearer(self.key, token.expose())?.until(principal.expires))
        })
    }
}
