//! Our clients at realms, and the links between realms: does the trust work that a person's call will need. A Keycloak is
//! asked, without a person, up to the point where only the person is missing; of any other realm only what it publishes is
//! known, and that is a hint.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Level, SKEW};
use crate::dispatch::Live;
use crate::model::{Cluster, RealmName, Way, names};
use crate::pool::credential::{Asks, CredentialError, Leg, OwnToken, ProbeError, RealmClient};
use crate::realm::Metadata;

/// Different requests that are tried at one realm, at most.
const TRIED: usize = 50;
/// A realm refuses a grant of the future, even by a second; clocks are known to about one.
const AHEAD: i64 = 2;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A request that clusters need, with the first of them.
#[derive(Debug)]
pub(super) struct Need {
    asks: Asks,
    cluster: String,
}

/// A link with what its clusters ask for.
#[derive(Debug)]
pub(super) struct Link {
    first: Need,
    /// One for each scope.
    second: Vec<Need>,
}

/// What the clusters of a generation ask of realms, each different request once.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) exchanges: BTreeMap<RealmName, Vec<Need>>,
    pub(super) links: BTreeMap<String, Link>,
}

impl Needs {
    pub(super) fn of(live: &Live) -> Self {
        let (mut needs, mut seen) = (Self::default(), BTreeSet::new());
        for cluster in live.inventory.iter() {
            let mut asks = live.pool.asks(&cluster.key).into_iter();
            let (Some(first), second) = (asks.next(), asks.next()) else { continue };
            let need = |asks| Need { asks, cluster: cluster.name.to_string() };
            match (second, link(cluster)) {
                (Some(second), Some(name)) => {
                    let new = seen.insert((name.clone(), second.scope.clone(), Vec::new()));
                    let link = needs.links.entry(name);
                    let link = link.or_insert_with(|| Link { first: need(first), second: Vec::new() });
                    link.second.extend(new.then(|| need(second)));
                }
                _ => {
                    let realm = first.client.realm().clone();
                    let new = seen.insert((realm.to_string(), first.scope.clone(), first.audiences.clone()));
                    needs.exchanges.entry(realm).or_default().extend(new.then(|| need(first)));
                }
            }
        }
        needs
    }
}

/// The link that a cluster is reached by.
fn link(cluster: &Cluster) -> Option<String> {
    let ways = cluster.reach.realms().filter_map(|realm| cluster.reach.way_of(realm));
    let mut links = ways.filter_map(|way| if let Way::Chain { link } = way { Some(link.clone()) } else { None });
    links.next()
}

/// Our client at a realm whose own tokens are exchanged for its clusters.
pub(super) async fn exchanges(about: String, needs: Vec<Need>) -> Vec<Finding> {
    let Some(client) = needs.first().map(|need| need.asks.client.clone()) else { return Vec::new() };
    let metadata = match client.metadata(Leg::Exchange).await {
        Ok(metadata) => metadata,
        Err(error) => return vec![wrong(&about, "its discovery document", &error)],
    };
    if !client.answers_probes() {
        let mut findings = vec![hint(&about, &metadata, EXCHANGE)];
        findings.extend(needs.iter().flat_map(|need| scopes(&about, &metadata, need)));
        return findings;
    }
    let mut findings = match switched_on(&about, &client).await {
        Ok(fine) => vec![fine],
        Err(wrong) => return vec![wrong],
    };
    let Some(own) = service_account(&about, &client, &mut findings).await else {
        findings.extend(needs.iter().flat_map(|need| scopes(&about, &metadata, need)));
        return findings;
    };
    for need in needs.iter().take(TRIED) {
        let what = format!("an exchange for {}", words(need));
        findings.push(match client.try_first(&need.asks, &own).await {
            Ok(_token) => Finding::ok(&about, format!("{what} works, tried as our client's service account")),
            Err(error) => wrong(&about, &what, &error),
        });
    }
    let later = door(client.realm());
    findings.push(Finding::ok(&about, format!("first tried by a person's call: {later}")));
    if let Some(more) = needs.len().checked_sub(TRIED).filter(|more| *more > 0) {
        findings.push(Finding::ok(&about, format!("{more} more exchanges were not tried")));
    }
    findings
}

/// A link: both clients, the grant and the trust that the second realm has in the first.
pub(super) async fn crossing(about: String, link: Link) -> Vec<Finding> {
    let Link { first, second } = link;
    let Some(last) = second.first() else { return Vec::new() };
    let (home, target) = (first.asks.client.clone(), last.asks.client.clone());
    let (ours, theirs) = tokio::join!(home.metadata(Leg::Grant), target.metadata(Leg::Bearer));
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(error), _) | (_, Err(error)) => return vec![wrong(&about, "a discovery document", &error)],
    };
    let (mut findings, own) = first_realm(&about, &home, &ours).await;
    let audience = first.asks.audience.as_deref().unwrap_or_default();
    findings.push(second_realm(&about, (&home, audience), &target, &theirs).await);
    let good = findings.iter().all(|finding| finding.level != Level::Failed);
    let tried = match own {
        Some(own) if good => Some(both(&about, &first, last, &own).await),
        _ => None,
    };
    match tried {
        Some(tried) => findings.push(tried),
        None => findings.extend(scopes(&about, &ours, &first)),
    }
    findings.extend(second.iter().flat_map(|need| scopes(&about, &theirs, need)));
    findings
}

/// Whether our client at the callers' realm may exchange; and a token of its own, where it has a service account.
async fn first_realm(about: &str, home: &RealmClient, ours: &Metadata) -> (Vec<Finding>, Option<OwnToken>) {
    if !home.answers_probes() {
        let hints = [hint(about, ours, EXCHANGE)].into_iter().chain(chains(about, home, ours));
        return (hints.collect(), None);
    }
    let mut findings = match switched_on(about, home).await {
        Ok(fine) => vec![fine],
        Err(wrong) => return (vec![wrong], None),
    };
    let own = service_account(about, home, &mut findings).await;
    (findings, own)
}

/// Whether the cluster's realm takes grants of `home`.
async fn second_realm(
    about: &str,
    (home, audience): (&RealmClient, &str),
    target: &RealmClient,
    theirs: &Metadata,
) -> Finding {
    if !target.answers_probes() {
        return hint(about, theirs, JWT_BEARER);
    }
    match target.probe_grant(home, audience).await {
        Ok(()) => {
            let said = format!(
                "realm {} takes grants of realm {}: our client {}, its grant switch and the identity provider are right",
                target.realm(),
                home.realm(),
                target.as_whom()
            );
            Finding::ok(about, said)
        }
        Err(error) => not_right(about, "a grant that a stranger signed", &error),
    }
}

/// Both legs in the name of our client's service account.
async fn both(about: &str, first: &Need, last: &Need, own: &OwnToken) -> Finding {
    let (home, target) = (&first.asks.client, &last.asks.client);
    let grant = match home.try_first(&first.asks, own).await {
        Ok(grant) => grant,
        Err(error) => return wrong(about, &format!("leg 1 for {}", words(first)), &error),
    };
    if !target.answers_probes() {
        return Finding::ok(about, format!("leg 1 for {} works", words(first)));
    }
    let account = "our client's service account";
    match target.try_second(home, &last.asks, &grant).await {
        Ok(()) => {
            // A Keycloak looks for the linked account before the scope, and our service account is linked to nobody.
            let later = format!(
                "whether a person's account is linked, the scope and audience of leg 2, and {}",
                door(home.realm())
            );
            Finding::ok(
                about,
                format!("both legs work as far as {account} gets; first tried by a person's call: {later}"),
            )
        }
        Err(error) => wrong(about, &format!("leg 2, tried as {account}"), &error),
    }
}

/// Whether our client is accepted and may exchange.
async fn switched_on(about: &str, client: &RealmClient) -> Result<Finding, Finding> {
    let what = format!("our client {} at realm {}", client.as_whom(), client.realm());
    match client.probe_exchange().await {
        Ok(()) => Ok(Finding::ok(about, format!("{what} is accepted and may exchange tokens"))),
        Err(error) => Err(not_right(about, &what, &error)),
    }
}

/// A token of our client's own, where it has a service account; and what its clock says.
async fn service_account(about: &str, client: &RealmClient, findings: &mut Vec<Finding>) -> Option<OwnToken> {
    let own = match client.own_token().await {
        Ok(Some(own)) => own,
        Ok(None) => {
            let said = format!(
                "our client at realm {} has no service account, so first tried by a person's call: audience and scope, and {}",
                client.realm(),
                door(client.realm())
            );
            findings.push(Finding::ok(about, said));
            return None;
        }
        Err(error) => {
            findings.push(wrong(about, "a token of our client's service account", &error));
            return None;
        }
    };
    findings.extend(own.ahead().and_then(|ahead| clock(about, client.realm(), ahead)));
    Some(own)
}

fn clock(about: &str, realm: &RealmName, ahead: i64) -> Option<Finding> {
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let said = format!("the clock of realm {realm} is {} s {way} ours", ahead.abs());
    let fix = "set both by NTP: beyond 30 s good tokens are refused, and between realms a second is too much";
    match ahead.unsigned_abs() {
        seconds if seconds > SKEW.as_secs() + 1 => Some(Finding::failed(about, said, fix)),
        seconds if seconds > AHEAD.unsigned_abs() => Some(Finding::warning(about, said, fix)),
        _ => None,
    }
}

/// What a realm publishes of a grant. It says what the realm can do, not what our client may.
fn hint(about: &str, metadata: &Metadata, grant: &str) -> Finding {
    let issuer = &metadata.issuer;
    let name = grant.rsplit(':').next().unwrap_or(grant);
    let only = "only a hint, because the realm's profile is not keycloak and nothing is tried";
    if metadata.grant_types_supported.iter().any(|offered| offered == grant) {
        return Finding::ok(about, format!("{issuer} says that it offers {name}: {only}"));
    }
    let methods = metadata.token_endpoint_auth_methods_supported.join(", ");
    let said = format!("{issuer} does not say that it offers {name} (clients authenticate by {methods}): {only}");
    Finding::warning(about, said, "switch the grant on there, or choose another strategy")
}

/// What a realm publishes of grants to other realms.
fn chains(about: &str, home: &RealmClient, metadata: &Metadata) -> Option<Finding> {
    let kinds = metadata.identity_chaining_requested_token_types_supported.as_ref()?;
    (!kinds.iter().any(|kind| kind == JWT)).then(|| {
        let said = format!("realm {} says that it issues no JWT for other realms", home.realm());
        Finding::warning(about, said, "choose another strategy, or ask who runs the realm")
    })
}

/// Scopes that the realm does not publish.
fn scopes(about: &str, metadata: &Metadata, need: &Need) -> Vec<Finding> {
    let Some(known) = &metadata.scopes_supported else { return Vec::new() };
    let asked = need.asks.scope.iter().flat_map(|scope| scope.split(' '));
    let missing = asked.filter(|scope| !scope.is_empty() && !known.iter().any(|known| known == scope));
    let finding = |scope: &str| {
        let (scope, realm) = (names::quote(scope), need.asks.client.realm());
        let said = format!("realm {realm} does not publish the scope {scope}, which {} needs", need.cluster);
        let audience = need.asks.audience.as_ref().or(need.asks.audiences.first());
        let mapper = audience.map(|audience| format!(" with an audience mapper to {audience}")).unwrap_or_default();
        Finding::warning(about, said, format!("create it there{mapper}, as an optional scope of our client"))
    };
    missing.map(finding).collect()
}

/// What no token of our own shows: our client may always exchange what was issued to itself.
fn door(realm: &RealmName) -> String {
    format!("whether the tokens that people of realm {realm} sign in with name our client in aud")
}

fn words(need: &Need) -> String {
    let audience = need.asks.audience.as_deref().unwrap_or("no audience");
    let scope = need.asks.scope.as_ref().map(|scope| format!(" with scope {scope}")).unwrap_or_default();
    format!("{audience}{scope} (of {})", need.cluster)
}

/// What a probe met, with our code and the fix.
fn wrong(about: &str, what: &str, error: &CredentialError) -> Finding {
    let failure = error.failure(true);
    let fix = failure.hint.unwrap_or_default();
    let fix = fix.strip_prefix("To mend it: ").unwrap_or(&fix);
    Finding::failed(about, format!("{what}: {}: {}", failure.code, failure.cause), fix)
}

/// The same for a probe that must be refused: a realm that does not is a finding of its own.
fn not_right(about: &str, what: &str, error: &ProbeError) -> Finding {
    match error {
        ProbeError::Credential(error) => wrong(about, what, error),
        ProbeError::AnyToken { .. } | ProbeError::AnySignature { .. } => {
            Finding::failed(about, error.to_string(), error.fix().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Failed, Ok, Warning};
    use super::{AHEAD, EXCHANGE, clock, hint};
    use crate::model::RealmName;
    use crate::realm::Metadata;

    fn metadata(more: &str) -> Metadata {
        serde_json::from_str(&format!("{{\"issuer\": \"https://a\", \"jwks_uri\": \"https://a/keys\"{more}}}")).unwrap()
    }

    #[test]
    fn what_a_realm_publishes_is_a_hint() {
        let offers = hint("link l", &metadata(&format!(", \"grant_types_supported\": [\"{EXCHANGE}\"]")), EXCHANGE);
        assert!(offers.level == Ok && offers.said.contains("only a hint"), "{offers:?}");
        let silent = hint("link l", &metadata(""), EXCHANGE);
        assert!(silent.level == Warning && silent.said.contains("does not say that it offers token-exchange"));
    }

    #[test]
    fn a_clock_matters_beyond_a_second() {
        let realm = RealmName::parse("corp").unwrap();
        let level = |ahead| clock("client corp", &realm, ahead).map(|found| found.level);
        assert_eq!((level(0), level(AHEAD), level(-AHEAD)), (None, None, None));
        assert_eq!((level(AHEAD + 1), level(-30), level(-32)), (Some(Warning), Some(Warning), Some(Failed)));
        assert!(clock("client corp", &realm, -40).unwrap().said.ends_with("is 40 s behind ours"));
    }
}
