//! The way of one call after the door: find the tool, resolve the target for this caller, authorise, connect, run,
//! render. Nothing else is decided here; each step is a function of its own floor and hands over another type.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::model::{Caller, Failure, FailureKind, Target, Way, names};
pub use crate::output::Answer;
use crate::output::{Bound, Output, Presentation, Progress, render};
use crate::policy::{Permit, Policy};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Entry, JsonObject, Run, TargetNeed};

mod arguments;
mod live;
mod status;
mod target;

pub use live::{CallLimits, Live, Profiles, ToolInfo};
pub use status::ReloadStatus;

use arguments::Taken;

const ASKS_PATH: &str =
    "policy: a rule asks for the path of this workspace, which is looked at when a tool is called there";

/// What hop 2 hands over.
#[derive(Debug)]
pub struct Call {
    /// The generation that this call lives in.
    pub live: Arc<Live>,
    /// Who calls.
    pub caller: Caller,
    /// Name of the tool.
    pub tool: String,
    /// Its arguments, the dispatcher's among them.
    pub arguments: JsonObject,
    /// Ends the call when the client goes away.
    pub cancel: CancellationToken,
    /// Ties log lines and answers together.
    pub request_id: String,
    /// Time for the whole call.
    pub deadline: Duration,
    /// Where it says how far it has come; the default is nobody.
    pub progress: Progress,
}

/// Runs one call.
///
/// # Errors
/// Whatever kept it from an answer; `server::rescue` decides what the caller sees.
pub async fn run(call: Call) -> Result<Answer, Failure> {
    let cancel = call.cancel.clone();
    let deadline = Instant::now() + call.deadline;
    tokio::select! {
        () = cancel.cancelled() => Err(Failure::new(FailureKind::Overloaded, "cancelled", "the client went away")),
        answered = tokio::time::timeout(call.deadline, answer(call, deadline)) => answered.unwrap_or_else(|_elapsed| {
            Err(Failure::new(FailureKind::Unreachable, "deadline", "the call's time is over")
                .hint("Narrow the question, or try again later"))
        }),
    }
}

async fn answer(call: Call, deadline: Instant) -> Result<Answer, Failure> {
    let Call { live, caller, tool, arguments, progress, .. } = call;
    let entry = find(&live, &caller, &tool)?;
    let taken = Taken::split(entry.spec, arguments)?;
    let target = match entry.spec.target {
        TargetNeed::None => None,
        TargetNeed::Optional if taken.target.is_empty() => None,
        TargetNeed::One | TargetNeed::Workspace | TargetNeed::Optional => {
            Some(target::resolve(&live, caller.principal(), entry.spec, &taken.target)?)
        }
    };
    let address = target.as_ref().map(|target| target.address().to_string()).unwrap_or_default();
    let bound =
        Bound { principal: caller.principal(), tool: entry.spec.name, target: &address, arguments: &taken.question };
    let page = match &taken.list.handle {
        Some(handle) => live.seal.open_continue(&bound, handle, taken.list.rows(), SystemTime::now())?,
        None => taken.list.first_page(),
    };
    let principal = Arc::clone(caller.principal());
    let (local, presentation) = (principal.owns_this_machine(), taken.list.presentation());
    let cx = Cx { local, principal, presentation, page, progress };
    let mut noted = notes(&caller, target.as_ref());
    let output = match (&entry.run, target) {
        (Run::Look(tool), Some(target)) => {
            // Looking is a use of the target like any other; only that nothing is sent there.
            let permit = authorize(&live, caller.clone(), entry, target)?;
            if permit.waits_for_path() {
                live.metrics().decision("allowed");
                noted.push(ASKS_PATH.to_owned());
            }
            let route = live.pool.route(&permit.target().cluster.key, permit.caller()).await;
            let route = route.ok_or_else(|| Failure::internal("a visible cluster has no destination"))?;
            tool.look(&cx, permit.target(), &route, taken.own)?
        }
        (_, Some(target)) => {
            let client = connect(&live, caller.clone(), entry, target, deadline).await?;
            match run_tool(&live, entry, &cx, Some(&client), taken.own).await {
                Ok(output) => output,
                Err(failure) => return Err(client.heard(failure).await),
            }
        }
        (_, None) => run_tool(&live, entry, &cx, None, taken.own).await?,
    };
    let output = noted.into_iter().fold(output, Output::note);
    present(output, &cx.presentation, &live, &bound)
}

/// The tool of that name, if this caller may call it: what it may not call does not exist for it.
fn find<'a>(live: &'a Live, caller: &Caller, tool: &str) -> Result<&'a Entry, Failure> {
    let callable = live.callable(caller.principal());
    live.catalog.get(tool).filter(&callable).ok_or_else(|| {
        let failure =
            Failure::new(FailureKind::UnknownTool, "unknown_tool", format!("unknown tool {}", names::quote(tool)));
        let known = live.catalog.iter().filter(&callable).map(|entry| entry.spec.name);
        let near = names::near(tool, known, 3);
        if near.is_empty() { failure } else { failure.hint(format!("Near names: {}", near.join(", "))) }
    })
}

async fn connect(
    live: &Live,
    caller: Caller,
    entry: &Entry,
    target: Target,
    deadline: Instant,
) -> Result<ClusterClient, Failure> {
    live.pool.client(authorize(live, caller, entry, target)?, deadline).await
}

/// The decision, counted; one that waits for the path of a workspace is counted where that is known, in the pool.
fn authorize(live: &Live, caller: Caller, entry: &Entry, target: Target) -> Result<Permit, Failure> {
    let decided = live.policy.authorize(caller, entry.spec.tool_ref(), target);
    match &decided {
        Ok(permit) if permit.waits_for_path() => {}
        Ok(_) => live.metrics().decision("allowed"),
        Err(refusal) => live.metrics().decision(refusal.code),
    }
    decided
}

async fn run_tool(
    live: &Live,
    entry: &Entry,
    cx: &Cx,
    client: Option<&ClusterClient>,
    own: JsonObject,
) -> Result<Output, Failure> {
    let visible = || Policy::visible(&cx.principal, live.inventory.iter());
    match (&entry.run, client) {
        (Run::Tool(tool), Some(client)) => tool.call(cx, client, own).await,
        (Run::Tool(_) | Run::Look(_), _) => Err(Failure::internal("a tool with a target ran without one")),
        (Run::Query(query), _) => query.query(cx, &visible(), own),
        (Run::Either(either), client) => either.call(cx, &visible(), client, own).await,
    }
}

fn present(output: Output, presentation: &Presentation, live: &Live, bound: &Bound<'_>) -> Result<Answer, Failure> {
    render(output, presentation, |next| live.seal.continue_handle(bound, next, SystemTime::now()))
}

/// What the answer must say of how it came about.
fn notes(caller: &Caller, target: Option<&Target>) -> Vec<String> {
    let mut notes = Vec::new();
    if caller.principal().shared {
        notes.push("identity is shared: everybody who reaches this endpoint is the same caller".to_owned());
    }
    if let Some(target) = target {
        if let Some(why) = &target.defaulted {
            notes.push(format!("target: {} ({why})", target.address()));
        }
        if target.cluster.reach.way(caller.principal()) == Some(&Way::Shared) {
            notes.push(format!("identity at {} is shared by all callers", target.cluster.name));
        }
    }
    notes
}
