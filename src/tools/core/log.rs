//! `pods_log`: newest lines of one pod, or of the pods of a workload or selector, inside a budget of bytes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, ApiResource, Failure, ListRequest};
use crate::output::{Body, Output, Progress};
use crate::pool::{ClusterClient, Follow, LogRequest};
use crate::tools::{Cx, Spec, TargetNeed, Tool, kubelet, lines, pods};

use super::resources;

mod follow;
mod question;

use question::{MAX_TAIL, Pick, Picked, Question, Which};

/// Pods of one call, at most.
const MAX_PODS: usize = 16;
/// Pods of one call that are followed, at most: a cluster has few places for streams, for all callers. The others are read
/// once.
const MAX_FOLLOWED: usize = 4;
/// Pods that are looked at to find those that are not well.
const MAX_FOUND: u32 = 100;
/// Bytes that the logs of a call may have; one that is cut is read once more.
const MAX_READ: u64 = 8 * 1024 * 1024;
/// Time that all searching of a call may take: linear in the text, but a pattern can be made slow.
const SEARCH: Duration = Duration::from_secs(1);

/// `pods_log`.
pub(super) struct PodsLog;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "Pod, or workload as deployment/web")]
    name: Option<String>,
    namespace: Option<String>,
    label_selector: Option<String>,
    container: Option<String>,
    #[schemars(description = "Default 100")]
    tail: Option<u32>,
    previous: Option<bool>,
    #[schemars(description = "As 10m")]
    since: Option<String>,
    timestamps: Option<bool>,
    #[schemars(description = "Regular expression")]
    grep: Option<String>,
    #[schemars(description = "As 10s")]
    follow: Option<String>,
    limit_bytes: Option<u32>,
}

impl Tool for PodsLog {
    const SPEC: Spec = Spec {
        name: "pods_log",
        title: "Pods: log",
        description: "Newest log lines of a pod, or of several",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let question = Question::read(args)?;
        let mut notes = Vec::new();
        let namespace = question.namespace.clone().unwrap_or_else(|| {
            let default = client.default_namespace().to_owned();
            notes.push(format!("namespace {default}, as none was given"));
            default
        });
        let resource = client.kind("pods", Some("v1")).await?;
        let heard = Heard { progress: &cx.progress, lines: AtomicU64::new(0) };
        let place = Place { client, pods: &resource, namespace: &namespace, heard: &heard };
        let doing = format!("reading logs of {} in namespace {namespace}", question.which);
        let answered = async {
            let sources = sources(&place, &question, &mut notes).await?;
            answer(&place, &question, &sources, notes).await
        };
        answered.await.map_err(|failure| failure.doing(doing))
    }
}

/// Where pods are.
struct Place<'a> {
    client: &'a ClusterClient,
    pods: &'a ApiResource,
    namespace: &'a str,
    heard: &'a Heard<'a>,
}

/// Says how many lines have come of the logs that are followed.
struct Heard<'a> {
    progress: &'a Progress,
    lines: AtomicU64,
}

impl Heard<'_> {
    fn part(&self, part: &[u8]) {
        let more = part.iter().filter(|byte| **byte == b'\n').count() as u64;
        let lines = self.lines.fetch_add(more, Relaxed) + more;
        self.progress.report(lines, None, format!("{lines} lines so far"));
    }
}

/// A container whose log is read.
struct Source {
    pod: String,
    container: Option<String>,
    /// For how long it is followed; else it is read once.
    follow: Option<Duration>,
}

async fn sources(place: &Place<'_>, question: &Question, notes: &mut Vec<String>) -> Result<Vec<Source>, Failure> {
    let selector = match &question.which {
        Which::Pod(name) => {
            let (pod, container) = (name.clone(), question.container.clone());
            return Ok(vec![Source { pod, container, follow: question.follow }]);
        }
        Which::Selector(selector) => selector.clone(),
        Which::Workload { kind, name } => {
            let resource = place.client.kind(kind, None).await?;
            let which = resources::Which { name: name.clone(), namespace: Some(place.namespace.to_owned()) };
            let workload = resources::get(place.client, &resource, which).await?.object;
            pods::selector(&workload).ok_or_else(|| {
                Failure::arguments(format!("{} do not select pods by label", resource.qualified()))
                    .hint("Name a pod, or a workload as deployment/web, or give labelSelector")
            })?
        }
    };
    let request = ListRequest {
        namespace: Some(place.namespace.to_owned()),
        label_selector: Some(selector),
        limit: MAX_FOUND,
        ..ListRequest::default()
    };
    let list = place.client.list_objects(place.pods, &request).await?;
    let mut found: Vec<&Value> = list.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    found.sort_by_key(|pod| pods::is_well(pod));
    let all = found.len();
    found.truncate(MAX_PODS);
    if all > MAX_PODS {
        // A list with a selector says that there is more, but not how much.
        let more = list.pointer("/metadata/continue").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
        let of = if more { "of more than" } else { "of" };
        notes.push(format!("{MAX_PODS} {of} {all} pods, those that are not well first: narrow labelSelector"));
    }
    if question.follow.is_some() && found.len() > MAX_FOLLOWED {
        notes.push(format!("{MAX_FOLLOWED} of {} pods are followed, the others were read once", found.len()));
    }
    let source = |(at, pod): (usize, &Value)| Source {
        pod: pods::name(pod).to_owned(),
        container: question.container.clone().or_else(|| pods::container(pod).map(Into::into)),
        follow: question.follow.filter(|_| at < MAX_FOLLOWED),
    };
    Ok(found.into_iter().enumerate().map(source).collect())
}

/// Reads all sources at once and shares the room among them.
async fn answer(
    place: &Place<'_>,
    question: &Question,
    sources: &[Source],
    mut notes: Vec<String>,
) -> Result<Output, Failure> {
    let limit = MAX_READ / sources.len().max(1) as u64;
    let logs = join_all(sources.iter().map(|source| read(place, question, source, limit))).await;
    let mut read = Vec::new();
    let mut failed = Vec::new();
    for (source, log) in sources.iter().zip(logs) {
        match log {
            Ok(log) => read.push((source.pod.clone(), log)),
            Err(failure) => failed.push((source, failure)),
        }
    }
    if read.is_empty()
        && let Some((source, failure)) = failed.pop()
    {
        return Err(missing_node(place, &source.pod, failure).await);
    }
    notes.extend(failed.iter().map(|(source, failure)| format!("{}: cannot be read: {}", source.pod, failure.cause)));
    for (pod, _) in read.iter().filter(|(_, log)| log.cut) {
        notes.push(format!("{pod}: lines are long and the newest are missing: give a smaller tail"));
    }
    for (pod, log) in &read {
        notes.extend(
            log.defaulted.as_ref().map(|name| format!("{pod}: container {name} of several, as none was given")),
        );
    }
    let several = sources.len() > 1;
    for (pod, log) in &read {
        let pod = if several { format!("{pod}: ") } else { String::new() };
        notes.extend(log.ended.as_ref().map(|ended| format!("{pod}{ended}")));
    }
    let picked = pick(question.pick.clone(), read).await?;
    if picked.iter().any(|(_, picked)| picked.unsearched) {
        notes.push(format!("grep stopped after {} s, older lines are not searched: give since", SEARCH.as_secs()));
    }
    let picked: Vec<(String, Vec<lines::Line>)> = picked
        .into_iter()
        .map(|(pod, picked)| (if several { format!("{pod}: ") } else { String::new() }, picked.lines))
        .collect();
    let sizes: Vec<usize> = picked.iter().map(|(prefix, lines)| lines::size(lines, prefix)).collect();
    let shares = lines::shares(&sizes, question.bytes);
    let parts = picked.iter().zip(shares).map(|((prefix, lines), share)| lines::newest(lines, prefix, share));
    let mut text = String::new();
    let (mut shown, mut left_out) = (0, 0);
    for part in parts {
        (shown, left_out) = (shown + part.shown, left_out + part.left_out);
        text.push_str(&part.text);
    }
    if left_out > 0 {
        notes.push(format!("the newest {shown} of {} lines: grep, since or limitBytes show others", shown + left_out));
    }
    if text.is_empty() {
        text = nothing(question, sources);
    }
    Ok(Output { notes, ..Output::new(Body::Lines(text)) })
}

/// Picks lines on a thread where that may take its time.
async fn pick(pick: Pick, logs: Vec<(String, Log)>) -> Result<Vec<(String, Picked)>, Failure> {
    let picking = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + SEARCH;
        logs.into_iter().map(|(pod, log)| (pod, pick.of(&log.text, until))).collect()
    });
    picking.await.map_err(|error| Failure::internal("picking lines").because(&error))
}

fn nothing(question: &Question, sources: &[Source]) -> String {
    match (sources, &question.pick.grep) {
        ([], _) => format!("no {}", question.which),
        (_, Some(_)) if question.follow.is_some() => format!("no line of {} matches", question.which),
        (_, Some(_)) => format!("no line matches in the last {MAX_TAIL} of {}", question.which),
        (_, None) => format!("no lines of {}", question.which),
    }
}

struct Log {
    text: String,
    /// True when the newest lines are missing.
    cut: bool,
    /// The container that was taken, where there are several and none was named.
    defaulted: Option<String>,
    /// Why it is not followed any longer.
    ended: Option<String>,
}

/// Reads one log. The server cuts a log that is too long at its end, where the newest lines are: then fewer lines are
/// asked for, once.
async fn read(place: &Place<'_>, question: &Question, source: &Source, limit: u64) -> Result<Log, Failure> {
    let mut request = question.request(source.container.clone(), limit);
    let log = fetch(place, question, source, &request).await;
    let ((text, ended), defaulted) = match log {
        Ok(fetched) => (fetched, None),
        // Perhaps there are several containers, and the API server chooses none.
        Err(failure) if failure.code == "cluster_error" && request.container.is_none() => {
            let Some(container) = default_container(place, &source.pod).await else { return Err(failure) };
            request.container = Some(container.clone());
            (fetch(place, question, source, &request).await?, Some(container))
        }
        Err(failure) => return Err(failure),
    };
    if ended.is_some() || (text.len() as u64) < limit {
        return Ok(Log { text, cut: false, defaulted, ended });
    }
    let fits = u32::try_from(text.lines().count()).unwrap_or(u32::MAX) / 4 * 3;
    request.tail = fits.clamp(1, request.tail);
    let text = place.client.log(place.pods, place.namespace, &source.pod, &request).await?;
    let cut = text.len() as u64 >= limit;
    Ok(Log { text, cut, defaulted, ended })
}

/// The log as it is, or as it grows; then also why it does not any longer.
async fn fetch(
    place: &Place<'_>,
    question: &Question,
    source: &Source,
    request: &LogRequest,
) -> Result<(String, Option<String>), Failure> {
    let pod = source.pod.as_str();
    let Some(span) = source.follow else {
        return Ok((place.client.log(place.pods, place.namespace, pod, request).await?, None));
    };
    // What is searched may be more than what is shown.
    let shown = u64::try_from(question.bytes).unwrap_or(u64::MAX);
    let most = if question.pick.grep.is_some() { request.limit_bytes } else { request.limit_bytes.min(shown) };
    let request = LogRequest { limit_bytes: most, ..request.clone() };
    let began = Instant::now();
    let follow = Follow { span, heard: &|part| place.heard.part(part) };
    let followed = place.client.follow(place.pods, place.namespace, pod, &request, follow).await?;
    let ended = follow::ended(place, pod, &request, span, began.elapsed(), followed.end).await;
    Ok((followed.text, Some(ended)))
}

/// A pod whose log cannot be had for want of its node. The API server then misses something of the node's name, a pod
/// even, so the pod says what that is.
async fn missing_node(place: &Place<'_>, pod: &str, failure: Failure) -> Failure {
    let failure = kubelet::blame(failure, "the log of a pod");
    if failure.code != "not_found" || failure.cause.contains(&format!("\"{pod}\"")) {
        return failure;
    }
    let Ok(found) = place.client.get(place.pods, Some(place.namespace), pod).await else { return failure };
    match found.pointer("/spec/nodeName").and_then(Value::as_str) {
        Some(node) if failure.cause.contains(&format!("\"{node}\"")) => {
            let cause = format!("pod {pod} is on node \"{node}\", which does not exist");
            kubelet::node_missing(Failure { cause, ..failure }, "the log of a pod")
        }
        Some(_) | None => failure,
    }
}

/// The default container of a pod that has several.
async fn default_container(place: &Place<'_>, pod: &str) -> Option<String> {
    let pod = place.client.get(place.pods, Some(place.namespace), pod).await.ok()?;
    let several = pod.pointer("/spec/containers").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    pods::container(&pod).filter(|_| several).map(Into::into)
}
