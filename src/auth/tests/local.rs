//! Local mode: the local token, accepted addresses, stdio.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Door, METADATA, headers};
use crate::auth::{AuthConfig, Authenticator, IpRange, Keys, LocalMode};
use crate::model::Secret;

fn open(local: LocalMode) -> Authenticator {
    let config = AuthConfig { realms: Vec::new(), home: Vec::new(), local, ..Door::new().config };
    Authenticator::new(config, Arc::new(Keys::new())).unwrap()
}

#[tokio::test]
async fn the_local_token_is_required_over_http() {
    let door = open(LocalMode::Token { token: Secret::new("s3cret-token") });
    let caller = door.authenticate(&headers(&["bearer s3cret-token"]), None, None).await.unwrap();
    let principal = caller.principal();
    assert!(
        principal.is_local() && !principal.shared && principal.expires.is_none() && caller.token().secret().is_none()
    );
    assert_eq!((principal.iss.as_str(), principal.token_digest), ("kubeferry:local", [0; 32]));
    for bad in ["Bearer s3cret-toke", "Bearer s3cret-token1", "Bearer x", "Bearer ", "Basic s3cret-token"] {
        let error = door.authenticate(&headers(&[bad]), None, None).await.unwrap_err();
        assert_eq!(error.status(), 401, "{bad}");
        let challenge = door.challenge(Some(METADATA), &error).unwrap();
        assert!(!challenge.to_str().unwrap().contains("resource_metadata"), "{challenge:?}");
        assert!(!error.to_string().contains("s3cret"));
    }
    let missing = door.authenticate(&headers(&[]), Some("access_token=s3cret-token"), None).await.unwrap_err();
    assert_eq!(missing.status(), 401);
    assert!(door.home_issuers().is_empty() && door.realm_status().is_empty());
    assert!(door.bearer(Secret::new("s3cret-token")).await.is_err());
    assert!(!format!("{door:?}").contains("s3cret"));
}

#[tokio::test]
async fn accepted_addresses_share_a_principal() {
    let allow = vec![IpRange::parse("10.0.0.0/8").unwrap()];
    let door = open(LocalMode::Unauthenticated { allow, writes: false });
    let from = |peer: &str| Some(peer.parse::<IpAddr>().unwrap());
    let caller = door.authenticate(&headers(&["Bearer anything"]), None, from("10.1.2.3")).await.unwrap();
    assert!(caller.principal().shared && caller.principal().is_local() && caller.token().secret().is_none());
    for peer in [from("11.0.0.1"), from("::1"), None] {
        let mut forwarded = headers(&[]);
        forwarded.insert("x-forwarded-for", "10.1.2.3".parse().unwrap());
        assert_eq!(door.authenticate(&forwarded, None, peer).await.unwrap_err().status(), 403);
    }
    assert_eq!(
        door.authenticate(&headers(&["Bearer a", "Bearer b"]), None, from("10.1.2.3")).await.unwrap_err().status(),
        400
    );
}

#[tokio::test]
async fn stdio_has_a_caller_and_http_has_none() {
    let door = open(LocalMode::Stdio);
    assert!(door.local_caller().unwrap().principal().is_local());
    assert_eq!(door.authenticate(&headers(&[]), None, None).await.unwrap_err().status(), 401);
    let off = open(LocalMode::Off);
    assert!(off.local_caller().is_none());
    assert_eq!(off.authenticate(&headers(&["Bearer x"]), None, None).await.unwrap_err().status(), 401);
}

#[test]
fn local_mode_and_home_realms_exclude_each_other() {
    let mut door = Door::new();
    door.config.local = LocalMode::Stdio;
    assert_eq!(Authenticator::new(door.config.clone(), door.keys()).unwrap_err()[0].key, "server.home_realms");
}
