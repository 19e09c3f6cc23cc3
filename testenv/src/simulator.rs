//! An in-process API server that stands in for a Kubernetes API server or a kcp.
//!
//! It shows what the real ones cannot show quickly or at all, and everything else as they do: the answers to
//! discovery, tables, paging, authentication, impersonation and RBAC are those of kube-apiserver 1.37 and of a
//! kcp 0.31 shard, down to the wording. One scenario suite runs against both kinds, so this stays honest.
//!
//! A request goes through these files in this order: `server` (sockets, the log, `fault`s), `state`, in a kcp `kcp` (path
//! to place, or `mount`), then `serve`: `authn` and `jwt` (who), `impersonate` (as whom), `rbac` (may they), and
//! one of `discovery`, `openapi`, `reviews`, `kubelet`, `metrics` or `objects` with `render`. `space` is one place with its types, store and rules.
//!
//! Every Node object has a kubelet: logs of containers (`Scope::log`, also followed), log files, journals and log queries
//! of nodes (`Scope::node_file`, `Scope::node_journal`), `stats/summary`. `metrics.k8s.io` is absent, served or down
//! (`Scope::metrics`). OpenAPI v3 has the built-in kinds and the schemas of custom ones. `Simulator::inject` makes requests fail in ten ways, over HTTP/2 and HTTP/1.1.
//!
//! Not there: watching, server-side apply, the subresources exec, attach, portforward and scale, the proxies of pods and
//! services, `deletecollection`, OpenAPI v2, gzip, and whatever a controller would do. They answer as a server that does not
//! know them.

mod authn;
mod body;
mod builtin;
mod cells;
mod clock;
mod columns;
mod config;
mod discovery;
mod fault;
mod front_proxy;
mod impersonate;
mod jwt;
mod kcp;
mod kubelet;
mod log;
mod metrics;
mod mount;
mod objects;
mod openapi;
mod pod_cells;
mod rbac;
mod render;
mod reply;
mod request;
mod reviews;
pub mod samples;
mod selector;
mod serve;
mod server;
mod space;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use self::authn::token_digest;
pub use self::columns::PrinterColumn;
pub use self::config::{Kind, SimConfig};
pub use self::fault::Fault;
pub use self::jwt::{JwtIssuer, Keys};
pub use self::kubelet::ContainerLog;
pub use self::log::RequestRecord;
pub use self::metrics::{MetricsApi, Usage};
pub use self::rbac::{Rule, User};
pub use self::space::Scope;
pub use self::types::ResourceType;

use self::authn::Authenticators;
use self::kcp::World;
use self::state::{Plane, State, Timing};
use self::types::Types;
use crate::pki::{Ca, LOOPBACK, mutual_server_config, server_config};

const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A running simulator on a free port of 127.0.0.1. Dropping it closes the port and all connections.
pub struct Simulator {
    state: Arc<State>,
    ca: Ca,
    url: String,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts one. The keys of issuers that are realms are read now, so these must be up.
    ///
    /// # Errors
    /// When no port is free or an issuer's keys cannot be read (10 s each request).
    pub async fn start(config: SimConfig) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the simulator's port")?;
        let address = listener.local_addr().context("read the bound port")?;
        let url = format!("https://{address}");
        let plane = match config.kind {
            Kind::Kubernetes => Plane::Kubernetes(Scope::new(None, Arc::new(Types::kubernetes()))),
            Kind::Kcp => Plane::Kcp(World::new(&url, config.front_proxy)?),
        };
        let ca = Ca::new("simulator");
        let leaf = ca.server(LOOPBACK);
        let tls = match &config.client_ca_pem {
            None => server_config(&leaf, ALPN),
            Some(client_ca) => mutual_server_config(&leaf, client_ca, ALPN),
        };
        let timing = Timing { delay: config.delay, max_streams: config.max_streams };
        let authenticators = Authenticators::prepare(config).await?;
        let state = Arc::new(State::new(plane, authenticators, address.to_string(), timing));
        let server = tokio::spawn(server::run(listener, TlsAcceptor::from(tls), Arc::clone(&state)));
        Ok(Self { state, ca, url, server })
    }

    /// `https://127.0.0.1:<port>`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The CA that signed the server's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// What is served when this is a Kubernetes API server.
    ///
    /// # Panics
    /// On a kcp.
    #[must_use]
    pub fn cluster(&self) -> Scope {
        match &self.state.plane {
            Plane::Kubernetes(scope) => scope.clone(),
            Plane::Kcp(_) => panic!("a kcp has workspaces"),
        }
    }

    /// The workspace at this path (`root:org:team`); it and its parents are made when they are not there.
    ///
    /// # Panics
    /// On a Kubernetes server, for a malformed path, and for one that leads through a mount.
    #[must_use]
    pub fn workspace(&self, path: &str) -> Scope {
        self.world().ensure(path)
    }

    /// Makes a tree of workspaces below the one at `path`: `fan_outs[0]` in it, `fan_outs[1]` in each of these, and so on, named
    /// `w000` and further. In all of them, and in the one at `path`, `rule` holds. Returns how many there are, that one counted.
    ///
    /// # Panics
    /// As [`Simulator::workspace`].
    pub fn tree(&self, path: &str, fan_outs: &[usize], rule: &Rule) -> usize {
        let mut level = vec![path.to_owned()];
        let mut made = 0;
        for fan_out in fan_outs.iter().copied().chain([0]) {
            let mut below = Vec::with_capacity(level.len() * fan_out);
            for path in level {
                self.workspace(&path).allow(rule.clone());
                made += 1;
                below.extend((0..fan_out).map(|at| format!("{path}:w{at:03}")));
            }
            level = below;
        }
        made
    }

    /// Makes a Workspace at this path that is mounted from `url` (empty: its target is not there yet).
    ///
    /// # Panics
    /// As [`Simulator::workspace`].
    pub fn mount(&self, path: &str, url: &str) {
        self.world().mount(path, url);
    }

    /// Drops the logical cluster at this path and all below it, while its Workspace stays as it is.
    ///
    /// # Panics
    /// As [`Simulator::workspace`].
    pub fn lose_workspace(&self, path: &str) {
        self.world().lose(path);
    }

    /// Removes the Workspace at this path and all below it. [`Simulator::workspace`] makes it anew, with another logical
    /// cluster.
    ///
    /// # Panics
    /// As [`Simulator::workspace`].
    pub fn remove_workspace(&self, path: &str) {
        self.world().remove(path);
    }

    /// Merges `change` (RFC 7396) into the Workspace object at this path: another state, or another logical cluster.
    ///
    /// # Panics
    /// As [`Simulator::workspace`], and when there is none.
    pub fn change_workspace(&self, path: &str, change: &Value) {
        self.world().change(path, change);
    }

    /// Lets every further request wait this long before it is looked at.
    pub fn set_delay(&self, delay: Duration) {
        self.state.set_delay(delay);
    }

    /// Lets the first read of each custom resource in each workspace answer `429 storage is (re)initializing`.
    pub fn reinitialize_on_first_read(&self, on: bool) {
        self.state.set_reinitializes(on);
    }

    /// Lets the requests whose path and query contain `path_contains` (all, when it is empty) meet a fault: the next
    /// `times` of them, or every one until [`Simulator::heal`].
    pub fn inject(&self, path_contains: &str, fault: Fault, times: Option<usize>) {
        self.state.faults.inject(path_contains, fault, times);
    }

    /// Takes all faults back. Answers that are under way keep theirs.
    pub fn heal(&self) {
        self.state.faults.heal();
    }

    /// All requests since the start or the last [`Simulator::clear_requests`], in the order in which they were answered.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state.log.all()
    }

    /// The most requests that were under way at a time, since the start or the last [`Simulator::clear_requests`].
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.log.most_at_once()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.log.clear();
    }

    /// Closes the port and all connections; done when that has happened.
    pub async fn stop(mut self) {
        self.server.abort();
        if let Err(error) = (&mut self.server).await
            && !error.is_cancelled()
        {
            tracing::warn!("the simulator ended badly: {error}");
        }
    }

    fn world(&self) -> &World {
        match &self.state.plane {
            Plane::Kcp(world) => world,
            Plane::Kubernetes(_) => panic!("a Kubernetes server has no workspaces"),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("url", &self.url).finish_non_exhaustive()
    }
}
