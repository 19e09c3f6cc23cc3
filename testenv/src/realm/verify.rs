//! Tokens that a realm is shown: read and checked, with aws-lc-rs directly as [`super::keys`] signs.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A token in its parts; nothing of it is checked yet.
#[derive(Debug)]
pub(super) struct Jwt {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: String,
    signature: Vec<u8>,
}

/// What is wrong with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadSignature {
    /// No algorithm of a public key.
    Algorithm,
    /// No published key has this `kid`.
    Key,
    /// It does not verify.
    Wrong,
}

impl Jwt {
    /// Takes a compact JWS apart (RFC 7515 section 3.1).
    pub fn read(token: &str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { header: part(header)?, claims: part(claims)?, signed: signed.to_owned(), signature })
    }

    /// A claim that is a text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a time in seconds.
    pub fn seconds(&self, claim: &str) -> Option<i64> {
        self.claims.get(claim)?.as_i64()
    }

    /// `aud`, which is absent, a string or an array.
    pub fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Checks the signature with the key of `keys` that the header names; keys for encryption do not count.
    pub fn check(&self, keys: &[Value]) -> Result<(), BadSignature> {
        let header = |name: &str| self.header.get(name).and_then(Value::as_str);
        let algorithm = header("alg").filter(|alg| ["RS256", "PS256", "ES256", "ES384", "EdDSA"].contains(alg));
        let algorithm = algorithm.ok_or(BadSignature::Algorithm)?;
        let kid = header("kid");
        let mut named = keys
            .iter()
            .filter(|key| key["use"] != "enc" && (kid.is_none() || key["kid"].as_str() == kid))
            .filter(|key| key["alg"] == algorithm)
            .peekable();
        named.peek().ok_or(BadSignature::Key)?;
        let verified = named.any(|key| verifies(key, algorithm, self.signed.as_bytes(), &self.signature).is_some());
        if verified { Ok(()) } else { Err(BadSignature::Wrong) }
    }
}

fn verifies(jwk: &Value, algorithm: &str, signed: &[u8], signature: &[u8]) -> Option<()> {
    let field = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
    let rsa = || Some(PublicKeyComponents { n: field("n")?, e: field("e")? });
    let point = || Some([vec![4], field("x")?, field("y")?].concat());
    let verified = match algorithm {
        "RS256" => rsa()?.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
        "PS256" => rsa()?.verify(&RSA_PSS_2048_8192_SHA256, signed, signature),
        "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()?).verify(signed, signature),
        "ES384" => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()?).verify(signed, signature),
        _ => UnparsedPublicKey::new(&ED25519, field("x")?).verify(signed, signature),
    };
    verified.ok()
}
