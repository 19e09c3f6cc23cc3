//! The network of a cluster without machines: how an API server reaches kubelets and aggregated API servers.
//!
//! An API server does not proxy to a node at a loopback address (`address not allowed`, `nodes/proxy`), so nodes of the
//! lab have addresses of TEST-NET-1 (RFC 5737). The API server dials them, and the servers behind APIServices, through
//! an HTTP CONNECT proxy (`--egress-selector-config-file`), as it does in clusters with konnectivity. The proxy is a
//! Unix socket in the server's folder and knows which port of 127.0.0.1 stands for which address; it reaches nothing
//! else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::pki::{Ca, Leaf};
use crate::process::files;

/// Limit of a request's head and of a connection to a port of this machine.
const OPENING: Duration = Duration::from_secs(10);
/// Limit of a connection, for streams that follow.
pub(crate) const CONNECTION: Duration = Duration::from_secs(3600);
/// Limit of a request's head, in bytes.
const HEAD: usize = 64 * 1024;

/// The ways from an API server to its nodes, and the authorities of both ends. It ends when this is dropped.
#[derive(Debug)]
pub struct ClusterNetwork {
    /// Of what kubelets serve with.
    kubelets: Ca,
    /// Of those whom kubelets let in.
    kubelet_clients: Ca,
    routes: Arc<Routes>,
    _proxy: JoinSet<()>,
}

/// Ports of 127.0.0.1 by `host:port` of the cluster.
type Routes = Mutex<BTreeMap<String, u16>>;

impl ClusterNetwork {
    /// Starts the proxy and returns it with the flags that make an API server use it; writes the files.
    pub(super) fn start(folder: &TempDir) -> anyhow::Result<(Self, Vec<String>)> {
        let socket = folder.path().join("egress.sock");
        let listener = UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
        let egress = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": {
                "proxyProtocol": "HTTPConnect",
                "transport": {"uds": {"udsName": socket.display().to_string()}},
            }}],
        });
        let (kubelets, kubelet_clients) = (Ca::new("kubelets"), Ca::new("clients of kubelets"));
        let front_proxies = Ca::new("front proxies");
        let write = |name: &str, text: &str| files::write(folder, name, text);
        let leaf = |name: &str, leaf: &Leaf| {
            let cert = write(&format!("{name}.crt"), &leaf.cert_pem)?;
            anyhow::Ok((cert, write(&format!("{name}.key"), &leaf.key_pem)?))
        };
        let (kubelet_cert, kubelet_key) = leaf("kubelet-client", &kubelet_clients.client("kube-apiserver", &[]))?;
        let (proxy_cert, proxy_key) = leaf("front-proxy", &front_proxies.client("front-proxy", &[]))?;
        let flags = vec![
            format!("--egress-selector-config-file={}", write("egress.json", &egress.to_string())?),
            format!("--kubelet-certificate-authority={}", write("kubelet-ca.crt", kubelets.pem())?),
            format!("--kubelet-client-certificate={kubelet_cert}"),
            format!("--kubelet-client-key={kubelet_key}"),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--requestheader-client-ca-file={}", write("front-proxy-ca.crt", front_proxies.pem())?),
            "--requestheader-allowed-names=front-proxy".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={proxy_cert}"),
            format!("--proxy-client-key-file={proxy_key}"),
        ];
        let routes = Arc::<Routes>::default();
        let mut proxy = JoinSet::new();
        proxy.spawn(accept(listener, Arc::clone(&routes)));
        Ok((Self { kubelets, kubelet_clients, routes, _proxy: proxy }, flags))
    }

    /// From now on `address`, a host and a port of the cluster, is `port` on 127.0.0.1.
    pub fn route(&self, address: &str, port: u16) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(address.to_owned(), port);
    }

    /// A serving certificate for a kubelet with these names, signed by the CA that the API server asks for.
    #[must_use]
    pub fn kubelet_certificate(&self, names: &[&str]) -> Leaf {
        self.kubelets.server(names)
    }

    /// The CA of the kubelets' serving certificates.
    #[must_use]
    pub fn kubelet_ca_pem(&self) -> &str {
        self.kubelets.pem()
    }

    /// A client certificate that kubelets accept, as the API server has one.
    #[must_use]
    pub fn kubelet_client(&self, name: &str) -> Leaf {
        self.kubelet_clients.client(name, &[])
    }

    /// The CA of the client certificates that kubelets accept.
    #[must_use]
    pub fn kubelet_client_ca_pem(&self) -> &str {
        self.kubelet_clients.pem()
    }
}

/// Reads up to the empty line that ends the head of an HTTP/1.1 message, and whatever came with it.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Vec<u8>> {
    let mut head = Vec::new();
    let reading = async {
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 || head.len() > HEAD {
                bail!("no head of a request");
            }
        }
        Ok(())
    };
    timeout(OPENING, reading).await.context("a head that does not end")??;
    Ok(head)
}

/// Connects to a port of this machine.
pub(crate) async fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let stream =
        timeout(OPENING, TcpStream::connect(("127.0.0.1", port))).await.context("connecting takes too long")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn accept(listener: UnixListener, routes: Arc<Routes>) {
    let mut tunnels = JoinSet::new();
    loop {
        while tunnels.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let routes = Arc::clone(&routes);
                // How a tunnel ends is the business of its two ends.
                tunnels.spawn(async move { drop(timeout(CONNECTION, tunnel(client, &routes)).await) });
            }
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => crate::poll::pause(Duration::from_millis(50)).await,
        }
    }
}

/// Serves one CONNECT to its end.
async fn tunnel(mut client: UnixStream, routes: &Routes) -> anyhow::Result<()> {
    let head = read_head(&mut client).await?;
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let address = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let port = routes.lock().unwrap_or_else(PoisonError::into_inner).get(address).copied();
    let server = match port {
        Some(port) => connect(port).await,
        None => Err(anyhow::anyhow!("no route to {address}")),
    };
    match server {
        Ok(mut server) => {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
        Err(_) => client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_has_a_route_is_reached() {
        let folder = files::folder("network-test").unwrap();
        let (network, flags) = ClusterNetwork::start(&folder).unwrap();
        assert!(flags.iter().any(|flag| flag.starts_with("--egress-selector-config-file=")));
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        network.route("192.0.2.10:10250", port);

        let ask = |address: String| {
            let socket = folder.path().join("egress.sock");
            async move {
                let mut client = UnixStream::connect(socket).await.unwrap();
                client.write_all(format!("CONNECT {address} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
                let head = read_head(&mut client).await.unwrap();
                (client, String::from_utf8(head).unwrap())
            }
        };
        let (_, refused) = ask(format!("127.0.0.1:{port}")).await;
        assert!(refused.contains("502"), "{refused}");
        let (mut client, accepted) = ask("192.0.2.10:10250".to_owned()).await;
        assert!(accepted.contains("200"), "{accepted}");
        let (mut peer, _) = server.accept().await.unwrap();
        peer.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
    }
}
