//! The keys of the realms: fetched when first needed, renewed in the background, kept through a short failure.
//!
//! [`Keys`] outlives a reload: a realm whose address, CA and guards did not change keeps its keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jsonwebtoken::DecodingKey;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::model::{KeyHasher, RealmName, chain};
use crate::realm::{Algorithm, RawJwk, RealmConfig, RealmError, RealmReader};

/// After this age keys are renewed in the background.
const REFRESH: Duration = Duration::from_secs(600);
/// The same for keys from a file.
const REFRESH_FILE: Duration = Duration::from_secs(60);
/// Keys are used at most this long after the last good fetch.
const STALE: Duration = Duration::from_secs(3600);
/// An unknown `kid` leads to a fetch at most this often.
const MISS_INTERVAL: Duration = Duration::from_secs(30);
/// With no usable keys at all, a fetch is tried at most this often.
const RETRY: Duration = Duration::from_secs(5);
/// The longest fetch: discovery document and keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(11);
/// The longest that one caller waits.
const WAIT: Duration = Duration::from_secs(12);
/// Keys of one realm beyond this are ignored.
const MAX_KEYS: usize = 64;
/// Callers that wait for one realm at the same time; more are told to come again.
const WAITERS: usize = 256;
/// Keys that are tried for one token.
const MAX_TRIES: usize = 4;

/// Where keys come from; [`RealmReader`], and counters in tests.
pub(super) trait KeySource: Send + Sync {
    /// Fetches the keys once.
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<RawJwk>, RealmError>>;
}

impl KeySource for RealmReader {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<RawJwk>, RealmError>> {
        self.keys().boxed()
    }
}

/// Makes the source of a realm's keys.
type Open = dyn Fn(&RealmConfig) -> Result<Arc<dyn KeySource>, RealmError> + Send + Sync;

/// The key sets of all realms, shared by all generations of the configuration.
pub struct Keys {
    open: Box<Open>,
    sets: Mutex<BTreeMap<[u8; 32], Weak<KeySet>>>,
}

impl Keys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::with(|config| Ok(Arc::new(RealmReader::new(config)?)))
    }

    /// Keys from other sources, for tests.
    pub(super) fn with(
        open: impl Fn(&RealmConfig) -> Result<Arc<dyn KeySource>, RealmError> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Box::new(open), sets: Mutex::default() }
    }

    /// The key set of a realm: the one in use if everything that decides it is the same, else a new one.
    pub(super) fn set(&self, config: &RealmConfig) -> Result<Arc<KeySet>, RealmError> {
        let id = KeyHasher::new("realm keys")
            .field("name", config.name.as_str())
            .field("issuer", &config.issuer)
            .optional("discovery_url", config.discovery_url.as_ref())
            .optional("jwks_file", config.jwks_file.as_ref().map(|path| path.as_os_str().as_encoded_bytes()))
            .optional("ca", config.ca.as_deref())
            .field("allow_private", [u8::from(config.allow_private)])
            .finish();
        let mut sets = lock(&self.sets);
        if let Some(set) = sets.get(&id).and_then(Weak::upgrade) {
            return Ok(set);
        }
        sets.retain(|_, set| set.strong_count() > 0);
        let set = Arc::new(KeySet {
            realm: config.name.clone(),
            source: (self.open)(config)?,
            refresh: if config.jwks_file.is_some() { REFRESH_FILE } else { REFRESH },
            state: Mutex::default(),
            waiters: Semaphore::new(WAITERS),
        });
        sets.insert(id, Arc::downgrade(&set));
        Ok(set)
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Why there is no key to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The realm has no such key.
    Unknown,
    /// The realm's keys cannot be had now.
    Unavailable,
}

/// The keys of one realm.
pub(super) struct KeySet {
    realm: RealmName,
    source: Arc<dyn KeySource>,
    refresh: Duration,
    state: Mutex<State>,
    /// Callers that wait for a fetch: a dead realm must not hold every place at the door.
    waiters: Semaphore,
}

#[derive(Default)]
struct State {
    keys: Arc<[Key]>,
    /// The last good fetch.
    good: Option<Instant>,
    /// The start of the last fetch.
    tried: Option<Instant>,
    /// The start of the last fetch that an unknown `kid` caused.
    missed: Option<Instant>,
    /// The fetch under way; closed when it ends, however it ends.
    flight: Option<watch::Receiver<()>>,
    /// Why the last fetch failed.
    problem: Option<String>,
}

impl State {
    fn flight(&self) -> Option<watch::Receiver<()>> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

enum Step {
    Answer(Result<Vec<Arc<DecodingKey>>, KeyError>),
    Wait(watch::Receiver<()>),
}

impl KeySet {
    /// The keys to try for a token with this `kid` and algorithm: at least one, at most four.
    pub(super) async fn candidates(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Arc<DecodingKey>>, KeyError> {
        let deadline = Instant::now() + WAIT;
        let mut waits = 0;
        loop {
            match self.step(kid, algorithm, waits) {
                Step::Answer(answer) => return answer,
                Step::Wait(mut flight) => {
                    let Ok(_place) = self.waiters.try_acquire() else { return Err(KeyError::Unavailable) };
                    waits += 1;
                    // The end of the fetch and of our patience lead to the same place: look again.
                    let _ended = timeout_at(deadline, flight.changed()).await;
                }
            }
        }
    }

    /// What the realm's keys are like, for people: usable or not, and why.
    pub(super) fn status(&self) -> (bool, String) {
        let state = lock(&self.state);
        match (state.good, &state.problem) {
            (Some(good), None) => (true, format!("{} keys, {} s old", state.keys.len(), good.elapsed().as_secs())),
            (Some(good), Some(problem)) => {
                let usable = good.elapsed() <= STALE;
                (false, format!("{}: {problem}", if usable { "using older keys" } else { "no usable keys" }))
            }
            (None, Some(problem)) => (false, format!("no usable keys: {problem}")),
            (None, None) => (true, "keys not needed yet".to_owned()),
        }
    }

    /// One look at the state; at most two waits, the second for a caller who joined a fetch older than its key.
    fn step(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm, waits: u8) -> Step {
        let now = Instant::now();
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Some(age) = since(state.good).filter(|age| *age <= STALE) else {
            if waits < 2 {
                if let Some(flight) = state.flight() {
                    return Step::Wait(flight);
                }
                if since(state.tried).is_none_or(|tried| tried >= RETRY) {
                    return Step::Wait(self.start(state, now));
                }
            }
            return Step::Answer(Err(KeyError::Unavailable));
        };
        match select(&state.keys, kid, algorithm) {
            Choice::Keys(keys) => {
                if age > self.refresh
                    && state.flight().is_none()
                    && since(state.tried).is_none_or(|tried| tried >= MISS_INTERVAL)
                {
                    let flight = self.start(state, now);
                    // After an idle time the first caller waits, so that a withdrawn key is not served once more; while
                    // the realm fails nobody waits.
                    if age > 2 * self.refresh && state.problem.is_none() && waits == 0 {
                        return Step::Wait(flight);
                    }
                }
                Step::Answer(Ok(keys))
            }
            Choice::Unfit => Step::Answer(Err(KeyError::Unknown)),
            Choice::Absent => {
                if waits < 2 {
                    if let Some(flight) = state.flight() {
                        return Step::Wait(flight);
                    }
                    if since(state.missed).is_none_or(|missed| missed >= MISS_INTERVAL) {
                        state.missed = Some(now);
                        return Step::Wait(self.start(state, now));
                    }
                }
                let failing = state.problem.is_some();
                Step::Answer(Err(if failing { KeyError::Unavailable } else { KeyError::Unknown }))
            }
        }
    }

    /// Starts a fetch in a task of its own: a caller that goes away does not end it for the others.
    fn start(self: &Arc<Self>, state: &mut State, now: Instant) -> watch::Receiver<()> {
        let (done, flight) = watch::channel(());
        state.tried = Some(now);
        state.flight = Some(flight.clone());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let answer = timeout(FETCH_TIMEOUT, this.source.fetch()).await;
            this.finish(match answer {
                Ok(Ok(raw)) => Ok(raw),
                Ok(Err(error)) => Err(chain(&error)),
                Err(_) => Err("the realm did not answer in time".to_owned()),
            });
            drop(done);
        });
        flight
    }

    fn finish(&self, answer: Result<Vec<RawJwk>, String>) {
        let usable = answer.and_then(|raw| {
            let published = raw.len();
            let keys: Vec<Key> = raw.iter().filter_map(Key::read).take(MAX_KEYS).collect();
            if keys.is_empty() {
                return Err(format!("none of the {published} published keys can verify a signature"));
            }
            if keys.len() < published {
                tracing::debug!(realm = %self.realm, published, used = keys.len(), "keys of the realm were ignored");
            }
            Ok(keys)
        });
        let mut state = lock(&self.state);
        state.flight = None;
        match usable {
            Ok(keys) => {
                state.keys = keys.into();
                state.good = Some(Instant::now());
                state.problem = None;
            }
            Err(problem) => {
                tracing::warn!(realm = %self.realm, problem, "the keys of the realm cannot be read");
                state.problem = Some(problem);
            }
        }
    }
}

/// A usable key.
struct Key {
    kid: Option<String>,
    shape: Shape,
    algorithm: Option<Algorithm>,
    key: Arc<DecodingKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// Reads a published key; `None` for every key that must not verify tokens: symmetric, for encryption, of an
    /// algorithm that is not ours or does not fit, RSA below 2048 bits.
    fn read(raw: &RawJwk) -> Option<Self> {
        let signs = raw.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return None;
        }
        let (shape, key) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => {
                let n = raw.n.as_deref()?;
                let bits = bits(&URL_SAFE_NO_PAD.decode(n).ok()?);
                if !(2048..=8192).contains(&bits) {
                    return None;
                }
                (Shape::Rsa, DecodingKey::from_rsa_components(n, raw.e.as_deref()?))
            }
            ("EC", Some("P-256")) => {
                (Shape::P256, DecodingKey::from_ec_components(raw.x.as_deref()?, raw.y.as_deref()?))
            }
            ("EC", Some("P-384")) => {
                (Shape::P384, DecodingKey::from_ec_components(raw.x.as_deref()?, raw.y.as_deref()?))
            }
            ("OKP", Some("Ed25519")) => (Shape::Ed25519, DecodingKey::from_ed_components(raw.x.as_deref()?)),
            _ => return None,
        };
        let algorithm = match raw.alg.as_deref() {
            Some("Ed25519") => Some(Algorithm::EdDsa),
            Some(word) => Some(Algorithm::parse(word)?),
            None => None,
        };
        let fits = algorithm.is_none_or(|algorithm| shape_of(algorithm) == shape);
        fits.then_some(Self { kid: raw.kid.clone(), shape, algorithm, key: Arc::new(key.ok()?) })
    }
}

/// The length of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn shape_of(algorithm: Algorithm) -> Shape {
    match algorithm {
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => Shape::Rsa,
        Algorithm::Es256 => Shape::P256,
        Algorithm::Es384 => Shape::P384,
        Algorithm::EdDsa => Shape::Ed25519,
    }
}

enum Choice {
    Keys(Vec<Arc<DecodingKey>>),
    /// Keys of this `kid` exist and none fits; another fetch would not help.
    Unfit,
    /// No such key.
    Absent,
}

fn select(keys: &[Key], kid: Option<&str>, algorithm: Algorithm) -> Choice {
    let named = || keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
    let fitting: Vec<_> = named()
        .filter(|key| key.shape == shape_of(algorithm) && key.algorithm.is_none_or(|only| only == algorithm))
        .map(|key| Arc::clone(&key.key))
        .collect();
    match fitting.len() {
        0 if kid.is_some() && named().next().is_some() => Choice::Unfit,
        0 => Choice::Absent,
        // Equal kids are rare and few; without a kid, trying many keys is a way to spend our time.
        1..=MAX_TRIES => Choice::Keys(fitting),
        _ if kid.is_some() => Choice::Keys(fitting.into_iter().take(MAX_TRIES).collect()),
        _ => Choice::Unfit,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
