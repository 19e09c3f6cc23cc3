//! `exchange`: a token for the cluster in the caller's name, by token exchange (RFC 8693) in the caller's own realm. For
//! clusters that trust that realm but want an audience of their own.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::oauth::{Expected, Leg, RealmClient, Request};
use super::{Asks, CompileContext, Credential, CredentialError, Draft, Minting, Step, Strategy, minted, problem};
use crate::inventory::Entry;
use crate::model::{Caller, ClusterKey, KeyHasher, Principal, Problem, Reach, Way};

#[derive(Debug)]
struct Exchange {
    key: ClusterKey,
    client: RealmClient,
    /// What the API server accepts; the first is asked for.
    audiences: Vec<String>,
    scope: Option<String>,
}

pub(super) fn compile(entry: &Entry, context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    let settings = &entry.settings;
    let mut problems = minted::check_audiences(entry, context);
    let realm = settings.realm.as_ref();
    let client = match realm {
        None => {
            Err(problem(entry, "realm", "missing", "name the realm of the callers, whose tokens this cluster accepts"))
        }
        Some(realm) if !context.home_realms.contains(realm) => {
            let what = format!("realm \"{realm}\" is not a home realm, so none of its tokens is accepted at our door");
            Err(problem(entry, "realm", what, "add it to server.home_realms, or reach the cluster by strategy chain"))
        }
        Some(realm) => minted::client(entry, context, realm),
    };
    let client = client.map_err(|wrong| problems.push(wrong)).ok();
    let (Some(client), true) = (client, problems.is_empty()) else { return Err(problems) };
    let (audiences, scope) = (settings.audiences.clone(), settings.scope.clone());
    let missing = format!("sign in at realm {}", client.realm());
    Ok(Draft {
        reach: Reach::by([client.realm().clone()], &Way::Exchange, missing),
        digest: KeyHasher::new("exchange").field("client", client.digest()).finish(),
        build: Box::new(|key| Arc::new(Exchange { key, client, audiences, scope })),
    })
}

impl Exchange {
    fn leg(&self) -> Asks {
        let (audience, scope) = (self.audiences.first().cloned(), self.scope.clone());
        let audiences = self.audiences.clone();
        Asks { leg: Leg::Exchange, client: self.client.clone(), audience, scope, audiences }
    }
}

impl Strategy for Exchange {
    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            let subject = minted::subject(caller, self.client.realm(), "exchange")?;
            let request = Request {
                leg: Leg::Exchange,
                caller: caller.principal(),
                token: subject,
                audience: self.audiences.first().map(String::as_str),
                scope: self.scope.as_deref(),
            };
            let issued = self.client.request(request, &minting.metrics).await?;
            let expected = Expected {
                iss: self.client.issuer(),
                audiences: &self.audiences,
                sub: Some(&caller.principal().sub),
                subject,
            };
            minted::check(&issued, &expected, self.client.realm(), Leg::Exchange)?;
            minted::check_scope(&issued, &self.client, request)?;
            minted::credential(self.key, &issued, caller.principal())
        })
    }

    fn is_minted(&self) -> bool {
        true
    }

    fn explain(&self, _principal: &Principal) -> Vec<Step> {
        let sub = "the subject is yours".to_owned();
        let checks = minted::checks(self.client.issuer(), &self.audiences, [sub]);
        vec![Step::asks("token exchange (RFC 8693) of your token", self.leg(), checks), Step::bearer()]
    }

    fn asks(&self) -> Vec<Asks> {
        vec![self.leg()]
    }
}
