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

    fn is(&self, other: &Self) -> bool {
        self.group == other.group && self.resource == other.resource && self.identity_hash == other.identity_hash
    }
}

/// Each claim that is asked for. That one is pending shows nowhere but in the difference between what the export asks and
/// what the binding answers: phase and conditions are as if all were well.
pub(super) fn compare(asked: &[Asked], answered: &[Claimed], applied: &[Asked]) -> Vec<Claim> {
    let state = |claim: &Asked| {
        let answer = answered.iter().find(|answer| answer.asked.is(claim)).map(|answer| answer.state.as_str());
        let applied = applied.iter().any(|applied| applied.is(claim));
        match answer {
            Some("Rejected") => State::Rejected,
            Some("Accepted") if applied => State::InForce,
            Some("Accepted") => State::Accepted,
            Some(_) | None => State::Pending,
        }
    };
    let claim = |asked: &Asked| Claim {
        resource: qualified(&asked.resource, &asked.group),
        verbs: asked.all_verbs(),
        state: state(asked),
    };
    asked.iter().map(claim).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Asked, State, compare};
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
}
