//! Both generations of the protocol against the service, as hop 1 calls it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod economy;
mod progress;

use super::McpService;
use crate::dispatch::{CallLimits, Live, Profiles};
use crate::inventory::Snapshot;
use crate::policy::{Policy, PolicyConfig};
use crate::pool::Pool;
use crate::server::sign_in::SignInCell;
use crate::server::tests::{caller, live, live_with};
use crate::server::{Limits, LiveSource, RequestIds};
use crate::telemetry::Scrape;

const MODERN: &str = "2026-07-28";

fn service() -> McpService {
    McpService::new(live(), Limits::default(), false, CancellationToken::new())
}

fn request(message: &Value, headers: &[(&str, &str)], with_caller: bool) -> Request<Full<Bytes>> {
    let mut request = Request::post("/mcp").header("content-type", "application/json");
    request = request.header("accept", "application/json, text/event-stream").header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Full::new(Bytes::from(message.to_string()))).unwrap();
    if with_caller {
        request.extensions_mut().insert(caller("a"));
        request.extensions_mut().insert(live().load_full());
        request.extensions_mut().insert(RequestIds::new().next());
        request.extensions_mut().insert(SignInCell::default());
    }
    request
}

async fn send(request: Request<Full<Bytes>>) -> (StatusCode, Value) {
    let response = service().handle(request).await;
    let status = response.status();
    assert!(response.headers().get("mcp-session-id").is_none());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("JSON, not {body:?}")))
}

async fn modern(method: &str, mut params: Value) -> (StatusCode, Value) {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    });
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
    if !name.is_empty() {
        headers.push(("mcp-name", &name));
    }
    send(request(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), &headers, true)).await
}

async fn legacy(method: &str, params: Value) -> (StatusCode, Value) {
    let headers = [("mcp-protocol-version", "2025-06-18")];
    send(request(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), &headers, true)).await
}

/// A generation whose catalog has the tools of `tools::odd` too.
fn live_with_odd_tools() -> LiveSource {
    let live = live();
    let catalog = Arc::new(crate::tools::odd::catalog());
    let before = live.load_full();
    let (status, generation, calls) = (Arc::clone(&before.status), before.generation, CallLimits::default());
    let (auth, seal, profiles) = (Arc::clone(&before.auth), Arc::clone(&before.seal), Profiles::default());
    let inventory = Snapshot::new(Vec::new(), BTreeMap::new());
    let (policy, pool) = (Policy::new(PolicyConfig::default()), Pool::default());
    live.store(Arc::new(Live { generation, auth, inventory, policy, pool, catalog, seal, status, calls, profiles }));
    live
}

/// Row P09 of the catalogue of failures, which nobody can bring about from outside.
#[tokio::test]
async fn p09_a_panic_in_a_tool_fails_that_call_alone() {
    let live = live_with_odd_tools();
    let generation = live.load().generation;
    let service = McpService::new(live.clone(), Limits::default(), false, CancellationToken::new());
    let call = async |tool: &str| {
        let headers = [("mcp-protocol-version", "2025-06-18")];
        let params = json!({"name": tool, "arguments": {}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let mut request = request(&message, &headers, true);
        request.extensions_mut().insert(live.load_full());
        let response = service.handle(request).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let (failed, well) = tokio::join!(call("panics"), call("clusters_list"));
    assert_eq!(failed["result"]["isError"], true, "{failed}");
    assert_eq!(failed["result"]["structuredContent"]["code"], "internal", "{failed}");
    assert!(!failed.to_string().contains("on purpose"), "what it said is for the log: {failed}");
    assert_ne!(well["result"]["isError"], true, "{well}");
    assert_ne!(call("clusters_list").await["result"]["isError"], true, "the service lives on");
    let live = live.load();
    let counts = live.pool.metrics().scrape(&Scrape { generation, breakers: Vec::new(), reload_failed: false });
    assert!(counts.contains("kubeferry_tool_calls_total{tool=\"panics\",outcome=\"internal\"} 1"), "{counts}");
}

#[tokio::test]
async fn a_client_of_2026_discovers_lists_and_calls_without_state() {
    let (status, discovered) = modern("server/discover", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{discovered}");
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(MODERN)) && versions.contains(&json!("2025-06-18")));
    let (status, listed) = modern("tools/list", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    assert_eq!((&listed["result"]["cacheScope"], &listed["result"]["ttlMs"]), (&json!("private"), &json!(0)));
    assert_eq!(listed["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "kubeferry");
    let (status, called) = modern("tools/call", json!({"name": "nothing_here", "arguments": {}})).await;
    assert_eq!(status, StatusCode::OK, "{called}");
    assert!(called["error"].is_object() || called["result"]["isError"] == true, "{called}");
}

#[tokio::test]
async fn a_client_of_2025_initializes_and_lists_without_a_session() {
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let (status, welcome) = legacy("initialize", hello).await;
    assert_eq!(status, StatusCode::OK, "{welcome}");
    assert_eq!(welcome["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(welcome["result"]["serverInfo"]["name"], "kubeferry");
    assert_eq!(welcome["result"]["capabilities"], json!({"tools": {}}));
    let (status, listed) = legacy("tools/list", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    assert!(listed["result"]["tools"].is_array() && listed["result"].get("resultType").is_none());
    let (_, cursor) = legacy("tools/list", json!({"cursor": "x"})).await;
    assert_eq!(cursor["error"]["code"], -32602);
}

#[tokio::test]
async fn what_is_not_declared_is_not_found() {
    for method in ["prompts/list", "resources/list", "resources/templates/list", "ping", "nothing/here"] {
        let (status, answer) = modern(method, json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!(-32601)), "{method}: {answer}");
    }
    let (_, level) = legacy("logging/setLevel", json!({"level": "debug"})).await;
    assert_eq!(level["error"]["code"], -32601);
    let completion = json!({"ref": {"type": "ref/prompt", "name": "a"}, "argument": {"name": "b", "value": "c"}});
    let (_, completed) = legacy("completion/complete", completion).await;
    assert_eq!(completed["error"]["code"], -32601);
}

#[tokio::test]
async fn a_request_without_a_caller_is_an_internal_error() {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
    let (_, answer) = send(request(&message, &[], false)).await;
    assert_eq!(answer["error"]["code"], -32603);
}

#[tokio::test]
async fn a_version_that_nobody_knows_is_refused() {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let headers = [("mcp-protocol-version", "2099-01-01"), ("mcp-method", "tools/list")];
    let (status, answer) = send(request(&message, &headers, true)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32022)), "{answer}");
}

#[tokio::test]
async fn the_description_of_a_tool_keeps_its_schema_and_hints() {
    let schema = Arc::new(json!({"type": "object"}).as_object().unwrap().clone());
    let info = |read_only: bool, idempotent: bool, open_world: bool| crate::dispatch::ToolInfo {
        name: "pods_list",
        title: "List pods",
        description: "Lists pods",
        input_schema: Arc::clone(&schema),
        read_only,
        destructive: !read_only,
        idempotent,
        open_world,
    };
    assert!(Arc::ptr_eq(&super::describe(&info(true, true, false)).input_schema, &schema));
    for (info, hints) in [
        (info(true, true, true), json!({"readOnlyHint": true})),
        (info(true, true, false), json!({"readOnlyHint": true, "openWorldHint": false})),
        (info(false, true, true), json!({"readOnlyHint": false, "destructiveHint": true, "idempotentHint": true})),
        (info(false, false, true), json!({"readOnlyHint": false, "destructiveHint": true})),
    ] {
        assert_eq!(serde_json::to_value(super::describe(&info)).unwrap()["annotations"], hints);
    }
}

#[tokio::test]
async fn a_caller_that_calls_too_fast_is_told_when_to_call_again_and_every_call_is_counted() {
    let live = live_with(CallLimits { per_second: 1, burst: 2, ..CallLimits::default() });
    let service = McpService::new(Arc::clone(&live), Limits::default(), false, CancellationToken::new());
    let call = async |tool: &str, sub: &str| -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
        let mut asked = request(&message, &[("mcp-protocol-version", "2025-06-18")], true);
        asked.extensions_mut().insert(live.load_full());
        asked.extensions_mut().insert(caller(sub));
        let answer = service.handle(asked).await.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&answer).unwrap()
    };
    let first = call("clusters_list", "a").await;
    assert!(first["result"].is_object() && first["result"]["isError"] != true, "{first}");
    assert_eq!(call("no_such_tool", "a").await["error"]["code"], -32602);
    let third = call("clusters_list", "a").await;
    assert_eq!(third["result"]["isError"], true, "{third}");
    let said = &third["result"]["structuredContent"];
    assert_eq!((&said["code"], &said["kind"]), (&json!("too_fast"), &json!("overloaded")));
    assert!(said["retry_after_ms"].as_u64().is_some_and(|after| (1..=1000).contains(&after)), "{said}");
    assert!(call("clusters_list", "b").await["result"]["isError"] != true, "another caller may");
    let text = live.load().scrape();
    for line in [
        "kubeferry_tool_calls_total{tool=\"clusters_list\",outcome=\"ok\"} 2\n",
        "kubeferry_tool_calls_total{tool=\"clusters_list\",outcome=\"overloaded\"} 1\n",
        "kubeferry_tool_calls_total{tool=\"unknown\",outcome=\"unknown_tool\"} 1\n",
        "k8s_mcp_tool_errors_total{tool_name=\"clusters_list\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("no_such_tool"), "{text}");
}
