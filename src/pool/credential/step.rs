//! The way to a credential in words: what `auth_explain` shows. Plain data, without a secret.

use super::oauth::{Leg, RealmClient};
use crate::model::RealmName;

/// One step of the way to a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The realm that is asked; `None` = the step is at this machine or at the cluster.
    pub realm: Option<RealmName>,
    /// True when the step is at the cluster.
    pub at_cluster: bool,
    /// What is done.
    pub does: String,
    /// As which client of ours, and how it authenticates.
    pub client: Option<String>,
    /// The audience that is asked for.
    pub audience: Option<String>,
    /// The scope that is asked for.
    pub scope: Option<String>,
    /// What is checked before the next step.
    pub checked: Vec<String>,
    /// How long what the step yields is kept, where the strategy keeps it itself.
    pub kept: Option<&'static str>,
}

/// A request to a realm that is part of a way, without the caller's part in it.
#[derive(Debug, Clone)]
pub struct Asks {
    /// Which step it is.
    pub leg: Leg,
    /// Our client there.
    pub client: RealmClient,
    /// `audience` of RFC 8693.
    pub audience: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// The issued token may name these audiences and no other.
    pub audiences: Vec<String>,
}

impl Step {
    /// A step at this machine.
    pub(super) fn here(does: impl Into<String>) -> Self {
        Self { does: does.into(), ..Self::default() }
    }

    /// A step at the cluster.
    pub(super) fn cluster(does: impl Into<String>) -> Self {
        Self { at_cluster: true, ..Self::here(does) }
    }

    /// An issued token goes to the cluster.
    pub(super) fn bearer() -> Self {
        Self::cluster("the issued token goes as Authorization: Bearer; your own token does not")
    }

    /// A request to a realm.
    pub(super) fn asks(does: &str, asks: Asks, checked: Vec<String>) -> Self {
        let Asks { client, audience, scope, .. } = asks;
        let (realm, as_whom) = (Some(client.realm().clone()), Some(client.as_whom()));
        Self { realm, client: as_whom, audience, scope, checked, ..Self::here(does) }
    }

    pub(super) fn checked(mut self, checked: impl Into<Vec<String>>) -> Self {
        self.checked = checked.into();
        self
    }

    pub(super) fn kept(mut self, kept: &'static str) -> Self {
        self.kept = Some(kept);
        self
    }
}
