//! `chain`: a token of the cluster's realm in the caller's name, across realms (draft-ietf-oauth-identity-chaining): the
//! caller's realm exchanges the caller's token for a grant to the other realm (RFC 8693), and the other realm takes that
//! grant for a token of its own (RFC 7523). Neither realm sees a credential that would serve anywhere else.
//!
//! A grant serves once. Whatever happens to leg 2, the next attempt begins at leg 1.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;

use super::oauth::{Expected, Issued, Leg, RealmClient, Refusal, Request};
use super::{Asks, CompileContext, Credential, CredentialError, Draft, Minting, Step, Strategy, minted, problem};
use crate::inventory::Entry;
use crate::model::{Caller, ClusterKey, KeyHasher, Principal, Problem, Reach, Secret, Way};
use crate::realm::RealmError;

/// A grant that lives longer could be kept and used by whoever sees it.
const MAX_GRANT_LIFE: Duration = Duration::from_secs(30 * 60);
/// Clocks of two realms that differ by a second or two are waited for, once.
const CLOCK_PAUSE: Duration = Duration::from_millis(1500);
/// A realm that says when to come back is believed up to this.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Chain {
    key: ClusterKey,
    home: RealmClient,
    target: RealmClient,
    /// Audience and scope of leg 1.
    grant_audience: [String; 1],
    grant_scope: Option<String>,
    /// What the API server accepts.
    audiences: Vec<String>,
    /// Scope of leg 2.
    scope: Option<String>,
}

pub(super) fn compile(entry: &Entry, context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    let settings = &entry.settings;
    let mut problems = minted::check_audiences(entry, context);
    let mut wrong = |key: &str, what: String, fix: String| problems.push(problem(entry, key, what, fix));
    let name = settings.link.as_deref();
    let link = name.and_then(|name| context.links.get(name));
    if link.is_none() {
        let known: Vec<&str> = context.links.keys().map(String::as_str).collect();
        let fix =
            format!("name a [links.*] table from the callers' realm to this cluster's, one of: {}", known.join(", "));
        wrong("link", name.map_or("missing".to_owned(), |name| format!("there is no link \"{name}\"")), fix);
    }
    if let Some(link) = link {
        if settings.realm.as_ref() != Some(&link.to) {
            let fix = format!("write realm = \"{}\", or name the link that leads to this cluster's realm", link.to);
            wrong("realm", "is not the realm that the link leads to".to_owned(), fix);
        }
        if !context.home_realms.contains(&link.from) {
            let what = format!("the link begins at realm \"{}\", which is not a home realm", link.from);
            wrong("link", what, "add it to server.home_realms".to_owned());
        }
    }
    let clients = link.map(|link| [&link.from, &link.to].map(|realm| minted::client(entry, context, realm)));
    let (Some(link), Some([home, target])) = (link, clients) else { return Err(problems) };
    let mut keep = |client: Result<RealmClient, Problem>| client.map_err(|wrong| problems.push(wrong)).ok();
    let (home, target) = (keep(home), keep(target));
    let (Some(home), Some(target), true) = (home, target, problems.is_empty()) else { return Err(problems) };
    let grant_audience = [link.audience.clone().unwrap_or_else(|| target.issuer().to_owned())];
    if context.ours.contains(&grant_audience[0]) {
        let what = format!("request.audience of the link is \"{}\", an audience of our own", grant_audience[0]);
        let fix = "write the issuer of the other realm: with such a grant it could come in at our door as the caller";
        return Err(vec![problem(entry, "link", what, fix)]);
    }
    let digest = KeyHasher::new("chain")
        .field("home", home.digest())
        .field("target", target.digest())
        .field("audience", &grant_audience[0])
        .optional("scope", link.scope.as_deref())
        .finish();
    let way = Way::Chain { link: name.unwrap_or_default().to_owned() };
    let missing = format!("sign in at realm {}", home.realm());
    let (grant_scope, audiences, scope) = (link.scope.clone(), settings.audiences.clone(), settings.scope.clone());
    Ok(Draft {
        reach: Reach::by([home.realm().clone()], &way, missing),
        digest,
        build: Box::new(|key| Arc::new(Chain { key, home, target, grant_audience, grant_scope, audiences, scope })),
    })
}

impl Chain {
    /// Leg 1, with everything checked before the grant goes anywhere.
    async fn grant(&self, caller: &Caller, subject: &Secret, minting: &Minting) -> Result<Issued, CredentialError> {
        let request = Request {
            leg: Leg::Grant,
            caller: caller.principal(),
            token: subject,
            audience: Some(&self.grant_audience[0]),
            scope: self.grant_scope.as_deref(),
        };
        let grant = self.home.request(request, &minting.metrics).await?;
        let sub = Some(caller.principal().sub.as_str());
        let expected = Expected { iss: self.home.issuer(), audiences: &self.grant_audience, sub, subject };
        minted::check(&grant, &expected, self.home.realm(), Leg::Grant)?;
        minted::check_scope(&grant, &self.home, request)?;
        let long = grant.claims.exp.is_some_and(|exp| exp > SystemTime::now() + MAX_GRANT_LIFE);
        if grant.claims.aud.len() != 1 || long {
            let (code, why) = match long {
                true => ("grant_lifetime", "the grant lives longer than 30 minutes"),
                false => ("grant_audience", "the grant names its audience more than once"),
            };
            let refusal = Refusal::wrong(self.home.realm(), Leg::Grant, code, why.to_owned());
            return Err(CredentialError::Refused(Box::new(refusal)));
        }
        Ok(grant)
    }

    /// Both legs.
    async fn legs(&self, caller: &Caller, subject: &Secret, minting: &Minting) -> Result<Issued, CredentialError> {
        let grant = self.grant(caller, subject, minting).await?;
        let request = Request {
            leg: Leg::Bearer,
            caller: caller.principal(),
            token: &grant.token,
            audience: None,
            scope: self.scope.as_deref(),
        };
        let issued = self.target.request(request, &minting.metrics).await?;
        let expected =
            Expected { iss: self.target.issuer(), audiences: &self.audiences, sub: None, subject: &grant.token };
        minted::check(&issued, &expected, self.target.realm(), Leg::Bearer)?;
        minted::check_scope(&issued, &self.target, request)?;
        Ok(issued)
    }
}

impl Chain {
    /// What the two legs ask for, whoever the caller is.
    fn both(&self) -> [Asks; 2] {
        let [audience] = self.grant_audience.clone();
        let first = Asks {
            leg: Leg::Grant,
            client: self.home.clone(),
            audiences: vec![audience.clone()],
            audience: Some(audience),
            scope: self.grant_scope.clone(),
        };
        let second = Asks {
            leg: Leg::Bearer,
            client: self.target.clone(),
            audience: None,
            scope: self.scope.clone(),
            audiences: self.audiences.clone(),
        };
        [first, second]
    }
}

impl Strategy for Chain {
    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            let subject = minted::subject(caller, self.home.realm(), "chain")?;
            let issued = match self.legs(caller, subject, minting).await {
                Err(error) => match pause(&error) {
                    Some(pause) => {
                        tokio::time::sleep(pause).await;
                        self.legs(caller, subject, minting).await?
                    }
                    None => return Err(error),
                },
                Ok(issued) => issued,
            };
            let principal = caller.principal();
            let sub = issued.claims.sub.as_deref().unwrap_or_default();
            if !minting.pins.holds(principal, self.target.issuer(), sub) {
                let why = "the realm now names another account for you than before".to_owned();
                let refusal = Refusal::wrong(self.target.realm(), Leg::Bearer, "subject_changed", why);
                return Err(CredentialError::Refused(Box::new(refusal)));
            }
            minted::credential(self.key, &issued, principal)
        })
    }

    fn is_minted(&self) -> bool {
        true
    }

    fn explain(&self, _principal: &Principal) -> Vec<Step> {
        let [first, second] = self.both();
        let sub = "the subject is yours".to_owned();
        let life = format!("it lives {} min at most", MAX_GRANT_LIFE.as_secs() / 60);
        let grant = minted::checks(self.home.issuer(), &self.grant_audience, [sub, life]);
        let account = "its account there is the one that you had before".to_owned();
        let token = minted::checks(self.target.issuer(), &self.audiences, [account]);
        vec![
            Step::asks("token exchange (RFC 8693) of your token for a grant", first, grant),
            Step::asks("that grant, once, for a token (jwt-bearer, RFC 7523)", second, token),
            Step::bearer(),
        ]
    }

    fn asks(&self) -> Vec<Asks> {
        self.both().into()
    }
}

/// How long to wait before both legs are tried once more; `None` = they are not.
fn pause(error: &CredentialError) -> Option<Duration> {
    if let CredentialError::Refused(refusal) = error
        && refusal.leg == Leg::Bearer
    {
        return match refusal.code {
            "clock_skew" => Some(CLOCK_PAUSE),
            "realm_unavailable" if refusal.status == 503 => {
                Some(refusal.retry_after.unwrap_or(Duration::from_millis(200))).filter(|pause| *pause <= PATIENCE)
            }
            _ => None,
        };
    }
    // Leg 1 has had its second attempt already.
    let lost = matches!(error, CredentialError::Unanswered { leg: Leg::Bearer, source: RealmError::Fetch { .. }, .. });
    lost.then_some(Duration::from_millis(100))
}
