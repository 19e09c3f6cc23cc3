//! The realm files, and what a real Keycloak makes of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{FERRY_CLIENT, Keycloak, LOGIN_CLIENT, REALMS};

#[test]
fn no_realm_file_holds_a_secret() {
    for (name, text) in REALMS {
        let realm: Value = serde_json::from_str(text).unwrap();
        assert_eq!(realm["realm"], name);
        for client in realm["clients"].as_array().unwrap() {
            let secret = client["secret"].as_str();
            assert!(secret.is_none_or(|secret| secret.starts_with("${")), "{}", client["clientId"]);
        }
        for user in realm["users"].as_array().unwrap() {
            for credential in user["credentials"].as_array().into_iter().flatten() {
                assert_eq!(credential["value"], "${USERS_PASSWORD}", "{}", user["username"]);
            }
        }
    }
}

#[test]
fn people_sign_in_with_a_code_and_pkce_alone() {
    for (name, text) in REALMS {
        let realm: Value = serde_json::from_str(text).unwrap();
        for client in realm["clients"].as_array().unwrap() {
            for grant in ["directAccessGrantsEnabled", "implicitFlowEnabled"] {
                assert_eq!(client[grant], false, "{name}: {} {grant}", client["clientId"]);
            }
            if client["publicClient"] == true {
                assert_eq!(client["clientId"], LOGIN_CLIENT);
                assert_eq!(client["standardFlowEnabled"], true);
                assert_eq!(client["attributes"]["pkce.code.challenge.method"], "S256");
            }
        }
    }
}

/// The set-up of `clusters/keycloak`, asked by hand: the exchange in one realm, both legs, and who is not linked.
#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn two_realms_work_together() {
    let resource = "https://ferry.test/mcp";
    let keycloak = Keycloak::start(resource, &REALMS).await.unwrap();
    let users = keycloak.admin().get("/plant/users").await.unwrap();
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");

    let (corp, plant) = (keycloak.issuer("corp"), keycloak.issuer("plant"));
    for user in ["alice", "bob"] {
        let token = keycloak.login("corp", LOGIN_CLIENT, user).await.unwrap();
        assert_eq!(audiences(&token), [FERRY_CLIENT, resource]);
        let exchange = async |audience: &str, scope: &str| {
            let issued = keycloak.exchange("corp", &token, audience, scope).await.unwrap().access_token().unwrap();
            assert_eq!(
                (claims(&issued)["iss"].as_str(), audiences(&issued)),
                (Some(&*corp), vec![audience.to_owned()])
            );
            issued
        };
        exchange("kubernetes-corp-1", "k8s-corp-1").await;
        let grant = exchange(&plant, "access-plant").await;
        let answer = keycloak.bearer("plant", &grant, "k8s-plant-1").await.unwrap();
        if user == "bob" {
            assert_eq!((answer.status, answer.refusal()), (400, ("invalid_grant", "User not found")));
            continue;
        }
        let issued = answer.access_token().unwrap();
        assert_eq!(audiences(&issued), ["kubernetes-plant-1"]);
        assert_eq!(claims(&issued)["groups"], json!(["operators"]));
    }
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// Sorted: Keycloak has no order.
fn audiences(token: &str) -> Vec<String> {
    let audiences = &claims(token)["aud"];
    let one = audiences.as_str().map(|one| vec![one.to_owned()]);
    let mut audiences = one.unwrap_or_else(|| serde_json::from_value(audiences.clone()).unwrap());
    audiences.sort();
    audiences
}
