//! The proof: which tokens each server has seen, by what the taps in front of them wrote down.

use std::collections::{BTreeMap, BTreeSet};

use super::screen::Screen;
use super::{PEOPLE, Stage};
use crate::tap::digest;

/// The characters of a digest that are shown.
const SHOWN: usize = 8;

/// Compares what each server has seen with what it should; `false` when they differ.
pub(super) fn check(stage: &Stage, screen: &mut Screen) -> bool {
    screen.title("Which token arrived where");
    screen.detail(
        "Before each server stands a recorder that keeps SHA-256 digests of tokens; their first 8 digits are shown.",
    );
    let world = &stage.world;
    let mut owners: BTreeMap<String, &str> =
        PEOPLE.iter().map(|(_, user)| (digest(stage.door.token(user)), *user)).collect();
    owners.insert(digest(world.gateway_token()), "gateway");

    let mut passed = true;
    for (site, expected) in [
        (&world.corp_1, &["alice", "bob"][..]),
        (&world.acme_1, &["carol"]),
        (&world.kcp, &["alice", "bob"]),
        (&world.dev, &["gateway"]),
    ] {
        let digests = site.tap.token_digests();
        let seen: BTreeSet<&str> =
            digests.iter().map(|digest| owners.get(digest).copied().unwrap_or("a stranger")).collect();
        let named = |digest: &String| {
            let owner = owners.get(digest).copied().unwrap_or("a stranger");
            format!("{} ({owner})", short(digest))
        };
        let tokens = digests.iter().map(named).collect::<Vec<_>>().join(", ");
        screen.detail(&format!("  {:<7} {:3} requests  {tokens}", site.name, site.tap.requests().len()));
        if seen != expected.iter().copied().collect() {
            screen.wrong(&format!(
                "{} should have seen the tokens of {expected:?}, and saw those of {seen:?}",
                site.name
            ));
            passed = false;
        }
    }
    let secrets = stage.door.tokens.values().map(String::as_str).chain([stage.world.gateway_token()]);
    passed & impersonated(stage, screen) & log_is_clean(&stage.ferry.log(), secrets, screen)
}

/// At `dev`, every request of the gateway names alice.
fn impersonated(stage: &Stage, screen: &mut Screen) -> bool {
    let users: BTreeSet<String> = stage
        .world
        .dev
        .tap
        .requests()
        .iter()
        .map(|request| request.impersonated("impersonate-user").join(","))
        .collect();
    screen.detail(&format!("At dev the gateway acted as {}.", users.iter().cloned().collect::<Vec<_>>().join(", ")));
    let passed = users == BTreeSet::from(["corp:alice".to_owned()]);
    if !passed {
        screen.wrong("it should have acted as corp:alice, always");
    }
    passed
}

/// The beginning of a digest.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(SHOWN).collect()
}

/// No secret is in kubeferry's own log.
pub(super) fn log_is_clean<'a>(log: &str, mut secrets: impl Iterator<Item = &'a str>, screen: &mut Screen) -> bool {
    let clean = !secrets.any(|secret| log.contains(secret));
    if clean {
        screen.detail(&format!("kubeferry's log has {} lines, and none of the tokens in it.", log.lines().count()));
    } else {
        screen.wrong("there is a token in kubeferry's log");
    }
    clean
}
