//! `nodes_log` and `nodes_stats_summary`: what a node's kubelet says.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, Failure, FailureKind, names};
use crate::output::{Body, Output, scrub_text};
use crate::pool::{ClusterClient, NodeLog, NodeText};
use crate::tools::{Cx, Spec, TargetNeed, Tool, kubelet, lines};

mod summary;

use summary::Summary;

/// Lines unless the caller asks.
const TAIL: u32 = 100;
/// Lines, at most: more than any answer holds.
const MAX_TAIL: u32 = 10_000;
/// Bytes of the answer: for the usual number of lines, and at most.
const ROOM: [usize; 2] = [8 * 1024, 24 * 1024];
/// Bytes of a file that are read: its end.
const READ: u64 = 1024 * 1024;
/// Names of files that an answer shows, at most.
const FILES: usize = 200;

/// `nodes_log`.
pub(super) struct NodesLog;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogArgs {
    name: String,
    #[schemars(description = "Service, or file as /kubelet.log")]
    query: String,
    tail_lines: Option<u32>,
}

impl Tool for NodesLog {
    const SPEC: Spec = Spec {
        name: "nodes_log",
        title: "Nodes: log",
        description: "Log of a node, newest lines",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = LogArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: LogArgs) -> Result<Output, Failure> {
        let log = NodeLog::parse(&args.query).map_err(|error| Failure::arguments(error.to_string()))?;
        // 0 is all, which here is as many as could ever be shown.
        let tail = match args.tail_lines {
            None => TAIL,
            Some(0) => MAX_TAIL,
            Some(lines) => lines.min(MAX_TAIL),
        };
        serves_nodes(client).await?;
        let doing = format!("reading {} of node {}", names::quote(&args.query), args.name);
        let read = client.node_log(&args.name, &log, tail, READ).await;
        let read = read.map_err(|failure| no_log(failure, &log).doing(&doing))?;
        match read {
            NodeText::Log { text, cut } => shown(text, cut, tail).await,
            NodeText::Files(files) if log.is_file() => Ok(folder(&args.query, &files)),
            NodeText::Files(_) => {
                Err(Failure::new(FailureKind::NotFound, "not_found", "this kubelet has no service logs")
                    .doing(doing)
                    .hint("Ask for a file: query=/ lists them"))
            }
            NodeText::Binary => {
                Err(Failure::new(FailureKind::Cluster, "unexpected_answer", "it is not text").doing(doing))
            }
        }
    }
}

/// Where there are no nodes, as in a kcp workspace, that is the answer.
async fn serves_nodes(client: &ClusterClient) -> Result<(), Failure> {
    client.kind("nodes", Some("v1")).await.map(drop)
}

fn no_log(failure: Failure, log: &NodeLog) -> Failure {
    let failure = kubelet::blame(failure, "what runs on a node");
    match failure.code {
        "not_found" if log.is_file() => failure.hint("There is no such file: query=/ lists them"),
        "not_found" => failure.hint("There is no such service log: query=/ lists files"),
        "redirect" => Failure { kind: FailureKind::Arguments, code: "invalid_arguments", ..failure }
            .hint("It is a folder: with a slash at its end its files are listed"),
        _ => failure,
    }
}

/// Masked, folded, and the newest that fit.
async fn shown(text: String, cut: bool, tail: u32) -> Result<Output, Failure> {
    let room = ROOM[usize::from(tail > TAIL)];
    let picking = tokio::task::spawn_blocking(move || {
        let clean = scrub_text(&text);
        // The first line of a part is not a whole one.
        let all: Vec<&str> = clean.lines().skip(usize::from(cut)).filter(|line| !line.is_empty()).collect();
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let newest = all.get(all.len().saturating_sub(tail)..).unwrap_or(&all);
        lines::newest(&lines::fold(newest.iter().copied()), "", room)
    });
    let fitted = picking.await.map_err(|error| Failure::internal("picking lines").because(&error))?;
    let all = fitted.shown + fitted.left_out;
    let output = Output::new(Body::Lines(if all == 0 { "no lines".to_owned() } else { fitted.text }));
    Ok(match fitted.left_out {
        0 => output,
        _ => output.note(format!("the newest {} of {all} lines", fitted.shown)),
    })
}

fn folder(path: &str, files: &[String]) -> Output {
    let path = path.trim_end_matches('/');
    let names: Vec<String> = files.iter().take(FILES).map(|name| format!("{path}/{name}")).collect();
    let output = Output::new(Body::Text(if names.is_empty() { "no files".to_owned() } else { names.join("\n") }));
    if files.len() > FILES { output.note(format!("{FILES} of {} files", files.len())) } else { output }
}

/// `nodes_stats_summary`.
pub(super) struct NodesStatsSummary;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatsArgs {
    name: String,
    format: Option<String>,
}

impl Tool for NodesStatsSummary {
    const SPEC: Spec = Spec {
        name: "nodes_stats_summary",
        title: "Nodes: stats summary",
        description: "CPU, memory, disk of a node and its pods",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = StatsArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: StatsArgs) -> Result<Output, Failure> {
        let raw = match args.format.as_deref() {
            None | Some("" | "table") => false,
            Some("json") => true,
            Some(other) => {
                let cause = format!("there is no format {}", names::quote(other));
                return Err(Failure::arguments(cause).hint("Formats are table, json"));
            }
        };
        serves_nodes(client).await?;
        let doing = format!("reading the stats of node {}", args.name);
        let body = client.node_stats(&args.name).await;
        let body = body.map_err(|failure| kubelet::blame(failure, "what runs on a node").doing(&doing))?;
        let unreadable = |error: serde_json::Error| {
            let failure = Failure::new(FailureKind::Cluster, "unexpected_answer", "the answer is no stats summary");
            failure.because(&error).doing(&doing)
        };
        if raw {
            let value: Value = serde_json::from_slice(&body).map_err(unreadable)?;
            return Ok(Output::new(Body::Lines(value.to_string())));
        }
        Ok(serde_json::from_slice::<Summary>(&body).map_err(unreadable)?.print())
    }
}
