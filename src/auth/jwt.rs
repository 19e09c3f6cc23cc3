//! A token's shape, header and signature. What it says is read in `auth/claims.rs`, after the signature was checked with
//! the keys of its realm and of no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::jwks::{KeyError, KeySet};
use super::{AuthError, Authenticator, strict};
use crate::model::Principal;
use crate::realm::{Algorithm, RealmConfig};

/// Header parameters that would change what is verified, or with which key (RFC 7515 4.1, RFC 7797). We follow none.
const REFUSED_HEADERS: [&str; 8] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"];
/// The longest `kid`, in bytes.
const MAX_KID: usize = 256;

/// A realm whose tokens are accepted, with its keys.
pub(super) struct Home {
    pub(super) realm: RealmConfig,
    pub(super) keys: Arc<KeySet>,
    /// Audiences of the realm's `passthrough` clusters.
    pub(super) passthrough: BTreeSet<String>,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("realm", &self.realm.name).finish_non_exhaustive()
    }
}

/// A token taken apart; nothing of it is verified yet.
struct Parts<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Header, dot, claims, as signed.
    signed: &'a str,
    signature: &'a str,
}

impl Authenticator {
    /// Verifies a token of a home realm (RFC 7519 7.2, RFC 9068 4, table A of the tests).
    pub(super) async fn verify(&self, token: &str, digest: [u8; 32], now: SystemTime) -> Result<Principal, AuthError> {
        let parts = Parts::split(token)?;
        // Read before verification, to choose the one realm whose keys are asked.
        let issuer = parts.claims.get("iss").and_then(Value::as_str);
        let home = self.homes.iter().find(|home| issuer == Some(home.realm.issuer.as_str()));
        let home = home.ok_or_else(|| AuthError::invalid("the token is of no realm that is accepted here"))?;
        let known = |error| in_realm(home, error);
        let access = parts.header().map_err(known)?;
        let algorithm = parts.algorithm(&home.realm).map_err(known)?;
        parts.check_signature(home, algorithm).await?;
        let claims = Claims { map: &parts.claims, access, realm: &home.realm };
        self.admit(home, &claims, digest, now).map_err(known)
    }
}

/// Adds the realm to a refusal.
fn in_realm(home: &Home, mut error: AuthError) -> AuthError {
    if let AuthError::Invalid { realm, .. } = &mut error {
        *realm = Some(home.realm.name.clone());
    }
    error
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, AuthError> {
        let malformed = || AuthError::invalid("the token is not a signed JWT");
        let pieces: Vec<&str> = token.splitn(4, '.').collect();
        let &[header, claims, signature] = pieces.as_slice() else {
            return Err(malformed());
        };
        let object = |piece: &str| URL_SAFE_NO_PAD.decode(piece).ok().and_then(|bytes| strict::object(&bytes));
        let signed = token.get(..header.len() + 1 + claims.len()).ok_or_else(malformed)?;
        Ok(Self {
            header: object(header).ok_or_else(malformed)?,
            claims: object(claims).ok_or_else(malformed)?,
            signed,
            signature: Some(signature).filter(|signature| !signature.is_empty()).ok_or_else(malformed)?,
        })
    }

    /// Checks the header but for algorithm and key. True when it says that this is an access token (RFC 9068 2.1).
    fn header(&self) -> Result<bool, AuthError> {
        if let Some(name) = REFUSED_HEADERS.into_iter().find(|name| self.header.contains_key(*name)) {
            return Err(AuthError::invalid(format!("the token's header has {name}, which is not accepted")));
        }
        let typ = match self.header.get("typ") {
            None => return Ok(false),
            Some(Value::String(typ)) => typ.to_ascii_lowercase(),
            Some(_) => return Err(AuthError::invalid("the token's typ is no text")),
        };
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => Ok(false),
            "at+jwt" => Ok(true),
            _ => Err(AuthError::invalid("the token is of a kind (typ) that is no access token")),
        }
    }

    fn algorithm(&self, realm: &RealmConfig) -> Result<Algorithm, AuthError> {
        let word = self.header.get("alg").and_then(Value::as_str);
        let algorithm = word.and_then(Algorithm::parse).filter(|algorithm| realm.algorithms.contains(algorithm));
        algorithm.ok_or_else(|| AuthError::invalid("the token's algorithm is not one of its realm's"))
    }

    async fn check_signature(&self, home: &Home, algorithm: Algorithm) -> Result<(), AuthError> {
        let invalid = |why| in_realm(home, AuthError::invalid(why));
        let kid = match self.header.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=MAX_KID).contains(&kid.len()) => Some(kid.as_str()),
            Some(_) => return Err(invalid("the token's kid is not usable")),
        };
        let keys = home.keys.candidates(kid, algorithm).await.map_err(|error| match error {
            KeyError::Unknown => invalid("the token is signed with a key that its realm does not publish"),
            KeyError::Unavailable => AuthError::RealmUnavailable { realm: home.realm.name.clone() },
        })?;
        let signed = self.signed.as_bytes();
        let verifies =
            keys.iter().any(|key| crypto::verify(self.signature, signed, key, native(algorithm)).unwrap_or(false));
        if verifies { Ok(()) } else { Err(invalid("the token's signature is wrong")) }
    }
}

/// The algorithm in jsonwebtoken's words.
fn native(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}
