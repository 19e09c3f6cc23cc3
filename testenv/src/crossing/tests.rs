use std::time::Duration;

use super::{Crossing, PLACES, Place};
use crate::pki;

async fn lists(crossing: &Crossing, place: &Place, token: &str) -> u16 {
    let tap = crossing.tap(place.name);
    let tls = (*pki::client_config(tap.ca_pem(), None, &[b"h2", b"http/1.1"])).clone();
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(Duration::from_secs(10));
    let path = if place.name == "kcp-eu" { "/clusters/root/api/v1/namespaces" } else { "/api/v1/namespaces" };
    let request = http.build().unwrap().get(format!("{}{path}", tap.url())).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_cluster_takes_tokens_of_its_realm_and_audience_alone() {
    let crossing = Crossing::start().await.unwrap();
    let inbound = crossing.token("corp", "alice");
    for (at, place) in PLACES.iter().enumerate() {
        let user = place.alice.rsplit(':').next().unwrap();
        assert_eq!(
            lists(&crossing, place, &crossing.realms.mint(place.realm, user, place.audience)).await,
            200,
            "{place:?}"
        );
        assert_eq!(lists(&crossing, place, &inbound).await, 401, "{place:?}");
        let next = PLACES[(at + 1) % PLACES.len()];
        let user = next.alice.rsplit(':').next().unwrap();
        let strange = crossing.realms.mint(next.realm, user, next.audience);
        assert_eq!(lists(&crossing, place, &strange).await, 401, "{place:?}");
        if place.realm == "corp" {
            assert_eq!(lists(&crossing, place, &crossing.realms.mint("corp", "bob", place.audience)).await, 403);
        }
    }
    assert_eq!(crossing.tap("corp-1").requests().len(), 4);
    crossing.clear();
    assert!(crossing.tap("corp-1").requests().is_empty());
}

#[tokio::test]
async fn the_configuration_names_files_that_are_there_and_no_secret() {
    let crossing = Crossing::start().await.unwrap();
    let text = crossing.config_text();
    for (key, count) in [("ca_file", 10), ("secret_file", 2), ("key_file", 1)] {
        let named = text.lines().filter_map(|line| line.strip_prefix(&format!("{key} = \"")));
        let named: Vec<_> = named.map(|rest| rest.trim_end_matches('"')).collect();
        assert_eq!(named.len(), count, "{key}");
        assert!(named.iter().all(|name| crossing.folder().join(name).is_file()), "{named:?}");
    }
    assert!(!text.contains("s3cret"));
    assert_eq!(std::fs::read_to_string(crossing.config()).unwrap(), text);
}
