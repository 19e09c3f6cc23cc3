//! The contract that every strategy keeps, whatever it does inside: equal keys only for equal authority, expiry honoured,
//! secrets never printed, nobody served whom the reach does not name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::{CompileContext, Compiled, Minting, WrongCluster, compile};
use crate::inventory::{ClusterSettings, Entry, ImpersonateSettings, LocalContext};
use crate::model::{
    Admission, Caller, ClusterKey, ClusterKind, ClusterName, Endpoint, KeyHasher, PathTrust, Principal, RealmName,
    Secret, SubjectToken, Tier,
};

/// Must never show in a Debug or an error.
const CANARY: &str = "hunter2-canary";

fn realm(name: &str) -> RealmName {
    RealmName::parse(name).unwrap()
}

mod explained;
mod minted;

use minted::Lab;

/// A kubeconfig whose one user has a token.
fn kubeconfig(folder: &tempfile::TempDir, token: &str) -> PathBuf {
    let file = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'https://h:6443'}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn entry(settings: ClusterSettings) -> Entry {
    Entry {
        name: ClusterName::parse("c1").unwrap(),
        aliases: vec![],
        origin: Some("clusters.c1".into()),
        source: "file".into(),
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint { server: "https://h:6443".into(), ca: None, tls_server_name: None, insecure: false },
        settings,
        labels: BTreeMap::new(),
        tier: Tier::default(),
        advertise: false,
        entry: vec![],
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
    }
}

fn context(names: &[&str]) -> CompileContext {
    CompileContext { home_realms: names.iter().map(|name| realm(name)).collect(), ..CompileContext::default() }
}

fn caller(realm_name: &str, username: &str) -> Caller {
    let principal = Principal {
        realm: realm(realm_name),
        iss: format!("https://{realm_name}.example"),
        sub: format!("sub-{username}"),
        username: username.into(),
        groups: vec!["dev".into(), "ops".into()],
        scopes: vec![],
        audiences: vec!["c1-aud".into()],
        azp: Some("client".into()),
        issued: None,
        expires: (realm_name != "local").then(|| SystemTime::now() + Duration::from_secs(300)),
        token_digest: crate::model::key::digest(username.as_bytes()),
        admission: Admission::Full,
        roles: None,
        shared: false,
    };
    Caller::new(Arc::new(principal), SubjectToken::bearer(Secret::new(format!("{CANARY}-{username}"))))
}

/// One working configuration per strategy that obtains credentials: its settings, its realms, whom it serves.
fn strategies(lab: &Lab) -> Vec<(ClusterSettings, CompileContext, Caller)> {
    let file = kubeconfig(&lab.folder, CANARY);
    let passthrough = ClusterSettings {
        strategy: "passthrough".into(),
        realm: Some(realm("corp")),
        audiences: vec!["c1-aud".into()],
        i_accept_token_passthrough: true,
        ..ClusterSettings::default()
    };
    let impersonate = ClusterSettings {
        strategy: "impersonate".into(),
        realms: vec![realm("corp")],
        gateway_kubeconfig: Some(file.clone()),
        impersonate: Some(ImpersonateSettings {
            user: "{realm}:{username}".into(),
            groups: Some("{realm}:{group}".into()),
            uid: Some("{iss}#{sub}".into()),
            extra: BTreeMap::from([("example.com/client".into(), "{azp}".into())]),
        }),
        ..ClusterSettings::default()
    };
    let local = ClusterSettings {
        strategy: "local".into(),
        local: Some(LocalContext { files: vec![file], context: "c".into() }),
        ..ClusterSettings::default()
    };
    vec![
        (passthrough, context(&["corp"]), caller("corp", "alice")),
        (impersonate, context(&["corp"]), caller("corp", "alice")),
        (local, context(&["local"]), caller("local", "me")),
        (lab.exchange(), lab.context(), caller("corp", "alice")),
        (lab.chain(), lab.context(), caller("corp", "alice")),
    ]
}

fn compiled(settings: &ClusterSettings, context: &CompileContext) -> Compiled {
    compile(&entry(settings.clone()), context).unwrap()
}

fn sent(compiled: &Compiled, credential: &super::Credential) -> HeaderMap {
    let mut headers = HeaderMap::new();
    credential.attach(&compiled.key, &mut headers).unwrap();
    headers
}

#[tokio::test]
async fn a_credential_goes_to_its_own_cluster_only_and_never_prints() {
    let lab = Lab::start().await;
    for (settings, context, caller) in strategies(&lab) {
        let compiled = compiled(&settings, &context);
        let credential = compiled.strategy.credential(&caller, &Minting::default()).await.unwrap();
        let other = ClusterKey::from(KeyHasher::new("other"));
        let mut headers = HeaderMap::new();
        let refused = credential.attach(&other, &mut headers);
        assert!(matches!(refused, Err(WrongCluster { .. })), "{}", settings.strategy);
        assert!(headers.is_empty(), "{}: nothing is put on", settings.strategy);
        assert!(!sent(&compiled, &credential).is_empty());
        let printed = format!("{compiled:?} {credential:?} {headers:?} {:?} {caller:?}", sent(&compiled, &credential));
        assert!(!printed.contains(CANARY), "{}", settings.strategy);
    }
}

#[tokio::test]
async fn who_is_not_reached_is_not_served() {
    let lab = Lab::start().await;
    for (settings, context, served) in strategies(&lab) {
        let compiled = compiled(&settings, &context);
        assert!(compiled.reach.way(served.principal()).is_some(), "{}", settings.strategy);
        let stranger = caller("acme", "alice");
        assert!(compiled.reach.way(stranger.principal()).is_none(), "{}", settings.strategy);
        assert!(compiled.strategy.credential(&stranger, &Minting::default()).await.is_err(), "{}", settings.strategy);
    }
    assert!(lab.untouched(), "nothing is sent before it is known that the caller is served");
}

#[tokio::test]
async fn callers_are_told_apart_and_a_credential_ends_with_its_token() {
    let lab = Lab::start().await;
    for (settings, context, _) in strategies(&lab).into_iter().filter(|(settings, ..)| settings.strategy != "local") {
        let compiled = compiled(&settings, &context);
        let [alice, bob] = ["alice", "bob"].map(|name| caller("corp", name));
        let [a, b] = [
            compiled.strategy.credential(&alice, &Minting::default()).await.unwrap(),
            compiled.strategy.credential(&bob, &Minting::default()).await.unwrap(),
        ];
        assert_ne!(sent(&compiled, &a), sent(&compiled, &b), "{}", settings.strategy);
        assert!(!a.expired(SystemTime::now()));
        assert!(a.expired(SystemTime::now() + Duration::from_secs(301)), "{}", settings.strategy);
    }
}

#[tokio::test]
async fn the_cluster_key_covers_everything_that_decides() {
    let lab = Lab::start().await;
    for (settings, context, _) in strategies(&lab) {
        let key = |change: &dyn Fn(&mut Entry)| {
            let mut entry = entry(settings.clone());
            change(&mut entry);
            compile(&entry, &context).map(|compiled| compiled.key)
        };
        let usual = key(&|_| {}).unwrap();
        assert_eq!(usual, key(&|_| {}).unwrap(), "{}: stable", settings.strategy);
        let changes: [&dyn Fn(&mut Entry); 6] = [
            &|entry| entry.name = ClusterName::parse("c2").unwrap(),
            &|entry| entry.endpoint.tls_server_name = Some("x".into()),
            &|entry| entry.settings.audiences.push("more".into()),
            &|entry| entry.settings.scope = Some("s".into()),
            &|entry| entry.settings.expect_username = Some("{username}".into()),
            &|entry| entry.settings.realms.push(realm("acme")),
        ];
        for change in changes {
            // A change that leaves the gateway's kubeconfig without a context of this endpoint is refused.
            assert!(key(change).is_err() || key(change).unwrap() != usual, "{}", settings.strategy);
        }
    }
}

#[tokio::test]
async fn another_gateway_credential_is_another_destination() {
    let lab = Lab::start().await;
    let (settings, context, _) = strategies(&lab).remove(1);
    let before = compiled(&settings, &context).key;
    kubeconfig(&lab.folder, "rotated");
    assert_ne!(before, compiled(&settings, &context).key);
}

#[tokio::test]
async fn a_server_url_below_a_possible_mount_is_refused() {
    let lab = Lab::start().await;
    let (settings, context, _) = strategies(&lab).remove(0);
    let check = |server: &str| {
        let mut entry = entry(settings.clone());
        entry.endpoint.server = server.into();
        compile(&entry, &context).is_ok()
    };
    for good in ["https://h", "https://h/k8s/clusters/c-1", "https://h/clusters/root", "https://clusters/a:b"] {
        assert!(check(good), "{good}");
    }
    for bad in [
        "https://h/clusters/root:org:edge",
        "https://h//clusters/root:a",
        "https://h/p/clusters/root:a/x",
        "https://h/clusters/*",
    ] {
        assert!(!check(bad), "{bad}");
    }
}

#[test]
fn incomplete_settings_name_every_missing_key() {
    for strategy in ["passthrough", "impersonate", "local", "exchange", "chain"] {
        let settings = ClusterSettings { strategy: strategy.into(), ..ClusterSettings::default() };
        let problems = compile(&entry(settings), &context(&["corp"])).unwrap_err();
        assert!(problems.iter().all(|problem| problem.key.starts_with("clusters.c1.")), "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.fix.is_empty()));
    }
    let settings = ClusterSettings { strategy: "chian".into(), ..ClusterSettings::default() };
    let problems = compile(&entry(settings), &context(&["corp"])).unwrap_err();
    assert!(problems[0].fix.contains("passthrough"));
}

mod impersonate {
    use super::super::Expectation;
    use super::{Lab, Minting, caller, compiled, entry, sent, strategies};
    use crate::model::{Caller, Principal, UserInfo};
    use std::sync::Arc;

    #[tokio::test]
    async fn carries_exactly_the_templates_headers() {
        let lab = Lab::start().await;
        let (settings, context, alice) = strategies(&lab).remove(1);
        let compiled = compiled(&settings, &context);
        let credential = compiled.strategy.credential(&alice, &Minting::default()).await.unwrap();
        let headers = sent(&compiled, &credential);
        let names: Vec<String> = headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("impersonate"))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [
                "impersonate-user: corp:alice",
                "impersonate-group: corp:dev",
                "impersonate-group: corp:ops",
                "impersonate-uid: https://corp.example#sub-alice",
                "impersonate-extra-example.com%2fclient: client",
            ]
        );
    }

    #[tokio::test]
    async fn names_of_the_control_planes_and_broken_ones_are_refused() {
        let lab = Lab::start().await;
        let (mut settings, context, alice) = strategies(&lab).remove(1);
        let template = settings.impersonate.as_mut().unwrap();
        (template.user, template.groups) = ("{username}".into(), Some("{group}".into()));
        let compiled = compiled(&settings, &context);
        let refused = async |change: &dyn Fn(&mut Principal)| {
            let mut principal = Principal::clone(alice.principal());
            change(&mut principal);
            let caller = Caller::new(Arc::new(principal), alice.token().clone());
            compiled.strategy.credential(&caller, &Minting::default()).await.is_err()
        };
        assert!(!refused(&|_| {}).await);
        for name in ["system:admin", "SYSTEM:x", "", " a", "a\r\nImpersonate-Group: system:masters", "ä"] {
            assert!(refused(&|principal| principal.username = name.into()).await, "{name:?}");
        }
        for group in ["system:masters", "a\nb", ""] {
            assert!(refused(&|principal| principal.groups = vec![group.into()]).await, "{group:?}");
        }
    }

    #[tokio::test]
    async fn extra_keys_of_the_control_planes_are_refused() {
        let lab = Lab::start().await;
        let (settings, context, _) = strategies(&lab).remove(1);
        for key in
            ["authentication.k8s.io/x", "k8s.io", "a.kubernetes.io/b", "authentication.kcp.io/scopes", "Upper", ""]
        {
            let mut settings = settings.clone();
            settings.impersonate.as_mut().unwrap().extra = [(key.to_owned(), "{sub}".to_owned())].into();
            assert!(super::compile(&entry(settings), &context).is_err(), "{key:?}");
        }
    }

    #[tokio::test]
    async fn several_realms_are_told_apart() {
        let lab = Lab::start().await;
        let (mut settings, context, _) = strategies(&lab).remove(1);
        let template = settings.impersonate.as_mut().unwrap();
        (template.user, template.groups) = ("{username}".into(), Some("{group}".into()));
        assert!(super::compile(&entry(settings.clone()), &context).is_ok());
        settings.realms.push(super::realm("plant"));
        let problems = super::compile(&entry(settings), &context).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["clusters.c1.impersonate.user", "clusters.c1.impersonate.groups"]);
    }

    #[tokio::test]
    async fn the_review_must_equal_the_template() {
        let lab = Lab::start().await;
        let (settings, context, alice) = strategies(&lab).remove(1);
        let expected = compiled(&settings, &context).expects(alice.principal()).unwrap().unwrap();
        let seen = |groups: &[&str]| UserInfo {
            username: "corp:alice".into(),
            uid: "https://corp.example#sub-alice".into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            extra: [
                ("example.com/client".to_owned(), vec!["client".to_owned()]),
                ("authentication.kcp.io/scopes".to_owned(), vec!["cluster:x".to_owned()]),
            ]
            .into(),
        };
        assert_eq!(expected.differs(&seen(&["corp:ops", "corp:dev", "system:authenticated"])), None);
        assert!(expected.differs(&seen(&["corp:dev", "system:authenticated"])).is_some());
        assert!(expected.differs(&seen(&["corp:dev", "corp:ops", "system:masters"])).is_some());
        assert!(
            expected.differs(&UserInfo { username: "corp:bob".into(), ..seen(&["corp:dev", "corp:ops"]) }).is_some()
        );
        assert!(expected.differs(&UserInfo { uid: "x".into(), ..seen(&["corp:dev", "corp:ops"]) }).is_some());
        let only = Expectation { username: Some("plant:alice".into()), ..Expectation::default() };
        assert!(only.differs(&UserInfo { username: "plant:alice".into(), ..UserInfo::default() }).is_none());
        assert_eq!(caller("corp", "x").principal().username, "x");
    }
}

#[tokio::test]
async fn what_is_impersonated_is_what_the_template_names() {
    let lab = Lab::start().await;
    let (settings, context, _) = strategies(&lab).remove(1);
    let named = |settings: &ClusterSettings| -> Vec<String> {
        let acts = compiled(settings, &context).strategy.acts().into_iter();
        acts.map(|acts| format!("{}/{}/{}", acts.group, acts.resource, acts.subresource.unwrap_or_default())).collect()
    };
    let whole =
        ["/users/", "/groups/", "authentication.k8s.io/uids/", "authentication.k8s.io/userextras/example.com/client"];
    assert_eq!(named(&settings), whole);
    let user = ImpersonateSettings { user: "{realm}:{username}".into(), ..ImpersonateSettings::default() };
    assert_eq!(named(&ClusterSettings { impersonate: Some(user), ..settings }), ["/users/"]);
}
