//! The second part: people of one realm at a cluster of another, and which token went where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::Door;
use super::ledger::{log_is_clean, short};
use super::screen::Screen;
use super::walk::{self, Step};
use crate::crossing::Crossing;
use crate::ferry::Ferry;
use crate::keycloak::fleet;
use crate::realm::{GrantRequest, GrantType};
use crate::tap::{Tap, digest};
use crate::world::Lab;

/// Where the API servers say whom they take a caller for; only kubeferry asks there.
const REVIEWS: &str = "/selfsubjectreviews";
/// Each cluster that is called, and its realm.
const CLUSTERS: [(&str, &str); 2] = [("corp-1", "corp"), ("plant-1", "plant")];

/// Clusters of realms that trust each other: simulated, or API servers and Keycloak.
enum Fleet {
    Simulated(Box<Crossing>),
    Real(Box<fleet::Fleet>),
}

/// Starts the second fleet and another kubeferry, makes the calls and checks what arrived; `false` when something was not
/// as expected.
///
/// # Errors
/// When something does not start, or kubeferry does not answer in MCP.
pub(super) async fn show(lab: Lab, screen: &mut Screen) -> anyhow::Result<bool> {
    screen.title("Across realms");
    let made_of = match lab {
        Lab::Simulated => "simulators again",
        Lab::Real => "a real Keycloak and real API servers; this takes half a minute",
    };
    screen.say(&format!("Starting a second fleet, whose clusters trust one realm each, corp or plant ({made_of})."));
    let begun = Instant::now();
    let fleet = Fleet::start(lab).await?;
    let ferry = Ferry::start(Some(&fleet.config()?), &[]).await?;
    screen.say(&format!("It is up after {:.1} s, with a kubeferry of its own.", begun.elapsed().as_secs_f32()));
    let mut tokens = BTreeMap::new();
    for user in ["alice", "bob"] {
        tokens.insert(user, fleet.token(user).await?);
    }
    let door = Door { url: ferry.url().to_owned(), tokens };
    fleet.clear();
    let mut passed = walk::play(&door, fleet.steps(), screen).await?;

    screen.title("Which token went where");
    if let Fleet::Simulated(crossing) = &fleet {
        passed &= requests(crossing, &door, screen);
    }
    passed &= arrived(&fleet, &door, screen)?;
    let ended = ferry.stop().await;
    passed &= log_is_clean(&ferry.log(), door.tokens.values().map(String::as_str).chain(["eyJ"]), screen);
    Ok(passed && ended.success())
}

impl Fleet {
    async fn start(lab: Lab) -> anyhow::Result<Self> {
        Ok(match lab {
            Lab::Simulated => Self::Simulated(Box::new(Crossing::start().await?)),
            Lab::Real => Self::Real(Box::new(fleet::Fleet::start().await?)),
        })
    }

    fn config(&self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Simulated(crossing) => Ok(crossing.config()),
            Self::Real(fleet) => Ok(fleet.config()?.0),
        }
    }

    async fn token(&self, user: &str) -> anyhow::Result<String> {
        match self {
            Self::Simulated(crossing) => Ok(crossing.token("corp", user)),
            Self::Real(fleet) => fleet.sign_in(user).await,
        }
    }

    fn clear(&self) {
        match self {
            Self::Simulated(crossing) => crossing.clear(),
            Self::Real(fleet) => fleet.clear(),
        }
    }

    /// A namespace of `plant-1`, and who alice is there.
    const fn expected(&self) -> [&'static str; 2] {
        match self {
            Self::Simulated(_) => ["default", "plant:alice-p"],
            Self::Real(_) => ["line", "plant:alice"],
        }
    }

    fn steps(&self) -> Vec<Step> {
        let [namespace, name] = self.expected();
        let plant = || json!({"cluster": "plant-1"});
        vec![
            Step::new(
                "alice",
                "auth_explain",
                plant(),
                "The way to a cluster of another realm, in words; nothing is sent.",
            )
            .says(["strategy: chain", "step 1: realm corp", "step 2: realm plant", "step 3: cluster"])
            .never(["eyJ"]),
            Step::new(
                "alice",
                "namespaces_list",
                plant(),
                "She signed in at corp; plant-1 trusts plant alone. kubeferry obtains a token of her account there.",
            )
            .says([namespace]),
            Step::new("alice", "whoami", plant(), "Whom the API server of plant-1 saw: a user of plant.").says([name]),
            Step::new(
                "alice",
                "whoami",
                json!({"cluster": "corp-1"}),
                "A cluster of her own realm gets another token, for that cluster alone.",
            )
            .says(["corp:alice"]),
            Step::new(
                "bob",
                "namespaces_list",
                plant(),
                "plant has no account for bob; the answer says who mends it, and how.",
            )
            .says(["link your account", "federated-identity"])
            .fails(),
        ]
    }

    fn tap(&self, name: &str) -> &Tap {
        match self {
            Self::Simulated(crossing) => crossing.tap(name),
            Self::Real(fleet) if name == fleet.corp_1.name => &fleet.corp_1.tap,
            Self::Real(fleet) => &fleet.plant_1.tap,
        }
    }

    /// Whom the API server took callers for, by its own log.
    fn users(&self, name: &str) -> anyhow::Result<BTreeSet<String>> {
        Ok(match self {
            Self::Simulated(crossing) => {
                let requests = crossing.simulator(name).requests();
                let asked = requests.into_iter().filter(|request| request.target.contains(REVIEWS));
                asked.filter_map(|request| request.user).collect()
            }
            Self::Real(fleet) => {
                let server = if name == fleet.corp_1.name { &fleet.corp_1.server } else { &fleet.plant_1.server };
                let events = server.audit_events()?;
                let asked =
                    events.iter().filter(|event| event["requestURI"].as_str().is_some_and(|uri| uri.contains(REVIEWS)));
                asked.filter_map(|event| Some(event["user"]["username"].as_str()?.to_owned())).collect()
            }
        })
    }
}

/// What the realms were asked for, and that alice's token led step by step to the one that `plant-1` saw.
fn requests(crossing: &Crossing, door: &Door, screen: &mut Screen) -> bool {
    let mut all: Vec<GrantRequest> = CLUSTERS.iter().flat_map(|(_, realm)| crossing.realms.grants(realm)).collect();
    all.sort_by_key(|request| request.at);
    let owner = |seen: &str| {
        let found = door.tokens.iter().find(|(_, token)| digest(token) == seen);
        found.map_or_else(|| short(seen), |(user, _)| format!("{} ({user}'s own)", short(seen)))
    };
    for request in &all {
        let what = request.grant.map_or("?", GrantType::name).rsplit(':').next().unwrap_or_default();
        let shown = request.subject.as_deref().map(owner).unwrap_or_default();
        let scope = request.scope.as_deref().unwrap_or_default();
        let result = match (&request.token, &request.description) {
            (Some(token), _) => short(token),
            (None, description) => format!("refused, {:?}", description.as_deref().unwrap_or_default()),
        };
        screen.detail(&format!("  realm {:<5} {what:<14} {shown}, scope {scope}: {result}", request.realm));
    }
    let alice = digest(door.token("alice"));
    let of = |realm: &str, subject: &str| -> BTreeSet<String> {
        let asked = all.iter().filter(|one| one.realm == realm && one.subject.as_deref() == Some(subject));
        asked.filter_map(|one| one.token.clone()).collect()
    };
    let first = of("corp", &alice);
    let second: BTreeSet<String> = first.iter().flat_map(|grant| of("plant", grant)).collect();
    let passed = second.len() == 1
        && crossing.tap("plant-1").token_digests() == second
        && crossing.tap("corp-1").token_digests().is_subset(&first);
    if !passed {
        screen.wrong("the token at plant-1 should be the one that plant issued for a grant of alice's, and no other");
    }
    passed
}

/// Each cluster saw one token that nobody signed in with and no other cluster saw, and took it for alice.
fn arrived(fleet: &Fleet, door: &Door, screen: &mut Screen) -> anyhow::Result<bool> {
    let [_, at_plant] = fleet.expected();
    let mut known: BTreeSet<String> = door.tokens.values().map(|token| digest(token)).collect();
    let mut passed = true;
    for ((name, realm), user) in CLUSTERS.iter().zip(["corp:alice", at_plant]) {
        let (tokens, users) = (fleet.tap(name).token_digests(), fleet.users(name)?);
        let shown: Vec<String> = tokens.iter().map(|token| short(token)).collect();
        let saw: Vec<&str> = users.iter().map(String::as_str).collect();
        screen.detail(&format!(
            "  {name:<7} trusts {realm}: it saw {} and the user {}",
            shown.join(", "),
            saw.join(", ")
        ));
        if tokens.len() != 1 || !tokens.is_disjoint(&known) {
            screen.wrong(&format!("{name} should have seen one token, and one that is for nobody else"));
            passed = false;
        }
        if saw != [user] {
            screen.wrong(&format!("{name} should have seen {user}"));
            passed = false;
        }
        known.extend(tokens);
    }
    if passed {
        screen.detail("No cluster saw a token that somebody signed in with, and none the other's.");
    }
    Ok(passed)
}
