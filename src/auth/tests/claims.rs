//! Rows A15 to A30 of the table: what a token with a good signature says.

use serde_json::{Value, json};

use super::mint::{Signer, now};
use super::{Door, ISSUER, METADATA, OTHER_ISSUER, RESOURCE, all_refused, ask, claims};
use crate::auth::AuthError;
use crate::model::Admission;
use crate::realm::Profile;

#[tokio::test]
async fn a15_issuers_are_compared_exactly() {
    let door = Door::new();
    let forms = [
        "https://kc.corp.example/realms/corp/",
        "https://KC.corp.example/realms/corp",
        "https://kc.corp.example:443/realms/corp",
        "https://kc.corp.example/realms/%63orp",
        "http://kc.corp.example/realms/corp",
        " https://kc.corp.example/realms/corp",
        "",
    ];
    all_refused(&door, forms.map(|iss| json!({ "iss": iss }))).await;
}

#[tokio::test]
async fn a16_issuers_of_other_types() {
    let forms =
        [json!([ISSUER]), json!(["https://evil.example", ISSUER]), json!(1), json!({}), json!(true), Value::Null];
    all_refused(&Door::new(), forms.map(|iss| json!({ "iss": iss }))).await;
    let door = Door::new();
    door.refuses(
        &door.corp.sign(&door.corp.header(), &claims(&json!({})).to_string().replace(&format!("\"{ISSUER}\""), "null")),
    )
    .await;
}

#[tokio::test]
async fn a17_audiences_that_are_not_ours() {
    let other = "https://mcp.example.com/mcp/";
    let forms = [
        Value::Null,
        json!("other"),
        json!("https://mcp.example.com"),
        json!(format!("{RESOURCE}x")),
        json!("mcp"),
        json!(other),
        json!(["a", "b"]),
        json!([]),
        json!(""),
        json!({}),
        json!(1),
        json!([1]),
        json!([RESOURCE, 1]),
        json!([RESOURCE, null]),
        json!([[RESOURCE]]),
    ];
    all_refused(&Door::new(), forms.map(|aud| json!({ "aud": aud }))).await;
}

#[tokio::test]
async fn a18_one_audience_of_several() {
    let door = Door::new();
    let caller = door.accepts(&door.token(&json!({"aud": ["other", RESOURCE]}))).await;
    assert_eq!(caller.principal().admission, Admission::Full);
    assert_eq!(caller.principal().audiences, ["other", RESOURCE]);
}

#[tokio::test]
async fn a18_passthrough_audiences_open_passthrough_only() {
    let door = Door::new();
    let admission = async |aud: Value| door.accepts(&door.token(&json!({ "aud": aud }))).await.principal().admission;
    assert_eq!(admission(json!("kind-dev")).await, Admission::PassthroughOnly);
    assert_eq!(admission(json!(["kind-dev", RESOURCE])).await, Admission::Full);
    let of_plant =
        door.plant.sign(&door.plant.header(), &claims(&json!({"iss": OTHER_ISSUER, "aud": "kind-dev"})).to_string());
    door.refuses(&of_plant).await;
}

#[tokio::test]
async fn a19_subjects() {
    let forms = [
        Value::Null,
        json!(""),
        json!("a".repeat(300)),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("a\u{7f}"),
        json!("a\u{85}b"),
        json!(" a"),
        json!("a\u{202e}b"),
        json!("a\u{200b}"),
        json!(1),
        json!(["a"]),
        json!({}),
    ];
    all_refused(&Door::new(), forms.map(|sub| json!({ "sub": sub }))).await;
    let door = Door::new();
    door.accepts(&door.token(&json!({"sub": "a".repeat(255)}))).await;
}

#[tokio::test]
async fn a19_usernames_are_as_clean_as_subjects() {
    let door = Door::new().corp(|realm| realm.username_claim = "preferred_username".to_owned());
    assert_eq!(door.accepts(&door.token(&json!({}))).await.principal().username, "alice");
    let forms = [
        Value::Null,
        json!(""),
        json!("a\nb"),
        json!("a".repeat(300)),
        json!(["alice"]),
        json!(7),
        json!("system:admin\u{2028}"),
    ];
    all_refused(&door, forms.map(|user| json!({ "preferred_username": user }))).await;

    let door = Door::new().corp(|realm| realm.username_claim = "email".to_owned());
    for verified in [Value::Null, json!(false), json!("true"), json!(1)] {
        door.refuses(&door.token(&json!({ "email_verified": verified }))).await;
    }
    assert_eq!(
        door.accepts(&door.token(&json!({"email_verified": true}))).await.principal().username,
        "alice@corp.example"
    );
}

#[tokio::test]
async fn a20_expiry() {
    let forms = [
        Value::Null,
        json!((now() + 300).to_string()),
        json!(now() - 31),
        json!(0),
        json!(-1),
        json!(1e19),
        json!(1e300),
        json!([now()]),
        json!(now() + 10 * 365 * 86_400),
        json!(now() + 86_400 + 60),
        json!(u64::MAX),
        json!(true),
    ];
    all_refused(&Door::new(), forms.map(|exp| json!({ "exp": exp }))).await;
    let door = Door::new();
    let null = claims(&json!({"exp": 1})).to_string().replace("\"exp\":1", "\"exp\":null");
    door.refuses(&door.corp.sign(&door.corp.header(), &null)).await;
    door.accepts(&door.token(&json!({"exp": now() - 20}))).await;
    door.accepts(&door.token(&json!({"exp": now() as f64 + 100.5}))).await;
    let day = door.token(&json!({"exp": now() + 86_400}));
    door.accepts(&day).await;
    let hour = Door::new().corp(|realm| realm.max_token_lifetime = 60 * super::MINUTE);
    hour.accepts(&hour.token(&json!({"exp": now() + 3600}))).await;
    hour.refuses(&hour.token(&json!({"exp": now() + 3700}))).await;
    hour.refuses(&hour.token(&json!({"iat": now() - 3600, "exp": now() + 60}))).await;
}

#[tokio::test]
async fn a21_times_in_the_future() {
    let forms = [
        json!({"nbf": now() + 40}),
        json!({"nbf": "0"}),
        json!({"nbf": -1}),
        json!({"iat": now() + 70}),
        json!({"iat": "x"}),
        json!({"iat": 1e300}),
    ];
    all_refused(&Door::new(), forms).await;
    let door = Door::new();
    door.accepts(&door.token(&json!({"nbf": now() + 20, "iat": now() + 50}))).await;
    door.accepts(&door.token(&json!({"iat": null}))).await;
}

#[tokio::test]
async fn a22_tokens_of_another_kind() {
    let door = Door::new();
    let body = claims(&json!({})).to_string();
    for typ in [
        "logout+jwt",
        "oauth-id-jag+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "secevent+jwt",
        "JWTX",
        "application/dpop+jwt",
        "",
    ] {
        door.refuses(&door.corp.sign(&door.corp.header_and(&format!(r#""typ":"{typ}""#)), &body)).await;
    }
    door.refuses(&door.corp.sign(&door.corp.header_and(r#""typ":["JWT"]"#), &body)).await;
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        door.accepts(&door.corp.sign(&door.corp.header_and(&format!(r#""typ":"{typ}""#)), &body)).await;
    }
    door.refuses(&door.token(&json!({"events": {}}))).await;
    let keycloak = Door::new().corp(|realm| realm.profile = Profile::Keycloak);
    for typ in ["Refresh", "Offline", "Logout", "DPoP", ""] {
        keycloak.refuses(&keycloak.token(&json!({ "typ": typ }))).await;
    }
    keycloak.accepts(&keycloak.token(&json!({"typ": "Bearer", "nonce": "n"}))).await;
}

#[tokio::test]
async fn a23_id_tokens() {
    for mark in [json!({"nonce": "n"}), json!({"at_hash": "h"}), json!({"c_hash": "h"}), json!({"typ": "ID"})] {
        let mut change = mark.clone();
        change["aud"] = json!("spa");
        change["azp"] = json!("spa");
        let door = Door::new();
        let why = door.refuses(&door.token(&change)).await;
        assert!(why.contains("this is an ID token for client \"spa\"") && why.contains(RESOURCE), "{why}");
        door.refuses(&door.token(&mark)).await;

        let lenient = Door::new().corp(|realm| realm.accept_id_token = true);
        lenient.refuses(&lenient.token(&change)).await;
        assert_eq!(lenient.accepts(&lenient.token(&mark)).await.principal().admission, Admission::IdToken);
        change["aud"] = json!("kind-dev");
        assert_eq!(lenient.accepts(&lenient.token(&change)).await.principal().admission, Admission::PassthroughOnly);
    }
}

#[tokio::test]
async fn a25_groups_are_bounded() {
    let forms = [
        json!(["g"; 0].len()),
        json!([1]),
        json!(["a\n"]),
        json!([""]),
        json!(["a".repeat(257)]),
        json!({}),
        json!([["a"]]),
        json!((0..513).map(|n| n.to_string()).collect::<Vec<_>>()),
    ];
    all_refused(&Door::new(), forms.map(|groups| json!({ "groups": groups }))).await;
    let door = Door::new();
    assert_eq!(door.accepts(&door.token(&json!({"groups": "dev"}))).await.principal().groups, ["dev"]);
    assert!(door.accepts(&door.token(&json!({"groups": null}))).await.principal().groups.is_empty());
    let many: Vec<String> = (0..512).map(|n| n.to_string()).collect();
    assert_eq!(door.accepts(&door.token(&json!({ "groups": many }))).await.principal().groups.len(), 512);
    let other = Door::new().corp(|realm| realm.groups_claim = "roles".to_owned());
    assert_eq!(other.accepts(&other.token(&json!({"roles": ["r"]}))).await.principal().groups, ["r"]);
}

#[tokio::test]
async fn a26_unknown_issuers_are_not_asked() {
    let door = Door::new();
    let evil = Signer::p256("e");
    door.refuses(&evil.sign(&evil.header(), &claims(&json!({"iss": "https://evil.example"})).to_string())).await;
    assert_eq!(door.source("corp").fetches() + door.source("plant").fetches(), 0);
    let mut one = Door::new();
    one.config.home.pop();
    let token = one.plant.sign(&one.plant.header(), &claims(&json!({"iss": OTHER_ISSUER})).to_string());
    one.refuses(&token).await; // configured, but no home realm
}

#[tokio::test]
async fn a28_missing_scopes() {
    let mut door = Door::new();
    door.config.required_scopes = vec!["mcp".to_owned(), "k8s".to_owned()];
    let open = door.open();
    let error = ask(&open, &door.token(&json!({}))).await.unwrap_err();
    assert_eq!(error.status(), 403);
    let challenge = open.challenge(Some(METADATA), &error).unwrap();
    let challenge = challenge.to_str().unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"")
            && challenge.contains("scope=\"mcp k8s\"")
            && challenge.contains(METADATA),
        "{challenge}"
    );
    assert!(
        open.challenge(Some(METADATA), &AuthError::Missing).unwrap().to_str().unwrap().ends_with("scope=\"mcp k8s\"")
    );
    for good in [
        json!({"scope": "k8s mcp"}),
        json!({"scope": null, "scp": ["k8s", "mcp"]}),
        json!({"scope": null, "scp": "k8s mcp"}),
    ] {
        assert!(ask(&open, &door.token(&good)).await.is_ok(), "{good}");
    }
    assert_eq!(ask(&open, &door.token(&json!({"scope": ["k8s mcp"]}))).await.unwrap_err().status(), 401);
}

#[tokio::test]
async fn a29_clients_outside_the_list() {
    let door = Door::new().corp(|realm| realm.allowed_clients = vec!["desktop".to_owned()]);
    let open = door.open();
    assert!(ask(&open, &door.token(&json!({}))).await.is_ok());
    assert!(ask(&open, &door.token(&json!({"azp": null, "client_id": "desktop"}))).await.is_ok());
    for other in [json!({"azp": "evil"}), json!({"azp": null}), json!({"azp": "evil", "client_id": "desktop"})] {
        let error = ask(&open, &door.token(&other)).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error), (403, AuthError::ClientNotAllowed));
    }
}

#[tokio::test]
async fn a30_bound_tokens() {
    all_refused(
        &Door::new(),
        [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), json!("x")].map(|cnf| json!({ "cnf": cnf })),
    )
    .await;
}

#[tokio::test]
async fn gateway_roles_narrow_only_tokens_for_the_gateways_name() {
    let door = Door::new();
    let roles = async |aud: Value, access: Value| {
        let caller = door.accepts(&door.token(&json!({"aud": aud, "resource_access": access}))).await;
        caller.principal().roles.as_ref().map(|roles| roles.join(" "))
    };
    let access = json!({"team/mcp": {"roles": ["tool:pods_list", "pods_get", "prompt:x", "pods_get", "a:b"]}, "other": {"roles": ["pods_delete"]}});
    assert_eq!(roles(json!("team/mcp"), access.clone()).await.as_deref(), Some("pods_get pods_list"));
    assert_eq!(roles(json!(["team/mcp", RESOURCE]), access.clone()).await.as_deref(), Some("pods_get pods_list"));
    assert_eq!(roles(json!(RESOURCE), access).await, None);
    assert_eq!(roles(json!("team/mcp"), Value::Null).await.as_deref(), Some(""));
    assert_eq!(roles(json!("team/mcp"), json!({"other": {"roles": ["x"]}})).await.as_deref(), Some(""));
    door.refuses(&door.token(&json!({"aud": "team/mcp", "resource_access": {"team/mcp": {"roles": [1]}}}))).await;
}
