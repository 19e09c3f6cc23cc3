//! What a simulator is started with.

use std::time::Duration;

use super::authn::StaticToken;
use super::jwt::JwtIssuer;

/// As kube-apiserver and kcp announce it.
const MAX_STREAMS: u32 = 100;

/// What a simulator stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One Kubernetes API server.
    Kubernetes,
    /// A standalone kcp shard.
    Kcp,
}

/// How a simulator is started. It holds tokens, so it cannot be printed.
#[derive(Clone)]
pub struct SimConfig {
    pub(super) kind: Kind,
    pub(super) front_proxy: bool,
    pub(super) issuers: Vec<JwtIssuer>,
    pub(super) tokens: Vec<StaticToken>,
    pub(super) client_ca_pem: Option<String>,
    pub(super) delay: Duration,
    pub(super) max_streams: u32,
    pub(super) anonymous_everywhere: bool,
}

impl SimConfig {
    /// A Kubernetes API server that trusts nobody yet.
    #[must_use]
    pub fn kubernetes() -> Self {
        Self::of(Kind::Kubernetes)
    }

    /// A kcp that trusts nobody yet.
    #[must_use]
    pub fn kcp() -> Self {
        Self::of(Kind::Kcp)
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            front_proxy: false,
            issuers: Vec::new(),
            tokens: Vec::new(),
            client_ca_pem: None,
            delay: Duration::ZERO,
            max_streams: MAX_STREAMS,
            anonymous_everywhere: true,
        }
    }

    /// Answers as a kcp-front-proxy before the shard does, where it differs: a workspace that is not there is forbidden, a
    /// certificate makes nobody a master, and nothing is forwarded to mounts.
    #[must_use]
    pub fn behind_front_proxy(mut self) -> Self {
        self.front_proxy = true;
        self
    }

    /// Accepts the tokens of an issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: JwtIssuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Accepts this bearer value as this user with these groups.
    #[must_use]
    pub fn token(mut self, token: &str, user: &str, groups: &[&str]) -> Self {
        self.tokens.push(StaticToken {
            token: token.into(),
            user: user.into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        });
        self
    }

    /// Accepts client certificates of this CA: CN is the user, each O a group.
    #[must_use]
    pub fn client_ca(mut self, pem: &str) -> Self {
        self.client_ca_pem = Some(pem.into());
        self
    }

    /// Answers 401 to requests without a credential, except on the health paths: `anonymous` with conditions in the
    /// authentication configuration. Without this they are made as `system:anonymous`.
    #[must_use]
    pub fn anonymous_health_only(mut self) -> Self {
        self.anonymous_everywhere = false;
        self
    }

    /// Lets every request wait this long.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Lets one HTTP/2 connection have so many streams open at a time; 100 without this.
    #[must_use]
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.max_streams = streams;
        self
    }
}
