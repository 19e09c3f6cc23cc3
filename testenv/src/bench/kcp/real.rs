//! The trees of three people on a real kcp, and the list of all workspaces by kubernetes-mcp-server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::fleet::{config_of, realms, token};
use super::walk::walk;
use crate::apiserver::{Claim, JwtIssuer};
use crate::bench::backend::NAME;
use crate::bench::crossing::number;
use crate::bench::door::bearer;
use crate::bench::report::Report;
use crate::bench::run::Options;
use crate::bench::say;
use crate::bench::target::{KcpCluster, Target, Who};
use crate::kcp::{Kcp, KcpConfig};
use crate::poll;
use crate::process::files;
use crate::realm::Realms;
use crate::tap::{Tap, TapConfig};

/// Workspaces that are made at once: more of them take no less time.
const AT_ONCE: usize = 8;
const SETTLED: Duration = Duration::from_secs(60);
const ORGANISATION: &str = "root:bench";
const RBAC: &str = "rbac.authorization.k8s.io";

/// One who asks: the name, the workspace at the top of what they may enter, and how many that are.
struct Person {
    name: &'static str,
    top: String,
    workspaces: usize,
}

/// The running kcp with its workspaces.
struct Shard {
    realms: Realms,
    people: Vec<Person>,
    kcp: Kcp,
}

/// Measures both servers of `options` before a kcp of its own, one after the other.
///
/// # Errors
/// When something does not start, as when `scripts/controlplanes` did not run, or an answer lacks a workspace.
pub(in crate::bench) async fn real(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let size = options.plan.workspaces;
    let shard = Shard::start(size.real, report).await?;
    let direct = (shard.kcp.url().to_owned(), shard.kcp.ca_pem().to_owned());
    for round in 0..options.plan.rounds {
        let mut servers = options.servers();
        if round % 2 == 1 {
            servers.reverse();
        }
        for (who, program) in servers {
            say(&format!("  round {} of {}: {}", round + 1, options.plan.rounds, who.name()));
            for _ in 0..size.cold {
                let timed = match who {
                    Who::Ferry => shard.trees(&program, &direct, None, report).await,
                    Who::Peer => shard.list(&program, &direct, None, report).await,
                };
                timed.with_context(|| format!("measuring {}", who.name()))?;
            }
        }
    }
    for (who, program) in options.servers() {
        let tap = Tap::start(TapConfig::new(NAME, direct.0.trim_start_matches("https://"), &direct.1)).await?;
        let behind = (tap.url(), tap.ca_pem().to_owned());
        match who {
            Who::Ferry => shard.trees(&program, &behind, Some(&tap), report).await?,
            Who::Peer => shard.list(&program, &behind, Some(&tap), report).await?,
        }
        tap.stop().await;
    }
    Ok(())
}

impl Shard {
    /// Starts one with an organisation of so many teams, and so many workspaces in each.
    async fn start([teams, leaves]: [usize; 2], report: &mut Report) -> anyhow::Result<Self> {
        say("bench: starting a kcp");
        let realms = realms(&["admin", "lead", "member"].map(str::to_owned)).await?;
        let prefix = format!("{NAME}:");
        let issuer = JwtIssuer::new(&realms.issuer(NAME), realms.ca_pem(), NAME, &prefix);
        let mut config = KcpConfig::new(NAME);
        config.authentication = vec![JwtIssuer { username: Claim::new("preferred_username", prefix), ..issuer }];
        let kcp = Kcp::start(config).await?;
        let version = kcp.get("root", "/version").await?["gitVersion"].as_str().unwrap_or("unknown").to_owned();
        report.setting.versions.insert("kcp".to_owned(), version);

        let workspaces = 1 + teams + teams * leaves;
        let started = Instant::now();
        make(&kcp, ORGANISATION, &["admin"]).await?;
        let team = |number: usize| format!("{ORGANISATION}:team-{number}");
        let all: Vec<(String, Vec<&str>)> = (0..teams)
            .map(|number| (team(number), if number == 0 { vec!["admin", "lead"] } else { vec!["admin"] }))
            .collect();
        let first = make_all(&kcp, &all, (1, workspaces)).await?;
        let below = (0..teams).flat_map(|number| {
            let people = move |leaf| match (number, leaf) {
                (0, _) => vec!["admin", "lead"],
                (1, 0) => vec!["admin", "member"],
                _ => vec!["admin"],
            };
            (0..leaves).map(move |leaf| (format!("{}:leaf-{leaf}", team(number)), people(leaf)))
        });
        let all: Vec<(String, Vec<&str>)> = below.collect();
        let last = make_all(&kcp, &all, (1 + teams, workspaces)).await?;
        report.add("kcp-real-made-s", Who::Ferry, started.elapsed().as_secs_f64());
        report.add("kcp-real-workspaces", Who::Ferry, number(workspaces));

        let cluster = |made: &[String], at: usize| made.get(at).cloned().context("two teams are the least");
        let people = vec![
            Person { name: "admin", top: ORGANISATION.to_owned(), workspaces },
            Person { name: "lead", top: cluster(&first, 0)?, workspaces: 1 + leaves },
            Person { name: "member", top: cluster(&last, leaves)?, workspaces: 1 },
        ];
        Ok(Self { realms, people, kcp })
    }

    /// The tree of each person, by a kubeferry that has spoken to this kcp for somebody else, and the same again. A Tap
    /// counts, and then nothing is timed.
    async fn trees(
        &self,
        program: &Path,
        (url, ca_pem): &(String, String),
        tap: Option<&Tap>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let folder = files::folder("kcp-trees")?;
        let target = Target::configured(program, &config_of(&folder, &self.realms, url, ca_pem)?).await?;
        let ask = async |person: &Person, token: &http::HeaderValue| {
            let question = ("kcp_workspace_tree", json!({"cluster": format!("{NAME}:{}", person.top)}));
            let done = walk(&target.door, token, question).await.with_context(|| person.name)?;
            let found = done.paths.len();
            ensure!(found == person.workspaces, "{}: {found} workspaces, not {}", person.name, person.workspaces);
            anyhow::Ok(done)
        };
        for person in self.people.iter().rev() {
            ask(person, &self.caller(person.name)?).await?;
        }
        for person in &self.people {
            let token = self.caller(person.name)?;
            for state in ["cold", "cached"] {
                if let Some(tap) = tap {
                    tap.clear();
                }
                let done = ask(person, &token).await?;
                let key = format!("kcp-real-{}-{state}", person.name);
                match tap {
                    None => report.add(&format!("{key}-ms"), Who::Ferry, done.took.as_secs_f64() * 1e3),
                    Some(tap) => report.add(&format!("{key}-requests"), Who::Ferry, number(tap.requests().len())),
                }
            }
        }
        Ok(())
    }

    /// The list of all workspaces by the peer, with the token of the organisation's administrator.
    async fn list(
        &self,
        program: &Path,
        (url, ca_pem): &(String, String),
        tap: Option<&Tap>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let admin = &self.people[0];
        let text = token(&self.realms, admin.name);
        let server = format!("{url}/clusters/{}", admin.top);
        let cluster = KcpCluster { server, ca_pem: ca_pem.clone(), token: text.clone() };
        let (target, token) = (Target::kcp_peer(program, &cluster).await?, bearer(&text)?);
        for state in ["first", "next"] {
            if let Some(tap) = tap {
                tap.clear();
            }
            let done = walk(&target.door, &token, ("kcp_workspaces_list", json!({}))).await?;
            let found = done.paths.len();
            ensure!(found == admin.workspaces, "the peer lists {found} workspaces, not {}", admin.workspaces);
            let key = format!("kcp-real-list-{state}");
            match tap {
                None => report.add(&format!("{key}-ms"), Who::Peer, done.took.as_secs_f64() * 1e3),
                Some(tap) => report.add(&format!("{key}-requests"), Who::Peer, number(tap.requests().len())),
            }
        }
        Ok(())
    }

    /// A token that nobody has seen.
    fn caller(&self, name: &str) -> anyhow::Result<http::HeaderValue> {
        bearer(&token(&self.realms, name))
    }
}

/// Makes workspaces, some at once, after `done` of `all` others. Answers their logical clusters.
async fn make_all(
    kcp: &Kcp,
    workspaces: &[(String, Vec<&str>)],
    (done, all): (usize, usize),
) -> anyhow::Result<Vec<String>> {
    let made = stream::iter(workspaces.iter().map(|(path, people)| make(kcp, path, people))).buffered(AT_ONCE);
    let made = made.enumerate().map(|(at, made)| {
        let count = done + at + 1;
        if count.is_multiple_of(10) || count == all {
            say(&format!("  {count} of {all} workspaces"));
        }
        made
    });
    made.try_collect().await
}

/// Makes a workspace of which `people` are administrators. Answers its logical cluster once they may enter.
async fn make(kcp: &Kcp, path: &str, people: &[&str]) -> anyhow::Result<String> {
    let (parent, name) = path.rsplit_once(':').context("a workspace has a parent")?;
    let cluster = kcp.create_workspace(parent, name).await?;
    let subjects: Vec<Value> = people
        .iter()
        .map(|person| json!({"apiGroup": RBAC, "kind": "User", "name": format!("{NAME}:{person}")}))
        .collect();
    let binding = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": subjects});
    kcp.apply(path, &[binding]).await.with_context(|| format!("filling {path}"))?;
    let person = people.last().context("a workspace without people")?;
    let seen = kcp.admin(path).acting_for(&format!("{NAME}:{person}"), &[]);
    poll::until(&format!("{person} to enter {path}"), SETTLED, || async {
        seen.get("/version").await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(cluster)
}
