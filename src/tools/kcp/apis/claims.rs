//! Permission claims: what an export asks of a workspace, and what became of it.

use serde::Deserialize;

use super::super::part::{line, qualified};

/// A claim as an export asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::tools::kcp) struct Asked {
    group: String,
    resource: String,
    identity_hash: String,
    verbs: Vec<String>,
}

/// A claim as a workspace answered it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claimed {
    #[serde(flatten)]
    asked: Asked,
    state: String,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// `configmaps`, qualified.
    pub(super) resource: String,
    pub(super) verbs: String,
    pub(super) state: State,
}

/// The state of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Accepted, and the provider has it.
    InForce,
    /// Accepted, and the provider does not have it yet.
    Accepted,
    /// Rejected.
    Rejected,
    /// Asked for, and neither accepted nor rejected.
    Pending,
}

impl State {
    /// The word in answers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InForce => "accepted",
            Self::Accepted => "accepted (not in force)",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
        }
    }
}

impl Asked {
    /// `configmaps [get list]`.
    pub(super) fn text(&self) -> String {
        format!("{} [{}]", qualified(&self.resource, &self.group), self.all_verbs())
    }

    fn all_verbs(&self) -> String {
        line(&self.verbs.join(" "))
    }

    /// True when it has this verb. One without verbs is of an older version of the API, which knew all of them only.
    fn covers(&self, verb: &str) -> bool {
        self.verbs.is_empty() || self.verbs.iter().any(|own| own == verb || own == "*")
    }

    fn is(&self, other: &Self) -> bool {
        self.group == other.group && self.resource == other.resource && self.identity_hash == other.identity_hash
    }
}

/// Each claim that is asked for; one whose verbs were answered in part is two, and the second has the verbs that are pending.
/// That something is pending shows nowhere but in the difference between what the export asks and what the binding answers:
/// phase and conditions are as if all were well.
pub(super) fn compare(asked: &[Asked], answered: &[Claimed], applied: &[Asked]) -> Vec<Claim> {
    asked.iter().flat_map(|asked| compare_one(asked, answered, applied)).collect()
}

/// `configmaps accepted, secrets [list] pending`, for a row; the verbs where a resource has several claims.
pub(super) fn words(claims: &[Claim]) -> String {
    let several = |of: &Claim| claims.iter().filter(|claim| claim.resource == of.resource).count() > 1;
    let each = claims.iter().map(|claim| {
        let Claim { resource, verbs, state } = claim;
        if several(claim) {
            format!("{resource} [{verbs}] {}", state.word())
        } else {
            format!("{resource} {}", state.word())
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn compare_one(asked: &Asked, answered: &[Claimed], applied: &[Asked]) -> Vec<Claim> {
    let claim = |verbs: &[&str], state: State| Claim {
        resource: qualified(&asked.resource, &asked.group),
        verbs: line(&verbs.join(" ")),
        state,
    };
    let all: Vec<&str> = asked.verbs.iter().map(String::as_str).collect();
    let answer = answered.iter().find(|answer| answer.asked.is(asked));
    let answer = answer.filter(|answer| matches!(answer.state.as_str(), "Accepted" | "Rejected"));
    let Some(answer) = answer else { return vec![claim(&all, State::Pending)] };
    let (known, pending): (Vec<&str>, Vec<&str>) = all.iter().partition(|verb| answer.asked.covers(verb));
    let in_force = |applied: &Asked| applied.is(asked) && known.iter().all(|verb| applied.covers(verb));
    let state = match answer.state.as_str() {
        "Rejected" => State::Rejected,
        _ if applied.iter().any(in_force) => State::InForce,
        _ => State::Accepted,
    };
    let known = (!known.is_empty() || pending.is_empty()).then(|| claim(&known, state));
    let pending = (!pending.is_empty()).then(|| claim(&pending, State::Pending));
    known.into_iter().chain(pending).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Asked, State, compare, words};
    use crate::tools::kcp::apis::binding::tests::binding;

    #[test]
    fn what_was_not_answered_is_pending() {
        let claims = binding("widgets").claims();
        let states: Vec<_> = claims.iter().map(|claim| (claim.resource.as_str(), claim.state)).collect();
        let expected = [("configmaps", State::InForce), ("secrets", State::Rejected), ("events", State::Pending)];
        assert_eq!(states, expected);
        assert_eq!(claims[0].verbs, "get list watch");
        assert!(binding("services").claims().is_empty());
    }

    #[test]
    fn what_the_provider_does_not_have_yet_is_said() {
        let claim = json!({"group": "", "resource": "configmaps", "verbs": ["get"], "state": "Accepted"});
        let asked: Asked = serde_json::from_value(claim.clone()).unwrap();
        let of_another = Asked { identity_hash: "ab".into(), ..asked.clone() };
        let answered = [serde_json::from_value(claim).unwrap()];
        let state = |applied: &[Asked]| compare(std::slice::from_ref(&asked), &answered, applied)[0].state;
        assert_eq!((state(&[]), state(&[of_another])), (State::Accepted, State::Accepted));
        assert_eq!(state(std::slice::from_ref(&asked)), State::InForce);
    }

    #[test]
    fn verbs_that_were_not_answered_are_pending_in_a_row_of_their_own() {
        let asked = |verbs: &[&str]| -> Asked {
            serde_json::from_value(json!({"group": "", "resource": "configmaps", "verbs": verbs})).unwrap()
        };
        let all = asked(&["get", "list", "update"]);
        let rows = |state: &str, verbs: &[&str], applied: &[&str]| -> Vec<(String, State)> {
            let answer = json!({"group": "", "resource": "configmaps", "verbs": verbs, "state": state});
            let answered = [serde_json::from_value(answer).unwrap()];
            let claims = compare(std::slice::from_ref(&all), &answered, &[asked(applied)]);
            claims.into_iter().map(|claim| (claim.verbs, claim.state)).collect()
        };
        let answer = json!({"group": "", "resource": "configmaps", "verbs": ["get"], "state": "Accepted"});
        let claims = compare(std::slice::from_ref(&all), &[serde_json::from_value(answer).unwrap()], &[]);
        assert_eq!(words(&claims), "configmaps [get] accepted (not in force), configmaps [list update] pending");
        let row = |verbs: &str, state: State| (verbs.to_owned(), state);
        let pending = row("list update", State::Pending);
        assert_eq!(rows("Accepted", &["get"], &["get"]), [row("get", State::InForce), pending.clone()]);
        assert_eq!(rows("Rejected", &["get"], &["get"]), [row("get", State::Rejected), pending]);
        assert_eq!(rows("Accepted", &["delete"], &["delete"]), [row("get list update", State::Pending)]);
        assert_eq!(rows("Accepted", &["*"], &["get"]), [row("get list update", State::Accepted)]);
        assert_eq!(rows("Accepted", &["*"], &["*"]), [row("get list update", State::InForce)]);
        assert_eq!(rows("", &["*"], &["*"]), [row("get list update", State::Pending)]);
    }
}
