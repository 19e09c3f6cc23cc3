//! Tokens of an OIDC issuer, verified the way a structured authentication configuration does.
//!
//! Deliberately its own few lines on aws-lc-rs: a fault in the verifier of the program under test must not
//! hide behind the same fault here.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::rbac::User;

/// The longest that one request for keys may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// One trusted issuer: whose tokens are accepted, and what they say about the user.
#[derive(Clone, Debug)]
pub struct JwtIssuer {
    /// The exact `iss`.
    pub issuer: String,
    /// Where its keys come from.
    pub keys: Keys,
    /// At least one of these must be in `aud`.
    pub audiences: Vec<String>,
    /// The claim with the user name.
    pub username_claim: String,
    /// Put before the user name.
    pub username_prefix: String,
    /// The claim with the groups, a string or a list; `None` for no groups.
    pub groups_claim: Option<String>,
    /// Put before each group.
    pub groups_prefix: String,
    /// The claim with the uid; `None` for no uid.
    pub uid_claim: Option<String>,
    /// How far the clock of the API server is ahead of everybody else's, in seconds; negative when it is behind.
    pub clock_ahead: i32,
}

/// The source of an issuer's keys.
#[derive(Clone, Debug)]
pub enum Keys {
    /// A JSON Web Key Set, given directly.
    Static(Value),
    /// The issuer's discovery document, read at start and again when an unknown key id turns up. Only this CA is trusted.
    Discovery {
        /// The CA of the realm, as PEM.
        ca_pem: String,
    },
}

impl JwtIssuer {
    /// An issuer with the usual claims: `preferred_username`, `groups` and `sub` as the uid, both names prefixed.
    #[must_use]
    pub fn new(issuer: &str, keys: Keys, audience: &str, prefix: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys,
            audiences: vec![audience.to_owned()],
            username_claim: "preferred_username".into(),
            username_prefix: prefix.to_owned(),
            groups_claim: Some("groups".into()),
            groups_prefix: prefix.to_owned(),
            uid_claim: Some("sub".into()),
            clock_ahead: 0,
        }
    }
}

/// A prepared issuer with its keys.
pub(super) struct Issuer {
    config: JwtIssuer,
    client: Option<reqwest::Client>,
    keys: RwLock<Arc<Vec<Value>>>,
}

impl Issuer {
    pub(super) async fn prepare(config: JwtIssuer) -> anyhow::Result<Self> {
        let (client, keys) = match &config.keys {
            Keys::Static(set) => (None, keys_of(set)),
            Keys::Discovery { ca_pem } => {
                let tls = crate::pki::client_config(ca_pem, None, &[]);
                let client = reqwest::Client::builder()
                    .tls_backend_preconfigured(tls.as_ref().clone())
                    .timeout(FETCH_DEADLINE)
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .context("build the client for an issuer's keys")?;
                let keys = fetch(&client, &config.issuer).await?;
                (Some(client), keys)
            }
        };
        Ok(Self { config, client, keys: RwLock::new(Arc::new(keys)) })
    }

    /// The user, if this issuer made `token`, for us, and it has not expired.
    pub(super) async fn verify(&self, token: &str) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let (header, claims) = (json_part(header)?, json_part(payload)?);
        if claims["iss"] != *self.config.issuer
            || !self.meant_for_us(&claims)
            || !current(&claims, self.config.clock_ahead)
        {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let (algorithm, kid) = (header["alg"].as_str()?, header["kid"].as_str());
        let verified = |keys: &[Value]| {
            keys.iter()
                .filter(|key| kid.is_none() || key["kid"].as_str() == kid)
                .any(|key| matches(key, algorithm, signed.as_bytes(), &signature).is_some())
        };
        if !verified(&self.known_keys()) && !verified(&self.refetched(kid).await) {
            return None;
        }
        self.user(&claims)
    }

    fn known_keys(&self) -> Arc<Vec<Value>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// The keys, read again when `kid` is not among them: the first token after a rotation is accepted.
    async fn refetched(&self, kid: Option<&str>) -> Arc<Vec<Value>> {
        let known = self.known_keys();
        let Some(client) = &self.client else {
            return known;
        };
        if known.iter().any(|key| key["kid"].as_str() == kid) {
            return known;
        }
        match fetch(client, &self.config.issuer).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                let mut slot = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *slot = Arc::clone(&keys);
                keys
            }
            Err(error) => {
                tracing::warn!(issuer = self.config.issuer, "keys not read: {error:#}");
                known
            }
        }
    }

    fn meant_for_us(&self, claims: &Value) -> bool {
        strings(&claims["aud"]).iter().any(|audience| self.config.audiences.contains(audience))
    }

    fn user(&self, claims: &Value) -> Option<User> {
        let config = &self.config;
        if config.username_claim == "email" && claims["email_verified"] == false {
            return None;
        }
        let name = claims[&config.username_claim].as_str()?;
        let groups = config.groups_claim.as_ref().map(|claim| &claims[claim]);
        let groups = groups.map(strings).unwrap_or_default();
        let uid = config.uid_claim.as_ref().map(|claim| &claims[claim]);
        let mut user = User {
            name: format!("{}{name}", config.username_prefix),
            uid: uid.and_then(Value::as_str).map(str::to_owned),
            groups: groups.iter().map(|group| format!("{}{group}", config.groups_prefix)).collect(),
            ..User::default()
        };
        if let Some(jti) = claims["jti"].as_str() {
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={jti}")]);
        }
        Some(user)
    }
}

async fn fetch(client: &reqwest::Client, issuer: &str) -> anyhow::Result<Vec<Value>> {
    let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let document = get(client, &discovery).await?;
    ensure!(document["issuer"] == *issuer, "the document at {discovery} is of issuer {}", document["issuer"]);
    let address = document["jwks_uri"].as_str().with_context(|| format!("{discovery} names no jwks_uri"))?;
    Ok(keys_of(&get(client, address).await?))
}

async fn get(client: &reqwest::Client, address: &str) -> anyhow::Result<Value> {
    let response = client
        .get(address)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .with_context(|| format!("read {address}"))?;
    let body = response.json().await.with_context(|| format!("read {address}"))?;
    Ok(body)
}

fn keys_of(set: &Value) -> Vec<Value> {
    set["keys"].as_array().cloned().unwrap_or_default()
}

fn json_part(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A string or a list of strings, as `aud` and group claims may be.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn current(claims: &Value, clock_ahead: i32) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64();
    let now = now + f64::from(clock_ahead);
    let expires = claims["exp"].as_f64();
    let starts = claims["nbf"].as_f64().unwrap_or(0.0);
    // 5 minutes of leeway for `nbf`, none for `exp`: what the real verifier allows.
    expires.is_some_and(|expires| expires > now) && starts <= now + 300.0
}

/// `Some(())` when `key` is of this algorithm and made `signature`.
fn matches(key: &Value, algorithm: &str, message: &[u8], signature: &[u8]) -> Option<()> {
    let field = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    match (algorithm, key["kty"].as_str()?) {
        ("RS256", "RSA") => RsaPublicKeyComponents { n: field("n")?, e: field("e")? }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .ok(),
        ("ES256", "EC") => {
            let point = [vec![4], field("x")?, field("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
    use serde_json::json;

    use super::*;

    /// A realm of one key, for tests.
    pub(in super::super) struct Signer {
        pair: EcdsaKeyPair,
    }

    impl Signer {
        pub(in super::super) fn new() -> Self {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            Self { pair }
        }

        pub(in super::super) fn jwks(&self) -> Value {
            let point = self.pair.public_key().as_ref();
            json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65])}]})
        }

        pub(in super::super) fn token(&self, claims: &Value) -> String {
            let signed = signed_part(&json!({"alg": "ES256", "kid": "k1"}), claims);
            let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    pub(in super::super) fn claims(name: &str, audience: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({"iss": "https://issuer.example/realms/corp", "sub": format!("id-{name}"),
            "preferred_username": name, "groups": ["dev"], "aud": [audience, "other"],
            "exp": now + 60, "iat": now, "jti": "j1"})
    }

    fn signed_part(header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}")
    }

    async fn issuer(keys: Value) -> Issuer {
        let issuer = "https://issuer.example/realms/corp";
        let config = JwtIssuer::new(issuer, Keys::Static(keys), "lab", "corp:");
        Issuer::prepare(config).await.unwrap()
    }

    #[tokio::test]
    async fn a_good_token_becomes_a_prefixed_user() {
        let signer = Signer::new();
        let issuer = issuer(signer.jwks()).await;
        let user = issuer.verify(&signer.token(&claims("bob", "lab"))).await.unwrap();
        assert_eq!(user.name, "corp:bob");
        assert_eq!(user.groups, ["corp:dev"]);
        assert_eq!(user.uid.as_deref(), Some("id-bob"));
        assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=j1"]);
    }

    #[tokio::test]
    async fn every_fault_is_refused() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let issuer = issuer(signer.jwks()).await;
        let mut faults = vec![
            signer.token(&claims("bob", "elsewhere")),
            stranger.token(&claims("bob", "lab")),
            "garbage".into(),
            "a.b.c".into(),
            String::new(),
        ];
        for (claim, value) in [
            ("exp", json!(1)),
            ("exp", json!(null)),
            ("nbf", json!(99_999_999_999_u64)),
            ("iss", json!("https://issuer.example/realms/corp/")),
            ("preferred_username", json!(7)),
        ] {
            let mut changed = claims("bob", "lab");
            changed[claim] = value;
            faults.push(signer.token(&changed));
        }
        let good = signer.token(&claims("bob", "lab"));
        let unsigned = signed_part(&json!({"alg": "none"}), &claims("bob", "lab"));
        faults.push(format!("{unsigned}."));
        faults.push(good.replacen("ey", "eX", 1));
        for fault in faults {
            assert_eq!(issuer.verify(&fault).await, None, "{fault}");
        }
        assert!(issuer.verify(&good).await.is_some());
    }

    #[tokio::test]
    async fn rsa_tokens_are_verified_too() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let modulus = pair.public_key().modulus().big_endian_without_leading_zero();
        let jwks = json!({"keys": [{"kty": "RSA", "kid": "r1", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(modulus)}]});
        let signed = signed_part(&json!({"alg": "RS256", "kid": "r1"}), &claims("bob", "lab"));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let issuer = issuer(jwks).await;
        assert_eq!(issuer.verify(&token).await.unwrap().name, "corp:bob");
        // The same bytes under a P-256 key of the same name prove nothing.
        let mut other = Signer::new().jwks();
        other["keys"][0]["kid"] = json!("r1");
        assert!(super::Issuer::verify(&self::issuer(other).await, &token).await.is_none());
    }
}
