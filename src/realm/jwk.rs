//! The public half of our client's key, as a realm is told it and as an assertion names it. The private half goes nowhere.

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

/// The public half of a PEM key of RSA, P-256, P-384 or Ed25519 as a JWK (RFC 7517), its `kid` the thumbprint of RFC 7638.
/// `None` when `pem` holds no such key.
pub fn public_jwk(pem: &[u8]) -> Option<Value> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let (members, algorithm) = public_members(&key)?;
    let id = thumbprint(&members);
    let mut jwk = members;
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    jwk["alg"] = algorithm.into();
    Some(jwk)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::thumbprint;

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
