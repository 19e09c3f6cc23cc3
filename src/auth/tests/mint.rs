//! Tokens and key sources for tests: tokens are written byte by byte, so that they can be wrong in any way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::super::jwks::KeySource;
use crate::realm::{RawJwk, RealmError};

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key with its kid.
pub(super) struct Signer {
    pub(super) kid: String,
    pair: Pair,
}

impl Signer {
    pub(super) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::P256(pair) }
    }

    pub(super) fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::P384(pair) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(super) fn rsa(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(super) fn alg(&self) -> &'static str {
        match self.pair {
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// The usual header.
    pub(super) fn header(&self) -> String {
        format!(r#"{{"alg":"{}","typ":"JWT","kid":"{}"}}"#, self.alg(), self.kid)
    }

    /// A header with more members.
    pub(super) fn header_and(&self, more: &str) -> String {
        format!(r#"{{"alg":"{}","kid":"{}",{more}}}"#, self.alg(), self.kid)
    }

    /// A token of exactly this header and these claims.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = self.signature(signed.as_bytes(), header.contains("PS256"));
        format!("{signed}.{}", b64(signature))
    }

    fn signature(&self, message: &[u8], pss: bool) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The public key as published.
    pub(super) fn jwk(&self) -> RawJwk {
        let mut jwk = RawJwk {
            kty: "EC".to_owned(),
            kid: Some(self.kid.clone()),
            usage: Some("sig".to_owned()),
            key_ops: None,
            alg: Some(self.alg().to_owned()),
            crv: None,
            n: None,
            e: None,
            x: None,
            y: None,
        };
        let mut point = |crv: &str, public: &[u8]| {
            let (x, y) = public[1..].split_at(public.len() / 2);
            (jwk.crv, jwk.x, jwk.y) = (Some(crv.to_owned()), Some(b64(x)), Some(b64(y)));
        };
        match &self.pair {
            Pair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => {
                jwk.kty = "OKP".to_owned();
                (jwk.crv, jwk.x) = (Some("Ed25519".to_owned()), Some(b64(pair.public_key())));
            }
            Pair::Rsa(pair) => {
                jwk.kty = "RSA".to_owned();
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                (jwk.n, jwk.e) = (Some(b64(public.n)), Some(b64(public.e)));
            }
        }
        jwk
    }
}

/// A source of keys that counts.
pub(super) struct Fake {
    /// What the realm publishes; `None` = it cannot be reached.
    pub(super) published: Mutex<Option<Vec<RawJwk>>>,
    fetches: AtomicUsize,
}

impl Fake {
    pub(super) fn new(published: Vec<RawJwk>) -> Self {
        Self { published: Mutex::new(Some(published)), fetches: AtomicUsize::new(0) }
    }

    pub(super) fn publish(&self, keys: Option<Vec<RawJwk>>) {
        *self.published.lock().unwrap() = keys;
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl KeySource for Fake {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<RawJwk>, RealmError>> {
        async {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.published.lock().unwrap().clone().ok_or_else(|| RealmError::Document {
                realm: super::name("corp"),
                what: "keys",
                why: "the realm answered 503".to_owned(),
            })
        }
        .boxed()
    }
}
