//! Hop 1 past authentication: what HTTP makes of MCP's answers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{AuthError, Failed, Http, asks_verbose, is_json};
use crate::server::tests::{caller, config, live};
use crate::server::{Limits, RequestIds, ServerConfig};

fn http(config: ServerConfig) -> Http {
    let address = "127.0.0.1:80".parse().unwrap();
    Http::new(config, address, live(), CancellationToken::new(), CancellationToken::new()).unwrap()
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/mcp")
        .header("content-type", "application/json")
        .header("host", "localhost")
        .header("accept", "application/json, text/event-stream")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

#[tokio::test]
async fn json_that_is_no_message_is_an_invalid_request() {
    let http = http(config(Limits::default()));
    let id = RequestIds::new().next();
    let response = http.hand_over(post("{\"a\": 1}"), http.live.load_full(), caller("a"), &id).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["error"]["code"], -32600);
}

#[tokio::test]
async fn get_and_delete_are_405_without_sessions() {
    let http = http(config(Limits::default()));
    let id = RequestIds::new().next();
    for method in [Method::GET, Method::DELETE] {
        let mut request = post("");
        *request.method_mut() = method;
        let response = http.hand_over(request, http.live.load_full(), caller("a"), &id).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "POST");
    }
}

#[tokio::test]
async fn a_legacy_session_is_written_down_for_its_owner() {
    let http = http(ServerConfig { legacy_sessions: true, ..config(Limits::default()) });
    let id = RequestIds::new().next();
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let response = http.hand_over(post(hello), http.live.load_full(), caller("a"), &id).await;
    let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let owners = http.owners.as_ref().unwrap();
    assert!(owners.owns(&session, caller("a").principal()) && !owners.owns(&session, caller("b").principal()));
    let mut ended = post("");
    *ended.method_mut() = Method::DELETE;
    ended.headers_mut().insert("mcp-session-id", HeaderValue::from_str(&session).unwrap());
    let ended = http.hand_over(ended, http.live.load_full(), caller("a"), &id).await.status();
    assert_eq!(ended, StatusCode::NO_CONTENT, "what clients take for done");
    assert!(!owners.owns(&session, caller("a").principal()));
}

#[tokio::test]
async fn a_refusal_tells_a_code_and_one_line() {
    let http = http(config(Limits::default()));
    let error = AuthError::Invalid { why: "expired\nlong ago".into(), realm: None };
    let response = http.refuse(&http.live.load(), &Failed::Auth(error));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&document["jsonrpc"], &document["id"]), (&json!("2.0"), &Value::Null));
    assert_eq!(
        (&document["error"]["code"], &document["error"]["data"]["error"]),
        (&json!(401), &json!("invalid_token"))
    );
    assert_eq!(document["error"]["message"].as_str().map(|message| message.contains('\n')), Some(false));
    let late = http.refuse(&http.live.load(), &Failed::TooSlow);
    assert_eq!((late.status(), late.headers()["retry-after"].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, &b"5"[..]));
}

#[test]
fn queries_and_content_types_are_read_as_tokens() {
    assert!(asks_verbose("verbose") && asks_verbose("a=b&verbose=1") && !asks_verbose("nonverbose"));
    let kind = |text| is_json(&[(CONTENT_TYPE, HeaderValue::from_static(text))].into_iter().collect());
    assert!(kind("application/json") && kind("Application/JSON; charset=utf-8") && !kind("application/jsonx"));
}
