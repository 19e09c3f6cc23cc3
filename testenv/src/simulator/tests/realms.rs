//! With the lab's realms as issuers, over their own TLS.

use serde_json::{Value, json};

use super::Client;
use crate::realm::{RealmConfig, Realms, RealmsConfig, User};
use crate::simulator::{JwtIssuer, Keys, SimConfig, Simulator};

async fn realms() -> Realms {
    let realm = |name| RealmConfig::new(name).user(User::new("bob", &["dev"]));
    let realms = vec![realm("corp"), realm("plant")];
    Realms::start(RealmsConfig { realms }).await.unwrap()
}

fn issuer(realms: &Realms, realm: &str) -> JwtIssuer {
    let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
    let prefix = format!("{realm}:");
    JwtIssuer::new(&realms.issuer(realm), keys, "kubernetes", &prefix)
}

async fn who(client: &mut Client, token: String) -> (u16, Value) {
    client.token = Some(token);
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = client.post(path, review).await;
    let user = answer.json["status"]["userInfo"]["username"].clone();
    (answer.status, user)
}

#[tokio::test]
async fn a_realm_is_trusted_by_name_and_its_new_keys_at_once() {
    let realms = realms().await;
    let config = SimConfig::kubernetes().issuer(issuer(&realms, "corp"));
    let simulator = Simulator::start(config).await.unwrap();
    let mut client = Client::new(&simulator, None);
    let good = (201, json!("corp:bob"));
    let refused = (401, json!(null));
    let old = realms.mint("corp", "bob", "kubernetes");
    assert_eq!(who(&mut client, old.clone()).await, good);
    let other_audience = realms.mint("corp", "bob", "another");
    assert_eq!(who(&mut client, other_audience).await, refused);
    let other_realm = realms.mint("plant", "bob", "kubernetes");
    assert_eq!(who(&mut client, other_realm).await, refused);

    let _new_key = realms.rotate("corp", false);
    let new = realms.mint("corp", "bob", "kubernetes");
    assert_eq!(who(&mut client, new.clone()).await, good);
    assert_eq!(who(&mut client, old).await, refused, "its key is gone");
    realms.down().await;
    assert_eq!(who(&mut client, new).await, good, "known keys outlive the realm");
}

#[tokio::test]
async fn a_simulator_does_not_start_without_the_keys_it_needs() {
    let realms = realms().await;
    let config = SimConfig::kubernetes().issuer(issuer(&realms, "corp"));
    realms.down().await;
    let error = Simulator::start(config).await.unwrap_err();
    assert!(format!("{error:#}").contains("openid-configuration"), "{error:#}");
}
