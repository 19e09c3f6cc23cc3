//! What is compared, mended, and left to people, with a small admin API; the real one is in `testenv`.

use serde_json::{Value, json};

use crate::setup::keycloak::fake::FakeKeycloak;
use crate::setup::keycloak::tests::{CLUSTERS, REALMS, config, pair, sides};
use crate::setup::{Asked, Side, State, wanted};

const ISSUER: &str = "https://kc.example/realms/corp";

/// One side of the pair, with its client's secret or key in a file that is there.
struct Ready {
    side: Side,
    folder: tempfile::TempDir,
}

fn ready(mut side: Side) -> Ready {
    let folder = tempfile::tempdir().unwrap();
    if side.client.secret_file.is_some() {
        let file = folder.path().join("secret");
        std::fs::write(&file, "s3cret\n").unwrap();
        side.client.secret_file = Some(file);
    }
    Ready { side, folder }
}

fn home(asked: &Asked) -> Ready {
    ready(sides(asked).swap_remove(0))
}

fn target() -> Ready {
    ready(sides(&pair()).swap_remove(1))
}

/// The target, authenticated by a projected token.
fn federated() -> Ready {
    let mut ready = target();
    ready.side.client.secret_file = None;
    ready.side.client.auth = "federated_file".to_owned();
    ready
}

fn with_key(kind: &'static rcgen::SignatureAlgorithm) -> Ready {
    let mut ready = federated();
    ready.side.client.auth = "private_key_jwt".to_owned();
    let file = ready.folder.path().join("key.pem");
    std::fs::write(&file, rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem()).unwrap();
    ready.side.client.key_file = Some(file);
    ready
}

/// The lines that begin with these words.
fn of<'l>(lines: &'l [String], start: &str) -> Vec<&'l str> {
    lines.iter().filter(|line| line.starts_with(start)).map(String::as_str).collect()
}

fn provider(alias: &str, issuer: &str, grant: &str) -> Value {
    json!({
        "alias": alias, "providerId": "oidc", "enabled": true,
        "config": {
            "issuer": issuer, "useJwksUrl": "true", "validateSignature": "true", "jwtAuthorizationGrantEnabled": grant,
            "jwksUrl": format!("{issuer}/protocol/openid-connect/certs"),
        },
    })
}

#[tokio::test]
async fn both_sides_are_made_once() {
    let asked = Asked { registration_hosts: Some(vec!["localhost".to_owned()]), ..pair() };
    for ready in [home(&asked), target()] {
        let fake = FakeKeycloak::start().await;
        let missing = fake.lines(&ready.side, false).await;
        let drift = |line: &String| line.starts_with("missing ") || line.starts_with("differs policy ");
        assert!(missing.len() >= 5 && missing.iter().all(drift), "{missing:#?}");
        assert_eq!(fake.writes(), Vec::<String>::new(), "a check changes nothing");
        let made = fake.lines(&ready.side, true).await;
        assert_eq!(made.len(), missing.len(), "{made:#?}");
        let writes = fake.writes().len();
        let again = fake.run(&ready.side, true).await.unwrap();
        assert!(again.iter().all(|line| line.state == State::Left), "{again:#?}");
        assert_eq!(fake.writes().len(), writes);
    }
}

#[tokio::test]
async fn a_client_with_a_projected_token_is_left_to_do_until_its_authenticator_fits() {
    let (ready, fake) = (federated(), FakeKeycloak::start().await);
    let drift = "by hand authentication federated_file of client ferry: it is";
    assert_eq!(of(&fake.lines(&ready.side, false).await, drift).len(), 1);
    let made = fake.lines(&ready.side, true).await;
    assert_eq!(of(&made, &format!("{drift} client-secret: configure")).len(), 1, "{made:#?}");
    assert_eq!(of(&fake.lines(&ready.side, false).await, drift).len(), 1);
    fake.change("clients", "clientId", "ferry", |client| client["clientAuthenticatorType"] = "federated-jwt".into());
    let lines = fake.lines(&ready.side, false).await;
    assert_eq!(
        lines,
        ["left authentication federated_file of client ferry: it is federated-jwt; what that accepts was not compared"]
    );
}

#[tokio::test]
async fn a_foreign_identity_provider_is_not_allowed_to_our_client() {
    for foreign in [provider("corp", "https://other.example/realms/corp", "true"), {
        let mut saml = provider("sign-in", ISSUER, "true");
        saml["providerId"] = "saml".into();
        saml
    }] {
        let (ready, fake) = (target(), FakeKeycloak::start().await);
        fake.add("identity-provider/instances", foreign.clone());
        let lines = fake.lines(&ready.side, true).await;
        assert_eq!(of(&lines, "by hand identity provider ").len(), 1, "{lines:#?}");
        assert_eq!(of(&lines, "by hand JWT authorization grant of client ferry: ").len(), 1, "{lines:#?}");
        let client = fake.object("clients", "clientId", "ferry");
        assert_eq!(client["attributes"]["oauth2.jwt.authorization.grant.idp"], Value::Null, "{client}");
        let there = fake.object("identity-provider/instances", "providerId", foreign["providerId"].as_str().unwrap());
        assert_eq!(there["config"], foreign["config"], "it is nobody's business");
        // Also one that is there already is left as it is.
        let lines = fake.lines(&ready.side, true).await;
        assert_eq!((of(&lines, "by hand ").len(), of(&lines, "changed ").len()), (2, 0), "{lines:#?}");
    }
}

#[tokio::test]
async fn of_several_identity_providers_of_the_issuer_the_one_with_the_grant_is_taken() {
    let (ready, fake) = (target(), FakeKeycloak::start().await);
    // Keycloak gives them page by page.
    for index in 0..150 {
        let name = format!("other-{index}");
        fake.add("identity-provider/instances", provider(&name, &format!("https://{name}.example"), "false"));
    }
    fake.add("identity-provider/instances", provider("broker", ISSUER, "false"));
    fake.add("identity-provider/instances", provider("grants", ISSUER, "true"));
    fake.lines(&ready.side, true).await;
    assert_eq!(
        fake.object("clients", "clientId", "ferry")["attributes"]["oauth2.jwt.authorization.grant.idp"],
        "grants"
    );
    assert_eq!(fake.writes().iter().filter(|write| write.contains("identity-provider")).count(), 0);
    // Of two alike the one that our client may use, and then the one of the alias.
    fake.change("identity-provider/instances", "alias", "broker", |found| {
        found["config"]["jwtAuthorizationGrantEnabled"] = "true".into();
    });
    assert_eq!(fake.lines(&ready.side, false).await, Vec::<String>::new());
    fake.add("identity-provider/instances", provider("corp", ISSUER, "true"));
    assert_eq!(fake.lines(&ready.side, false).await, Vec::<String>::new());
    fake.change("clients", "clientId", "ferry", |client| {
        client["attributes"]["oauth2.jwt.authorization.grant.idp"] = "".into();
    });
    let lines = fake.lines(&ready.side, false).await;
    assert!(lines.len() == 1 && lines[0].ends_with("should be a list with corp"), "{lines:#?}");
}

#[tokio::test]
async fn what_is_not_ours_to_change_is_left_to_people() {
    let asked = Asked { login_clients: vec!["nobody".to_owned()], ..pair() };
    let (ready, fake) = (home(&asked), FakeKeycloak::start().await);
    fake.add("client-scopes", json!({"name": "access-plant", "protocol": "saml"}));
    let lines = fake.lines(&ready.side, true).await;
    assert_eq!(
        of(&lines, "by hand "),
        [
            "by hand client scope access-plant: it is no scope of OpenID Connect: rename it, or choose another scope in the \
             configuration",
            "by hand default client scope mcp-resource of client nobody: there is no such client, and this program makes no \
             clients for people",
        ]
    );
    // A client that somebody disabled is enabled again only if it is ours, and nothing but an audience.
    let disable = |change: fn(&mut Value)| {
        fake.change("clients", "clientId", "kubernetes-corp-1", |client| {
            client["enabled"] = false.into();
            change(client);
        });
    };
    disable(|_| {});
    assert_eq!(of(&fake.lines(&ready.side, true).await, "changed client kubernetes-corp-1").len(), 1);
    disable(|client| client["standardFlowEnabled"] = true.into());
    assert_eq!(of(&fake.lines(&ready.side, true).await, "by hand client kubernetes-corp-1: it is disabled").len(), 1);
    disable(|client| {
        client["standardFlowEnabled"] = false.into();
        client["description"] = "Kubernetes of everybody".into();
    });
    assert_eq!(of(&fake.lines(&ready.side, true).await, "by hand client kubernetes-corp-1: it is disabled").len(), 1);
    assert_eq!(fake.object("clients", "clientId", "kubernetes-corp-1")["enabled"], false);
}

#[tokio::test]
async fn a_token_of_a_target_realm_gets_no_audience_too_many() {
    let (ready, fake) = (target(), FakeKeycloak::start().await);
    fake.lines(&ready.side, true).await;
    let other = |name: &str| {
        json!({
            "name": name, "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper", "id": "other",
            "config": {"included.client.audience": name, "access.token.claim": "true"},
        })
    };
    fake.change("client-scopes", "name", "k8s-plant-1", |scope| {
        // The custom audience does not count beside a client.
        scope["protocolMappers"][0]["config"]["included.client.audience"] = "account".into();
        scope["protocolMappers"].as_array_mut().unwrap().push(other("grafana"));
    });
    fake.add(
        "client-scopes",
        json!({"name": "k8s-plant-2", "protocol": "openid-connect", "protocolMappers": [other("kubernetes-plant-2")]}),
    );
    fake.change("clients", "clientId", "ferry", |client| {
        client["defaultClientScopes"].as_array_mut().unwrap().push("k8s-plant-2".into());
        client["consentRequired"] = true.into();
        client["attributes"]["client.use.lightweight.access.token.enabled"] = "true".into();
    });
    let lines = fake.lines(&ready.side, true).await;
    let mended = [
        "changed client ferry: consentRequired is true, should be not true; attributes \
         client.use.lightweight.access.token.enabled is \"true\", should be not true",
        "changed mapper audience kubernetes-plant-1 of client scope k8s-plant-1: config included.client.audience is \
         \"account\", should be empty",
    ];
    for line in mended {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
    }
    let by_hand = of(&lines, "by hand ");
    assert!(
        by_hand[0].starts_with("by hand mapper grafana of client scope k8s-plant-1: it brings in audience grafana: ")
    );
    assert!(
        by_hand[1]
            .starts_with("by hand default client scope k8s-plant-2 of client ferry: it brings kubernetes-plant-2")
    );
    let lines = fake.lines(&ready.side, true).await;
    assert!(lines.len() == 2 && lines == by_hand, "the rest is mended: {lines:#?}");
}

#[tokio::test]
async fn a_secret_that_is_not_shown_is_no_drift() {
    let (ready, fake) = (target(), FakeKeycloak::start().await);
    fake.lines(&ready.side, true).await;
    fake.change("clients", "clientId", "ferry", |client| client["secret"] = "**********".into());
    let lines = fake.lines(&ready.side, false).await;
    assert_eq!(
        lines,
        ["left client ferry: its secret was not compared: this administrator may not see it, manage-clients may"]
    );
    fake.change("clients", "clientId", "ferry", |client| client["consentRequired"] = true.into());
    let lines = fake.lines(&ready.side, true).await;
    assert!(lines.len() == 1 && lines[0].starts_with("changed client ferry: consentRequired"), "{lines:#?}");
    assert_eq!(fake.object("clients", "clientId", "ferry")["secret"], "s3cret", "what is written is known");
}

#[tokio::test]
async fn a_key_joins_those_that_are_there() {
    for kind in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256] {
        let (first, second, fake) = (with_key(kind), with_key(kind), FakeKeycloak::start().await);
        fake.lines(&first.side, true).await;
        let lines = fake.lines(&second.side, true).await;
        assert_eq!(lines, ["changed client ferry: the key in key_file is none of its keys"]);
        for ready in [&first, &second] {
            assert_eq!(fake.lines(&ready.side, false).await, Vec::<String>::new(), "pods with either key are let in");
        }
    }
}

#[tokio::test]
async fn a_scope_that_is_an_optional_default_becomes_a_default() {
    let asked = Asked { registration_hosts: Some(vec!["localhost".to_owned()]), ..pair() };
    let (ready, fake) = (home(&asked), FakeKeycloak::start().await);
    fake.lines(&home(&pair()).side, true).await;
    fake.add("default-optional-client-scopes", fake.object("client-scopes", "name", "mcp-resource"));
    let what = "default client scope mcp-resource of new clients: it is optional, should be a default";
    assert_eq!(of(&fake.lines(&ready.side, false).await, "differs default "), [format!("differs {what}")]);
    let changed = fake.lines(&ready.side, true).await;
    assert_eq!(of(&changed, "changed default"), [format!("changed {what}")]);
    assert_eq!(fake.object("default-default-client-scopes", "name", "mcp-resource")["protocol"], "openid-connect");
    assert_eq!(fake.object("default-optional-client-scopes", "name", "mcp-resource"), Value::Null);
}

#[tokio::test]
async fn what_an_operator_chose_within_bounds_stays() {
    let (ready, fake) = (home(&pair()), FakeKeycloak::start().await);
    fake.lines(&ready.side, true).await;
    let life = |life: &str| {
        let life = life.to_owned();
        fake.change("clients", "clientId", "kubeferry", |client| {
            client["attributes"]["access.token.lifespan"] = life.into();
        });
    };
    life("120");
    assert_eq!(fake.lines(&ready.side, false).await, Vec::<String>::new());
    life("3600");
    assert_eq!(fake.lines(&ready.side, false).await.len(), 1, "a target realm would refuse it");

    let (ready, fake) = (target(), FakeKeycloak::start().await);
    let mut inside = ready.side.clone();
    if let crate::setup::Part::Target(target) = &mut inside.part {
        target.jwks_url = Some("https://keycloak.internal:8443/keys".to_owned());
    }
    fake.lines(&inside, true).await;
    assert_eq!(fake.lines(&ready.side, true).await, Vec::<String>::new(), "a run without --jwks-url leaves it");
    let there = fake.object("identity-provider/instances", "alias", "corp");
    assert_eq!(there["config"]["jwksUrl"], "https://keycloak.internal:8443/keys");
}

#[tokio::test]
async fn another_kubeferry_at_the_same_realm_is_told_of() {
    let (ready, fake) = (home(&pair()), FakeKeycloak::start().await);
    fake.lines(&ready.side, true).await;
    let text = format!("{REALMS}{CLUSTERS}").replace("https://mcp.example/mcp", "https://second.example/mcp");
    let second = ready_of(&text);
    fake.lines(&second.side, true).await;
    let lines = fake.lines(&ready.side, false).await;
    assert_eq!(
        lines,
        ["left mapper audience https://second.example/mcp of client scope mcp-resource: it brings in audience \
          https://second.example/mcp: another kubeferry at this realm, or somebody's addition"]
    );
}

fn ready_of(text: &str) -> Ready {
    ready(wanted(&config(text), &pair()).unwrap().swap_remove(0))
}

#[tokio::test]
async fn an_address_that_is_not_keycloak_s_is_said_to_be_none() {
    let (ready, realm) = (target(), crate::realm::fake::Realm::start(&["localhost"], 2999).await);
    let fake = FakeKeycloak::at(realm);
    let error = fake.run(&ready.side, false).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("was answered 404; this is not the address of Keycloak's admin API"), "{text}");
}
