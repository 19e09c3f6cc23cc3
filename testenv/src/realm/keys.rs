//! Signing keys of the realms and their public forms. Signatures are made with aws-lc-rs directly, so that a
//! mistake in the program's token library cannot hide here too.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use aws_lc_rs::{rand, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A signature algorithm of JWS (RFC 7518, RFC 8037) that a realm can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, key of 2048 bits.
    Rs256,
    /// RSASSA-PSS with SHA-256, key of 2048 bits.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A private key with a key id. Clones share the key. `Debug` shows only id and algorithm.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    pair: Arc<Pair>,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key with a random id. An RSA key takes a noticeable part of a second.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map(Pair::Rsa),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Ecdsa),
            Algorithm::Es384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::Ecdsa),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        let pair = Arc::new(pair.expect("the machine has randomness for a key"));
        Self { kid: encode(&random::<32>()), algorithm, pair }
    }

    /// The same key under another id, for instance one that another realm uses too.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    /// The same key under the thumbprint of RFC 7638, as a client registers it that names it so.
    #[must_use]
    pub fn with_thumbprint(self) -> Self {
        let jwk = self.jwk();
        let member = |name: &&str| jwk.get(*name).map(|value| format!("\"{name}\":{value}"));
        // Section 3.2: the members of all kinds of key, in the order of their names, without spaces.
        let members: Vec<String> = ["crv", "e", "kty", "n", "x", "y"].iter().filter_map(member).collect();
        let hash = digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes());
        self.with_kid(&encode(hash.as_ref()))
    }

    /// The key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that the realm announces for this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs `message`. An RSA key can sign RS256 and PS256, whichever it announces.
    ///
    /// # Panics
    /// When `algorithm` does not fit the kind of key.
    #[must_use]
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match (&*self.pair, algorithm) {
            (Pair::Rsa(pair), Algorithm::Rs256) => rsa_signature(pair, &RSA_PKCS1_SHA256, message),
            (Pair::Rsa(pair), Algorithm::Ps256) => rsa_signature(pair, &RSA_PSS_SHA256, message),
            (Pair::Ecdsa(pair), _) if algorithm == self.algorithm => {
                pair.sign(&SystemRandom::new(), message).expect("an ECDSA key can sign").as_ref().to_vec()
            }
            (Pair::Ed25519(pair), Algorithm::EdDsa) => pair.sign(message).as_ref().to_vec(),
            _ => panic!("a key for {} cannot sign {}", self.algorithm.name(), algorithm.name()),
        }
    }

    /// The public key as JWK (RFC 7517) with `use` = `sig`, `alg` and `kid`.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = match &*self.pair {
            Pair::Rsa(pair) => rsa_jwk(pair),
            Pair::Ecdsa(pair) => {
                // Uncompressed point: 0x04, then x and y of equal length.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let curve = if self.algorithm == Algorithm::Es384 { "P-384" } else { "P-256" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The public key as PEM (`SubjectPublicKeyInfo`): what an HS256 confusion attack takes as its secret.
    ///
    /// # Panics
    /// For keys other than RSA.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let Pair::Rsa(pair) = &*self.pair else { panic!("only RSA keys are confused with HMAC secrets") };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("an RSA public key can be encoded");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private key as PEM (PKCS #8), for a program that signs with it.
    ///
    /// # Panics
    /// When the key cannot be encoded, which all kinds here can.
    #[must_use]
    pub fn private_pem(&self) -> String {
        match &*self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().expect("an RSA key can be encoded");
                pem("PRIVATE KEY", der.as_ref())
            }
            Pair::Ecdsa(pair) => pem("PRIVATE KEY", pair.to_pkcs8v1().expect("an ECDSA key can be encoded").as_ref()),
            Pair::Ed25519(pair) => {
                pem("PRIVATE KEY", pair.to_pkcs8v1().expect("an Ed25519 key can be encoded").as_ref())
            }
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        writeln!(pem, "{}", String::from_utf8_lossy(line)).expect("a String takes any text");
    }
    pem + &format!("-----END {label}-----\n")
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish()
    }
}

/// The JWK of an encryption key, as Keycloak publishes one, often before the signing keys.
pub(super) fn encryption_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.jwk();
    jwk["use"] = "enc".into();
    jwk["alg"] = "RSA-OAEP".into();
    jwk
}

/// A symmetric key, which has no place in a public key set.
#[must_use]
pub fn oct_jwk(kid: &str, secret: &[u8]) -> Value {
    json!({"kty": "oct", "k": encode(secret), "kid": kid, "alg": "HS256", "use": "sig"})
}

/// An RSA key of 1024 bits, too short to be trusted. Nobody holds its private part.
#[must_use]
pub fn short_rsa_jwk(kid: &str) -> Value {
    const MODULUS: &str = "0yjGZeUHHybk33rQUc_xqFAwyDs6jU8EsoJUYMcpSw3T7Aipg4PD54j8lh0qhx8LG44OFFAq95IUFPbJ7fnQX4aJybQq7ZFxUf8mLRqOxYGfNQ0TmR04SXrVuRClgKig-ePHEon1u7pUp0_w-qFvP7jByRFKS9KAhQmE9ds7BQs";
    json!({"kty": "RSA", "n": MODULUS, "e": "AQAB", "kid": kid, "alg": "RS256", "use": "sig"})
}

/// base64url without padding (RFC 7515 section 2).
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A random UUID, version 4.
#[must_use]
pub fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the machine has randomness");
    bytes
}

fn rsa_jwk(pair: &rsa::KeyPair) -> Value {
    let public = pair.public_key();
    let n = encode(public.modulus().big_endian_without_leading_zero());
    json!({"kty": "RSA", "n": n, "e": encode(public.exponent().big_endian_without_leading_zero())})
}

fn rsa_signature(pair: &rsa::KeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("an RSA key can sign");
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_forms_agree() {
        let key = SigningKey::generate(Algorithm::Rs256).with_kid("k1");
        let jwk = key.jwk();
        assert_eq!((jwk["kid"].as_str(), jwk["e"].as_str()), (Some("k1"), Some("AQAB")));
        assert_eq!(URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap().len(), 256);
        let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        let pem = key.public_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        assert!(der.windows(modulus.len()).any(|window| window == modulus), "the PEM holds the same modulus");
        assert_eq!(encryption_jwk(&key)["use"], "enc");
    }

    #[test]
    fn points_have_the_length_of_their_curve() {
        for (algorithm, length) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48)] {
            let jwk = SigningKey::generate(algorithm).jwk();
            for coordinate in ["x", "y"] {
                assert_eq!(URL_SAFE_NO_PAD.decode(jwk[coordinate].as_str().unwrap()).unwrap().len(), length);
            }
        }
    }

    #[test]
    fn the_short_key_is_short() {
        let jwk = short_rsa_jwk("short");
        assert_eq!(URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap().len(), 128);
    }

    #[test]
    fn uuids_look_like_version_4() {
        let id = uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        assert_ne!(id, uuid());
    }
}
