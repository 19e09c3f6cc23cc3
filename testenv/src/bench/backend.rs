//! The simulator and the realm in a process of their own, so that their processor time is not that of what is measured.
//!
//! The child prints one line of JSON when it is ready and answers one line for each that it reads: `clear` forgets, and
//! `count` tells how many requests and new connections there were since. It ends with its standard input.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::procfs::Proc;
use crate::realm::{RealmConfig, Realms, RealmsConfig, User};
use crate::simulator::{Rule, SimConfig, Simulator, samples};

/// The realm's name, and that of the one cluster; also its audience.
pub const NAME: &str = "bench";
/// What kubeferry is called in tokens.
pub const RESOURCE: &str = "https://ferry.test/mcp";
/// Namespaces of every cluster that is measured.
pub const NAMESPACES: usize = 20;
/// How the names of all pods begin.
pub const PODS: &str = "web-";
/// Pods of one workload.
const REPLICAS: usize = 10;
/// The characters of the suffixes that controllers give to names.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Long enough for every run, in seconds.
const TOKEN_LIFETIME: i64 = 2 * 3600;
const READY: Duration = Duration::from_secs(180);
const REPLY: Duration = Duration::from_secs(30);

/// What the child says when it is ready. It holds tokens, so it cannot be printed.
#[derive(Clone, Deserialize, Serialize)]
pub struct Place {
    /// The API server.
    pub url: String,
    /// Its CA.
    pub ca_pem: String,
    /// The realm's issuer.
    pub issuer: String,
    /// The realm's CA.
    pub realm_ca_pem: String,
    /// One token per caller.
    pub tokens: Vec<String>,
}

/// What the simulator saw.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: usize,
    /// Connections with requests that had none before.
    pub connections: usize,
}

/// The running child; it ends when this is dropped.
pub struct Backend {
    /// What it serves.
    pub place: Place,
    /// Its process.
    pub proc: Proc,
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Backend {
    /// Starts it with namespaces of these numbers of pods and so many callers.
    ///
    /// # Errors
    /// When it is not ready within three minutes.
    pub async fn start(pods: &[usize], callers: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("looking for this program's file")?;
        let mut command = Command::new(program);
        let sizes: Vec<String> = pods.iter().map(usize::to_string).collect();
        command.args(["serve-simulator", "--callers", &callers.to_string(), "--pods", &sizes.join(",")]);
        // Ctrl-C is for this process; its end then closes the pipe.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().context("starting the simulator")?;
        let proc = Proc(child.id().context("the simulator ended at once")?);
        let input = child.stdin.take().context("the simulator has no standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("the simulator has no standard output")?).lines();
        let line = timeout(READY, output.next_line()).await.context("the simulator is not ready in time")??;
        let place = serde_json::from_str(&line.context("the simulator ended")?).context("what the simulator says")?;
        Ok(Self { place, proc, _child: child, input, output })
    }

    /// Forgets the requests so far.
    ///
    /// # Errors
    /// When the child is gone.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        self.command("clear").await.map(drop)
    }

    /// What came since the last `clear`.
    ///
    /// # Errors
    /// When the child is gone.
    pub async fn count(&mut self) -> anyhow::Result<Counts> {
        let line = self.command("count").await?;
        serde_json::from_str(&line).context("what the simulator counts")
    }

    async fn command(&mut self, word: &str) -> anyhow::Result<String> {
        let replied = timeout(REPLY, async {
            self.input.write_all(format!("{word}\n").as_bytes()).await?;
            self.output.next_line().await
        });
        replied.await.context("the simulator does not answer")??.context("the simulator ended")
    }
}

/// The child: serves until standard input ends.
///
/// # Errors
/// When it cannot start, or reads a word that it does not know.
pub async fn serve(pods: &[usize], callers: usize) -> anyhow::Result<()> {
    let names: Vec<String> = (0..callers).map(|number| format!("user-{number}")).collect();
    let mut realm = RealmConfig::new(NAME);
    realm.token_lifetime = TOKEN_LIFETIME;
    realm.users = names.iter().map(|name| User::new(name, &["everyone"])).collect();
    let realms = Realms::start(RealmsConfig { realms: vec![realm] }).await?;
    let token = |name: &String| realms.token(NAME, name, RESOURCE).audiences(&[RESOURCE, NAME]).mint();
    let tokens: Vec<String> = names.iter().map(token).collect();
    // Known by their text: checking signatures is not what an API server with a token cache does for each request.
    let config = tokens.iter().zip(&names).fold(SimConfig::kubernetes(), |config, (token, name)| {
        config.token(token, &format!("{NAME}:{name}"), &[&format!("{NAME}:everyone")])
    });
    let simulator = Simulator::start(config).await?;
    fill(&simulator, pods);
    let place = Place {
        url: simulator.url().to_owned(),
        ca_pem: simulator.ca_pem().to_owned(),
        issuer: realms.issuer(NAME),
        realm_ca_pem: realms.ca_pem().to_owned(),
        tokens,
    };
    say(&serde_json::to_string(&place)?)?;
    let mut words = words();
    let mut newest = 0;
    while let Some(word) = words.recv().await {
        match word.as_str() {
            "clear" => {
                newest = newest.max(simulator.requests().iter().map(|one| one.connection).max().unwrap_or_default());
                simulator.clear_requests();
                say("{}")?;
            }
            "count" => {
                let requests = simulator.requests();
                let new: BTreeMap<u64, ()> =
                    requests.iter().filter(|one| one.connection > newest).map(|one| (one.connection, ())).collect();
                let counts = Counts { requests: requests.len(), connections: new.len() };
                say(&serde_json::to_string(&counts)?)?;
            }
            other => bail!("the simulator of the bench does not know {other:?}"),
        }
    }
    Ok(())
}

/// The lines of standard input, read by a thread of its own; they end with it.
fn words() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, words) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    words
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Twenty namespaces in all, some of them full of pods.
fn fill(simulator: &Simulator, pods: &[usize]) {
    let cluster = simulator.cluster();
    cluster.allow(Rule::group(&format!("{NAME}:everyone")).reads_everything().urls(&["*"]));
    for size in pods {
        let namespace = namespace_of(*size);
        cluster.put_all((0..*size).map(|number| pod(&namespace, number)));
    }
    for number in 0..NAMESPACES - 2 - pods.len() {
        cluster.namespace(&team(number));
    }
}

/// The namespace that holds so many pods.
#[must_use]
pub fn namespace_of(pods: usize) -> String {
    format!("pods-{pods}")
}

/// A namespace without pods; `team-0` is in every cluster that is measured.
#[must_use]
pub fn team(number: usize) -> String {
    format!("team-{number}")
}

/// A running pod of a ReplicaSet with ten, named as its controller would and about as large as those of real clusters.
#[must_use]
pub fn pod(namespace: &str, number: usize) -> Value {
    let workload = format!("{PODS}{}-7d4b9c8f6d", number / REPLICAS);
    let letter = |place: u32| char::from(LETTERS[number / LETTERS.len().pow(place) % LETTERS.len()]);
    let suffix: String = (0..5).map(letter).collect();
    let mut pod = samples::pod(namespace, &format!("{workload}-{suffix}"), "web", "node-a");
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": workload,
        "uid": "6f0c1f4e-0000-4000-8000-000000000000", "controller": true, "blockOwnerDeletion": true}]);
    let ready = json!({"f:status": {}, "f:type": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}});
    let conditions = json!({"k:{\"type\":\"ContainersReady\"}": ready, "k:{\"type\":\"Initialized\"}": ready,
        "k:{\"type\":\"PodScheduled\"}": ready, "k:{\"type\":\"Ready\"}": ready});
    let container = json!({".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:ports": {}, "f:resources": {},
        "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}, "f:env": {}, "f:livenessProbe": {}});
    pod["metadata"]["managedFields"] = json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": container}, "f:restartPolicy": {}}}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "subresource": "status",
            "fieldsV1": {"f:status": {"f:conditions": conditions, "f:containerStatuses": {}, "f:podIP": {}}}},
    ]);
    pod["spec"]["tolerations"] = json!([
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    pod["spec"]["containers"][0]["env"] =
        (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value-{n}")})).collect();
    pod
}
