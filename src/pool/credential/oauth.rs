//! Our own client at a realm's token endpoint: RFC 6749 3.2 with the grants of RFC 8693 and RFC 7523.
//!
//! One request, one answer. What may follow from it (a retry, a second leg, a cache entry) is the strategy's affair. A
//! grant and a client assertion are made for one request and never kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use url::form_urlencoded;

use self::breaker::{Breaker, Contact};
use super::{Asks, CredentialError};
use crate::model::{Principal, RealmName, Secret};
use crate::realm::{Profile, RealmConfig, RealmError, RealmReader};
use crate::telemetry::Metrics;

mod answer;
mod authentication;
mod breaker;
mod probe;
mod refusal;

pub(super) use answer::{Claims, Expected, Issued};
pub use authentication::AuthenticationError;
pub(super) use authentication::ClientAuthentication;
pub use probe::{OwnToken, ProbeError};
pub use refusal::Refusal;
#[cfg(test)]
pub(super) use refusal::{CODES, rows};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A realm that answers 503 and names a time is asked again once, within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which step of the way to a credential; part of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// RFC 8693 in the caller's realm, for the cluster's audience: the only step.
    Exchange,
    /// RFC 8693 in the caller's realm, for the other realm.
    Grant,
    /// RFC 7523 at the cluster's realm.
    Bearer,
}

impl Leg {
    /// As it stands in a message.
    pub fn words(self) -> &'static str {
        match self {
            Self::Exchange => "the token exchange",
            Self::Grant => "leg 1 (token exchange)",
            Self::Bearer => "leg 2 (jwt-bearer)",
        }
    }

    /// As it stands in a metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Grant => "1",
            Self::Bearer => "2",
        }
    }
}

/// What one leg asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) leg: Leg,
    /// For whom.
    pub(super) caller: &'a Principal,
    /// The subject token (RFC 8693) or the assertion (RFC 7523).
    pub(super) token: &'a Secret,
    /// `audience` of RFC 8693.
    pub(super) audience: Option<&'a str>,
    pub(super) scope: Option<&'a str>,
}

/// Our client at one realm.
#[derive(Debug, Clone)]
pub struct RealmClient {
    name: RealmName,
    issuer: String,
    profile: Profile,
    reader: Arc<RealmReader>,
    authentication: ClientAuthentication,
    digest: [u8; 32],
    breaker: Arc<Breaker>,
}

impl RealmClient {
    /// The client that `[realms.<name>.client]` describes; reads no file yet.
    ///
    /// # Errors
    /// When the realm has no client, or one that authenticates in a way that is not known.
    pub fn new(config: &RealmConfig, reader: Arc<RealmReader>) -> Result<Self, AuthenticationError> {
        let authentication = ClientAuthentication::new(config)?;
        let (name, issuer) = (config.name.clone(), config.issuer.clone());
        let digest = authentication.digest(config);
        let breaker = Arc::default();
        Ok(Self { name, issuer, profile: config.profile, reader, authentication, digest, breaker })
    }

    /// The realm.
    pub fn realm(&self) -> &RealmName {
        &self.name
    }

    /// The realm's issuer, exactly.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// As whom we ask there: the client id and how it authenticates.
    pub fn as_whom(&self) -> String {
        self.authentication.words()
    }

    /// Named quirks of the realm.
    pub(super) fn profile(&self) -> Profile {
        self.profile
    }

    /// Digest of what decides where our client credentials go and as whom.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// One request to the token endpoint. A realm that is not there, or says when to come back, is asked once more; the
    /// assertion of leg 2 is never sent twice, because a realm burns it at the first sight. A realm that was not there for
    /// others, or that said when to come back, is not asked at all for a while.
    pub(super) async fn request(&self, request: Request<'_>, metrics: &Metrics) -> Result<Issued, CredentialError> {
        let began = Instant::now();
        let mut outcome = match self.attempt(request).await {
            Ok(outcome) => outcome,
            Err(after) => {
                let source = RealmError::Resting { realm: self.name.clone(), after };
                Err(CredentialError::Unanswered { realm: self.name.clone(), leg: request.leg, source })
            }
        };
        if let Err(error) = &outcome
            && let Some(pause) = pause(request.leg, error)
        {
            tokio::time::sleep(pause).await;
            // The first answer stands where others met meanwhile that there is none.
            outcome = self.attempt(request).await.unwrap_or(outcome);
        }
        let result = match &outcome {
            Ok(_) => "ok",
            Err(CredentialError::Refused(refusal)) => refusal.code,
            Err(error) => error.code(),
        };
        metrics.exchange(self.name.as_str(), request.leg.label(), result, began.elapsed());
        outcome
    }

    /// One request where the breaker lets it leave; otherwise how long it does not.
    async fn attempt(&self, request: Request<'_>) -> Result<Result<Issued, CredentialError>, Duration> {
        let attempt = self.breaker.attempt()?;
        let outcome = self.once(request).await;
        attempt.end(Contact::of(&outcome));
        Ok(outcome)
    }

    async fn once(&self, request: Request<'_>) -> Result<Issued, CredentialError> {
        let (headers, form) =
            self.form(request).map_err(|source| CredentialError::Client { realm: self.name.clone(), source })?;
        let answer = self.reader.token_request(headers, form).await.map_err(|source| CredentialError::Unanswered {
            realm: self.name.clone(),
            leg: request.leg,
            source,
        })?;
        if answer.status == 200 && answer.json {
            return answer::read(request, self.profile, &self.name, &answer.body);
        }
        Err(CredentialError::Refused(Box::new(Refusal::read(&self.name, request, &answer))))
    }

    /// Headers and body of one request, our client's authentication among them.
    fn form(&self, request: Request<'_>) -> Result<(HeaderMap, String), AuthenticationError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match request.leg {
            Leg::Exchange | Leg::Grant => {
                form.append_pair("grant_type", EXCHANGE);
                form.append_pair("subject_token", request.token.expose());
                form.append_pair("subject_token_type", ACCESS_TOKEN);
                // Keycloak refuses every other type than its own and says "access_token" of what is a good grant.
                if self.profile != Profile::Keycloak {
                    let wanted = if request.leg == Leg::Grant { JWT } else { ACCESS_TOKEN };
                    form.append_pair("requested_token_type", wanted);
                }
            }
            Leg::Bearer => {
                form.append_pair("grant_type", JWT_BEARER);
                form.append_pair("assertion", request.token.expose());
            }
        }
        for (name, value) in [("audience", request.audience), ("scope", request.scope)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let headers = self.authentication.authenticate(&self.issuer, &mut form)?;
        Ok((headers, form.finish()))
    }
}

/// How long to wait before the one repetition; `None` = there is none.
fn pause(leg: Leg, error: &CredentialError) -> Option<Duration> {
    if leg == Leg::Bearer {
        return None;
    }
    if let CredentialError::Refused(refusal) = error
        && refusal.status == 503
    {
        return Some(refusal.retry_after.unwrap_or(Duration::from_millis(200))).filter(|pause| *pause <= PATIENCE);
    }
    let lost = matches!(error, CredentialError::Unanswered { source: RealmError::Fetch { .. }, .. });
    lost.then_some(Duration::from_millis(100))
}
