//! **Faults** below HTTP: servers that cannot be connected to, that say nothing, that end connections; and a [`Switch`],
//! an address behind which the server changes. What a server that speaks HTTP does wrong is the simulator's.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::pki::{self, Ca, LOOPBACK};

/// A SYN that was not answered for this long was dropped.
const DROPPED: Duration = Duration::from_millis(300);
/// Connections that fill any backlog of one.
const ENOUGH: usize = 16;

/// What a [`Broken`] server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Accepts and resets at once.
    Reset,
    /// Accepts and says nothing, so that no TLS handshake ends.
    Silent,
    /// Ends the TLS handshake, then reads and says nothing; with this protocol chosen.
    Speechless(&'static [u8]),
}

/// A server that is broken. It ends when this is dropped.
pub struct Broken {
    address: SocketAddr,
    ca_pem: String,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Broken {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(fault: Fault) -> anyhow::Result<Self> {
        let ca = Ca::new("broken");
        let protocols: &[&[u8]] = match &fault {
            Fault::Speechless(protocol) => std::slice::from_ref(protocol),
            Fault::Reset | Fault::Silent => &[],
        };
        let acceptor = TlsAcceptor::from(pki::server_config(&ca.server(LOOPBACK), protocols));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the port of a fault")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                while open.try_join_next().is_some() {}
                let Ok((stream, _)) = listener.accept().await else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                open.spawn(async move {
                    // How a client ends such a connection is its own affair.
                    drop(serve(fault, stream, acceptor).await);
                });
            }
        });
        Ok(Self { address, ca_pem: ca.pem().to_owned(), connections, accepting })
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA of its certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How many connections were accepted since the start.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn serve(fault: Fault, mut stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    match fault {
        // Closed with a linger of nothing, a socket is reset.
        Fault::Reset => stream.set_zero_linger(),
        Fault::Silent => until_closed(&mut stream).await,
        Fault::Speechless(_) => until_closed(&mut acceptor.accept(stream).await?).await,
    }
}

async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<()> {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// An address that drops every SYN, as a host behind a firewall does: a listener that accepts nothing, with a full
/// backlog.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl BlackHole {
    /// Opens one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound, or this kernel answers however many connections wait.
    pub async fn start() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).context("binding the port of a black hole")?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        let mut filling = Vec::new();
        for _ in 0..ENOUGH {
            match timeout(DROPPED, TcpStream::connect(address)).await {
                Ok(connected) => filling.push(connected.context("filling the backlog of a black hole")?),
                Err(_dropped) => return Ok(Self { address, _listener: listener, _filling: filling }),
            }
        }
        anyhow::bail!("this kernel still answers with {ENOUGH} connections in a backlog of one");
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// An address that leads to one server now and to another later, byte for byte. It ends when this is dropped.
pub struct Switch {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    open: Mutex<JoinSet<()>>,
}

impl Shared {
    fn spawn(&self, relay: impl Future<Output = ()> + Send + 'static) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.try_join_next().is_some() {}
        open.spawn(relay);
    }
}

impl Switch {
    /// A free port of 127.0.0.1 before `target`.
    ///
    /// # Errors
    /// When none can be bound.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the port of a switch")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { target: Mutex::new(Some(target)), open: Mutex::default() });
        let relaying = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let target = *relaying.target.lock().unwrap_or_else(PoisonError::into_inner);
                match target {
                    Some(target) => relaying.spawn(relay(stream, target)),
                    // A reset; a client that is gone needs none.
                    None => drop(stream.set_zero_linger()),
                }
            }
        });
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Leads to `target` from now on, or resets every connection without one; open connections are cut.
    pub fn to(&self, target: Option<SocketAddr>) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn relay(mut stream: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        // How either side ends is between the two.
        drop(tokio::io::copy_bidirectional(&mut stream, &mut server).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_reset_ends_the_connection_and_silence_does_not() {
        let reset = Broken::start(Fault::Reset).await.unwrap();
        let mut stream = TcpStream::connect(reset.address).await.unwrap();
        let read = timeout(Duration::from_secs(10), stream.read_u8()).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let silent = Broken::start(Fault::Silent).await.unwrap();
        let mut stream = TcpStream::connect(silent.address).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        assert!(timeout(Duration::from_millis(100), stream.read_u8()).await.is_err(), "silence");
        assert_eq!((reset.connections(), silent.connections()), (1, 1));
    }

    #[tokio::test]
    async fn a_black_hole_answers_nobody() {
        let hole = BlackHole::start().await.unwrap();
        assert!(timeout(DROPPED, TcpStream::connect(hole.address)).await.is_err());
    }

    #[tokio::test]
    async fn a_switch_cuts_what_was_open() {
        let echo = |greeting: &'static [u8]| async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                let mut open = Vec::new();
                while let Ok((mut stream, _)) = listener.accept().await {
                    stream.write_all(greeting).await.unwrap();
                    open.push(stream);
                }
            });
            address
        };
        let (one, two) = (echo(b"1").await, echo(b"2").await);
        let switch = Switch::start(one).await.unwrap();
        let mut first = TcpStream::connect(switch.address()).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'1');
        switch.to(Some(two));
        assert!(timeout(Duration::from_secs(10), first.read_u8()).await.unwrap().is_err(), "it was cut");
        let mut second = TcpStream::connect(switch.address()).await.unwrap();
        assert_eq!(second.read_u8().await.unwrap(), b'2');
        switch.to(None);
        let mut third = TcpStream::connect(switch.address()).await.unwrap();
        assert!(timeout(Duration::from_secs(10), third.read_u8()).await.unwrap().is_err(), "there is no server");
    }
}
