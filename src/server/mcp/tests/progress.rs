//! Progress: who gets it, in which form, and what it may do to an answer.

use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{MODERN, McpService, live_with_odd_tools, request};
use crate::server::Limits;

/// An answer, and what came before it.
struct Heard {
    /// `content-type`.
    form: String,
    /// Every message, in order.
    messages: Vec<Value>,
}

impl Heard {
    fn answer(&self) -> &Value {
        self.messages.last().expect("there is an answer")
    }

    /// `params` of the notifications; there is nothing else before the answer.
    fn steps(&self) -> Vec<&Value> {
        let before = &self.messages[..self.messages.len() - 1];
        assert!(before.iter().all(|message| message["method"] == "notifications/progress"), "{before:?}");
        before.iter().map(|message| &message["params"]).collect()
    }
}

async fn count(era: &str, token: Option<Value>, arguments: Value) -> Heard {
    let live = live_with_odd_tools();
    let service = McpService::new(live.clone(), Limits::default(), false, CancellationToken::new());
    let mut params = json!({"name": "counts", "arguments": arguments, "_meta": {}});
    let mut headers = vec![("mcp-protocol-version", era)];
    if era == MODERN {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        headers.extend([("mcp-method", "tools/call"), ("mcp-name", "counts")]);
    }
    if let Some(token) = token {
        params["_meta"]["progressToken"] = token;
    }
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let mut asked = request(&message, &headers, true);
    asked.extensions_mut().insert(live.load_full());
    let response = service.handle(asked).await;
    assert_eq!(response.status(), StatusCode::OK);
    let form = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = timeout(Duration::from_secs(20), response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let messages = if form == "application/json" {
        vec![serde_json::from_str(text).unwrap()]
    } else {
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).filter(|data| !data.trim().is_empty());
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    };
    Heard { form, messages }
}

#[tokio::test]
async fn without_a_token_there_is_one_document() {
    for era in [MODERN, "2025-11-25"] {
        let heard = count(era, None, json!({"to": 30, "every_ms": 20})).await;
        assert_eq!((heard.form.as_str(), heard.messages.len()), ("application/json", 1), "{era}");
        assert_eq!(heard.answer()["result"]["content"][0]["text"], "counted to 30");
    }
}

#[tokio::test]
async fn a_call_that_is_over_at_once_stays_one_document() {
    for era in [MODERN, "2025-11-25"] {
        let heard = count(era, Some(json!("t")), json!({"to": 3, "every_ms": 1})).await;
        assert_eq!((heard.form.as_str(), heard.messages.len()), ("application/json", 1), "{era}");
    }
}

#[tokio::test]
async fn steps_come_while_the_call_runs_and_the_last_one_before_the_answer() {
    for (era, token) in [(MODERN, json!("walk")), ("2025-11-25", json!(7))] {
        let began = Instant::now();
        let heard = count(era, Some(token.clone()), json!({"to": 50, "every_ms": 20})).await;
        let took = began.elapsed();
        assert_eq!(heard.form, "text/event-stream", "{era}");
        assert_eq!(heard.answer()["result"]["content"][0]["text"], "counted to 50");
        let steps = heard.steps();
        let most = took.as_millis() / 250 + 1;
        assert!((2..=most).contains(&(steps.len() as u128)), "{era}: {} steps in {took:?}", steps.len());
        assert!(steps.iter().all(|step| step["progressToken"] == token && step["total"] == 50.0), "{steps:?}");
        let done: Vec<f64> = steps.iter().map(|step| step["progress"].as_f64().unwrap()).collect();
        assert!(done.is_sorted_by(|one, next| one < next), "always more: {done:?}");
        assert_eq!(done.last(), Some(&50.0), "the last word is said");
        assert_eq!(steps.last().unwrap()["message"], "at 50\u{fffd}", "and it is harmless");
    }
}

#[tokio::test]
async fn a_sign_in_that_ends_in_the_middle_is_told_in_the_stream() {
    let asked = json!({"to": 30, "every_ms": 20, "fails": true});
    let heard = count(MODERN, Some(json!("t")), asked).await;
    assert!(!heard.steps().is_empty());
    let answer = &heard.answer()["result"];
    assert_eq!((&answer["isError"], &answer["structuredContent"]["code"]), (&json!(true), &json!("sign_in_again")));
}
