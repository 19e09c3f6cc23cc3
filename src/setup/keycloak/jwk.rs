//! The keys of our client, as Keycloak keeps them.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::kubeconfig::read_bounded;
use crate::realm;

/// Reads a PEM key and gives its public half as a JWK, its id the thumbprint of RFC 7638.
///
/// # Errors
/// When the file cannot be read, or holds no such key.
pub(super) fn public_jwk(file: &Path) -> io::Result<Value> {
    let unusable = || io::Error::other("it is no PEM of an RSA, P-256, P-384 or Ed25519 key");
    realm::public_jwk(&read_bounded(file)?).ok_or_else(unusable)
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

    use super::{added, holds, public_jwk};

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
}
