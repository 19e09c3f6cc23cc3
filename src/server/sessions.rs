//! Whose a legacy MCP session is.
//!
//! rmcp serves a session to whoever names its id, and keeps as many as are opened. So hop 1 writes down who opened a
//! session, refuses everyone else with the answer for an unknown session, and caps their number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Principal;

/// rmcp ends a session after 5 minutes without a message; what is older here is gone there.
const FORGET_AFTER: Duration = Duration::from_secs(6 * 60);

/// Sessions and their owners.
#[derive(Debug)]
pub(super) struct Owners {
    cap: usize,
    sessions: Mutex<HashMap<String, Owner>>,
}

#[derive(Debug)]
struct Owner {
    iss: String,
    sub: String,
    used: Instant,
}

impl Owners {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, sessions: Mutex::default() }
    }

    /// True when one more session may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.locked(|sessions| {
            if sessions.len() >= self.cap {
                sessions.retain(|_, owner| owner.used.elapsed() < FORGET_AFTER);
            }
            sessions.len() < self.cap
        })
    }

    /// `principal` opened the session `id`.
    pub(super) fn opened(&self, id: &str, principal: &Principal) {
        let owner = Owner { iss: principal.iss.clone(), sub: principal.sub.clone(), used: Instant::now() };
        self.locked(|sessions| drop(sessions.insert(id.to_owned(), owner)));
    }

    /// True when the session `id` belongs to `principal`; it counts as used.
    pub(super) fn owns(&self, id: &str, principal: &Principal) -> bool {
        self.locked(|sessions| match sessions.get_mut(id) {
            Some(owner) if owner.iss == principal.iss && owner.sub == principal.sub => {
                owner.used = Instant::now();
                true
            }
            _ => false,
        })
    }

    /// The session `id` ended.
    pub(super) fn closed(&self, id: &str) {
        self.locked(|sessions| drop(sessions.remove(id)));
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<String, Owner>) -> T) -> T {
        work(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{FORGET_AFTER, Owners};
    use crate::server::tests::principal;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_session_serves_its_owner_only_and_there_is_a_cap() {
        let (owners, a, b) = (Owners::new(1), principal("a"), principal("b"));
        assert!(owners.has_room());
        owners.opened("s1", &a);
        assert!(owners.owns("s1", &a) && !owners.owns("s1", &b) && !owners.owns("s2", &a));
        assert!(!owners.has_room());
        advance(FORGET_AFTER).await;
        assert!(owners.has_room() && !owners.owns("s1", &a), "an abandoned session makes room");
        owners.opened("s2", &b);
        owners.closed("s2");
        assert!(owners.has_room());
    }
}
