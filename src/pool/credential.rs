//! With which credential: exactly one strategy per cluster, no fallback of any kind. A failed strategy is an error that
//! names the step.
//!
//! A strategy is one file below this module, with its own typed configuration, and one line in [`STRATEGIES`]. Its
//! `compile` checks what the operator wrote and yields plain data (who reaches the cluster, by which way) beside the
//! object that obtains credentials, so that no lower floor needs strategy code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::inventory::Entry;
use template::Template;

use crate::model::{Caller, ClusterKey, KeyHasher, Principal, Problem, Reach, RealmName};

mod chain;
mod error;
mod exchange;
mod exec;
mod expectation;
mod impersonate;
mod keep;
mod local;
mod minted;
mod none;
mod oauth;
mod passthrough;
mod shared;
mod step;
mod template;

#[cfg(test)]
mod contract;

pub use error::CredentialError;
#[cfg(test)]
pub(crate) use error::{codes, refusals};
pub use expectation::Expectation;
pub use keep::{Kept, Minting};
pub use oauth::{AuthenticationError, Leg, OwnToken, ProbeError, RealmClient, Refusal};
pub use step::{Asks, Step};

/// A credential for one cluster: headers, perhaps a client certificate. It has no getters; only the send site attaches
/// it (and `examine`, kubeferry's own to a review of itself), and only to a request of the cluster that it was obtained
/// for.
#[derive(Clone)]
pub struct Credential {
    key: ClusterKey,
    headers: Vec<(HeaderName, HeaderValue)>,
    identity: Option<Arc<TlsIdentity>>,
    expires: Option<SystemTime>,
    once: bool,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Credential")
            .field("key", &self.key)
            .field("headers", &names)
            .field("identity", &self.identity.is_some())
            .field("expires", &self.expires)
            .finish()
    }
}

/// A credential was about to go to a cluster that it was not obtained for. This is a mistake of ours; nothing was sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential obtained for {obtained} was about to go to {bound}")]
pub struct WrongCluster {
    obtained: ClusterKey,
    bound: ClusterKey,
}

impl Credential {
    /// An `Authorization: Bearer` credential.
    fn bearer(key: ClusterKey, token: &str) -> Result<Self, CredentialError> {
        Self { key, headers: Vec::new(), identity: None, expires: None, once: false }
            .with(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// A credential of the connection alone.
    fn certificate(key: ClusterKey, identity: Arc<TlsIdentity>) -> Self {
        Self { key, headers: Vec::new(), identity: Some(identity), expires: None, once: false }
    }

    /// Adds a header; its value never shows in a log.
    fn with(mut self, name: HeaderName, value: &str) -> Result<Self, CredentialError> {
        let unprintable = || CredentialError::Unprintable { header: name.clone() };
        // Bytes beyond ASCII would pass `from_str`, and each server reads them in its own way.
        if !value.bytes().all(|c| c == b' ' || c.is_ascii_graphic()) {
            return Err(unprintable());
        }
        let mut value = HeaderValue::from_str(value).map_err(|_invalid| unprintable())?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    /// Ends with `expires`.
    fn until(mut self, expires: Option<SystemTime>) -> Self {
        self.expires = expires;
        self
    }

    /// Serves those who wait for it, and is not kept.
    fn once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    /// Puts the credential on a request of the transport `bound`. Whatever was there under these names is replaced.
    ///
    /// # Errors
    /// When the transport is of another cluster key: nothing is put on.
    pub(super) fn attach(&self, bound: &ClusterKey, headers: &mut HeaderMap) -> Result<(), WrongCluster> {
        if bound != &self.key {
            return Err(WrongCluster { obtained: self.key, bound: *bound });
        }
        for (name, _) in &self.headers {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        Ok(())
    }

    /// The certificate that the connection must carry, if any.
    pub(super) fn identity(&self) -> Option<&Arc<TlsIdentity>> {
        self.identity.as_ref()
    }

    /// How long it still lasts; `None` = no end is known.
    pub(super) fn left(&self, now: SystemTime) -> Option<Duration> {
        self.expires.map(|expires| expires.duration_since(now).unwrap_or_default())
    }

    /// What its headers take, in bytes.
    fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    }

    /// True when both put the same on a request.
    fn is(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }

    /// Tells credentials apart.
    pub(super) fn digest(&self) -> [u8; 32] {
        let hasher = KeyHasher::new("credential-itself").field("cluster", self.key.bytes());
        let hasher = self
            .headers
            .iter()
            .fold(hasher, |hasher, (name, value)| hasher.field("name", name.as_str()).field("value", value.as_bytes()));
        hasher.optional("certificate", self.identity.as_ref().map(|identity| identity.digest())).finish()
    }

    /// True once the credential has ended.
    pub(super) fn expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A client certificate with its key, both PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    certificate: Vec<u8>,
    key: SecretString,
    digest: [u8; 32],
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(…)")
    }
}

impl TlsIdentity {
    fn new(certificate: Vec<u8>, key: &str) -> Self {
        let digest = KeyHasher::new("tls-identity").field("certificate", &certificate).field("key", key).finish();
        Self { certificate, key: SecretString::from(key.to_owned()), digest }
    }

    /// Tells two identities apart.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Puts the certificate into a client configuration; base64 is what a kubeconfig holds there.
    pub(super) fn configure(&self, config: &mut kube::Config) {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        use secrecy::ExposeSecret as _;
        config.auth_info.client_certificate_data = Some(STANDARD.encode(&self.certificate));
        config.auth_info.client_key_data = Some(SecretString::from(STANDARD.encode(self.key.expose_secret())));
    }
}

/// Something that is impersonated, as RBAC names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acts {
    /// API group.
    pub group: &'static str,
    /// `users`, `groups`, `uids` or `userextras`.
    pub resource: &'static str,
    /// The key, of `userextras`.
    pub subresource: Option<String>,
}

/// How a caller gets a credential for one cluster.
pub trait Strategy: Send + Sync + fmt::Debug {
    /// Obtains a credential for `caller`. Nothing is sent anywhere before the caller is known to be served.
    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>>;

    /// The way to the credential in words, for `principal`: plain data without a secret. Nothing is sent. Where
    /// [`Strategy::expects`] refuses, the last step says why.
    fn explain(&self, principal: &Principal) -> Vec<Step>;

    /// The requests to realms that the way has, without a caller's part in them.
    fn asks(&self) -> Vec<Asks> {
        Vec::new()
    }

    /// True when a credential is issued by a realm for one caller and one cluster, and so is kept by [`Kept`].
    fn is_minted(&self) -> bool {
        false
    }

    /// kubeferry's own credential at the cluster, where it has one; never one of a caller or of the person at this machine.
    fn gateway(&self) -> Option<BoxFuture<'_, Result<Credential, CredentialError>>> {
        None
    }

    /// What kubeferry's own credential must be allowed to impersonate.
    fn acts(&self) -> Vec<Acts> {
        Vec::new()
    }

    /// The cluster did not accept a credential (401): what is kept of it is not used again. A new one is obtained by the
    /// next call.
    fn rejected(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Who the API server must take the caller for; checked once per caller by SelfSubjectReview before anything else
    /// is sent. `None` = whoever it says.
    ///
    /// # Errors
    /// When the template makes a name that is refused.
    fn expects(&self, _principal: &Principal) -> Result<Option<Expectation>, CredentialError> {
        Ok(None)
    }
}

/// A strategy, compiled for one cluster.
#[derive(Debug)]
pub struct Compiled {
    /// Who reaches the cluster.
    pub reach: Reach,
    /// Digest of everything that decides where and how a credential goes.
    pub key: ClusterKey,
    /// What obtains credentials.
    pub strategy: Arc<dyn Strategy>,
    /// The strategy's name.
    pub name: &'static str,
    expect_username: Option<Template>,
    /// Another one each time that the cluster is compiled anew: what an earlier configuration obtained is not found again
    /// when that configuration comes back.
    number: u64,
}

/// The number of what is compiled next.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Compiled {
    /// Who the API server must take `principal` for: what the strategy says, and what `expect_username` says.
    ///
    /// # Errors
    /// When a template makes a name that is refused.
    pub fn expects(&self, principal: &Principal) -> Result<Option<Expectation>, CredentialError> {
        let by_strategy = self.strategy.expects(principal)?;
        let Some(template) = &self.expect_username else { return Ok(by_strategy) };
        let expected = by_strategy.unwrap_or_default();
        Ok(Some(Expectation { username: Some(template.fill(principal, None)), ..expected }))
    }
}

/// What a strategy's `compile` yields before the cluster key is known: the key covers `digest`.
struct Draft {
    reach: Reach,
    digest: [u8; 32],
    build: Box<dyn FnOnce(ClusterKey) -> Arc<dyn Strategy>>,
}

/// What strategies may know of the rest of the configuration.
#[derive(Debug, Clone, Default)]
pub struct CompileContext {
    /// The realms whose tokens are accepted at the door; `local` alone in local mode.
    pub home_realms: Vec<RealmName>,
    /// Our client at each realm, or why there is none.
    pub clients: BTreeMap<RealmName, Result<RealmClient, String>>,
    /// The links between realms, by name.
    pub links: BTreeMap<String, Link>,
    /// Audiences of tokens for us: no token for a cluster may carry one.
    pub ours: Vec<String>,
}

/// How a caller of one realm gets a token of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The caller's realm.
    pub from: RealmName,
    /// The cluster's realm.
    pub to: RealmName,
    /// Audience of the grant; `None` = the issuer of `to`.
    pub audience: Option<String>,
    /// Scope of the grant.
    pub scope: Option<String>,
}

impl CompileContext {
    /// True without any realm: the caller is the person at this machine.
    pub fn local_mode(&self) -> bool {
        self.home_realms.iter().all(|realm| realm.as_str() == RealmName::LOCAL)
    }
}

type Compile = fn(&Entry, &CompileContext) -> Result<Draft, Vec<Problem>>;

/// All strategies: one line each.
const STRATEGIES: &[(&str, Compile)] = &[
    ("chain", chain::compile),
    ("exchange", exchange::compile),
    ("impersonate", impersonate::compile),
    ("local", local::compile),
    ("none", none::compile),
    ("passthrough", passthrough::compile),
];

/// Compiles the strategy that `entry` names.
///
/// # Errors
/// Every mistake in what the operator wrote, by key.
pub fn compile(entry: &Entry, context: &CompileContext) -> Result<Compiled, Vec<Problem>> {
    let written = entry.settings.strategy.as_str();
    let Some((name, compile)) = STRATEGIES.iter().find(|(name, _)| *name == written) else {
        let valid: Vec<&str> = STRATEGIES.iter().map(|(name, _)| *name).collect();
        let what = match written {
            "static" | "in_cluster" => {
                format!("strategy \"{written}\" is not available in this version")
            }
            _ => format!("there is no strategy \"{written}\""),
        };
        return Err(vec![problem(entry, "strategy", what, format!("use one of {}", valid.join(", ")))]);
    };
    let identity_strategy = *name != "none";
    if identity_strategy && entry.endpoint.insecure {
        let fix = "give the cluster's CA in ca_file";
        return Err(vec![problem(
            entry,
            "server",
            "insecure-skip-tls-verify with a person's identity is refused",
            fix,
        )]);
    }
    if names_a_workspace_path(&entry.endpoint.server) {
        let what =
            "the server URL names a workspace by its path, below which a mount could forward credentials anywhere";
        let fix =
            "give the host alone with kind = \"kcp\" and entry = [\"root:…\"], or a logical cluster name in the URL";
        return Err(vec![problem(entry, "server", what, fix)]);
    }
    let draft = compile(entry, context)?;
    let expect_username = template(entry, "expect_username", entry.settings.expect_username.as_deref())?;
    let key = cluster_key(entry, &draft.digest);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok(Compiled { reach: draft.reach, key, strategy: (draft.build)(key), name, expect_username, number })
}

/// Compiles an optional template at `key`.
fn template(entry: &Entry, key: &str, text: Option<&str>) -> Result<Option<Template>, Vec<Problem>> {
    let compiled = text.map(|text| Template::parse(text, false)).transpose();
    compiled.map_err(|error| vec![problem(entry, key, error.to_string(), error.fix())])
}

/// True for `…/clusters/<ref>…` where the ref is more than a single segment, which alone can never be a mount.
fn names_a_workspace_path(server: &str) -> bool {
    let segments: Vec<&str> = server.split('/').skip(3).filter(|segment| !segment.is_empty()).collect();
    let single = |reference: &str| crate::model::LogicalCluster::parse(reference).is_ok();
    segments.windows(2).any(|pair| pair[0] == "clusters" && !single(pair[1]))
}

/// A problem at a key of this entry.
fn problem(entry: &Entry, key: &str, what: impl Into<String>, fix: impl Into<String>) -> Problem {
    let origin = entry.origin.clone().unwrap_or_else(|| format!("clusters.{}", entry.name));
    Problem::new(format!("{origin}.{key}"), what, fix)
}

fn cluster_key(entry: &Entry, strategy_digest: &[u8; 32]) -> ClusterKey {
    let settings = &entry.settings;
    KeyHasher::new("cluster")
        .field("name", entry.name.as_str())
        .field("server", &entry.endpoint.server)
        .optional("ca", entry.endpoint.ca.as_deref())
        .optional("tls-server-name", entry.endpoint.tls_server_name.as_deref())
        .field("insecure", [u8::from(entry.endpoint.insecure)])
        .field("strategy", &settings.strategy)
        .optional("realm", settings.realm.as_ref().map(RealmName::as_str))
        .list("audiences", &settings.audiences)
        .optional("link", settings.link.as_deref())
        .optional("scope", settings.scope.as_deref())
        .list("realms", settings.realms.iter().map(RealmName::as_str))
        .optional("expect", settings.expect_username.as_deref())
        .field("strategy-digest", strategy_digest)
        .into()
}

/// The realms of `realms`, which `impersonate` and every shared strategy need.
fn required_realms(entry: &Entry) -> Result<Vec<RealmName>, Vec<Problem>> {
    let realms = &entry.settings.realms;
    if realms.is_empty() {
        let fix = "write realms = [\"…\"]: the realms whose callers may use this cluster";
        return Err(vec![problem(entry, "realms", "missing", fix)]);
    }
    Ok(realms.clone())
}
