//! The mint: tokens as Keycloak writes them, and every bad token that a verifier has to refuse.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::keys::{Algorithm, SigningKey, encode, uuid};

/// A token in the making. It starts as a good access token; every method changes one thing about it.
///
/// Header and claims can be edited freely through [`TokenBuilder::header_map`] and [`TokenBuilder::claims_map`];
/// the raw forms replace them byte for byte.
#[derive(Clone)]
pub struct TokenBuilder {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<String>,
    raw_payload: Option<String>,
    signer: Signer,
}

#[derive(Clone)]
enum Signer {
    Key(SigningKey, Algorithm),
    Hmac(Vec<u8>),
    /// These bytes stand in place of a signature.
    Bytes(Vec<u8>),
}

impl TokenBuilder {
    /// A token of `issuer` for the subject `sub`, valid for `lifetime` seconds from now.
    #[must_use]
    pub fn new(issuer: &str, key: SigningKey, sub: &str, lifetime: i64) -> Self {
        let Value::Object(header) = json!({"alg": "", "typ": "JWT", "kid": ""}) else { unreachable!("an object") };
        let now = now();
        let claims = json!({
            "exp": now + lifetime, "iat": now, "jti": format!("onrtro:{}", uuid()), "iss": issuer, "sub": sub,
            "typ": "Bearer", "sid": uuid(), "scope": "openid profile email groups",
        });
        let Value::Object(claims) = claims else { unreachable!("an object") };
        let signer = Signer::Bytes(Vec::new());
        Self { header, claims, raw_header: None, raw_payload: None, signer }.key(key)
    }

    /// Sets `aud` to one string.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    /// Sets `aud` to an array.
    #[must_use]
    pub fn audiences(self, audiences: &[&str]) -> Self {
        self.claim("aud", audiences.to_vec())
    }

    /// Sets `iat` and `exp` so that the token was made `age` seconds ago (negative: will be made) and is valid
    /// for `lifetime` seconds from then.
    #[must_use]
    pub fn aged(self, age: i64, lifetime: i64) -> Self {
        let issued = now() - age;
        self.claim("iat", issued).claim("exp", issued + lifetime)
    }

    /// Sets a claim to any JSON value.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a header parameter to any JSON value.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a header parameter.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// All claims, to edit.
    pub fn claims_map(&mut self) -> &mut Map<String, Value> {
        &mut self.claims
    }

    /// All header parameters, to edit.
    pub fn header_map(&mut self) -> &mut Map<String, Value> {
        &mut self.header
    }

    /// The payload as text, instead of the claims: duplicate members, numbers beyond 64 bits, no JSON at all.
    #[must_use]
    pub fn raw_payload(mut self, text: impl Into<String>) -> Self {
        self.raw_payload = Some(text.into());
        self
    }

    /// The protected header as text, instead of the header parameters.
    #[must_use]
    pub fn raw_header(mut self, text: impl Into<String>) -> Self {
        self.raw_header = Some(text.into());
        self
    }

    /// The claims as JSON text, a start for [`TokenBuilder::raw_payload`].
    #[must_use]
    pub fn payload_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    /// Signs with `key`, and writes its `kid` and `alg` into the header.
    #[must_use]
    pub fn key(self, key: SigningKey) -> Self {
        let (kid, algorithm) = (key.kid().to_owned(), key.algorithm());
        self.header("kid", kid).header("alg", algorithm.name()).signed_by(key, algorithm)
    }

    /// Signs with `key` and `algorithm` but leaves the header as it is.
    #[must_use]
    pub fn signed_by(mut self, key: SigningKey, algorithm: Algorithm) -> Self {
        self.signer = Signer::Key(key, algorithm);
        self
    }

    /// Signs with HMAC-SHA-256 under `secret` and writes `alg` = `HS256`, keeping `kid`.
    #[must_use]
    pub fn hs256(mut self, secret: &[u8]) -> Self {
        self.signer = Signer::Hmac(secret.to_vec());
        self.header("alg", "HS256")
    }

    /// Leaves the signature empty and writes `alg` as given: `none`, `None`, `nOnE`.
    #[must_use]
    pub fn unsigned(self, alg: &str) -> Self {
        self.header("alg", alg).signature(Vec::new())
    }

    /// Puts these bytes in place of the signature.
    #[must_use]
    pub fn signature(mut self, bytes: Vec<u8>) -> Self {
        self.signer = Signer::Bytes(bytes);
        self
    }

    /// Writes the public key of `key` into the header (`jwk`) and signs with it, under the `kid` of before.
    #[must_use]
    pub fn embedded_jwk(self, key: SigningKey) -> Self {
        let (jwk, algorithm) = (key.jwk(), key.algorithm());
        self.header("jwk", jwk).header("alg", algorithm.name()).signed_by(key, algorithm)
    }

    /// Adds a claim that makes the whole token about `bytes` long.
    #[must_use]
    pub fn padded_to(self, bytes: usize) -> Self {
        self.claim("padding", "x".repeat(bytes * 3 / 4))
    }

    /// Adds a claim of arrays, `depth` deep, as text since serde stops at 128 levels.
    #[must_use]
    pub fn nested(self, depth: usize) -> Self {
        let claims = self.payload_text();
        let open = claims.strip_suffix('}').unwrap_or(&claims).to_owned();
        self.raw_payload(format!("{open},\"nested\":{}{}}}", "[".repeat(depth), "]".repeat(depth)))
    }

    /// Adds a second member `name` to the payload, after the first.
    #[must_use]
    pub fn duplicate_claim(self, name: &str, value: &Value) -> Self {
        let claims = self.payload_text();
        let open = claims.strip_suffix('}').unwrap_or(&claims).to_owned();
        self.raw_payload(format!("{open},\"{name}\":{value}}}"))
    }

    /// The token in compact form (RFC 7515 section 3.1).
    ///
    /// # Panics
    /// When the key does not fit the algorithm of [`TokenBuilder::signed_by`].
    #[must_use]
    pub fn mint(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| Value::Object(self.header.clone()).to_string());
        let payload = self.raw_payload.clone().unwrap_or_else(|| self.payload_text());
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = match &self.signer {
            Signer::Key(key, algorithm) => key.sign(*algorithm, signed.as_bytes()),
            Signer::Hmac(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes()).as_ref().to_vec()
            }
            Signer::Bytes(bytes) => bytes.clone(),
        };
        format!("{signed}.{}", encode(&signature))
    }

    /// A JWE look-alike: five parts, none of which can be decrypted.
    #[must_use]
    pub fn mint_encrypted(&self) -> String {
        let header = json!({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": self.header.get("kid")}).to_string();
        let parts = [header.as_bytes(), b"key", b"iv", self.payload_text().as_bytes(), b"tag"].map(encode);
        parts.join(".")
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the end of time")
}
