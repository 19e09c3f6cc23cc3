use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{Asks, Leg, RealmClient};
use super::{ProbeError, algorithm, forged};
use crate::model::RealmName;
use crate::realm::fake::{Answer, Realm};
use crate::realm::{Profile, RawJwk, RealmClient as Ours, RealmReader};

struct Lab {
    folder: tempfile::TempDir,
    corp: Realm,
    plant: Realm,
}

impl Lab {
    async fn start() -> Self {
        crate::auth::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "hunter2").unwrap();
        let (corp, plant) = (Realm::start(&["localhost"], 2100).await, Realm::start(&["localhost"], 2100).await);
        corp.discovery(&[]);
        plant.discovery(&[]);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": "AA", "y": "AA"});
        corp.route("/keys", Answer::Json(json!({"keys": [key]}).to_string()));
        Self { folder, corp, plant }
    }

    fn client(&self, name: &str, at: &Realm) -> RealmClient {
        let mut config = at.config();
        config.name = RealmName::parse(name).unwrap();
        config.profile = Profile::Keycloak;
        let secret_file = Some(self.folder.path().join("secret"));
        let (id, auth) = ("ferry".to_owned(), "client_secret_basic".to_owned());
        config.client = Some(Ours { id, auth, secret_file, key_file: None, token_file: None });
        RealmClient::new(&config, Arc::new(RealmReader::new(&config).unwrap())).unwrap()
    }

    fn home(&self) -> RealmClient {
        self.client("corp", &self.corp)
    }

    fn target(&self) -> RealmClient {
        self.client("plant", &self.plant)
    }
}

/// Lets a realm refuse every request for a token.
fn refuse(realm: &Realm, status: u16, error: &str, description: &str) {
    let body = json!({"error": error, "error_description": description}).to_string();
    let head = format!("HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-type: application/json\r\n");
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    realm.route("/token", Answer::Raw(answer.into_bytes()));
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.AA", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// A token of the service account for `client_credentials`, and one for the asked audience for an exchange.
fn serve(realm: &Realm, ahead: u64) {
    let issuer = realm.issuer();
    let made = move |request: &str| {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let claims = json!({"iss": issuer, "sub": "service-account-ferry", "aud": form.get("audience"),
            "iat": now() + ahead, "exp": now() + 60, "jti": form.get("grant_type")});
        let kind = form.contains_key("audience").then_some("urn:ietf:params:oauth:token-type:access_token");
        json!({"access_token": jwt(&claims), "token_type": "Bearer", "expires_in": 60, "issued_token_type": kind})
            .to_string()
    };
    realm.route("/token", Answer::Made(Arc::new(made)));
}

fn code(outcome: Result<(), impl Into<ProbeError>>) -> &'static str {
    match outcome.map_err(Into::into) {
        Ok(()) => "fine",
        Err(error) => {
            assert!(!format!("{error:?}{error}").contains("hunter2"), "{error:?}");
            match error {
                ProbeError::Credential(error) => error.failure(true).code,
                ProbeError::AnyToken { .. } => "any token",
                ProbeError::AnySignature { .. } => "any signature",
            }
        }
    }
}

#[tokio::test]
async fn something_that_is_no_token_shows_whether_our_client_may_exchange() {
    let lab = Lab::start().await;
    for (status, error, description, seen) in [
        (400, "invalid_request", "Invalid token", "fine"),
        (
            400,
            "invalid_request",
            "Standard token exchange is not enabled for the requested client",
            "exchange_disabled",
        ),
        (401, "unauthorized_client", "Invalid client or Invalid client credentials", "client_refused"),
        (503, "", "", "realm_unavailable"),
    ] {
        refuse(&lab.corp, status, error, description);
        assert_eq!(code(lab.home().probe_exchange().await), seen, "{description}");
    }
    let issued = json!({"access_token": jwt(&json!({})), "token_type": "Bearer", "expires_in": 60,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
    lab.corp.route("/token", Answer::Json(issued.to_string()));
    let wrong = lab.home().probe_exchange().await.unwrap_err();
    assert!(wrong.fix().is_some_and(|fix| fix.contains("do not use it")), "{wrong}");
    assert_eq!(code(Err(wrong)), "any token");
}

#[tokio::test]
async fn a_grant_of_a_stranger_shows_how_far_the_trust_is_set_up() {
    let lab = Lab::start().await;
    for (description, seen) in [
        ("Invalid signature", "fine"),
        ("No Identity Provider for provided issuer", "trust_missing"),
        ("Identity Provider is not allowed for the client", "trust_missing"),
        ("JWT Authorization Grant is not supported for the requested client", "grant_disabled"),
        ("The provided assertion is not a valid JWT", "grant_refused"),
        ("Invalid token audience", "any signature"),
        ("Multiple audiences not allowed", "any signature"),
        ("Token is not active", "any signature"),
        ("Token was issued in the future", "any signature"),
        ("Token was issued too far in the past to be used now", "any signature"),
        ("Token reuse detected", "any signature"),
        ("User not found", "any signature"),
        ("User is not enabled", "any signature"),
        ("Account is not fully set up", "any signature"),
    ] {
        refuse(&lab.plant, 400, "invalid_grant", description);
        let probed = lab.target().probe_grant(&lab.home(), "https://plant").await;
        assert_eq!(code(probed), seen, "{description}");
    }
    for (error, description, seen) in [
        ("invalid_scope", "Invalid scopes: k8s", "any signature"),
        // Of our client's own assertion, before the grant is looked at.
        ("invalid_client", "Token is not active", "clock_skew"),
    ] {
        refuse(&lab.plant, 400, error, description);
        assert_eq!(code(lab.target().probe_grant(&lab.home(), "https://plant").await), seen, "{description}");
    }
    lab.plant
        .route("/token", Answer::Json(json!({"access_token": jwt(&json!({})), "token_type": "Bearer"}).to_string()));
    let taken = lab.target().probe_grant(&lab.home(), "https://plant").await.unwrap_err();
    assert!(taken.to_string().starts_with("realm plant does not check signatures of grants"), "{taken}");
    let fix = taken.fix().unwrap();
    assert!(fix.contains("set validateSignature") && fix.contains(&lab.corp.issuer()), "{fix}");
    lab.corp.route("/keys", Answer::Json(json!({"keys": [{"kty": "oct"}]}).to_string()));
    assert_eq!(code(lab.target().probe_grant(&lab.home(), "https://plant").await), "realm_unusable");
}

#[tokio::test]
async fn a_service_account_goes_as_far_as_a_link_goes() {
    let lab = Lab::start().await;
    refuse(&lab.corp, 401, "unauthorized_client", "Client not enabled to retrieve service account");
    assert!(lab.home().own_token().await.unwrap().is_none());
    for (status, error, description, seen) in [
        (401, "unauthorized_client", "Invalid client or Invalid client credentials", "client_refused"),
        (400, "unsupported_grant_type", "Unsupported grant_type", "grant_unsupported"),
        (503, "", "", "realm_unavailable"),
        (503, "unauthorized_client", "Client not enabled to retrieve service account", "realm_unavailable"),
    ] {
        refuse(&lab.corp, status, error, description);
        assert_eq!(code(lab.home().own_token().await.map(drop)), seen, "{status} {error}");
    }
    serve(&lab.corp, 40);
    let own = lab.home().own_token().await.unwrap().unwrap();
    assert!(own.ahead().is_some_and(|ahead| (39..=41).contains(&ahead)), "{:?}", own.ahead());
    let audience = lab.plant.issuer();
    let first = Asks {
        leg: Leg::Grant,
        client: lab.home(),
        audience: Some(audience.clone()),
        scope: Some("access-plant".into()),
        audiences: vec![audience],
    };
    let second = Asks {
        leg: Leg::Bearer,
        client: lab.target(),
        audience: None,
        scope: Some("k8s".into()),
        audiences: vec!["kubernetes".into()],
    };
    let grant = lab.home().try_first(&first, &own).await.unwrap();
    for (error, description, seen) in
        [("invalid_grant", "User not found", "fine"), ("invalid_grant", "Token was issued in the future", "clock_skew")]
    {
        refuse(&lab.plant, 400, error, description);
        assert_eq!(code(lab.target().try_second(&lab.home(), &second, &grant).await), seen, "{description}");
    }
    let other = Asks { audiences: vec!["another".into()], ..first };
    assert_eq!(code(lab.home().try_first(&other, &own).await.map(drop)), "token_audience");
    refuse(&lab.corp, 400, "invalid_request", "Requested audience not available: x");
    assert_eq!(code(lab.home().try_first(&other, &own).await.map(drop)), "audience_unavailable");
    assert!(!format!("{own:?}").contains("eyJ"), "a token prints nothing");
}

#[test]
fn a_forged_grant_looks_like_one_of_the_realm() {
    let key = |json: Value| serde_json::from_value::<RawJwk>(json).unwrap();
    let enc = key(json!({"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "kid": "enc"}));
    let part = |token: &str, at: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    for (published, alg, bytes) in [
        (json!({"kty": "RSA", "use": "sig", "kid": "a"}), "RS256", 256),
        (json!({"kty": "RSA", "use": "sig", "alg": "PS256", "kid": "a"}), "PS256", 256),
        (json!({"kty": "EC", "crv": "P-256", "kid": "a"}), "ES256", 64),
        (json!({"kty": "EC", "crv": "P-384", "kid": "a"}), "ES384", 96),
        (json!({"kty": "OKP", "crv": "Ed25519", "kid": "a"}), "EdDSA", 64),
    ] {
        let keys = [enc.clone(), key(published)];
        let made = [(); 2].map(|()| forged(&keys, "https://corp", "https://plant").unwrap());
        let [one, other] = made.each_ref().map(crate::model::Secret::expose);
        assert_eq!(part(one, 0), json!({"alg": alg, "typ": "JWT", "kid": "a"}));
        let claims = part(one, 1);
        assert_eq!((&claims["iss"], &claims["aud"]), (&"https://corp".into(), &"https://plant".into()));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert_ne!(claims["jti"], part(other, 1)["jti"], "fresh each time");
        let signature = URL_SAFE_NO_PAD.decode(one.split('.').nth(2).unwrap()).unwrap();
        assert_eq!(signature.len(), bytes, "{alg}");
    }
    assert!(algorithm(&enc).is_none() && forged(&[enc], "https://corp", "https://plant").is_none());
}
