//! One generation: from a checked configuration to a `Live`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{LocalToken, Mode, clusters, files, map};
use crate::auth::{AuthConfig, Authenticator, IpRange, Keys, LocalMode};
use crate::config::{Config, DefaultSource};
use crate::dispatch::{Live, Profiles, ReloadStatus};
use crate::inventory::{Snapshot, Store};
use crate::model::{Problem, RealmName};
use crate::output::Seal;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::tools::Catalog;

/// Sources are read within this; at start what is late is reported and left out, at a reload it is a mistake.
pub(super) const DISCOVERY: Duration = Duration::from_secs(5);

/// What outlives generations.
#[derive(Debug, Clone)]
pub(super) struct Lasting {
    pub(super) keys: Arc<Keys>,
    pub(super) status: Arc<ReloadStatus>,
    /// Pins of bound clusters; a generation works on a copy and hands it back.
    pub(super) store: Store,
    /// Without key files: the key of this process.
    pub(super) own_seal: Option<Arc<Seal>>,
    /// The sources that could not be read.
    pub(super) failed: BTreeMap<String, String>,
    /// The files that had no byte.
    pub(super) empty: BTreeSet<PathBuf>,
    pub(super) notes: Vec<String>,
}

impl Lasting {
    pub(super) fn new() -> Self {
        Self {
            keys: Arc::new(Keys::new()),
            status: Arc::default(),
            store: Store::default(),
            own_seal: None,
            failed: BTreeMap::new(),
            empty: BTreeSet::new(),
            notes: Vec::new(),
        }
    }
}

/// What a generation is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) local: LocalMode,
    /// Mistakes found so far; with any, nothing is built, and all are reported together.
    pub(super) problems: Vec<Problem>,
    pub(super) discovery: clusters::Discovery,
    pub(super) lasting: Lasting,
    /// The generation before.
    pub(super) previous: Option<Arc<Live>>,
}

/// Makes a generation. It reads small files and contacts nobody; with ten thousand clusters it is work for a thread of
/// its own.
pub(super) fn make(plan: Plan) -> Result<(Live, Lasting), Vec<Problem>> {
    let Plan { mut config, local, mut problems, discovery, mut lasting, previous } = plan;
    let generation = previous.as_ref().map_or(1, |live| live.generation + 1);
    let home = if config.is_local() { vec![RealmName::local()] } else { config.server.home_realms.clone() };
    let clusters::Discovery { found, mut notes, failed } = discovery;
    notes.extend(failed.values().cloned());
    // What is large goes as soon as the next step has it: with ten thousand clusters each copy is many megabytes.
    let own = std::mem::take(&mut config.clusters);
    let merged = lasting.store.merge(&own, &found, &config.binds, config.is_local());
    drop((own, found));
    notes.extend(merged.notes);
    let context = map::compile_context(&config, home.clone());
    let (compiled, wrong) = clusters::compile(&merged.entries, &context);
    let bound: BTreeSet<&str> = merged.entries.iter().filter_map(|entry| entry.origin.as_deref()).collect();
    let idle: Vec<_> = config.binds.iter().filter(|rule| !bound.contains(rule.origin.as_str())).cloned().collect();
    drop(merged.entries);
    problems.extend(clusters::check_binds(&idle, &context));
    problems.extend(map::unknown_tools(&config.policy));
    if config.default_source == Some(DefaultSource::InCluster) {
        let what = "nothing is configured, and the pod's own service account is not used yet";
        problems.push(Problem::new(
            "clusters",
            what,
            "mount a configuration and name it with --config or KUBEFERRY_CONFIG",
        ));
    }
    for problem in wrong {
        // A context of the person's own kubeconfig that cannot be used costs the others nothing.
        match problem {
            clusters::Wrong::Written(problem) => problems.push(problem),
            clusters::Wrong::Found(note) => notes.push(note),
        }
    }
    let catalog = Catalog::new(&config.server.toolsets);
    let catalog =
        catalog.map_err(|wrong| problems.extend(wrong.into_iter().map(|problem| map::below("server", problem)))).ok();
    let auth = auth_config(&config, home, local, &compiled, generation);
    let auth = Authenticator::new(auth, Arc::clone(&lasting.keys)).map_err(|wrong| problems.extend(wrong)).ok();
    let seal = seal(&config, &mut lasting.own_seal).map_err(|problem| problems.push(problem)).ok();
    let (true, Some(catalog), Some(auth), Some(seal)) = (problems.is_empty(), catalog, auth, seal) else {
        return Err(problems);
    };
    // Ten thousand clusters are held once: the pool shares those of the inventory.
    let (clusters, compiled): (Vec<_>, Vec<_>) = compiled.into_iter().map(|one| (one.cluster, one.compiled)).unzip();
    let inventory = Snapshot::new(clusters, merged.ambiguous);
    let by_key: HashMap<_, _> = inventory.iter().map(|cluster| (cluster.key, cluster)).collect();
    let compiled =
        compiled.into_iter().filter_map(|one| by_key.get(&one.key).map(|cluster| (Arc::clone(cluster), one)));
    let pool = Pool::new(compiled, previous.as_ref().map(|live| &live.pool), config.limits.clusters);
    let policy = Policy::new(map::policy(&config.policy, config.server.i_accept_unauthenticated_writes));
    let live = Live {
        generation,
        auth: Arc::new(auth),
        inventory,
        policy,
        pool,
        catalog: Arc::new(catalog),
        seal,
        status: Arc::clone(&lasting.status),
        calls: config.limits.calls,
        profiles: Profiles::default(),
    };
    (lasting.failed, lasting.notes) = (failed, notes);
    Ok((live, lasting))
}

/// The ring of the key files; without any the same random key for the whole process, so that handles outlive a reload.
fn seal(config: &Config, own: &mut Option<Arc<Seal>>) -> Result<Arc<Seal>, Problem> {
    let files = &config.server.seal_key_files;
    match own {
        Some(seal) if files.is_empty() => Ok(Arc::clone(seal)),
        _ => {
            let seal = Arc::new(files::seal(files)?);
            if files.is_empty() {
                *own = Some(Arc::clone(&seal));
            }
            Ok(seal)
        }
    }
}

pub(super) fn local_mode(config: &Config, mode: Mode, token: Option<&LocalToken>) -> LocalMode {
    let server = &config.server;
    match mode {
        _ if !config.is_local() => LocalMode::Off,
        Mode::Person => LocalMode::Stdio,
        Mode::Serve | Mode::Check if server.i_accept_unauthenticated_clients => LocalMode::Unauthenticated {
            allow: server
                .allowed_addresses
                .iter()
                .filter_map(|(ip, bits)| IpRange::parse(&format!("{ip}/{bits}")))
                .collect(),
            writes: server.i_accept_unauthenticated_writes,
        },
        Mode::Serve | Mode::Check => match token {
            Some(LocalToken { token, .. }) => LocalMode::Token { token: token.clone() },
            None => LocalMode::Off,
        },
    }
}

fn auth_config(
    config: &Config,
    home: Vec<RealmName>,
    local: LocalMode,
    compiled: &[clusters::One],
    generation: u64,
) -> AuthConfig {
    let home = if config.is_local() { Vec::new() } else { home };
    AuthConfig {
        realms: config.realms.clone(),
        home,
        resource: config.server.resource.clone(),
        audiences: config.server.audiences.clone(),
        passthrough_audiences: clusters::passthrough_audiences(compiled),
        gateway_server_names: config.gateway.server_names.clone(),
        required_scopes: config.server.required_scopes.clone(),
        local,
        generation,
    }
}
