//! Each strategy tells its own way, without a secret and without asking anybody.

use super::{CANARY, Lab, compiled, strategies};
use crate::model::RealmName;

#[tokio::test]
async fn every_way_is_told_without_a_secret_and_without_a_question() {
    let lab = Lab::start().await;
    for (settings, context, caller) in strategies(&lab) {
        let name = settings.strategy.clone();
        let compiled = compiled(&settings, &context);
        let (steps, asks) = (compiled.strategy.explain(caller.principal()), compiled.strategy.asks());
        assert!(!steps.is_empty() && steps.iter().any(|step| step.at_cluster), "{name}: {steps:?}");
        let asked: Vec<&RealmName> = steps.iter().filter_map(|step| step.realm.as_ref()).collect();
        assert_eq!(asked, asks.iter().map(|asks| asks.client.realm()).collect::<Vec<_>>(), "{name}");
        assert_eq!(compiled.strategy.is_minted(), !asks.is_empty(), "{name}");
        let told = format!("{steps:?} {asks:?}");
        assert!(!told.contains(CANARY) && !told.contains("the client's secret"), "{name}: {told}");
        let words: &[&str] = match name.as_str() {
            "passthrough" => &["your own token goes as it is", "c1-aud"],
            "impersonate" => &[
                "Impersonate-User: corp:alice",
                "Impersonate-Group: corp:dev",
                "Impersonate-Uid: https://corp.example#",
            ],
            "local" => &["the kubeconfig's user", "60 s"],
            "exchange" => {
                &["RFC 8693", "ferry (client_secret_basic)", "kubernetes-c1", "k8s-c1", "the subject is yours"]
            }
            "chain" => &["RFC 8693", "RFC 7523", "access-plant", "k8s-c1", "30 min", "its account there"],
            // What holds for all is above.
            _ => &[],
        };
        for word in words {
            assert!(told.contains(word), "{name}: {word}: {told}");
        }
    }
    assert!(lab.untouched(), "no realm was asked");
}

/// A cluster that no rule binds tells how to bind it; a template that makes a refused name tells why.
#[tokio::test]
async fn a_way_that_is_closed_tells_why() {
    let lab = Lab::start().await;
    let (mut settings, context, caller) = strategies(&lab).swap_remove(1);
    settings.impersonate.as_mut().unwrap().user = "system:{username}".into();
    let told = format!("{:?}", compiled(&settings, &context).strategy.explain(caller.principal()));
    assert!(told.contains("then the call ends: the template makes a user") && !told.contains("Impersonate-"), "{told}");
    settings.strategy = "none".into();
    let told = format!("{:?}", compiled(&settings, &context).strategy.explain(caller.principal()));
    assert!(told.contains("[[bind]]"), "{told}");
}
