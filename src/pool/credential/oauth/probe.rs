//! Questions to a realm that tell whether a way works, without a person and without a token of one: what a Keycloak
//! refuses, and in which order, shows how far the trust is set up. Nothing real is burnt by them: what is sent is no
//! token, is signed by a key that was thrown away, or belongs to our own client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::json;
use url::form_urlencoded;

use super::{Asks, Expected, Issued, Leg, RealmClient, Refusal, Request, answer, refusal};
use crate::model::{Admission, Principal, RealmName, Secret};
use crate::pool::credential::CredentialError;
use crate::realm::{Metadata, Profile, RawJwk, RealmError};

/// Life of the assertion that nobody accepts, in seconds.
const LIFE: u64 = 60;
/// What is sent where a token belongs.
const NO_TOKEN: &str = "x.y.z";
/// What Keycloak says of a grant whose signature it took for good, or did not look at.
const PAST_THE_SIGNATURE: &[&str] = &[
    "clock_skew",
    "grant_audience",
    "grant_lifetime",
    "grant_replayed",
    "scope_not_allowed",
    "subject_disabled",
    "subject_incomplete",
    "subject_not_linked",
];

/// What a probe met that is not right.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// What a call would meet as well.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The realm gave a token for something that is none.
    #[error("realm {realm} issued a token for something that is no token")]
    AnyToken {
        /// The realm.
        realm: RealmName,
    },
    /// The realm took a grant that a stranger signed.
    #[error("realm {realm} does not check signatures of grants: anybody can make one in the name of everybody")]
    AnySignature {
        /// The realm that takes grants.
        realm: RealmName,
        /// Whose grants they are said to be.
        iss: String,
    },
}

impl ProbeError {
    /// What to change, where a call would not say it.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Credential(_) => None,
            Self::AnyToken { realm } => {
                Some(format!("ask who runs realm {realm}, and do not use it before it refuses what is no token"))
            }
            Self::AnySignature { realm, iss } => Some(format!(
                "in realm {realm}, set validateSignature at the identity provider of issuer {iss}, with the JWKS URL of that issuer"
            )),
        }
    }
}

/// A token of our client's own service account.
#[derive(Debug)]
pub struct OwnToken {
    token: Secret,
    /// When the realm says that it issued the token, and when we had it.
    issued: Option<(SystemTime, SystemTime)>,
}

impl OwnToken {
    /// By how many seconds the realm's clock is ahead of ours; negative = behind. Known to about a second.
    pub fn ahead(&self) -> Option<i64> {
        let (theirs, ours) = self.issued?;
        let seconds =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).ok();
        Some(seconds(theirs)? - seconds(ours)?)
    }
}

impl RealmClient {
    /// Whether the realm is known to answer probes as Keycloak does: only then do they mean anything.
    pub fn answers_probes(&self) -> bool {
        self.profile == Profile::Keycloak
    }

    /// What the realm publishes about itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn metadata(&self, leg: Leg) -> Result<Metadata, CredentialError> {
        let unread = |source| CredentialError::Unanswered { realm: self.name.clone(), leg, source };
        self.reader.metadata().await.map_err(unread)
    }

    /// Leg 1 with something that is no token: fine when that is the only thing that is wrong, so that our client and its
    /// exchange switch are right. Audience and scope are not looked at by the realm.
    ///
    /// # Errors
    /// What else is wrong; and a realm that issues a token for it.
    pub async fn probe_exchange(&self) -> Result<(), ProbeError> {
        let (caller, token) = (stranger(self), Secret::new(NO_TOKEN));
        let request = Request { leg: Leg::Grant, caller: &caller, token: &token, audience: None, scope: None };
        match self.once(request).await {
            Ok(_issued) => Err(ProbeError::AnyToken { realm: self.name.clone() }),
            Err(CredentialError::Refused(refusal)) if refusal.code == "sign_in_again" => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Leg 2 with a grant of `home` that a throw-away key signed: fine when the signature is the only thing that is
    /// wrong, so that our client, its grant switch, the identity provider and its permission are right.
    ///
    /// # Errors
    /// What else is wrong; and a realm that finds nothing wrong with the signature.
    pub async fn probe_grant(&self, home: &Self, audience: &str) -> Result<(), ProbeError> {
        let unread = |source| CredentialError::Unanswered { realm: home.name.clone(), leg: Leg::Grant, source };
        let keys = home.reader.keys().await.map_err(unread)?;
        let (issuer, audience) = (home.issuer.clone(), audience.to_owned());
        let made = tokio::task::spawn_blocking(move || forged(&keys, &issuer, &audience)).await;
        let unusable = || {
            let why = "none of them signs in a way that is known here".to_owned();
            unread(RealmError::Document { realm: home.name.clone(), what: "keys", why })
        };
        let token = made.ok().flatten().ok_or_else(unusable)?;
        let caller = stranger(home);
        let request = Request { leg: Leg::Bearer, caller: &caller, token: &token, audience: None, scope: None };
        let unchecked = || ProbeError::AnySignature { realm: self.name.clone(), iss: home.issuer.clone() };
        match self.once(request).await {
            Ok(_issued) => Err(unchecked()),
            Err(CredentialError::Refused(refusal)) if refusal.code == "grant_signature" => Ok(()),
            Err(CredentialError::Refused(refusal))
                if refusal.is_of_grant() && PAST_THE_SIGNATURE.contains(&refusal.code) =>
            {
                Err(unchecked())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// A token of our client's own service account (RFC 6749 4.4); `None` when the realm says that it has none.
    ///
    /// # Errors
    /// When the realm does not answer or refuses for another reason, or our client's secret cannot be read.
    pub async fn own_token(&self) -> Result<Option<OwnToken>, CredentialError> {
        let (headers, form) = self.own_form()?;
        let unanswered = |source| CredentialError::Unanswered { realm: self.name.clone(), leg: Leg::Exchange, source };
        let answer = self.reader.token_request(headers, form).await.map_err(unanswered)?;
        if refusal::no_service_account(&answer) {
            return Ok(None);
        }
        let (caller, none) = (stranger(self), Secret::new(NO_TOKEN));
        let request = |leg| Request { leg, caller: &caller, token: &none, audience: None, scope: None };
        if answer.status != 200 || !answer.json {
            let refused = Refusal::read(&self.name, request(Leg::Exchange), &answer);
            return Err(CredentialError::Refused(Box::new(refused)));
        }
        // The answer has the form of leg 2's.
        let request = request(Leg::Bearer);
        let Issued { token, .. } = answer::read(request, self.profile, &self.name, &answer.body)?;
        let issued = issued_at(&token).map(|theirs| (theirs, SystemTime::now()));
        Ok(Some(OwnToken { token, issued }))
    }

    fn own_form(&self) -> Result<(HeaderMap, String), CredentialError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        let headers = self.authentication.authenticate(&self.issuer, &mut form);
        let headers = headers.map_err(|source| CredentialError::Client { realm: self.name.clone(), source })?;
        Ok((headers, form.finish()))
    }

    /// Leg 1 of a way in the name of our client's service account.
    ///
    /// # Errors
    /// What would be wrong for everybody.
    pub async fn try_first(&self, asks: &Asks, own: &OwnToken) -> Result<OwnToken, CredentialError> {
        let caller = stranger(self);
        let Asks { leg, audience, scope, audiences, client: _ } = asks;
        let request = Request {
            leg: *leg,
            caller: &caller,
            token: &own.token,
            audience: audience.as_deref(),
            scope: scope.as_deref(),
        };
        let issued = self.once(request).await?;
        let expected = Expected { iss: &self.issuer, audiences, sub: None, subject: &own.token };
        super::super::minted::check(&issued, &expected, &self.name, *leg)?;
        Ok(OwnToken { token: issued.token, issued: None })
    }

    /// Leg 2 of a way with such a grant: fine when the realm only does not know the account, because a service account is
    /// linked to nobody. Scope and audience are looked at only after the account.
    ///
    /// # Errors
    /// What would be wrong for everybody.
    pub async fn try_second(&self, home: &Self, asks: &Asks, grant: &OwnToken) -> Result<(), CredentialError> {
        let caller = stranger(home);
        let (leg, scope) = (asks.leg, asks.scope.as_deref());
        let request = Request { leg, caller: &caller, token: &grant.token, audience: None, scope };
        match self.once(request).await {
            Ok(_issued) => Ok(()),
            Err(CredentialError::Refused(refusal)) if refusal.code == "subject_not_linked" => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// Somebody of the realm whom nobody knows.
fn stranger(home: &RealmClient) -> Principal {
    Principal {
        realm: home.name.clone(),
        iss: home.issuer.clone(),
        sub: "<sub>".to_owned(),
        username: "<username>".to_owned(),
        groups: Vec::new(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        azp: None,
        expires: None,
        issued: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    }
}

/// A grant as `issuer` would make it, by a key that nobody has published, under the `kid` of one of `keys`. `None` when
/// none of them signs in a way that we know.
fn forged(keys: &[RawJwk], issuer: &str, audience: &str) -> Option<Secret> {
    let (key, algorithm) = keys.iter().find_map(|key| Some((key, algorithm(key)?)))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let mut random = [0; 32];
    rand::fill(&mut random).ok()?;
    let (jti, sub) = random.split_at(16);
    let header = json!({"alg": algorithm, "typ": "JWT", "kid": key.kid});
    let claims = json!({"iss": issuer, "sub": URL_SAFE_NO_PAD.encode(sub), "aud": audience,
        "jti": URL_SAFE_NO_PAD.encode(jti), "iat": now, "exp": now + LIFE});
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign(algorithm, message.as_bytes())?;
    Some(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The algorithm that a published key signs with.
fn algorithm(key: &RawJwk) -> Option<&'static str> {
    let family: &[&'static str] = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ("EC", Some("P-256")) => &["ES256"],
        ("EC", Some("P-384")) => &["ES384"],
        ("OKP", Some("Ed25519")) => &["EdDSA"],
        _ => &[],
    };
    let signs = key.usage.as_deref().is_none_or(|usage| usage == "sig");
    let named = family.iter().find(|word| key.alg.as_deref().is_none_or(|alg| alg == **word));
    named.copied().filter(|_| signs)
}

/// Signs with a key that is made for it and dropped.
fn sign(algorithm: &str, message: &[u8]) -> Option<Vec<u8>> {
    let rsa: Option<&'static dyn RsaEncoding> = match algorithm {
        "RS256" => Some(&signature::RSA_PKCS1_SHA256),
        "RS384" => Some(&signature::RSA_PKCS1_SHA384),
        "RS512" => Some(&signature::RSA_PKCS1_SHA512),
        "PS256" => Some(&signature::RSA_PSS_SHA256),
        "PS384" => Some(&signature::RSA_PSS_SHA384),
        "PS512" => Some(&signature::RSA_PSS_SHA512),
        _ => None,
    };
    let random = SystemRandom::new();
    if let Some(encoding) = rsa {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
        let mut signed = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, message, &mut signed).ok()?;
        return Some(signed);
    }
    let curve = match algorithm {
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => return Some(Ed25519KeyPair::generate().ok()?.sign(message).as_ref().to_vec()),
    };
    let key = EcdsaKeyPair::generate(curve).ok()?;
    Some(key.sign(&random, message).ok()?.as_ref().to_vec())
}

/// `iat` of a token that came from the realm itself.
fn issued_at(token: &Secret) -> Option<SystemTime> {
    let claims = token.expose().split('.').nth(1)?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(claims["iat"].as_u64()?))
}

#[cfg(test)]
mod tests;
