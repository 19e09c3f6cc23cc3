use std::collections::BTreeMap;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use crate::model::{Cluster, ClusterKind, ClusterName, Endpoint, KeyHasher, PathTrust, Reach, Tier, WorkspacePath};

use super::{ResolveError, Snapshot};

fn cluster(name: &str, kind: ClusterKind, aliases: &[&str]) -> Cluster {
    Cluster {
        name: ClusterName::parse(name).unwrap(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        kind,
        endpoint: Endpoint {
            server: format!("https://{}.example", ClusterName::slug(name)),
            ca: None,
            tls_server_name: None,
            insecure: false,
        },
        realm: None,
        audiences: Vec::new(),
        strategy: "exchange",
        reach: Reach::default(),
        labels: BTreeMap::new(),
        tier: Tier::default(),
        source: "file".to_owned(),
        advertise: false,
        entry: if kind == ClusterKind::Kcp { vec![WorkspacePath::parse("root:org").unwrap()] } else { Vec::new() },
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
        key: KeyHasher::new("test").field("name", name).into(),
    }
}

fn fleet(hidden: bool) -> Snapshot {
    let mut clusters = vec![
        cluster("plant-1", ClusterKind::Kubernetes, &["arn:aws:eks:eu:1:cluster/Plant", "Plant_1"]),
        cluster("kcp-eu", ClusterKind::Kcp, &[]),
        cluster("dev@a", ClusterKind::Kubernetes, &["Dev"]),
        cluster("dev@b", ClusterKind::Kubernetes, &["Dev"]),
        cluster("trap", ClusterKind::Kubernetes, &["kcp-eu:root", "kcp-eu", "kcp:x"]),
    ];
    let mut ambiguous = BTreeMap::from([("dev".to_owned(), vec![clusters[2].name.clone(), clusters[3].name.clone()])]);
    if hidden {
        clusters.push(cluster("plant-2", ClusterKind::Kcp, &["Plant_2", "Plant_1"]));
        clusters.push(cluster("web@a", ClusterKind::Kubernetes, &["Web"]));
        clusters.push(cluster("web@b", ClusterKind::Kubernetes, &["Web"]));
        ambiguous.insert("web".to_owned(), vec![clusters[6].name.clone(), clusters[7].name.clone()]);
    }
    Snapshot::new(clusters, ambiguous)
}

fn hides(cluster: &Cluster) -> bool {
    !matches!(cluster.name.as_str(), "plant-2" | "web@a" | "web@b")
}

fn find(text: &str, from: Option<&str>, workspace: Option<&str>) -> Result<String, ResolveError> {
    let (cluster, place) = fleet(true).find(text, from, workspace, &hides)?;
    Ok(crate::model::Address { cluster: cluster.name.clone(), place }.to_string())
}

#[test]
fn addresses_aliases_and_relative_places() {
    let table: [(&str, Option<&str>, Option<&str>, &str); 18] = [
        ("plant-1", None, None, "plant-1"),
        ("arn:aws:eks:eu:1:cluster/Plant", None, None, "plant-1"),
        ("Plant_1", None, None, "plant-1"),
        ("kcp:x", None, None, "trap"),
        ("kcp-eu:root", None, None, "kcp-eu:root"),
        ("kcp-eu", None, None, "kcp-eu"),
        ("kcp-eu", None, Some("root:org"), "kcp-eu:root:org"),
        ("dev@a", None, None, "dev@a"),
        ("..", Some("kcp-eu:root:org:team"), None, "kcp-eu:root:org"),
        ("team:a", Some("kcp-eu:root:org"), None, "kcp-eu:root:org:team:a"),
        ("", Some("kcp-eu:root:org"), None, "kcp-eu:root:org"),
        ("kcp-eu:root:x", Some("kcp-eu:root:org"), None, "kcp-eu:root:x"),
        (":root:x", Some("kcp-eu:root:org"), None, "kcp-eu:root:x"),
        ("plant-1", Some("kcp-eu:root:org"), None, "kcp-eu:root:org:plant-1"),
        ("kcp-eu", Some("kcp-eu:root:org"), Some("team"), "kcp-eu:root:org:team"),
        ("", Some("kcp-eu:2gr4s8eyy3n1rqtl"), Some("a"), "kcp-eu:2gr4s8eyy3n1rqtl:a"),
        ("team", Some("kcp-eu"), None, "kcp-eu:root:org:team"),
        ("", Some("plant-1"), None, "plant-1"),
    ];
    for (text, from, workspace, want) in table {
        assert_eq!(find(text, from, workspace).as_deref(), Ok(want), "{text} {from:?} {workspace:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_said() {
    assert_eq!(find("plant-1:root", None, None), Err(ResolveError::NotAKcp { cluster: "plant-1".to_owned() }));
    assert_eq!(find("x", Some("plant-1"), None), Err(ResolveError::NotAKcp { cluster: "plant-1".to_owned() }));
    let choices = vec!["dev@a".to_owned(), "dev@b".to_owned()];
    assert_eq!(
        find("dev", None, None),
        Err(ResolveError::Ambiguous { given: "\"dev\"".to_owned(), choices: choices.clone() })
    );
    assert_eq!(find("Dev", None, None), Err(ResolveError::Ambiguous { given: "\"Dev\"".to_owned(), choices }));
    let near = vec!["plant-1".to_owned()];
    assert_eq!(find("plant-11", None, None), Err(ResolveError::Unknown { given: "\"plant-11\"".to_owned(), near }));
    for (text, from, workspace) in [
        ("Plant", None, None),
        ("Plant_1:root", None, None),
        ("kcp-eu:../x", None, None),
        ("kcp-eu:root", None, Some("x")),
        ("kcp-eu", None, Some("..")),
        ("plant-1", Some("kcp-eu:root"), Some("x")),
        ("..:..:..", Some("kcp-eu:root:org"), None),
    ] {
        assert!(matches!(find(text, from, workspace), Err(ResolveError::Grammar(_))), "{text} {from:?} {workspace:?}");
    }
    // One seen of two that share a short name: not guessed, and nothing said about the other.
    let one = fleet(true).find("dev", None, None, &|cluster| cluster.name.as_str() == "dev@a").unwrap_err();
    assert_eq!(one, ResolveError::Unknown { given: "\"dev\"".to_owned(), near: vec!["dev@a".to_owned()] });
}

#[test]
fn iteration_is_sorted() {
    let fleet = fleet(false);
    let names: Vec<&str> = fleet.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["dev@a", "dev@b", "kcp-eu", "plant-1", "trap"]);
    assert!(fleet.get(&ClusterName::parse("trap").unwrap()).is_some());
}

proptest! {
    /// A cluster that exists but is not seen answers exactly as one that does not exist.
    #[test]
    fn forbidden_is_unknown(
        text in "(plant-[12]|Plant_[12]|web|Web|web@[ab]|kcp-eu|dev|)(:root|:root:x|/|:\\.\\.|)",
        from in proptest::option::of("(plant-[12]|kcp-eu|web)(:root:a|)"),
        workspace in proptest::option::of("(root:x|\\.\\.|a)"),
    ) {
        let answer = |snapshot: &Snapshot| {
            snapshot.find(&text, from.as_deref(), workspace.as_deref(), &hides).map(|(cluster, place)| (cluster.name.clone(), place))
        };
        prop_assert_eq!(answer(&fleet(true)), answer(&fleet(false)));
    }

    #[test]
    fn what_is_found_is_seen(text in "[a-zA-Z0-9:@_./-]{0,12}") {
        if let Ok((cluster, _)) = fleet(true).find(&text, None, None, &hides) {
            prop_assert!(hides(&cluster));
        }
    }
}
