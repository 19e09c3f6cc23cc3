//! The course of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use http::HeaderValue;
use tokio::time::{timeout, timeout_at};

use super::backend::{Backend, NAME, Place};
use super::capacity::capacity;
use super::cells::{Asked, Bench, count, names};
use super::crossing::crossing;
use super::door::{Door, Speaks, bearer};
use super::kcp;
use super::legs::legs;
use super::many::many_clusters;
use super::procfs::machine_cpu_micros;
use super::real::Real;
use super::report::{Report, Setting};
use super::say;
use super::single::Single;
use super::target::{Cluster, Target, Who};
use super::workload::{self, At, Plan, Workload};
use crate::pki;
use crate::poll::pause;
use crate::tap::{Tap, TapConfig};

/// Time for the phase that only counts.
const COUNTING: Duration = Duration::from_secs(120);
/// Time for each part that crosses realms, the start of its servers included.
const CROSSING: Duration = Duration::from_secs(300);
/// Time for each part about workspaces of a kcp, the start of its servers included.
const WORKSPACES: Duration = Duration::from_secs(420);

/// What to run, and with which programs.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much.
    pub plan: Plan,
    /// kubeferry's program.
    pub kubeferry: PathBuf,
    /// That of kubernetes-mcp-server; `None` leaves it out.
    pub peer: Option<PathBuf>,
    /// Whether the real kube-apiserver is measured too.
    pub real: bool,
    /// Whether nothing is measured but workspaces of a kcp.
    pub only_workspaces: bool,
    /// What was typed to start this run.
    pub command: String,
    /// Which source kubeferry was built from.
    pub source: String,
}

impl Options {
    /// The servers that take part, with their programs.
    pub(super) fn servers(&self) -> Vec<(Who, PathBuf)> {
        let peer = self.peer.clone().map(|program| (Who::Peer, program));
        [(Who::Ferry, self.kubeferry.clone())].into_iter().chain(peer).collect()
    }
}

/// Measures everything. What fails is noted in the report, and the run goes on.
///
/// # Errors
/// When the simulator does not start: it makes the tokens for all.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    pki::install_provider();
    let plan = &options.plan;
    let setting = Setting::here(options)?;
    let mut report = Report { setting, ..Report::default() };
    report.setting.busy = busy().await?;
    if options.only_workspaces {
        let end = Instant::now();
        Course { options, tokens: &[], rows: Vec::new(), end, report: &mut report }.workspaces().await;
        return Ok(report);
    }
    say("bench: starting the simulator");
    let mut backend = Backend::start(plan.pods, plan.identities).await?;
    let place = backend.place.clone();
    let tokens = place.tokens.iter().map(|token| bearer(token)).collect::<anyhow::Result<Vec<_>>>()?;
    let cluster =
        Cluster { url: place.url, ca_pem: place.ca_pem, issuer: place.issuer, realm_ca_pem: place.realm_ca_pem };

    let end = Instant::now() + plan.deadline;
    let mut course = Course { options, tokens: &tokens, rows: workload::all(plan), end, report: &mut report };
    // What compares on a real API server comes first: it is the last to be left out.
    if options.real {
        let measured = course.real(&backend.place).await;
        course.failed("kube-apiserver", measured);
    }
    let measured = course.rounds(&cluster, Some(&mut backend)).await;
    course.failed("simulator", measured);
    course.singles(&cluster).await;
    drop(backend);
    course.across_realms().await;
    course.workspaces().await;
    report.setting.busy = report.setting.busy.max(busy().await?);
    Ok(report)
}

/// How many cores others keep busy.
async fn busy() -> anyhow::Result<f64> {
    let (started, before) = (Instant::now(), machine_cpu_micros()?);
    pause(Duration::from_secs(1)).await;
    let worked = Duration::from_micros(machine_cpu_micros()?.saturating_sub(before));
    Ok(worked.as_secs_f64() / started.elapsed().as_secs_f64())
}

struct Course<'a> {
    options: &'a Options,
    tokens: &'a [HeaderValue],
    rows: Vec<Workload>,
    end: Instant,
    report: &'a mut Report,
}

impl Course<'_> {
    fn bench<'b>(&'b mut self, backend: Option<&'b mut Backend>) -> Bench<'b> {
        Bench { plan: &self.options.plan, backend, tokens: self.tokens, end: self.end, report: self.report }
    }

    /// Notes that a part of the run failed.
    fn failed(&mut self, what: &str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            let why: String = format!("{error:#}").chars().take(300).collect();
            say(&format!("bench: {what}: {why}"));
            self.report.note(format!("{what} could not be measured: {why}"));
        }
    }

    /// The rounds before a kube-apiserver, and what each call asks of it.
    async fn real(&mut self, place: &Place) -> anyhow::Result<()> {
        say("bench: starting a kube-apiserver");
        let real = Real::start(place, self.options.plan.real_pods).await?;
        self.report.setting.versions.insert("kube-apiserver".to_owned(), real.version.clone());
        self.rounds(&real.cluster, None).await?;
        let counting = timeout(COUNTING, self.count(&real.cluster)).await;
        counting.context("counting requests took too long")?
    }

    /// Counts the requests and new connections of every call through a Tap, at one server after the other.
    async fn count(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        say("bench: counting requests to the kube-apiserver");
        for (who, program) in self.options.servers() {
            let upstream = cluster.url.trim_start_matches("https://");
            let tap = Tap::start(TapConfig::new(NAME, upstream, &cluster.ca_pem)).await?;
            let behind = Cluster { url: tap.url(), ca_pem: tap.ca_pem().to_owned(), ..cluster.clone() };
            let target = Target::start(who, &program, &behind, &[]).await?;
            for row in self.rows.iter().filter(|row| row.at == At::Real && (row.peer || who == Who::Ferry)) {
                let counted = count((row, self.options.plan.counted), who, &target.door, self.tokens, &tap).await;
                let counted = counted.with_context(|| format!("counting for {} at {}", row.key, who.name()))?;
                if let Some(cell) = self.report.cells.get_mut(&format!("{}@{}", row.key, who.name())) {
                    cell.counted = Some(counted);
                }
            }
            tap.stop().await;
        }
        Ok(())
    }

    /// All rounds on one cluster, in the order A B, B A, A B. With a backend it is the simulator.
    async fn rounds(&mut self, cluster: &Cluster, mut backend: Option<&mut Backend>) -> anyhow::Result<()> {
        let at = if backend.is_some() { At::Simulator } else { At::Real };
        let same = self.same_names(cluster, at).await;
        let rows = self.rows.clone();
        for round in 0..self.options.plan.rounds {
            say(&format!("bench: {at:?}, round {} of {}", round + 1, self.options.plan.rounds));
            if backend.is_some() {
                self.direct(cluster, backend.as_deref_mut()).await?;
            }
            let mut servers = self.options.servers();
            if round % 2 == 1 {
                servers.reverse();
            }
            for (who, program) in servers {
                let target = Target::start(who, &program, cluster, &[]).await?;
                let asked = Asked { name: who.name(), door: &target.door, proc: Some(target.proc) };
                let mut bench = self.bench(backend.as_deref_mut());
                for row in rows.iter().filter(|row| row.at == at && (row.peer || who == Who::Ferry)) {
                    bench.cell(row, &row.work(who), &asked).await;
                }
            }
        }
        if let Err(error) = same {
            self.differ(at, &format!("{error:#}"));
        }
        Ok(())
    }

    async fn direct(&mut self, cluster: &Cluster, backend: Option<&mut Backend>) -> anyhow::Result<()> {
        let address = cluster.url.trim_start_matches("https://").parse().context("the simulator's address")?;
        let tls = pki::client_config(&cluster.ca_pem, None, &[b"h2"]);
        let door = Door { address, speaks: Speaks::Kubernetes(tls) };
        let asked = Asked { name: "direct", door: &door, proc: None };
        let rows = self.rows.clone();
        let mut bench = self.bench(backend);
        for row in rows.iter().filter(|row| row.at == At::Direct) {
            bench.cell(row, &row.work(Who::Ferry), &asked).await;
        }
        Ok(())
    }

    /// Fails unless all servers name the same objects in every list, and as many as there are.
    async fn same_names(&self, cluster: &Cluster, at: At) -> anyhow::Result<()> {
        let mut running = Vec::new();
        for (who, program) in self.options.servers() {
            running.push((who, Target::start(who, &program, cluster, &[]).await?));
        }
        let token = self.tokens.first().context("no tokens")?;
        for row in self.rows.iter().filter(|row| row.at == at && row.peer) {
            let mut all: Option<BTreeSet<String>> = None;
            for (who, target) in &running {
                let found = names(row, *who, &target.door, token).await.context(row.title.clone())?;
                let first = all.get_or_insert_with(|| found.clone());
                let (here, there) = (found.len(), first.len());
                ensure!(found == *first, "{}: {} names {here} objects, the other {there}", row.title, who.name());
            }
            let (found, expected) = (all.unwrap_or_default().len(), row.objects(&self.options.plan));
            ensure!(expected.is_none_or(|wanted| wanted == found), "{}: {found} names, not {expected:?}", row.title);
        }
        Ok(())
    }

    /// Answers that differ make all cells of a cluster void.
    fn differ(&mut self, at: At, why: &str) {
        say(&format!("bench: {at:?}: VOID: {why}"));
        for row in self.rows.iter().filter(|row| row.at == at) {
            for who in [Who::Ferry, Who::Peer] {
                if let Some(cell) = self.report.cells.get_mut(&format!("{}@{}", row.key, who.name())) {
                    cell.void.get_or_insert_with(|| why.to_owned());
                }
            }
        }
    }

    /// Memory, starts, identities and reloads.
    async fn singles(&mut self, cluster: &Cluster) {
        let plan = &self.options.plan;
        let large = workload::large(plan);
        let end = tokio::time::Instant::now() + plan.singles;
        let Some(small) = self.rows.iter().find(|row| row.at == At::Simulator).cloned() else { return };
        for (who, program) in self.options.servers() {
            say(&format!("bench: memory, starts, reloads: {}", who.name()));
            let single = Single { who, program: &program, cluster, tokens: self.tokens, plan };
            let all = match who {
                Who::Ferry => &["starts", "memory", "large lists", "identities", "clusters", "reloads"][..],
                Who::Peer => &["starts", "memory", "large lists"],
            };
            for what in all {
                let measured = async {
                    match *what {
                        "starts" => single.starts(self.report).await,
                        "memory" => single.memory(self.report, &small).await,
                        "large lists" => single.large_lists(self.report, &large).await,
                        "identities" => single.identities(self.report, &small).await,
                        "clusters" => many_clusters(&single, self.report).await,
                        _ => single.reloads(self.report, &small).await,
                    }
                };
                let outcome = timeout_at(end, measured).await.unwrap_or_else(|_| Err(anyhow!("no time was left")));
                self.failed(&format!("{what} of {}", who.name()), outcome);
            }
        }
    }

    /// Clusters of other realms: counts and times, many callers of many, and the legs on a real Keycloak.
    async fn across_realms(&mut self) {
        let (program, plan) = (&self.options.kubeferry, &self.options.plan);
        for what in ["calls across realms", "many callers of many clusters", "legs on Keycloak"] {
            let measured = async {
                match what {
                    "calls across realms" => crossing(program, plan, self.report).await,
                    "many callers of many clusters" => capacity(program, plan, self.report).await,
                    _ if self.options.real => legs(program, plan, self.report).await,
                    _ => Ok(()),
                }
            };
            say(&format!("bench: {what}"));
            let outcome = timeout(CROSSING, measured).await.unwrap_or_else(|_| Err(anyhow!("it took too long")));
            self.failed(what, outcome);
        }
    }

    /// Workspaces of a kcp: trees and long lists, what knowing many of them takes, and trees on a real kcp.
    async fn workspaces(&mut self) {
        let (program, plan) = (&self.options.kubeferry, &self.options.plan);
        for what in ["trees of workspaces", "many known workspaces", "trees on a real kcp"] {
            let measured = async {
                match what {
                    "trees of workspaces" => kcp::simulated(program, plan, self.report).await,
                    "many known workspaces" => kcp::known(program, plan, self.report).await,
                    _ if self.options.real => kcp::real(self.options, self.report).await,
                    _ => Ok(()),
                }
            };
            say(&format!("bench: {what}"));
            let outcome = timeout(WORKSPACES, measured).await.unwrap_or_else(|_| Err(anyhow!("it took too long")));
            self.failed(what, outcome);
        }
    }
}
