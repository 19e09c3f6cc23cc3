//! MCP over standard input and output, for one caller: whoever started the process.
//!
//! Standard output carries MCP and nothing else; the log goes to standard error.

use rmcp::service::serve_server_with_ct;
use rmcp::transport::io::stdio_pipes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::mcp::{Handler, Identity};
use super::rescue::one_line;
use super::{Limits, LiveSource, Person, ServerError};

/// Serves `person` until standard input ends or `shutdown`.
///
/// # Errors
/// When the client breaks the handshake or the streams break.
pub async fn serve_stdio(live: LiveSource, person: Person, shutdown: CancellationToken) -> Result<(), ServerError> {
    let (input, output) = stdio_pipes();
    serve(input, output, Handler::new(live, Identity::Person(Box::new(person)), Limits::default()), shutdown).await
}

async fn serve<R, W>(input: R, output: W, handler: Handler, shutdown: CancellationToken) -> Result<(), ServerError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: String| ServerError::Stdio(one_line(&error, 300));
    let running = match serve_server_with_ct(handler, (input, output), shutdown.clone()).await {
        Ok(running) => running,
        Err(_stopped) if shutdown.is_cancelled() => return Ok(()),
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    running.waiting().await.map(drop).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Handler, Identity, serve};
    use crate::server::tests::{caller, live};
    use crate::server::{Limits, Person};
    use serde_json::{Value, json};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, duplex};
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    const SOON: Duration = Duration::from_secs(5);

    async fn next<R: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Value {
        let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn me() -> Identity {
        Identity::Person(Box::new(Person::new(caller("me"), None)))
    }

    #[tokio::test]
    async fn a_client_initializes_calls_and_leaves() {
        let (ours, theirs) = duplex(1 << 16);
        let (input, output) = tokio::io::split(ours);
        let handler = Handler::new(live(), me(), Limits::default());
        let served = tokio::spawn(serve(input, output, handler, CancellationToken::new()));
        let (read, mut write) = tokio::io::split(theirs);
        let mut lines = BufReader::new(read).lines();
        let mut send = async |message: Value| write.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        send(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})).await;
        assert_eq!(next(&mut lines).await["result"]["serverInfo"]["name"], "kubeferry");
        send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        send(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "nothing_here"}})).await;
        let answer = next(&mut lines).await;
        assert_eq!(answer["id"], 2);
        assert!(answer["error"].is_object() || answer["result"]["isError"] == true, "{answer}");
        drop((write, lines));
        timeout(SOON, served).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn shutdown_before_the_handshake_is_no_error() {
        let (ours, _theirs) = duplex(64);
        let (input, output) = tokio::io::split(ours);
        let shutdown = CancellationToken::new();
        let handler = Handler::new(live(), me(), Limits::default());
        let served = tokio::spawn(serve(input, output, handler, shutdown.clone()));
        shutdown.cancel();
        timeout(SOON, served).await.unwrap().unwrap().unwrap();
    }
}
