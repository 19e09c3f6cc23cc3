//! Rows A01 to A14, A24 and A25 of the table: where a token is, its shape, header and signature.

use proptest::prelude::{any, proptest};
use serde_json::json;

use super::mint::{Signer, b64};
use super::{Door, ISSUER, METADATA, OTHER_ISSUER, algorithms, claims, headers, name};
use crate::auth::{AuthError, MAX_TOKEN};
use crate::model::{Admission, Secret};
use crate::realm::Algorithm;

#[tokio::test]
async fn a01_no_authorization() {
    let door = Door::new().open();
    let error = door.authenticate(&headers(&[]), None, None).await.unwrap_err();
    assert_eq!((error.status().as_u16(), &error), (401, &AuthError::Missing));
    assert_eq!(door.challenge(Some(METADATA), &error).unwrap(), format!("Bearer resource_metadata=\"{METADATA}\""));
}

#[tokio::test]
async fn a02_basic_is_refused() {
    let door = Door::new().open();
    for value in ["Basic YTpi", "Negotiate x", "BearerX y", "Bear"] {
        let error = door.authenticate(&headers(&[value]), None, None).await.unwrap_err();
        assert_eq!(error.status(), 401, "{value}");
        assert!(door.challenge(None, &error).unwrap().to_str().unwrap().contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn a03_the_scheme_has_no_case() {
    let door = Door::new();
    let token = door.token(&json!({}));
    for scheme in ["bearer", "BEARER", "Bearer", "Bearer "] {
        let caller = door.open().authenticate(&headers(&[&format!("{scheme} {token}")]), None, None).await.unwrap();
        let principal = caller.principal();
        assert_eq!(
            (principal.sub.as_str(), principal.iss.as_str(), principal.realm.as_str()),
            ("alice-id", ISSUER, "corp")
        );
        assert_eq!((principal.username.as_str(), principal.azp.as_deref()), ("alice-id", Some("desktop")));
        assert_eq!((principal.admission, principal.shared, principal.roles.is_none()), (Admission::Full, false, true));
        assert_eq!(
            (principal.groups.as_slice(), principal.scopes.as_slice()),
            (["dev".to_owned(), "ops".to_owned()].as_slice(), ["openid".to_owned(), "mcp".to_owned()].as_slice())
        );
        assert_eq!(caller.token().secret().unwrap().expose(), token);
    }
}

#[tokio::test]
async fn a04_two_authorization_headers() {
    let door = Door::new();
    let good = format!("Bearer {}", door.token(&json!({})));
    let open = door.open();
    for pair in [[good.as_str(), good.as_str()], [good.as_str(), "Basic x"]] {
        let error = open.authenticate(&headers(&pair), None, None).await.unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(error.code(), Some("invalid_request"));
    }
    let joined = open.authenticate(&headers(&[&format!("{good}, {good}")]), None, None).await.unwrap_err();
    assert_eq!(joined.status(), 401);
}

#[tokio::test]
async fn a05_other_places_of_a_token() {
    let door = Door::new();
    let token = door.token(&json!({}));
    let open = door.open();
    let mut other = headers(&[]);
    for header in ["kubernetes-authorization", "proxy-authorization", "x-forwarded-access-token", "cookie"] {
        other.insert(header, format!("Bearer {token}").parse().unwrap());
    }
    assert_eq!(open.authenticate(&other, None, None).await.unwrap_err().status(), 401);
    for query in [format!("access_token={token}"), format!("a=b&%61ccess_token={token}")] {
        let error = open.authenticate(&headers(&[]), Some(&query), None).await.unwrap_err();
        assert_eq!(error.status(), 401);
        assert!(error.to_string().contains("query string"));
        let both = open.authenticate(&headers(&[&format!("Bearer {token}")]), Some(&query), None).await.unwrap_err();
        assert_eq!(both.status(), 400);
    }
    assert_eq!(door.source("corp").fetches(), 0);
}

#[tokio::test]
async fn a06_empty_bearer() {
    let door = Door::new().open();
    for value in ["Bearer ", "Bearer", "bearer    "] {
        assert_eq!(door.authenticate(&headers(&[value]), None, None).await.unwrap_err().status(), 401);
    }
}

#[tokio::test]
async fn a07_alg_none() {
    let door = Door::new();
    let good = door.token(&json!({}));
    let signature = good.rsplit('.').next().unwrap().to_owned();
    for word in ["none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "HS256", "ES512", "ES256K"] {
        let front =
            format!("{}.{}", b64(format!(r#"{{"alg":"{word}","kid":"corp-1"}}"#)), b64(claims(&json!({})).to_string()));
        for token in [format!("{front}."), format!("{front}.{signature}"), front.clone()] {
            door.refuses(&token).await;
        }
    }
    for header in [r#"{"kid":"corp-1"}"#, r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#, r#"{"alg":"ES256","alg":"none"}"#]
    {
        door.refuses(&door.corp.sign(header, &claims(&json!({})).to_string())).await;
    }
    assert_eq!(door.source("corp").fetches(), 0, "none of them is worth a fetch");
    let front = good.rsplit_once('.').unwrap().0;
    door.refuses(&format!("{front}.")).await;
}

#[tokio::test]
async fn a08_hmac_with_the_public_key() {
    let rsa = Signer::rsa("corp-rsa");
    let jwk = rsa.jwk();
    let mut oct = jwk.clone();
    (oct.kty, oct.alg) = ("oct".to_owned(), None);
    for published in [vec![jwk.clone()], vec![oct, jwk.clone()]] {
        let door = Door::new();
        door.source("corp").publish(Some(published));
        let signed = format!("{}.{}", b64(r#"{"alg":"HS256","kid":"corp-rsa"}"#), b64(claims(&json!({})).to_string()));
        for secret in [jwk.n.clone().unwrap().into_bytes(), b64_decode(jwk.n.as_deref().unwrap())] {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
            door.refuses(&format!("{signed}.{}", b64(tag))).await;
        }
        door.accepts(&rsa.sign(&rsa.header(), &claims(&json!({})).to_string())).await;
    }
}

fn b64_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[tokio::test]
async fn a09_algorithm_outside_the_realms_list() {
    let rsa = Signer::rsa("corp-rsa");
    let token = rsa.sign(&rsa.header(), &claims(&json!({})).to_string());
    let door = Door::new().corp(algorithms(&[Algorithm::Es256]));
    door.source("corp").publish(Some(vec![rsa.jwk()]));
    door.refuses(&token).await;
    let door = Door::new().corp(algorithms(&[Algorithm::Rs256]));
    door.source("corp").publish(Some(vec![rsa.jwk()]));
    door.accepts(&token).await;
}

#[tokio::test]
async fn every_supported_algorithm_verifies() {
    let signers = [Signer::rsa("r"), Signer::p384("e"), Signer::ed25519("o"), Signer::p256("p")];
    let door = Door::new().corp(algorithms(&Algorithm::ALL));
    door.source("corp").publish(Some(signers.iter().map(Signer::jwk).collect()));
    for signer in &signers {
        door.accepts(&signer.sign(&signer.header(), &claims(&json!({})).to_string())).await;
    }
    let pss = r#"{"alg":"PS256","kid":"r"}"#;
    let token = signers[0].sign(pss, &claims(&json!({})).to_string());
    door.refuses(&token).await; // the key says RS256
    let mut any = signers[0].jwk();
    any.alg = None;
    door.source("corp").publish(Some(vec![any]));
    door.accepts(&token).await;
}

#[tokio::test]
async fn a10_keys_inside_the_header() {
    let door = Door::new();
    let attacker = Signer::p256("corp-1");
    let jwk = attacker.jwk();
    let embedded = format!(r#""jwk":{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, jwk.x.unwrap(), jwk.y.unwrap());
    for more in [
        embedded.as_str(),
        r#""jku":"https://evil.example/jwks""#,
        r#""x5u":"https://evil.example/c""#,
        r#""x5c":["MIIB"]"#,
    ] {
        door.refuses(&attacker.sign(&attacker.header_and(more), &claims(&json!({})).to_string())).await;
        door.refuses(&door.corp.sign(&door.corp.header_and(more), &claims(&json!({})).to_string())).await;
    }
}

#[tokio::test]
async fn a11_signed_by_the_other_realm() {
    let door = Door::new();
    door.refuses(&door.plant.sign(&door.plant.header(), &claims(&json!({})).to_string())).await;
    assert_eq!(door.source("plant").fetches(), 0);
    let own = door.plant.sign(&door.plant.header(), &claims(&json!({"iss": OTHER_ISSUER})).to_string());
    assert_eq!(door.accepts(&own).await.principal().realm, name("plant"));
}

#[tokio::test]
async fn a12_same_kid_in_two_realms() {
    let mut door = Door::new();
    door.plant = Signer::p256("corp-1");
    door.source("plant").publish(Some(vec![door.plant.jwk()]));
    door.refuses(&door.plant.sign(&door.plant.header(), &claims(&json!({})).to_string())).await;
    door.refuses(&door.token(&json!({"iss": OTHER_ISSUER}))).await;
}

#[tokio::test]
async fn a13_one_kid_twice_in_a_realm() {
    let (rsa, first, second) = (Signer::rsa("k"), Signer::p256("k"), Signer::p256("k"));
    let door = Door::new();
    door.source("corp").publish(Some(vec![rsa.jwk(), first.jwk(), second.jwk()]));
    for signer in [&rsa, &first, &second] {
        door.accepts(&signer.sign(&signer.header(), &claims(&json!({})).to_string())).await;
    }
}

#[tokio::test]
async fn a14_no_kid() {
    let signers: Vec<Signer> = (0..5).map(|n| Signer::p256(&format!("k{n}"))).collect();
    let token = signers[0].sign(r#"{"alg":"ES256"}"#, &claims(&json!({})).to_string());
    for count in 1..=4 {
        let door = Door::new();
        door.source("corp").publish(Some(signers[..count].iter().rev().map(Signer::jwk).collect()));
        door.accepts(&token).await;
    }
    let door = Door::new();
    door.source("corp").publish(Some(signers.iter().map(Signer::jwk).collect()));
    door.refuses(&token).await;
    for kid in ["1", "null", r#""""#, "[]", &format!("\"{}\"", "k".repeat(300))] {
        door.refuses(&signers[0].sign(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#), &claims(&json!({})).to_string()))
            .await;
    }
}

#[tokio::test]
async fn a24_headers_that_change_the_meaning() {
    let door = Door::new();
    let body = claims(&json!({})).to_string();
    for more in [
        r#""crit":["exp2"]"#,
        r#""crit":[]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
    ] {
        door.refuses(&door.corp.sign(&door.corp.header_and(more), &body)).await;
    }
    let good = door.token(&json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    for bad in [
        format!("{header}.k.iv.{payload}.{signature}"),
        format!("{good}.x"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}.{payload}"),
        format!("{good}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload} .{signature}"),
        header.to_owned(),
        "..".to_owned(),
    ] {
        door.refuses(&bad).await;
    }
}

#[tokio::test]
async fn a25_large_deep_and_repeated() {
    let door = Door::new();
    let why = door.refuses(&"a".repeat(64 * 1024)).await;
    assert!(why.contains("16 KiB"));
    door.refuses(&door.token(&json!({"pad": "x".repeat(MAX_TOKEN)}))).await;
    let base = claims(&json!({})).to_string();
    let with = |more: &str| base.replacen('{', &format!("{{{more},"), 1);
    for more in [
        format!(r#""deep":{}{}"#, "[".repeat(2000), "]".repeat(2000)),
        format!("\"deep\":{}1{}", "{\"a\":".repeat(500), "}".repeat(500)),
        r#""groups":["admins"]"#.to_owned(),
        r#""sub":"bob""#.to_owned(),
        r#""\u0073ub":"bob""#.to_owned(),
        r#""email":"x@y""#.to_owned(),
        r#""extra":1,"extra":2"#.to_owned(),
        r#""x":{"a":1,"a":2}"#.to_owned(),
    ] {
        door.refuses(&door.corp.sign(&door.corp.header(), &with(&more))).await;
    }
    door.accepts(&door.corp.sign(&door.corp.header(), &with("\"extra\":[[[{}]]]"))).await;
    assert_eq!(door.source("corp").fetches(), 1);
}

#[tokio::test]
async fn token_files_are_verified_as_at_the_door() {
    let door = Door::new();
    let open = door.open();
    assert!(open.bearer(Secret::new(door.token(&json!({})))).await.is_ok());
    assert!(open.bearer(Secret::new(door.token(&json!({"aud": "x"})))).await.is_err());
    assert!(open.local_caller().is_none());
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn arbitrary_bytes_never_authenticate(header in any::<Vec<u8>>(), body in any::<Vec<u8>>(), text in any::<String>(), signed in any::<bool>()) {
        let door = Door::new();
        let open = door.open();
        let claims = claims(&json!({})).to_string();
        let tokens = [
            text.clone(),
            format!("{}.{}.{}", b64(&header), b64(&claims), b64(&body)),
            format!("{}.{}.{}", b64(door.corp.header()), b64(&body), b64(&header)),
            format!("{}.{}.{}", b64(door.corp.header()), b64(&claims), if signed { b64(&body) } else { text }),
            door.corp.sign(&door.corp.header(), &String::from_utf8_lossy(&body)),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for token in tokens {
            assert!(runtime.block_on(open.bearer(Secret::new(token))).is_err());
        }
    }
}
