//! Lists of children, stored once for all callers of a kcp.
//!
//! An arena tells nobody anything by itself: a caller gets out of it only the version of a list that its own answer was
//! equal to. It is replaced as a whole when it is ten minutes old or full; views keep the one that they began with, and the
//! last of them takes it along.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::item::Workspace;
use crate::model::KeyHasher;

/// The longest that new views share an arena.
const LIFE: Duration = Duration::from_secs(600);
/// Workspaces in an arena, at most: what does not fit is shown and not kept.
const MOST: usize = 250_000;
/// Versions of one list, at most.
const VERSIONS: usize = 16;
/// Arenas, at most: one per kcp that is in use.
const ARENAS: u64 = 256;

/// The arenas of all kcps.
#[derive(Debug)]
pub(super) struct Arenas(moka::sync::Cache<[u8; 32], Arc<Arena>>);

impl Default for Arenas {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(ARENAS).time_to_live(LIFE).build())
    }
}

impl Arenas {
    /// The arena of the kcp `key` for a new view.
    pub(super) fn of(&self, key: &[u8; 32]) -> Arc<Arena> {
        self.0.entry(*key).or_insert_with_if(Arc::default, |arena| arena.is_done()).into_value()
    }
}

/// A list of children as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) items: Arc<[Arc<Workspace>]>,
    pub(super) cut: bool,
}

/// What was read of one kcp.
#[derive(Debug)]
pub(super) struct Arena {
    born: Instant,
    known: Mutex<Known>,
}

impl Default for Arena {
    fn default() -> Self {
        Self { born: Instant::now(), known: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// By a digest of the name, which is shorter than the name.
    numbers: HashMap<[u8; 16], u32>,
    /// By number; of those that were listed.
    lists: HashMap<u32, Versions>,
    /// Words that many workspaces have: types, states.
    words: HashSet<Arc<str>>,
    /// All children in all versions.
    children: usize,
}

/// Most places have no list or one that never changes.
#[derive(Debug, Default)]
enum Versions {
    #[default]
    None,
    One(Listing),
    Several(Vec<Listing>),
}

impl Versions {
    fn all(&self) -> &[Listing] {
        match self {
            Self::None => &[],
            Self::One(listing) => std::slice::from_ref(listing),
            Self::Several(listings) => listings,
        }
    }

    fn push(&mut self, listing: Listing) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(listing),
            Self::One(first) => Self::Several(vec![first, listing]),
            Self::Several(mut all) => {
                all.push(listing);
                Self::Several(all)
            }
        };
    }
}

impl Arena {
    fn is_done(&self) -> bool {
        self.born.elapsed() >= LIFE || self.with(|known| known.is_full())
    }

    /// The number of `place`, if it has one.
    pub(super) fn find(&self, place: &str) -> Option<u32> {
        self.with(|known| known.numbers.get(&digest(place)).copied())
    }

    /// The number of `place`; `None` when the arena is full.
    pub(super) fn place(&self, place: &str) -> Option<u32> {
        self.with(|known| known.number(place))
    }

    /// The version of a list.
    pub(super) fn listing(&self, id: u32, version: u16) -> Option<Listing> {
        self.with(|known| known.lists.get(&id)?.all().get(usize::from(version)).cloned())
    }

    /// Stores a list and gives back its version; `None` when the arena is full. Equal lists are stored once, and of one that
    /// differs the workspaces that do not.
    pub(super) fn absorb(&self, id: u32, listing: &Listing) -> Option<u16> {
        self.with(|known| known.absorb(id, listing))
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Known) -> T) -> T {
        use_it(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn is_full(&self) -> bool {
        self.numbers.len() >= MOST || self.children >= MOST
    }

    fn number(&mut self, place: &str) -> Option<u32> {
        let key = digest(place);
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let number = u32::try_from(self.numbers.len()).ok().filter(|_| !self.is_full())?;
        self.numbers.insert(key, number);
        Some(number)
    }

    fn absorb(&mut self, id: u32, listing: &Listing) -> Option<u16> {
        let versions = self.lists.get(&id).map(Versions::all).unwrap_or_default();
        if let Some(at) = versions.iter().position(|known| known == listing) {
            return u16::try_from(at).ok();
        }
        if versions.len() >= VERSIONS || self.is_full() {
            return None;
        }
        let version = u16::try_from(versions.len()).ok()?;
        let last = versions.last().map(|last| Arc::clone(&last.items));
        let before: HashMap<&str, &Arc<Workspace>> =
            last.iter().flat_map(|items| items.iter()).map(|one| (&*one.name, one)).collect();
        let mut shared = |one: &Arc<Workspace>| match before.get(&*one.name) {
            Some(known) if *known == one => Arc::clone(known),
            Some(_) | None => Arc::new(intern(&mut self.words, one)),
        };
        let items = listing.items.iter().map(&mut shared).collect();
        self.children += listing.items.len();
        self.lists.entry(id).or_default().push(Listing { items, cut: listing.cut });
        Some(version)
    }
}

fn digest(place: &str) -> [u8; 16] {
    let whole = KeyHasher::new("workspace").field("name", place).finish();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

/// A workspace whose texts are shared with others that have the same.
fn intern(words: &mut HashSet<Arc<str>>, one: &Workspace) -> Workspace {
    let mut word = |text: &Arc<str>| {
        let known = words.get(text).cloned();
        known.unwrap_or_else(|| {
            words.insert(Arc::clone(text));
            Arc::clone(text)
        })
    };
    Workspace { kind: word(&one.kind), why: word(&one.why), ..one.clone() }
}

#[cfg(test)]
mod tests;
