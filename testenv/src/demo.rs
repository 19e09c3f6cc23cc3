//! **The demonstration** behind `scripts/demo`: a world, the built kubeferry on top, how to connect to it, a walk through
//! calls, and then a call across realms in a second fleet. It checks every answer, so it is a smoke test as well.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::ferry::Ferry;
use crate::process::files;
use crate::world::{Lab, World};

mod across;
mod connect;
mod ledger;
mod screen;
mod walk;

use screen::Screen;

/// Who takes part: realm and user.
const PEOPLE: [(&str, &str); 3] = [("corp", "alice"), ("corp", "bob"), ("acme", "carol")];

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the fleet is made of.
    pub lab: Lab,
    /// Whether it stays up after the walk, until SIGINT or SIGTERM.
    pub stay: bool,
    /// Whether answers are left out.
    pub quiet: bool,
}

/// Everything that runs, and what people need to take part.
struct Stage {
    world: World,
    ferry: Ferry,
    /// The token files, one per person.
    folder: TempDir,
    door: Door,
}

/// A kubeferry, and the tokens of those who call it.
struct Door {
    url: String,
    tokens: BTreeMap<&'static str, String>,
}

impl Door {
    fn token(&self, user: &str) -> &str {
        self.tokens.get(user).expect("steps name people of the demonstration")
    }
}

impl Stage {
    fn token_file(&self, user: &str) -> String {
        self.folder.path().join(format!("{user}.token")).display().to_string()
    }
}

/// Starts everything, walks through the calls, and stays if told to. Everything has ended when it returns.
///
/// # Errors
/// When something does not start. `false` means that an answer was not as expected.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let mut screen = Screen::new(options.quiet);
    // From here on the signals are ours: whatever runs is ended in order.
    let mut interrupt = signal(SignalKind::interrupt()).context("receiving SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("receiving SIGTERM")?;
    let told_to_stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(told_to_stop);
    let show = async {
        let stage = start(options.lab, &mut screen).await?;
        connect::show(&stage, &mut screen);
        let mut passed = walk::walk(&stage, &mut screen).await? & ledger::check(&stage, &mut screen);
        passed &= across::show(options.lab, &mut screen).await?;
        screen.verdict(passed);
        anyhow::Ok((stage, passed))
    };
    let shown = tokio::select! {
        () = &mut told_to_stop => None,
        shown = show => Some(shown?),
    };
    let Some((stage, passed)) = shown else {
        anyhow::bail!("interrupted");
    };
    if options.stay && passed {
        screen.say(&format!("kubeferry stays at {} until Ctrl-C.", stage.ferry.url()));
        told_to_stop.await;
    }
    let ended = stage.ferry.stop().await;
    screen.detail(&format!("kubeferry ended: {ended}"));
    Ok(passed && ended.success())
}

async fn start(lab: Lab, screen: &mut Screen) -> anyhow::Result<Stage> {
    let made_of = match lab {
        Lab::Simulated => "simulators in this process",
        Lab::Real => "real control planes; this takes half a minute",
    };
    screen.title("The fleet");
    screen.say(&format!("Starting two realms, three clusters and a kcp with workspaces ({made_of})."));
    let begun = Instant::now();
    let world = World::start(lab).await?;
    screen.say(&format!("The fleet is up after {:.1} s.", begun.elapsed().as_secs_f32()));
    let config = world.config();
    let ferry = Ferry::start(Some(&config), &[]).await?;
    screen.say(&format!("kubeferry listens on {}, configured by {}", ferry.url(), config.display()));

    let folder = files::folder("demo")?;
    let mut tokens = BTreeMap::new();
    for (realm, user) in PEOPLE {
        let token = world.token(realm, user);
        files::write(&folder, &format!("{user}.token"), &token)?;
        tokens.insert(user, token);
    }
    let door = Door { url: ferry.url().to_owned(), tokens };
    Ok(Stage { world, ferry, folder, door })
}
