//! What all connections of a simulator share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::authn::Authenticators;
use super::fault::Faults;
use super::front_proxy;
use super::kcp::World;
use super::log::Log;
use super::rbac::{Attributes, User};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::serve::serve;
use super::server::{Peer, Trace};
use super::space::Scope;

/// One running simulator.
pub(super) struct State {
    pub(super) plane: Plane,
    pub(super) authenticators: Authenticators,
    pub(super) log: Log,
    pub(super) faults: Faults,
    address: String,
    max_streams: u32,
    delay_micros: AtomicU64,
    reinitializes: AtomicBool,
}

/// How fast, and how much at once.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) delay: Duration,
    pub(super) max_streams: u32,
}

/// What the simulator stands in for.
pub(super) enum Plane {
    Kubernetes(Scope),
    Kcp(World),
}

impl State {
    pub(super) fn new(plane: Plane, authenticators: Authenticators, address: String, config: Timing) -> Self {
        let state = Self {
            plane,
            authenticators,
            log: Log::default(),
            faults: Faults::default(),
            address,
            max_streams: config.max_streams,
            delay_micros: AtomicU64::new(0),
            reinitializes: AtomicBool::new(false),
        };
        state.set_delay(config.delay);
        state
    }

    /// How many streams one HTTP/2 connection may have open.
    pub(super) fn max_streams(&self) -> u32 {
        self.max_streams
    }

    /// Host and port, as plain discovery names them.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.delay_micros.store(micros, Ordering::Relaxed);
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::Relaxed))
    }

    pub(super) fn set_reinitializes(&self, on: bool) {
        self.reinitializes.store(on, Ordering::Relaxed);
    }

    /// True when the first read of a custom resource answers 429.
    pub(super) fn reinitializes(&self) -> bool {
        self.reinitializes.load(Ordering::Relaxed)
    }

    /// Who sends this; noted for the log. 401 when that cannot be told.
    pub(super) async fn authenticate(&self, call: &Call, peer: &Peer, trace: &mut Trace) -> Outcome<User> {
        let passed_on = match &self.plane {
            Plane::Kcp(world) if world.is_proxied() => front_proxy::passed_on(call, peer)?,
            Plane::Kcp(_) | Plane::Kubernetes(_) => peer.certificate.clone(),
        };
        let user = self.authenticators.authenticate(call, passed_on.as_ref()).await?;
        trace.requestor = Some(user.name.clone());
        trace.user = Some(user.name.clone());
        Ok(user)
    }

    /// Answers one request.
    pub(super) async fn answer(&self, call: Call, peer: &Peer, trace: &mut Trace) -> Reply {
        let outcome = match &self.plane {
            Plane::Kubernetes(scope) => serve(self, scope, &call, peer, trace).await,
            Plane::Kcp(world) => super::kcp::answer(self, world, call, peer, trace).await,
        };
        outcome.unwrap_or_else(|refusal| refusal.into_reply())
    }

    /// After a Workspace was written by a client: makes or removes the logical cluster behind it.
    pub(super) fn follow_workspace(&self, parent: &Scope, a: &Attributes, user: &User, reply: &Reply) {
        let Plane::Kcp(world) = &self.plane else {
            return;
        };
        match a.verb.as_str() {
            "create" => {
                let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                let created = body["metadata"]["name"].as_str().unwrap_or_default();
                world.adopt(parent, created, Some(user));
            }
            "delete" => world.forget_orphans(),
            _ => {}
        }
    }
}
