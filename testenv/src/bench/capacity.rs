//! Many callers of many clusters, all by token exchange: more tokens than the cache of credentials holds. What it keeps
//! shows in a second round: a call that asks the realm again found nothing.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::backend::NAME;
use super::door::{Ask, bearer};
use super::load::{Callers, Stop, Work};
use super::report::Report;
use super::single::{REST, good};
use super::target::{LIMITS, Target, Who};
use super::workload::Plan;
use crate::poll::pause;
use crate::process::files;
use crate::realm::{Algorithm, Client, GrantType, RealmConfig, Realms, RealmsConfig, Scope, User, uuid};
use crate::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator};
use crate::world::RESOURCE;

const CLIENT: &str = "fed-proxy";
/// Callers at work at once.
const CALLERS: usize = 8;
/// Bytes of a claim that makes tokens as large as those of a Keycloak, some 1,500 bytes.
const PADDING: usize = 550;
/// How long tokens live, in seconds: longer than a run takes.
const TOKEN_LIFETIME: i64 = 2 * 3600;
/// A kept token serves this long, whatever its own life is: a round that takes longer says nothing of the cache.
const KEPT: Duration = Duration::from_secs(200);
/// What the cache counts for an entry beside its token: a header's name, `Bearer ` and 512 bytes of bookkeeping.
const BESIDE: f64 = 532.0;

/// One simulator as so many clusters, and the realm of its callers.
struct Fleet {
    realms: Realms,
    simulator: Simulator,
    folder: TempDir,
    names: Vec<String>,
    /// Bytes of all issued tokens.
    issued: Arc<AtomicU64>,
}

/// Measures `program`: every caller asks every cluster, twice.
///
/// # Errors
/// When something does not start, a call fails, or it takes longer than tokens are kept.
pub(super) async fn capacity(program: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let fleet = Fleet::start(plan).await?;
    let target = Target::configured(program, &fleet.config()?).await?;
    let users = (0..plan.identities).map(user);
    let tokens: Vec<_> = users.map(|user| bearer(&fleet.token(&user))).collect::<anyhow::Result<_>>()?;
    let mut callers = Callers::open(&target.door, &tokens, CALLERS.min(tokens.len())).await?;
    // What belongs to callers and clusters without tokens is there before.
    for cluster in &fleet.names {
        good(callers.run(&namespaces(cluster), Stop::Calls(1), NAME).await?)?;
    }
    fleet.issued.store(0, Ordering::Relaxed);
    pause(REST).await;
    let before = target.proc.rss()?;
    let started = Instant::now();
    let mut exchanges = 0;
    for round in ["first", "second"] {
        fleet.realms.clear();
        let mut calls = 0;
        let round_started = Instant::now();
        for cluster in &fleet.names {
            calls += good(callers.run(&namespaces(cluster), Stop::Calls(tokens.len()), NAME).await?)?.calls;
            fleet.simulator.clear_requests();
        }
        let asked = fleet.realms.grants(NAME).len();
        exchanges += asked;
        let (calls, asked) = (f64::from(u32::try_from(calls)?), f64::from(u32::try_from(asked)?));
        report.add(&format!("capacity-{round}-rate"), Who::Ferry, calls / round_started.elapsed().as_secs_f64());
        if round == "first" {
            report.add("capacity-tokens", Who::Ferry, calls);
            pause(REST).await;
            report.add("capacity-grown-mb", Who::Ferry, (target.proc.rss()? - before).max(0.0));
        } else {
            let mean = f64::from(u32::try_from(fleet.issued.load(Ordering::Relaxed) / u64::try_from(exchanges)?)?);
            report.add("capacity-token-bytes", Who::Ferry, mean);
            report.add("capacity-hit-percent", Who::Ferry, (calls - asked) * 100.0 / calls);
            report.add("capacity-kept-mb", Who::Ferry, (calls - asked) * (mean + BESIDE) / 1e6);
        }
    }
    ensure!(started.elapsed() < KEPT, "two rounds took {:?}, longer than a token is kept", started.elapsed());
    Ok(())
}

fn namespaces(cluster: &str) -> Work {
    Work::Once(Ask::Call("namespaces_list", json!({"cluster": cluster})))
}

/// All names are as long as each other, and so are all tokens.
fn user(number: usize) -> String {
    format!("user-{number:04}")
}

impl Fleet {
    async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let names: Vec<String> = (0..plan.exchanged).map(|number| format!("exchanged-{number:02}")).collect();
        let mut realm = RealmConfig::new(NAME).algorithm(Algorithm::Es256);
        realm.token_lifetime = TOKEN_LIFETIME;
        realm.users = (0..plan.identities).map(|number| User::new(&user(number), &["everyone"])).collect();
        realm.scopes = names.iter().map(|name| Scope::new(name, &[name])).collect();
        realm.clients = names.iter().map(|name| Client::public(name, &[])).collect();
        let secret = uuid();
        let scopes: Vec<&str> = names.iter().map(String::as_str).collect();
        let realm = realm.client(Client::confidential(CLIENT, &secret, &[]).exchanges(&scopes));
        let realms = Realms::start(RealmsConfig { realms: vec![realm] }).await?;
        let issued = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&issued);
        realms.edit_token(NAME, GrantType::TokenExchange, None, |token| token.claim("padding", "x".repeat(PADDING)));
        realms.edit_answer(NAME, GrantType::TokenExchange, None, move |answer, _| {
            let bytes = answer["access_token"].as_str().map_or(0, str::len);
            sum.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
        });
        let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
        let issuer = JwtIssuer::new(&realms.issuer(NAME), keys, NAME, &format!("{NAME}:"));
        let issuer = JwtIssuer { audiences: names.clone(), ..issuer };
        let simulator = Simulator::start(SimConfig::kubernetes().issuer(issuer)).await?;
        simulator.cluster().namespace(NAME).allow(Rule::group(&format!("{NAME}:everyone")).reads_everything());
        let folder = files::folder("capacity")?;
        files::write(&folder, "client.secret", &secret)?;
        files::write(&folder, "realm-ca.pem", realms.ca_pem())?;
        files::write(&folder, "cluster-ca.pem", simulator.ca_pem())?;
        Ok(Self { realms, simulator, folder, names, issued })
    }

    fn token(&self, user: &str) -> String {
        self.realms.token(NAME, user, RESOURCE).audiences(&[RESOURCE, CLIENT]).mint()
    }

    fn config(&self) -> anyhow::Result<std::path::PathBuf> {
        let mut text = format!(
            "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"{NAME}\"]\n\n\
             [realms.{NAME}]\nissuer = \"{}\"\nca_file = \"realm-ca.pem\"\nallow_private = true\n\
             username_claim = \"preferred_username\"\nprofile = \"keycloak\"\n\n\
             [realms.{NAME}.client]\nid = \"{CLIENT}\"\nauth = \"client_secret_basic\"\nsecret_file = \"client.secret\"\n\n",
            self.realms.issuer(NAME)
        );
        for name in &self.names {
            writeln!(
                text,
                "[clusters.{name}]\nserver = \"{}\"\nca_file = \"cluster-ca.pem\"\nrealm = \"{NAME}\"\n\
                 audiences = [\"{name}\"]\nscope = \"{name}\"\nstrategy = \"exchange\"\n",
                self.simulator.url()
            )?;
        }
        let config = files::write(&self.folder, "kubeferry.toml", &format!("{text}{LIMITS}"));
        Ok(config.context("writing the configuration")?.into())
    }
}
