//! The public half of our client's key, as Keycloak is told it. The private half goes nowhere.

use std::io;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::kubeconfig::read_bounded;

/// Reads a PEM key of RSA, P-256, P-384 or Ed25519 and gives its public half as a JWK (RFC 7517), its id the thumbprint of
/// RFC 7638.
///
/// # Errors
/// When the file cannot be read, or holds no such key.
pub(super) fn public_jwk(file: &Path) -> io::Result<Value> {
    let pem = read_bounded(file)?;
    let unusable = || io::Error::other("it is no PEM of an RSA, P-256, P-384 or Ed25519 key");
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_broken| unusable())?;
    let (members, algorithm) = public_members(&key).ok_or_else(unusable)?;
    let id = thumbprint(&members);
    let mut jwk = members;
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    jwk["alg"] = algorithm.into();
    Ok(jwk)
}

/// RFC 7638 3. The members are written in the order of their names, and stay in it.
fn thumbprint(members: &Value) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.to_string().as_bytes()))
}

/// The members that make the key, and the algorithm it signs with.
fn public_members(key: &PrivateKeyDer<'_>) -> Option<(Value, &'static str)> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let der = key.secret_der();
    let pkcs1 = matches!(key, PrivateKeyDer::Pkcs1(_));
    let rsa = if pkcs1 { RsaKeyPair::from_der(der) } else { RsaKeyPair::from_pkcs8(der) };
    if let Ok(pair) = rsa {
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        return Some((json!({"e": text(e), "kty": "RSA", "n": text(n)}), "RS256"));
    }
    for (kind, curve, algorithm, length) in [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256", 32),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384", 48),
    ] {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(kind, der) {
            // SEC 1: 4, then both coordinates.
            let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(length)?;
            return Some((json!({"crv": curve, "kty": "EC", "x": text(x), "y": text(y)}), algorithm));
        }
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    Some((json!({"crv": "Ed25519", "kty": "OKP", "x": text(pair.public_key().as_ref())}), "EdDSA"))
}

/// True when a JWKS, as its text, holds this key under its id, by which an assertion names it; further members may be
/// others.
pub(super) fn holds(jwks: &str, key: &Value) -> bool {
    let members = ["kid", "kty", "crv", "n", "e", "x", "y"];
    let same = |other: &Value| members.iter().all(|name| other.get(name) == key.get(name));
    keys(jwks).iter().any(same)
}

/// The JWKS with this key as well: while a key is replaced, some pods still sign with the one before.
pub(super) fn added(jwks: &str, key: Value) -> String {
    let mut all = keys(jwks);
    all.push(key);
    json!({"keys": all}).to_string()
}

fn keys(jwks: &str) -> Vec<Value> {
    let set: Option<Value> = serde_json::from_str(jwks).ok();
    set.and_then(|set| set["keys"].as_array().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{added, holds, public_jwk, thumbprint};

    #[test]
    fn the_public_half_of_each_kind_of_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        for (kind, algorithm, members) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256", "alg crv kid kty use x y"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384", "alg crv kid kty use x y"),
            (&rcgen::PKCS_ED25519, "EdDSA", "alg crv kid kty use x"),
            (&rcgen::PKCS_RSA_SHA256, "RS256", "alg e kid kty n use"),
        ] {
            let pair = rcgen::KeyPair::generate_for(kind).unwrap();
            std::fs::write(&file, pair.serialize_pem()).unwrap();
            let jwk = public_jwk(&file).unwrap();
            let mut names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!((jwk["alg"].as_str(), names.join(" ").as_str()), (Some(algorithm), members));
            let set = json!({"keys": [{"kty": "oct"}, jwk]}).to_string();
            assert!(holds(&set, &jwk) && !holds("{}", &jwk) && !holds("no json", &jwk));
            let mut other = jwk.clone();
            other["x"] = "AAAA".into();
            assert!(!holds(&set, &other));
            let mut renamed = jwk.clone();
            renamed["kid"] = "another".into();
            assert!(!holds(&set, &renamed), "an assertion would not find it");
            let both = added(&set, renamed.clone());
            assert!(holds(&both, &jwk) && holds(&both, &renamed), "the one before stays");
            assert!(holds(&added("no json", jwk.clone()), &jwk));
        }
        std::fs::write(&file, "no key").unwrap();
        assert!(public_jwk(&file).is_err());
    }

    #[test]
    fn the_id_is_the_thumbprint_of_rfc_7638() {
        // Section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok\
                 njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM\
                 QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz\
                 KnqDKgw";
        let members = json!({"e": "AQAB", "kty": "RSA", "n": n});
        assert_eq!(thumbprint(&members), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
