//! Plays one scenario: a world shared by all tests of this process, and a program under test of the scenario's own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use testenv::crossing::{CLIENT, SECRETS};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::world::{Lab, Site, World};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use url::form_urlencoded;

/// Time for one scenario, beside the start of the world.
const SCENARIO: Duration = Duration::from_secs(180);
/// The same in a real lab, where a scenario may start a kcp of its own, which takes longer on a busy machine.
const REAL_SCENARIO: Duration = Duration::from_secs(480);
/// The value that the world's Secret holds, plain and as the API server shows it.
pub const CANARIES: [&str; 2] = ["canary-value", "Y2FuYXJ5LXZhbHVl"];
/// Lines of the log that a failure shows.
const TAIL: usize = 40;

/// One world per lab, and whose turn it is: scenarios count requests, so each has the world for itself; cases count at
/// servers of their own only, so they share it.
pub(super) struct Stage {
    world: OnceCell<Result<World, String>>,
    turn: tokio::sync::RwLock<()>,
}

static SIMULATED: Stage = Stage::new();
static REAL: Stage = Stage::new();

impl Stage {
    const fn new() -> Self {
        Self { world: OnceCell::const_new(), turn: tokio::sync::RwLock::const_new(()) }
    }

    fn of(lab: Lab) -> &'static Self {
        match lab {
            Lab::Simulated => &SIMULATED,
            Lab::Real => &REAL,
        }
    }

    /// # Panics
    /// When it does not start.
    async fn world(&'static self, lab: Lab) -> &'static World {
        let start = async || World::start(lab).await.map_err(|error| format!("{error:#}"));
        let world = self.world.get_or_init(start).await;
        world.as_ref().unwrap_or_else(|error| panic!("the world does not start: {error}"))
    }
}

/// Runs `act` beside others that share the world.
///
/// # Panics
/// When the world does not start.
pub(super) fn beside<T>(lab: Lab, act: impl AsyncFnOnce(&'static World) -> T) -> T {
    runtime().block_on(async {
        let stage = Stage::of(lab);
        let _turn = stage.turn.read().await;
        act(stage.world(lab).await).await
    })
}

/// One for all tests of this process: the servers of the world run on it.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime starts"))
}

/// What a scenario gets.
pub struct Scene {
    /// The fleet.
    pub world: &'static World,
    /// The program, with the world's configuration and the log at `trace`.
    pub ferry: Ferry,
    tokens: Tokens,
}

/// Runs a scenario to its end. Whatever it does, no token and no Secret value may be in the log then.
///
/// # Panics
/// When it fails, with the end of the program's log.
pub fn play(lab: Lab, scenario: impl for<'a> FnOnce(&'a Scene) -> LocalBoxFuture<'a, anyhow::Result<()>>) {
    runtime().block_on(async {
        let stage = Stage::of(lab);
        let _turn = stage.turn.write().await;
        let world = stage.world(lab).await;
        for realm in ["corp", "acme"] {
            world.realms.heal(realm);
        }
        let config = world.config();
        let ferry = Ferry::start(Some(&config), &[("KUBEFERRY_LOG", "trace")]).await;
        let ferry = ferry.unwrap_or_else(|error| panic!("kubeferry does not start: {error:#}"));
        let scene = Scene { world, ferry, tokens: Tokens::default() };
        scene.clear();
        let limit = match lab {
            Lab::Simulated => SCENARIO,
            Lab::Real => REAL_SCENARIO,
        };
        let played = tokio::time::timeout(limit, AssertUnwindSafe(scenario(&scene)).catch_unwind()).await;
        let log = scene.ferry.log();
        match played {
            Ok(Ok(Ok(()))) => scene.assert_no_secret(&log),
            Ok(Ok(Err(error))) => panic!("{error:#}\n{}", tail(&log)),
            Ok(Err(panicked)) => {
                say(&tail(&log));
                resume_unwind(panicked);
            }
            Err(_elapsed) => panic!("the scenario did not end within {limit:?}\n{}", tail(&log)),
        }
    });
}

impl Scene {
    /// A user's token: one per scenario, remembered for the search of the log.
    pub fn token(&self, realm: &str, user: &str) -> String {
        self.tokens.of(self.world, realm, user)
    }

    /// Remembers a token that [`Scene::token`] did not make.
    pub fn remember(&self, token: &str) {
        self.tokens.remember(token);
    }

    /// A client of the newest generation with a user's token.
    pub async fn client(&self, realm: &str, user: &str) -> anyhow::Result<Client> {
        let token = self.token(realm, user);
        Client::http(self.ferry.url(), Some(&token), Era::Modern).await.with_context(|| format!("{realm}/{user}"))
    }

    /// Lets all relays forget what they saw.
    pub fn clear(&self) {
        self.world.clear();
    }

    /// Fails when any server saw a connection or a request since [`Scene::clear`].
    pub fn assert_untouched(&self, when: &str) {
        for Site { name, tap } in self.world.sites() {
            let paths: Vec<String> = tap.requests().into_iter().map(|request| request.path).collect();
            assert!(
                tap.connections() == 0 && paths.is_empty(),
                "{when}: {name} saw {} connections, {paths:?}",
                tap.connections()
            );
        }
    }

    /// Fails when `text` holds a token, a secret of ours at a realm, or the Secret's value.
    pub fn assert_no_secret(&self, text: &str) {
        self.tokens.assert_none_in(text);
    }
}

/// The tokens of one scenario or case, by realm and user.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<(String, String), String>>);

impl Tokens {
    /// A user's token, always the same.
    pub(super) fn of(&self, world: &World, realm: &str, user: &str) -> String {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (realm.to_owned(), user.to_owned());
        tokens.entry(key).or_insert_with(|| world.token(realm, user)).clone()
    }

    /// Remembers a token that was made elsewhere.
    pub(super) fn remember(&self, token: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert((String::new(), token.to_owned()), token.to_owned());
    }

    /// Fails when `text` holds one of them or a part of one, any other token, a secret of ours at a realm, or the Secret's
    /// value.
    pub(super) fn assert_none_in(&self, text: &str) {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((realm, user), token) in tokens.iter() {
            let (signed, signature) = token.rsplit_once('.').unwrap_or((token, token));
            let claims = signed.rsplit('.').next().unwrap_or(signed);
            for part in [token, claims, signature] {
                assert!(
                    part.len() < 16 || !text.contains(part),
                    "a token of {realm}/{user} leaked: {}",
                    around(text, part)
                );
            }
        }
        for canary in CANARIES {
            assert!(!text.contains(canary), "a Secret's value leaked: {}", around(text, canary));
        }
        for secret in SECRETS {
            let encoded = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
            let basic = STANDARD.encode(format!("{CLIENT}:{encoded}"));
            for written in [secret, &encoded, &basic] {
                assert!(!text.contains(written), "a secret of ours leaked: {}", around(text, written));
            }
        }
        // Those that realms issued to the program are known to nobody here.
        if let Some(token) = some_token(text) {
            panic!("a token leaked: {}", around(text, token));
        }
    }
}

/// The first thing in `text` that looks like a JWT or the greater part of one: a JSON object in base64url, with a dot before
/// or behind. A continue token of an API server is such an object, too, but has no dot.
fn some_token(text: &str) -> Option<&str> {
    text.match_indices("eyJ").map(|(at, _)| at).find_map(|at| {
        let rest = &text[at..];
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
        let dots = text[..at].ends_with('.') || rest[length..].starts_with('.');
        (length >= 16 && dots).then(|| &rest[..length])
    })
}

/// The line of `text` that holds `part`.
fn around<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "the output of a test is shown when it fails")]
pub fn say(text: &str) {
    println!("{text}");
}

pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    format!("The end of kubeferry's log:\n{}", last.join("\n"))
}

#[test]
fn a_token_is_told_from_a_continue_token() {
    let (header, claims) = ("eyJhbGciOiJFUzI1NiJ9", "eyJpc3MiOiJodHRwczovL2NvcnAifQ");
    for leak in [format!("{header}.{claims}.c2ln"), format!("=> {header}."), format!("Bearer x.{claims}\"")] {
        assert!(some_token(&leak).is_some(), "{leak}");
    }
    for fine in [format!("?continue={claims}&limit=5"), "eyJ.".to_owned(), "nothing".to_owned()] {
        assert_eq!(some_token(&fine), None, "{fine}");
    }
}
