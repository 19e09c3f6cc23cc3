//! Hop 2: from MCP to a `Call`, and from its answer or failure back to MCP.
//!
//! Written against rmcp by hand: its macros would answer lists that differ by caller as public, rebuild tools per call and
//! copy every header. Both generations of the protocol are served at one endpoint: 2026-07-28 without state, and the
//! revisions with `initialize` without sessions, or with them when `legacy_sessions` says so.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod, CompleteRequestParams,
    CompleteResult, ContentBlock, ErrorCode, ErrorData, Implementation, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult,
    ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::body::Body;
use super::limits::CallerLimits;
use super::person::Person;
use super::rescue::{self, Seen, one_line};
use super::sign_in::{self, SignInCell};
use super::{Limits, LiveSource, RequestId, RequestIds};
use crate::dispatch::{self, Answer, Call, Live, ToolInfo};
use crate::model::{Caller, Failure, FailureKind};
use crate::telemetry::span;

mod progress;

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// What a call may take beyond its deadline, so that dispatch can still give the part that it has.
const GRACE: Duration = Duration::from_secs(1);

/// MCP over Streamable HTTP, behind hop 1.
#[derive(Clone)]
pub(super) struct McpService(Transport);

#[derive(Clone)]
enum Transport {
    Stateless(StreamableHttpService<Handler, NeverSessionManager>),
    Sessions(StreamableHttpService<Handler, LocalSessionManager>),
}

impl std::fmt::Debug for McpService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sessions = matches!(self.0, Transport::Sessions(_));
        f.debug_struct("McpService").field("legacy_sessions", &sessions).finish()
    }
}

impl McpService {
    /// `cut` ends what still runs when the drain is over.
    pub(super) fn new(live: LiveSource, limits: Limits, legacy_sessions: bool, cut: CancellationToken) -> Self {
        let handler = Handler::new(live, Identity::OfRequest, limits);
        let factory = move || Ok(handler.clone());
        // Host and Origin are checked in hop 1, before authentication.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(legacy_sessions)
            .with_json_response(true)
            .with_max_request_body_bytes(limits.body_bytes)
            .with_cancellation_token(cut)
            .disable_allowed_hosts();
        Self(if legacy_sessions {
            Transport::Sessions(StreamableHttpService::new(factory, Arc::new(LocalSessionManager::default()), config))
        } else {
            Transport::Stateless(StreamableHttpService::new(factory, Arc::new(NeverSessionManager::default()), config))
        })
    }

    /// Serves one request whose extensions hold its caller, generation and id.
    pub(super) async fn handle(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        match &self.0 {
            Transport::Stateless(service) => service.handle(request).await,
            Transport::Sessions(service) => service.handle(request).await,
        }
    }
}

/// Where the caller of a request is known from.
#[derive(Debug)]
pub(super) enum Identity {
    /// Hop 1 put it into the request.
    OfRequest,
    /// One person for the whole transport: stdio.
    Person(Box<Person>),
}

/// The handler that every transport shares; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handler(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: LiveSource,
    identity: Identity,
    calls: Semaphore,
    callers: CallerLimits,
    ids: RequestIds,
    info: Implementation,
    meta: MetaObject,
}

/// All that hop 1 says about a request.
struct Asked {
    caller: Caller,
    live: Arc<Live>,
    id: RequestId,
    sign_in: Option<SignInCell>,
}

impl Handler {
    pub(super) fn new(live: LiveSource, identity: Identity, limits: Limits) -> Self {
        let info = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let mut meta = MetaObject::default();
        let about = serde_json::json!({"name": info.name, "version": info.version});
        meta.insert(SERVER_INFO.to_owned(), about);
        let calls = Semaphore::new(limits.in_flight.min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner {
            live,
            identity,
            calls,
            callers: CallerLimits::default(),
            ids: RequestIds::new(),
            info,
            meta,
        }))
    }

    /// A request without a caller is a mistake of ours, never an anonymous call.
    async fn asked(&self, cx: &RequestContext<RoleServer>) -> Result<Asked, ErrorData> {
        if let Identity::Person(person) = &self.0.identity {
            let caller = person.caller(&self.0.live).await;
            let (live, id) = (self.0.live.load_full(), self.0.ids.next());
            return Ok(Asked { caller, live, id, sign_in: None });
        }
        let extensions = cx.extensions.get::<Parts>().map(|parts| &parts.extensions);
        let asked = extensions.and_then(|extensions| {
            Some(Asked {
                caller: extensions.get::<Caller>()?.clone(),
                live: extensions.get::<Arc<Live>>()?.clone(),
                id: extensions.get::<RequestId>()?.clone(),
                sign_in: extensions.get::<SignInCell>().cloned(),
            })
        });
        asked.ok_or_else(|| {
            tracing::error!("a request reached MCP without a caller");
            ErrorData::internal_error("an internal error", None)
        })
    }

    /// Runs one call to its answer, its deadline or its cancellation. None = nobody waits any more.
    async fn run(&self, call: Call, gone: &CancellationToken) -> Option<Result<Answer, Failure>> {
        let Ok(_slot) = self.0.calls.try_acquire() else {
            let full = Failure::new(FailureKind::Overloaded, "overloaded", "too many calls in flight");
            return Some(Err(full.retry(Duration::from_secs(1))));
        };
        let _place = match self.0.callers.admit(call.caller.principal(), &call.live) {
            Ok(place) => place,
            Err(refusal) => return Some(Err(refusal)),
        };
        let deadline = call.deadline;
        // Whatever ends this function ends what the call started.
        let _stop = call.cancel.clone().drop_guard();
        let run = timeout(deadline + GRACE, AssertUnwindSafe(dispatch::run(call)).catch_unwind());
        let ended = tokio::select! {
            biased;
            () = gone.cancelled() => return None,
            ended = run => ended,
        };
        Some(match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(Failure::internal("the call panicked")),
            Err(_elapsed) => Err(late(deadline)),
        })
    }

    fn meta(&self) -> Option<MetaObject> {
        Some(self.0.meta.clone())
    }
}

/// The word for how a call ended, in metrics.
fn outcome(ended: Option<&Result<Answer, Failure>>) -> &'static str {
    match ended {
        None => "cancelled",
        Some(Ok(_)) => "ok",
        Some(Err(failure)) => failure.kind.word(),
    }
}

fn late(deadline: Duration) -> Failure {
    let cause = format!("no answer within {} s", deadline.as_secs());
    Failure::new(FailureKind::Unreachable, "deadline_exceeded", cause)
        .hint("Ask for less at once: one cluster, one namespace, a smaller limit")
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(self.0.info.clone());
        match self.0.live.load().instructions() {
            "" => info,
            instructions => info.with_instructions(instructions),
        }
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let asked = self.asked(&cx).await?;
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(ErrorData::invalid_params("unknown cursor: tools come on one page", None));
        }
        let tools = asked.live.tools(asked.caller.principal());
        let mut result = ListToolsResult::with_all_items(tools.iter().map(describe).collect());
        // The list depends on the caller, and on a policy that may change at any time.
        result.cache_scope = Some(CacheScope::Private);
        result.ttl_ms = Some(0);
        result.meta = self.meta();
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Asked { caller, live, id, sign_in: cell } = self.asked(&cx).await?;
        let (person, generation) = (Arc::clone(caller.principal()), Arc::clone(&live));
        let shown = one_line(&request.name, 64);
        // rmcp runs this on a task of its own, so the span of the request is not around it.
        let span = tracing::info_span!(
            span::CALL,
            request_id = id.as_str(),
            tool = shown,
            realm = caller.principal().realm.as_str(),
            generation = live.generation
        );
        let (metrics, deadline) = (Arc::clone(live.metrics()), live.calls.deadline);
        let tool = live.catalog.get(&request.name).map_or("unknown", |entry| entry.spec.name);
        let (progress, listener) = progress::wanted(&cx);
        let call = Call {
            live,
            caller,
            tool: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            cancel: cx.ct.child_token(),
            request_id: id.as_str().to_owned(),
            deadline,
            progress,
        };
        let began = Instant::now();
        let ended = progress::telling(listener, self.run(call, &cx.ct)).instrument(span.clone()).await;
        metrics.call(tool, outcome(ended.as_ref()), began.elapsed());
        let failure = match ended {
            None => return Err(ErrorData::internal_error("cancelled", None)),
            Some(Ok(answer)) => return Ok(answered(answer).with_meta(self.meta()).into()),
            Some(Err(failure)) => sign_in::settle(failure, &generation, &person, cell.as_ref(), SystemTime::now()),
        };
        let _entered = span.enter();
        let rescue = rescue::rescue(&failure, id.as_str());
        rescue::log(&failure, &rescue, &shown, id.as_str());
        match rescue.seen {
            Seen::UnknownTool => Err(ErrorData::new(ErrorCode::INVALID_PARAMS, format!("Unknown tool: {shown}"), None)),
            Seen::ToolError { text, structured } => {
                let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
                result.structured_content = Some(structured);
                Ok(result.with_meta(self.meta()).into())
            }
        }
    }

    /// None: rmcp wants it only for arguments that are mirrored in headers (`x-mcp-header`), which no tool declares.
    fn get_tool(&self, _name: &str) -> Option<Tool> {
        None
    }

    // Without these rmcp answers empty lists for capabilities that are not declared.

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }
}

/// A hint that says what MCP assumes without it is left out: every model of every conversation would read it.
fn describe(tool: &ToolInfo) -> Tool {
    let hints = ToolAnnotations::new().read_only(tool.read_only);
    // Of a tool that only reads, MCP asks neither whether it destroys nor whether a repetition changes more.
    let hints = if tool.read_only { hints } else { hints.destructive(tool.destructive) };
    let hints = if tool.idempotent && !tool.read_only { hints.idempotent(true) } else { hints };
    let hints = if tool.open_world { hints } else { hints.open_world(false) };
    Tool::new(tool.name, tool.description, Arc::clone(&tool.input_schema))
        .with_title(tool.title)
        .with_annotations(hints)
}

fn answered(Answer { text, structured }: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = structured.filter(|value| *value != Value::Null);
    result
}

#[cfg(test)]
mod tests;
