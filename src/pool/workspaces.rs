//! What a caller has seen of the workspaces of a kcp: lists of children, and where it may enter.
//!
//! What was read is stored once for all callers ([`arena`]); what a caller sees of it is only what that caller's own
//! answers showed, by a view of a few bits per workspace. A view lives 30 to 60 s, chosen at random, so that many callers do
//! not read a tree anew at the same moment. It is for display: no call is ever refused because of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::ClusterClient;
use crate::model::{ApiResource, Failure, FailureKind, ListRequest};

mod arena;
mod item;
mod state;

pub use item::{State, Workspace};

use arena::{Arena, Arenas, Listing};
use state::{States, Word};

/// Children per request.
const PAGE: u32 = 500;
/// Children of one workspace that are read, at most.
const MOST: usize = 10_000;
/// Requests for one list, at most.
const PAGES: usize = 2 * MOST / PAGE as usize;
/// The shortest life of a view, and what is added to it at random.
const LIFE: Duration = Duration::from_secs(30);
/// Views that are kept, at most: of a kcp with 100,000 workspaces each takes 30 KB.
const VIEWS: u64 = 2_000;

/// The views of all callers, and what they share.
#[derive(Debug)]
pub(super) struct Views {
    arenas: Arenas,
    views: moka::sync::Cache<[u8; 32], Arc<View>>,
}

impl Default for Views {
    fn default() -> Self {
        let views = moka::sync::Cache::builder().max_capacity(VIEWS).time_to_live(LIFE * 2).build();
        Self { arenas: Arenas::default(), views }
    }
}

impl Views {
    /// The view under `key`, or a new one of the kcp `kcp`.
    pub(super) fn view(&self, key: [u8; 32], kcp: &[u8; 32]) -> Arc<View> {
        let new = || Arc::new(View::new(self.arenas.of(kcp), Instant::now() + LIFE + LIFE.mul_f64(random())));
        self.views.entry(key).or_insert_with_if(new, |view| view.is_over()).into_value()
    }

    /// Forgets the view under `key`: something that it shows was found to be otherwise.
    pub(super) fn forget(&self, key: &[u8; 32]) {
        self.views.invalidate(key);
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let mut byte = [0_u8];
    // Without randomness all views live the shortest life.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}

/// What one caller, with one token, has seen of one kcp.
#[derive(Debug)]
pub struct View {
    arena: Arc<Arena>,
    until: Instant,
    states: Mutex<States>,
    /// Places that are being read: others that want the same wait for it.
    flights: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a caller may see of one workspace.
#[derive(Debug, Clone)]
pub enum Look {
    /// It may be entered, and these are its children.
    Children(Children),
    /// It may be entered; its children may not be read.
    Closed,
    /// It may not be entered, or is not there: the two are not told apart.
    Refused,
}

/// The children of a workspace, by name.
#[derive(Debug, Clone)]
pub struct Children {
    /// At most 10,000.
    pub items: Arc<[Arc<Workspace>]>,
    /// True when there are more.
    pub cut: bool,
}

/// Whether a caller may enter a workspace, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It was not asked.
    Unknown,
    /// It may.
    Yes,
    /// It may not, or the workspace is not there.
    No,
}

impl Entry {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl View {
    fn new(arena: Arc<Arena>, until: Instant) -> Self {
        Self { arena, until, states: Mutex::default(), flights: Mutex::default() }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Whether the caller may enter `place`, as far as this view knows without asking.
    pub fn entry(&self, place: &str) -> Entry {
        let Some(id) = self.arena.find(place) else { return Entry::Unknown };
        match self.word(id) {
            Word::Unknown => Entry::Unknown,
            Word::Listed | Word::Closed | Word::Entered => Entry::Yes,
            Word::Refused => Entry::No,
        }
    }

    /// What this view knows of `place` without asking.
    pub fn known(&self, place: &str) -> Option<Look> {
        self.arena.find(place).and_then(|id| self.seen(id))
    }

    /// What the caller of `client` may see of the workspace that it is bound to: children from this view; what it has not
    /// seen, and what was refused before, from the server by one request, more only for over 500 children, and one where the
    /// children may not be read. Those of one caller who ask at the same time share it.
    ///
    /// # Errors
    /// When there is no answer, or one that says nothing about access: that is not kept.
    pub async fn look(&self, client: &ClusterClient) -> Result<Look, Failure> {
        client.enter().await?;
        let place = client.place_name();
        let Some(id) = self.arena.place(&place) else { return read(client).await.map(Read::into_look) };
        let before = match self.seen(id) {
            Some(seen @ Look::Children(_)) => return Ok(seen),
            // Whoever asks about this very workspace is told what is so now: a role may have been granted since.
            Some(Look::Closed | Look::Refused) | None => self.word(id),
        };
        let flight = Arc::clone(self.lock_flights().entry(id).or_default());
        let turn = flight.lock().await;
        if let Some(seen) = self.seen(id).filter(|_| self.word(id) != before) {
            return Ok(seen);
        }
        let done = read(client).await;
        if let Ok(read) = &done {
            self.keep(id, read);
        }
        self.lock_flights().remove(&id);
        drop(turn);
        done.map(Read::into_look)
    }

    /// Whether the caller of `client` may enter the workspace that it is bound to, from this view or else by one request
    /// for its version, which needs `access` and nothing else.
    ///
    /// # Errors
    /// When there is no answer, or one that says nothing about access.
    pub async fn enter(&self, client: &ClusterClient) -> Result<Entry, Failure> {
        client.enter().await?;
        let place = client.place_name();
        let known = self.entry(&place);
        if known != Entry::Unknown {
            return Ok(known);
        }
        let entry = probe(client).await?;
        let word = match entry {
            Entry::Yes => Word::Entered,
            Entry::No => Word::Refused,
            Entry::Unknown => return Ok(entry),
        };
        if let Some(id) = self.arena.place(&place) {
            // Whoever lists it meanwhile knows more.
            self.lock_states().learn(id, word);
        }
        Ok(entry)
    }

    fn keep(&self, id: u32, read: &Read) {
        match read {
            Read::Children(listing) => {
                if let Some(version) = self.arena.absorb(id, listing) {
                    self.lock_states().set(id, Word::Listed, version);
                }
            }
            Read::Closed => self.lock_states().set(id, Word::Closed, 0),
            Read::Refused => self.lock_states().set(id, Word::Refused, 0),
        }
    }

    fn seen(&self, id: u32) -> Option<Look> {
        let (word, version) = {
            let states = self.lock_states();
            (states.word(id), states.version(id))
        };
        match word {
            Word::Unknown | Word::Entered => None,
            Word::Closed => Some(Look::Closed),
            Word::Refused => Some(Look::Refused),
            Word::Listed => self.arena.listing(id, version).map(|listing| Look::Children(listing.into())),
        }
    }

    fn word(&self, id: u32) -> Word {
        self.lock_states().word(id)
    }

    fn lock_states(&self) -> std::sync::MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_flights(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<tokio::sync::Mutex<()>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Listing> for Children {
    fn from(listing: Listing) -> Self {
        Self { items: listing.items, cut: listing.cut }
    }
}

/// What the server answered.
enum Read {
    Children(Listing),
    Closed,
    Refused,
}

impl Read {
    fn into_look(self) -> Look {
        match self {
            Self::Children(listing) => Look::Children(listing.into()),
            Self::Closed => Look::Closed,
            Self::Refused => Look::Refused,
        }
    }
}

async fn read(client: &ClusterClient) -> Result<Read, Failure> {
    match list(client).await {
        Ok(listing) => Ok(Read::Children(listing)),
        Err(failure) if says_no(&failure) => Ok(match probe(client).await? {
            Entry::Yes => Read::Closed,
            Entry::No | Entry::Unknown => Read::Refused,
        }),
        Err(failure) => Err(failure),
    }
}

async fn list(client: &ClusterClient) -> Result<Listing, Failure> {
    let kind = workspaces();
    let mut request = ListRequest { limit: PAGE, ..ListRequest::default() };
    let mut items: Vec<Arc<Workspace>> = Vec::new();
    let mut pages = 0;
    loop {
        pages += 1;
        let page = client.list_as::<item::Wire>(&kind, &request).await?;
        request.continue_token = page.continue_token().map(str::to_owned);
        let cut = page.cut;
        items.extend(page.items.into_iter().filter_map(item::Wire::read).map(Arc::new));
        // A page may well be empty, and another one may follow it for ever.
        let full = items.len() >= MOST || pages >= PAGES;
        if request.continue_token.is_none() || full || cut {
            let cut = cut || items.len() > MOST || (full && request.continue_token.is_some());
            items.truncate(MOST);
            items.sort_by(|one, other| one.name.cmp(&other.name));
            return Ok(Listing { items: items.into(), cut });
        }
    }
}

pub(super) async fn probe(client: &ClusterClient) -> Result<Entry, Failure> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "gitVersion")]
        _git_version: serde::de::IgnoredAny,
    }
    match client.document_of("/version").await {
        // Something in between may answer 200 to anything.
        Ok(body) if serde_json::from_slice::<Version>(&body).is_ok() => Ok(Entry::Yes),
        Ok(_) => Ok(Entry::Unknown),
        Err(failure) if says_no(&failure) => Ok(Entry::No),
        Err(failure) => Err(failure),
    }
}

/// A 403 and a 404 say the same: no, or unknown.
fn says_no(failure: &Failure) -> bool {
    matches!(failure.code, "forbidden" | "not_found")
        && matches!(failure.kind, FailureKind::Refused | FailureKind::NotFound)
}

/// Workspaces, of which every kcp has the same.
pub(super) fn workspaces() -> ApiResource {
    ApiResource {
        group: "tenancy.kcp.io".into(),
        version: "v1alpha1".into(),
        plural: "workspaces".into(),
        singular: "workspace".into(),
        kind: "Workspace".into(),
        short_names: vec!["ws".into()],
        namespaced: false,
        verbs: vec!["get".into(), "list".into(), "watch".into()],
    }
}

#[cfg(test)]
mod tests;
