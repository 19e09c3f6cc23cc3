use std::collections::BTreeMap;
use std::path::Path;

use super::{Finding, Level, access, links, shared_audiences};
use crate::app::{App, Mode};
use crate::config::{Environment, Origin};
use crate::model::{Cluster, ClusterKind, ClusterName, Endpoint, KeyHasher, PathTrust, Reach, RealmName, Tier, Way};

fn cluster(name: &str, audience: &str) -> Cluster {
    let way = Way::Passthrough { audiences: vec![audience.to_owned()] };
    Cluster {
        name: ClusterName::parse(name).unwrap(),
        aliases: Vec::new(),
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint { server: format!("https://{name}"), ca: None, tls_server_name: None, insecure: false },
        realm: None,
        audiences: Vec::new(),
        strategy: "passthrough",
        reach: Reach::by([RealmName::parse("corp").unwrap()], &way, ""),
        labels: BTreeMap::new(),
        tier: Tier::default(),
        source: "file".to_owned(),
        advertise: false,
        entry: Vec::new(),
        paths: PathTrust::default(),
        namespace: None,
        current: false,
        key: KeyHasher::new("test").field("name", name).into(),
    }
}

#[test]
fn an_audience_of_several_places_is_a_warning() {
    let clusters = [cluster("a", "shared"), cluster("b", "shared"), cluster("c", "own"), cluster("d", "ferry")];
    let found = shared_audiences(&clusters, &["ferry"]);
    let said: Vec<_> = found.iter().map(|found| (found.level, found.said.as_str())).collect();
    assert_eq!(
        said,
        [
            (Level::Warning, "audience \"ferry\" of realm corp is shared by d, kubeferry itself"),
            (Level::Warning, "audience \"shared\" of realm corp is shared by a, b"),
        ]
    );
}

#[test]
fn an_issued_token_of_several_clusters_is_a_warning_too() {
    let realm = |name: &str| RealmName::parse(name).unwrap();
    let issued = |name: &str, way: &Way, of: &str| Cluster {
        realm: Some(realm(of)),
        audiences: vec!["kubernetes".to_owned(), name.to_owned()],
        reach: Reach::by([realm("corp"), realm("acme")], way, ""),
        ..cluster(name, "")
    };
    let chain = Way::Chain { link: "corp-to-plant".to_owned() };
    let clusters = [
        cluster("a", "kubernetes"),
        issued("b", &Way::Exchange, "corp"),
        issued("p1", &chain, "plant"),
        issued("p2", &chain, "plant"),
        issued("l1", &chain, "lake"),
        issued("i", &Way::Impersonate, "lake"),
    ];
    let found = shared_audiences(&clusters, &["ferry"]);
    let said: Vec<_> = found.iter().map(|found| (found.level, found.said.as_str())).collect();
    assert_eq!(
        said,
        [
            (Level::Warning, "audience \"kubernetes\" of realm corp is shared by a, b"),
            (Level::Warning, "audience \"kubernetes\" of realm plant is shared by p1, p2"),
        ]
    );
}

#[tokio::test]
async fn everything_that_is_configured_is_looked_at_and_a_dead_thing_costs_the_others_nothing() {
    crate::auth::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\nresource = \"https://mcp.example/\"\nhome_realms = [\"dead\"]\n\
        [realms.dead]\nissuer = \"https://127.0.0.1:1/realm\"\nallow_private = true\n\
        [clusters.gone]\nserver = \"https://127.0.0.1:1\"\nrealm = \"dead\"\naudiences = [\"gone\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n\
        [clusters.idle]\nserver = \"https://127.0.0.1:1\"\nstrategy = \"none\"\n";
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    let origin = Origin { file: Some(file), listen: None };
    let app = App::start(&origin, &Environment::of(&[], Some(Path::new("/nonexistent").into())), Mode::Person).await;
    let app = app.unwrap();
    let progress = std::cell::Cell::new((0, 0));
    let found = app.examine(|done, all| progress.set((done, all))).await;
    assert_eq!(progress.get(), (4, 4));
    let levels: Vec<_> = found.iter().map(|Finding { about, level, .. }| (about.as_str(), *level)).collect();
    assert_eq!(
        levels,
        [
            ("configuration", Level::Ok),
            ("listener", Level::Ok),
            ("listener", Level::Warning),
            ("realm dead", Level::Failed),
            ("cluster gone", Level::Failed),
            ("cluster idle", Level::Warning),
            ("access gone", Level::Ok),
        ],
        "{found:#?}"
    );
    assert!(found.iter().all(|found| (found.level == Level::Ok) == found.fix.is_empty()), "{found:#?}");
    let gone = found.iter().find(|found| found.about == "cluster gone").unwrap();
    assert!(gone.said.contains("connection refused"), "{gone:?}");
}

#[tokio::test]
async fn a_refusal_that_is_no_status_gets_no_credential() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    crate::auth::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    for (body, asked, level) in [("{\"kind\":\"Login\"}", 1, Level::Failed), ("{\"kind\":\"Status\"}", 2, Level::Ok)] {
        let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = stranger.local_addr().unwrap();
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let hears = std::sync::Arc::clone(&heard);
        let served = tokio::spawn(async move {
            while let Ok((mut stream, _)) = stranger.accept().await {
                let mut bytes = vec![0; 8192];
                let read = stream.read(&mut bytes).await.unwrap_or_default();
                hears.lock().unwrap().push(String::from_utf8_lossy(&bytes[..read]).contains("hunter2"));
                let head = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length";
                drop(stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await);
            }
        });
        let kubeconfig = format!(
            "contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://{at}'}}}}]\nusers: [{{name: u, user: {{token: hunter2}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        // The policy has no whoami: doctor asks all the same.
        let text = "[server]\nlisten = \"127.0.0.1:0\"\n[[sources]]\ntype = \"kubeconfig\"\npaths = [\"kubeconfig\"]\n[policy]\ndisabled_tools = [\"whoami\"]\n";
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        let origin = Origin { file: Some(file), listen: None };
        let app = App::start(&origin, &Environment::of(&[], None), Mode::Person).await.unwrap();
        let found = app.examine(|_, _| {}).await;
        let about: Vec<_> = found.iter().filter(|found| found.about == "cluster c").collect();
        assert_eq!(about.first().map(|found| found.level), Some(level), "{found:#?}");
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard, [false, true][..asked], "{body}: {found:#?}");
        assert!(asked == 1 || about[1].said.contains("(401)"), "{found:#?}");
        served.abort();
    }
}

/// Who reaches what, by which way, and as whom: from the configuration alone. What clusters ask of realms is asked once.
#[tokio::test]
async fn access_and_needs_follow_from_the_configuration() {
    crate::auth::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    let client = |realm: &str| {
        format!(
            "[realms.{realm}.client]\nid = \"kubeferry\"\nauth = \"client_secret_basic\"\nsecret_file = \"secret\"\n"
        )
    };
    let realm = |name: &str| format!("[realms.{name}]\nissuer = \"https://kc.example/realms/{name}\"\n");
    let cluster = |name: &str, more: &str| {
        format!("[clusters.{name}]\nserver = \"https://{name}.example\"\naudiences = [\"{name}\"]\n{more}")
    };
    let text = [
        "[server]\nlisten = \"127.0.0.1:0\"\nresource = \"https://mcp.example/\"\nhome_realms = [\"corp\", \"acme\"]\n".to_owned(),
        realm("corp"), client("corp"), realm("plant"), client("plant"), realm("acme"),
        "[links.corp-to-plant]\nfrom = \"corp\"\nto = \"plant\"\n".to_owned(),
        cluster("corp-1", "realm = \"corp\"\nstrategy = \"exchange\"\nscope = \"k8s\"\n"),
        cluster("plant-1", "realm = \"plant\"\nstrategy = \"chain\"\nlink = \"corp-to-plant\"\nscope = \"k8s\"\nexpect_username = \"plant:{username}\"\n"),
        cluster("plant-2", "realm = \"plant\"\nstrategy = \"chain\"\nlink = \"corp-to-plant\"\nscope = \"k8s\"\n"),
    ].concat();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    let origin = Origin { file: Some(file), listen: None };
    let app = App::start(&origin, &Environment::of(&[], Some(Path::new("/nonexistent").into())), Mode::Person).await;
    let app = app.unwrap();
    let live = app.live.load_full();
    let said: Vec<String> = live
        .inventory
        .iter()
        .filter_map(|cluster| access::check(&live, &app.config, cluster))
        .map(|found| format!("{}: {}", found.about, found.said))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    access corp-1: callers of corp by exchange; callers of acme not (chain could work, in an entry of its own, with [realms.acme.client] and a [links.*] table from acme to corp); a RoleBinding names the user "https://kc.example/realms/corp#<sub>" by the API server's default --oidc-* flags, which expect_username would prove
    access plant-1: callers of corp by chain corp-to-plant; callers of acme not (chain could work, in an entry of its own, with [realms.acme.client] and a [links.*] table from acme to plant); a RoleBinding names the user "plant:<username>"
    access plant-2: callers of corp by chain corp-to-plant; callers of acme not (chain could work, in an entry of its own, with [realms.acme.client] and a [links.*] table from acme to plant); a RoleBinding names the user "https://kc.example/realms/plant#<sub>" by the API server's default --oidc-* flags, which expect_username would prove
    "#);
    let needs = links::Needs::of(&live);
    assert_eq!(needs.exchanges.values().map(Vec::len).collect::<Vec<_>>(), [1]);
    assert_eq!(needs.links.keys().collect::<Vec<_>>(), ["corp-to-plant"]);
}
