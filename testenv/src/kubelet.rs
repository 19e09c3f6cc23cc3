//! The kubelet of a node of kwok, with what kwok lacks.
//!
//! kwok v0.8.0 answers `containerLogs`, `exec`, `attach`, `portForward` and `metrics/resource`, but neither `logs/` nor
//! `stats/summary` (it says 404), and it lets everybody in. This stands before it: it has a certificate of the cluster's
//! kubelets, lets in whom they let in, hands these two on to a simulator, so that a node says the same in both labs, and
//! everything else to kwok. Each connection carries one request.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::apiserver::network::{CONNECTION, ClusterNetwork, connect, read_head};
use crate::pki::{self, LOOPBACK};
use crate::realm::uuid;
use crate::simulator::{Scope, SimConfig, Simulator};

/// Limit of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The metric with the time of all others, in seconds.
pub(crate) const EVALUATED: &str = "lab_evaluated_seconds";
/// For whoever brings no certificate of those that kubelets trust.
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 12\r\nconnection: close\r\n\r\nUnauthorized";

/// A running kubelet endpoint on 127.0.0.1. It ends when this is dropped.
#[derive(Debug)]
pub struct Kubelet {
    port: u16,
    _tasks: JoinSet<()>,
}

/// A node of a simulator, for what a kubelet says of its node.
#[derive(Debug)]
pub struct SimulatedNode {
    name: String,
    token: String,
    simulator: Simulator,
}

/// What every connection needs.
struct Shared {
    tls: TlsAcceptor,
    node: SimulatedNode,
    kwok: u16,
}

/// A request's first line, as far as it matters here.
enum Wanted {
    /// `logs` without its slash, which a kubelet redirects.
    Redirect(String),
    /// Log files and statistics of the node, with the path.
    Node(String),
    /// What runs there uses.
    Metrics,
    /// All else.
    Pods,
}

impl SimulatedNode {
    /// Starts the simulator of the node `name`. Whoever calls puts the Node, its Pods, its files and their usage there.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        let token = uuid();
        let config = SimConfig::kubernetes().token(&token, "kubelet", &["system:masters"]);
        Ok(Self { name: name.to_owned(), token, simulator: Simulator::start(config).await? })
    }

    /// Where its objects and files are.
    #[must_use]
    pub fn cluster(&self) -> Scope {
        self.simulator.cluster()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn port(&self) -> anyhow::Result<u16> {
        let port = self.simulator.url().rsplit(':').next().unwrap_or_default();
        port.parse().context("the port of a simulator")
    }

    /// The head that asks the simulator for `target` of this node.
    fn head(&self, target: &str) -> String {
        let Self { name, token, .. } = self;
        format!(
            "GET /api/v1/nodes/{name}/proxy{target} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n\r\n"
        )
    }
}

impl Kubelet {
    /// Serves `node` at `ip` before the kwok that listens, without TLS, on port `kwok` of 127.0.0.1; the network reaches
    /// it as `ip` with the same port.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(network: &ClusterNetwork, ip: &str, kwok: u16, node: SimulatedNode) -> anyhow::Result<Self> {
        let leaf = network.kubelet_certificate(&[&[ip], LOOPBACK].concat());
        let tls = pki::mutual_server_config(&leaf, network.kubelet_client_ca_pem(), &[b"http/1.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening as a kubelet")?;
        let port = listener.local_addr().context("the kubelet's address")?.port();
        network.route(&format!("{ip}:{port}"), port);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(Shared { tls: TlsAcceptor::from(tls), node, kwok })));
        Ok(Self { port, _tasks: tasks })
    }

    /// Its port, the node's `status.daemonEndpoints.kubeletEndpoint.Port`.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, _)) => {
                let shared = Arc::clone(&shared);
                // How a connection ends is the business of its two ends.
                connections.spawn(async move { drop(timeout(CONNECTION, serve(tcp, &shared)).await) });
            }
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => crate::poll::pause(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(tcp: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let mut client = timeout(HANDSHAKE, shared.tls.accept(tcp)).await.context("a handshake takes too long")??;
    let known = client.get_ref().1.peer_certificates().is_some();
    let head = read_head(&mut client).await?;
    match wanted(&head) {
        _ if !known => client.write_all(UNAUTHORIZED.as_bytes()).await?,
        Wanted::Redirect(location) => {
            let answer = format!("HTTP/1.1 301 Moved Permanently\r\nlocation: {location}\r\ncontent-length: 0\r\n");
            client.write_all(format!("{answer}connection: close\r\n\r\n").as_bytes()).await?;
        }
        Wanted::Node(target) => {
            let tls = pki::client_config(shared.node.simulator.ca_pem(), None, &[b"http/1.1"]);
            let tcp = connect(shared.node.port()?).await?;
            let name = ServerName::try_from("127.0.0.1").expect("an address is a server name");
            let mut node = timeout(HANDSHAKE, TlsConnector::from(tls).connect(name, tcp)).await??;
            node.write_all(shared.node.head(&target).as_bytes()).await?;
            copy_bidirectional(&mut client, &mut node).await?;
        }
        Wanted::Metrics => {
            let metrics = timed(&metrics(shared.kwok).await?);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{metrics}", metrics.len());
            client.write_all(answer.as_bytes()).await?;
        }
        Wanted::Pods => {
            let mut kwok = connect(shared.kwok).await?;
            kwok.write_all(&alone(&head)).await?;
            copy_bidirectional(&mut client, &mut kwok).await?;
        }
    }
    client.shutdown().await?;
    Ok(())
}

fn wanted(head: &[u8]) -> Wanted {
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    match path {
        "/logs" => Wanted::Redirect(query.map_or("/logs/".to_owned(), |query| format!("/logs/?{query}"))),
        "/stats/summary" => Wanted::Node(target.to_owned()),
        "/metrics/resource" => Wanted::Metrics,
        _ if path.starts_with("/logs/") => Wanted::Node(target.to_owned()),
        _ => Wanted::Pods,
    }
}

/// The text of kwok's `metrics/resource`.
async fn metrics(kwok: u16) -> anyhow::Result<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(HANDSHAKE).build().context("building an HTTP client")?;
    let answer = http.get(format!("http://127.0.0.1:{kwok}/metrics/resource")).send().await?;
    Ok(answer.error_for_status()?.text().await?)
}

/// The samples with the time at which kwok took them, which it says in [`EVALUATED`]. A kubelet's have theirs; without,
/// whoever scrapes takes its own time, and a rate is as wrong as the two requests were uneven.
fn timed(metrics: &str) -> String {
    let time = metrics.lines().find_map(|line| line.strip_prefix(EVALUATED)?.trim().parse::<f64>().ok());
    let Some(seconds) = time else {
        return metrics.to_owned();
    };
    let millis = format!("{:.0}", seconds * 1000.0);
    let line = |line: &str| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} {millis}\n") };
    metrics.lines().filter(|line| !line.starts_with(EVALUATED)).map(line).collect()
}

/// The head of a request with the wish that its connection end with the answer, unless it asks for an upgrade.
fn alone(head: &[u8]) -> Vec<u8> {
    let end = head.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(head.len());
    let (head, rest) = head.split_at(end);
    let lines = || head.split(|byte| *byte == b'\n');
    let named = |line: &[u8], name: &str| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    if lines().any(|line| named(line, "upgrade:")) {
        return [head, rest].concat();
    }
    let kept: Vec<&[u8]> = lines().filter(|line| !named(line, "connection:")).collect();
    let kept = kept.join(&b'\n');
    let kept = kept.strip_suffix(b"\r").unwrap_or(&kept);
    [kept, b"\r\nconnection: close", rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_get_the_time_at_which_they_were_taken() {
        let text = "# TYPE a counter\na{pod=\"b\"} 0.5\nlab_evaluated_seconds 1.7952780041234e+09\nc 1\n";
        assert_eq!(timed(text), "# TYPE a counter\na{pod=\"b\"} 0.5 1795278004123\nc 1 1795278004123\n");
    }

    #[test]
    fn a_connection_ends_with_its_request_unless_it_is_upgraded() {
        let text = |head: &[u8]| String::from_utf8(alone(head)).unwrap();
        assert_eq!(
            text(b"GET / HTTP/1.1\r\nConnection: keep-alive\r\nhost: x\r\n\r\nbody"),
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\nbody"
        );
        assert_eq!(
            text(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n"),
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let upgrade = b"POST /exec HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n";
        assert_eq!(text(upgrade).as_bytes(), upgrade);
    }
}
