//! What `exchange` and `chain` share: what is checked before anything is sent, what an issued token must be, and how long
//! it lives.

use std::time::{Duration, SystemTime};

use super::oauth::{Claims, Expected, Issued, Leg, RealmClient, Refusal, Request};
use super::{CompileContext, Credential, CredentialError, problem};
use crate::inventory::Entry;
use crate::model::{Admission, Caller, ClusterKey, KeyHasher, Principal, Problem, RealmName, Secret};
use crate::realm::Profile;

/// A subject token this near to its end is not exchanged: the result could not be used.
const NEARLY_OVER: Duration = Duration::from_secs(10);
/// The longest token id that is logged, in characters; Keycloak's have 43.
const MAX_JTI: usize = 128;
/// Accounts that are pinned, at most.
const PINS: u64 = 100_000;

/// The audiences that the operator wrote: there must be one, and none may be ours, or the cluster could use a token at
/// our door.
pub(super) fn check_audiences(entry: &Entry, context: &CompileContext) -> Vec<Problem> {
    let audiences = &entry.settings.audiences;
    let mut problems = Vec::new();
    if audiences.is_empty() {
        let fix = "write audiences = [\"…\"]: the first is requested, all are what the API server accepts";
        problems.push(problem(entry, "audiences", "missing", fix));
    }
    if let Some(ours) = audiences.iter().find(|audience| context.ours.contains(audience)) {
        let what = format!("\"{ours}\" is an audience of our own: the cluster could use its tokens at our door");
        problems.push(problem(entry, "audiences", what, "give the cluster an audience of its own"));
    }
    problems
}

/// Our client at `realm`.
pub(super) fn client(entry: &Entry, context: &CompileContext, realm: &RealmName) -> Result<RealmClient, Problem> {
    let fix = format!("describe our client there in [realms.{realm}.client]");
    match context.clients.get(realm) {
        Some(Ok(client)) => Ok(client.clone()),
        Some(Err(why)) => Err(problem(entry, "strategy", why.clone(), fix)),
        None => Err(problem(entry, "strategy", format!("realm {realm} has no client of ours"), fix)),
    }
}

/// The token to exchange, once it is known that this caller is served and that its token lasts.
pub(super) fn subject<'a>(
    caller: &'a Caller,
    realm: &RealmName,
    strategy: &'static str,
) -> Result<&'a Secret, CredentialError> {
    let principal = caller.principal();
    if &principal.realm != realm || principal.admission != Admission::Full {
        return Err(CredentialError::NotReachable { strategy });
    }
    if principal.expires.is_none_or(|expires| expires <= SystemTime::now() + NEARLY_OVER) {
        return Err(CredentialError::SubjectExpired);
    }
    caller.token().secret().ok_or(CredentialError::NotReachable { strategy })
}

/// What [`check`] and [`check_scope`] hold an issued token against, in words; `more` is what one leg adds.
pub(super) fn checks<const N: usize>(iss: &str, audiences: &[String], more: [String; N]) -> Vec<String> {
    let all = [format!("the issuer is {iss}"), format!("the audience is {} and no other", audiences.join(" or "))];
    all.into_iter().chain(more).chain(["it has not ended, and is not the token that was sent".to_owned()]).collect()
}

/// Refuses an issued token that is not what was asked for.
pub(super) fn check(
    issued: &Issued,
    expected: &Expected<'_>,
    realm: &RealmName,
    leg: Leg,
) -> Result<(), CredentialError> {
    match issued.claims.wrong(&issued.token, expected) {
        None => Ok(()),
        Some((code, why)) => Err(CredentialError::Refused(Box::new(Refusal::wrong(realm, leg, code, why)))),
    }
}

/// Refuses a token with more scopes than were asked for. A Keycloak adds its default scopes to every token: there it is a
/// line in the log.
pub(super) fn check_scope(issued: &Issued, client: &RealmClient, request: Request<'_>) -> Result<(), CredentialError> {
    let (Some(asked), Some(given)) = (request.scope, issued.scope.as_deref()) else { return Ok(()) };
    let asked: Vec<&str> = asked.split(' ').collect();
    let Some(more) = given.split(' ').find(|scope| !scope.is_empty() && !asked.contains(scope)) else { return Ok(()) };
    let more = crate::model::names::quote(more);
    if client.profile() == Profile::Keycloak {
        tracing::debug!(realm = %client.realm(), "{} brought the further scope {more}", request.leg.words());
        return Ok(());
    }
    let why = format!("the token has the scope {more}, which was not asked for");
    Err(CredentialError::Refused(Box::new(Refusal::wrong(client.realm(), request.leg, "scope_wider", why))))
}

/// The credential of an issued token. It ends with whatever ends first, the caller's own token included: realms let an
/// exchanged token outlive its subject.
pub(super) fn credential(
    key: ClusterKey,
    issued: &Issued,
    principal: &Principal,
) -> Result<Credential, CredentialError> {
    let Claims { exp, jti, .. } = &issued.claims;
    // A life that makes no sense says that the token should not be kept; its own end still counts.
    let once = issued.expires_in == Some(Duration::ZERO);
    let by_answer = issued.expires_in.filter(|_| !once).map(|life| SystemTime::now() + life);
    let ends = [by_answer, *exp, principal.expires].into_iter().flatten().min();
    if let Some(jti) = jti {
        // The API server's audit log names it too (authentication.kubernetes.io/credential-id), so it must be whole.
        let jti: String = jti.chars().filter(char::is_ascii_graphic).take(MAX_JTI).collect();
        tracing::info!(cluster_key = %key, iss = %principal.iss, sub = %principal.sub, jti, "a token was issued for a cluster");
    }
    Ok(Credential::bearer(key, issued.token.expose())?.until(ends).once(once))
}

/// The account at another realm that a person was first seen to have there. A change is an error until a reload: it means
/// that the other realm now answers for somebody else.
#[derive(Debug)]
pub struct Pins(moka::sync::Cache<[u8; 32], [u8; 32]>);

impl Default for Pins {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(PINS).build())
    }
}

impl Pins {
    /// True when `sub` is the account that `principal` has at `issuer`; the first one seen is.
    pub(super) fn holds(&self, principal: &Principal, issuer: &str, sub: &str) -> bool {
        let person = KeyHasher::new("pin").field("iss", &principal.iss).field("sub", &principal.sub);
        let account = KeyHasher::new("account").field("sub", sub).finish();
        self.0.get_with(person.field("issuer", issuer).finish(), || account) == account
    }

    /// Forgets all of them: the operator has changed the configuration.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}
