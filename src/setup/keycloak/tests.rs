//! The plan and the printed steps, from a configuration to the last word; the real Keycloak is in `testenv`.

use std::path::Path;

use super::plan::{Client, Credential, Must, Scope, Thing, Want, plan};
use super::{Keycloak, print};
use crate::config::{Config, Environment, parse, report};
use crate::model::Secret;
use crate::setup::{AdminAccess, AdminLogin, Asked, Provider as _, SetupError, Side, SignIn, wanted};

pub(super) const REALMS: &str = r#"
[server]
resource = "https://mcp.example/mcp"
home_realms = ["corp"]
tls_terminated_upstream = true

[realms.corp]
issuer = "https://kc.example/realms/corp"
client = { id = "kubeferry", auth = "client_secret_basic", secret_file = "corp.secret" }

[realms.plant]
issuer = "https://kc.example/realms/plant"
client = { id = "ferry", auth = "client_secret_post", secret_file = "plant.secret" }

[links.corp-plant]
from = "corp"
to = "plant"
request = { scope = "access-plant" }
"#;

pub(super) const CLUSTERS: &str = r#"
[clusters.corp-1]
server = "https://10.0.0.1:6443"
strategy = "exchange"
realm = "corp"
audiences = ["kubernetes-corp-1", "kubernetes"]
scope = "k8s-corp-1"

[clusters.plant-1]
server = "https://10.0.0.2:6443"
strategy = "chain"
realm = "plant"
link = "corp-plant"
audiences = ["kubernetes-plant-1"]
scope = "k8s-plant-1 phone"
"#;

/// The configuration, with files of secrets in their places.
pub(super) fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    for name in ["corp.secret", "plant.secret"] {
        std::fs::write(folder.path().join(name), "s").unwrap();
    }
    let environment = Environment::of(&[], Some("/nonexistent-home".into()));
    let loaded = parse(text, &folder.path().join("kubeferry.toml"), &environment);
    assert_eq!(report(&loaded.problems, &loaded.map), "");
    let mut config = loaded.config;
    for client in config.realms.iter_mut().filter_map(|realm| realm.client.as_mut()) {
        client.secret_file = client.secret_file.take().map(|file| Path::new("/etc").join(file.file_name().unwrap()));
    }
    config
}

pub(super) fn pair() -> Asked {
    Asked { home: "corp".to_owned(), target: Some("plant".to_owned()), ..Asked::default() }
}

pub(super) fn sides(asked: &Asked) -> Vec<Side> {
    wanted(&config(&format!("{REALMS}{CLUSTERS}")), asked).unwrap()
}

fn script(sides: &[Side]) -> Result<String, SetupError> {
    print::script(sides, &SignIn { url: None, user: "admin".to_owned(), realm: "master".to_owned() })
}

fn scope<'t>(things: &'t [Thing], name: &str) -> Option<&'t Scope> {
    things.iter().find_map(|thing| {
        if let Thing::Scope(scope) = thing { Some(scope) } else { None }.filter(|scope| scope.name == name)
    })
}

fn client<'t>(things: &'t [Thing], id: &str) -> Option<&'t Client> {
    things.iter().find_map(|thing| {
        if let Thing::Client(client) = thing { Some(client) } else { None }.filter(|client| client.id == id)
    })
}

/// What `wanted` or the plan say of a configuration that cannot be set up.
fn problems(text: &str, asked: &Asked) -> String {
    let found = wanted(&config(text), asked).and_then(|sides| match script(&sides) {
        Err(SetupError::Problems(problems)) => Err::<(), _>(problems),
        other => panic!("{other:?}"),
    });
    found.unwrap_err().iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn the_steps_of_a_pair() {
    let asked = Asked {
        login_clients: vec!["mcp client".to_owned()],
        registration_hosts: Some(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]),
        ..pair()
    };
    insta::assert_snapshot!(script(&sides(&asked)).unwrap());
}

#[test]
fn one_realm_alone_gets_no_link_and_says_what_is_left_to_do() {
    let text = script(&sides(&Asked { target: None, ..pair() })).unwrap();
    assert!(text.contains("kubernetes-corp-1") && text.contains("mcp-resource"), "{text}");
    assert!(!text.contains("plant") && !text.contains("default-default"), "{text}");
    assert!(text.contains("--login-client ID"), "{text}");
}

#[test]
fn things_are_made_before_what_names_them() {
    for side in sides(&Asked { registration_hosts: Some(Vec::new()), ..pair() }) {
        let things = plan(&side).unwrap();
        let at = |wanted: &dyn Fn(&Thing) -> bool| things.iter().position(wanted);
        let client = |id: &str| at(&|thing| matches!(thing, Thing::Client(client) if client.id == id));
        let scope = |name: &str| at(&|thing| matches!(thing, Thing::Scope(scope) if scope.name == name));
        if side.realm.name.as_str() == "corp" {
            assert!(client("kubernetes-corp-1") < scope("k8s-corp-1"));
            assert!(client("https://kc.example/realms/plant") < scope("access-plant"));
            assert!(scope("k8s-corp-1").max(scope("groups")) < client("kubeferry"));
            assert!(client("kubeferry") < scope("mcp-resource"));
            assert!(scope("mcp-resource") < at(&|thing| matches!(thing, Thing::RealmDefault { .. })));
        } else {
            assert!(at(&|thing| matches!(thing, Thing::IdentityProvider(_))) < client("ferry"));
            assert_eq!(client("kubernetes-plant-1"), None, "a custom audience needs no client");
        }
    }
}

#[test]
fn a_scope_of_several_clusters_is_made_once_with_all_their_audiences() {
    let more = "[clusters.corp-2]\nserver = \"https://10.0.0.3:6443\"\nstrategy = \"exchange\"\nrealm = \"corp\"\n\
                audiences = [\"kubernetes-corp-2\"]\nscope = \"k8s-corp-1\"\n";
    let sides = wanted(&config(&format!("{REALMS}{CLUSTERS}{more}")), &pair()).unwrap();
    let things = plan(&sides[0]).unwrap();
    assert_eq!(scope(&things, "k8s-corp-1").map(|scope| scope.mappers.len()), Some(2));
    let names = things.iter().filter(|thing| matches!(thing, Thing::Scope(scope) if scope.name == "k8s-corp-1"));
    assert_eq!(names.count(), 1);
}

#[test]
fn a_client_whose_id_is_the_resource_is_named_once() {
    let text = format!("{REALMS}{CLUSTERS}").replace("id = \"kubeferry\"", "id = \"https://mcp.example/mcp\"");
    let things = plan(&wanted(&config(&text), &pair()).unwrap()[0]).unwrap();
    let mappers = &scope(&things, "mcp-resource").unwrap().mappers;
    assert_eq!(mappers.len(), 1);
    let client = Must { path: "config/included.client.audience", want: Want::Is("https://mcp.example/mcp".into()) };
    assert!(mappers[0].must.contains(&client));
}

#[test]
fn a_key_or_a_projected_token_stands_in_for_a_secret() {
    let mut sides = sides(&pair());
    sides[1].client.secret_file = None;
    sides[1].client.auth = "federated_file".to_owned();
    let things = plan(&sides[1]).unwrap();
    let ours = client(&things, "ferry").unwrap();
    assert!(matches!(ours.credential, Some(Credential::ByHand(_))));
    assert!(ours.must.iter().all(|must| must.path != "clientAuthenticatorType"), "that is the operator's");
    sides[1].client.key_file = Some("/etc/key.pem".into());
    let text = format!("{:?}", plan(&sides[1]).unwrap());
    assert!(text.contains("client-jwt") && text.contains("use.jwks.string"), "{text}");
    assert!(matches!(script(&sides), Err(SetupError::File { .. })), "the key is read to be printed");
}

#[test]
fn what_cannot_be_set_up_is_said_with_its_key() {
    let both = format!("{REALMS}{CLUSTERS}");
    let of = |home: &str, target: Option<&str>| Asked {
        home: home.to_owned(),
        target: target.map(str::to_owned),
        ..Asked::default()
    };
    for (text, asked, said) in [
        (both.clone(), of("crop", None), "--home: no realm \"crop\" is configured; write one of corp, plant\n"),
        (
            both.clone(),
            of("corp", Some("lake")),
            "--target: no realm \"lake\" is configured; write one of corp, plant\n",
        ),
        (
            both.clone(),
            of("corp", Some("corp")),
            "--target: is the home realm; leave it out to set up one realm alone\n",
        ),
        (
            both.clone(),
            of("plant", Some("corp")),
            "--home: realm plant is no home realm, so nobody of it is let in; add it to server.home_realms, or name a realm of \
             that list\n\
             links: no link leads from realm plant to realm corp; write [links.<name>] with from = \"plant\" and to = \"corp\"\n",
        ),
        (
            both.replace("request = { scope = \"access-plant\" }", ""),
            pair(),
            "links.corp-plant: request.scope is missing; write request = { scope = \"access-plant\" }: the scope brings the \
             audience in\n",
        ),
        (
            both.replace("scope = \"k8s-corp-1\"", ""),
            pair(),
            "clusters.corp-1: scope is missing; write the scope that brings the audience in, as scope = \"k8s-prod-1\"\n",
        ),
        (
            both.replace("auth = \"client_secret_basic\", secret_file = \"corp.secret\"", "auth = \"none\""),
            pair(),
            "realms.corp.client.auth: is none: Keycloak exchanges no token for a public client; write client_secret_basic \
             with secret_file, or private_key_jwt with key_file\n",
        ),
        (
            both.replace("https://kc.example/realms/plant", "https://dex.example"),
            pair(),
            "realms.plant.issuer: is no issuer of Keycloak; a realm of Keycloak has an issuer like \
             https://keycloak.example/realms/corp; choose another --provider\n",
        ),
    ] {
        assert_eq!(problems(&text, &asked), said);
    }
    let keys = Asked { jwks_url: Some("http://kc.example/keys".to_owned()), ..pair() };
    assert!(problems(&both, &keys).starts_with("--jwks-url: is not an https URL"));
    let without =
        both.replace("client = { id = \"ferry\", auth = \"client_secret_post\", secret_file = \"plant.secret\" }", "");
    assert!(problems(&without, &pair()).starts_with("realms.plant.client: our client at this realm is missing"));
}

/// A second cluster of realm plant, with its audience and scope.
fn second(scope: &str) -> String {
    format!(
        "{REALMS}{CLUSTERS}[clusters.plant-2]\nserver = \"https://10.0.0.4:6443\"\nstrategy = \"chain\"\nrealm = \"plant\"\n\
         link = \"corp-plant\"\naudiences = [\"kubernetes-plant-2\", \"https://kcp.default.svc\"]\nscope = \"{scope}\"\n"
    )
}

#[test]
fn scopes_that_bring_in_the_audience_of_another_cluster_are_a_mistake() {
    let many = "of another cluster as well, and a token for more than audiences is not used; give each cluster a scope of its \
                own, or all that share one the same audiences\n";
    assert_eq!(
        problems(&second("k8s-plant-1"), &pair()),
        format!(
            "clusters.plant-1.scope: brings in kubernetes-plant-2, https://kcp.default.svc {many}\
             clusters.plant-2.scope: brings in kubernetes-plant-1 {many}"
        )
    );
    assert_eq!(
        problems(&second("k8s-plant-2 k8s-plant-1"), &pair()),
        format!("clusters.plant-2.scope: brings in kubernetes-plant-1 {many}")
    );
    let things = plan(&wanted(&config(&second("k8s-plant-2")), &pair()).unwrap()[1]).unwrap();
    let audiences = scope(&things, "k8s-plant-2").unwrap().mappers.len();
    assert_eq!(audiences, 2, "a cluster that wants both audiences gets both");
}

#[test]
fn the_steps_sign_in_as_they_are_told() {
    let sign_in =
        |url: &str| SignIn { url: Some(url.to_owned()), user: "it's me".to_owned(), realm: "corp".to_owned() };
    let text = print::script(&sides(&pair()), &sign_in("https://admin.example/")).unwrap();
    let command = r"kcadm.sh config credentials --server https://admin.example --realm corp --user 'it'\''s me'";
    assert!(text.lines().any(|line| line == command), "{text}");
    assert!(print::script(&sides(&pair()), &sign_in("http://admin.example")).unwrap_err().is_mistake());
}

#[test]
fn all_files_are_read_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut sides = sides(&pair());
    let access = |url: Option<&str>| AdminAccess {
        url: url.map(str::to_owned),
        login: AdminLogin::Token(Secret::new("an administrator's")),
    };
    for (side, name) in sides.iter_mut().zip(["first", "second"]) {
        let file = folder.path().join(name);
        std::fs::write(&file, "s3cret").unwrap();
        side.client.secret_file = Some(file);
    }
    Keycloak.prepare(&sides, &access(None)).unwrap();
    assert!(Keycloak.prepare(&sides, &access(Some("http://kc.example"))).unwrap_err().is_mistake());
    std::fs::write(folder.path().join("second"), "two\nlines").unwrap();
    let error = Keycloak.prepare(&sides, &access(None)).unwrap_err();
    assert!(matches!(&error, SetupError::File { file, .. } if file.ends_with("second")), "{error}");
    sides[1].client.auth = "none".to_owned();
    assert!(matches!(Keycloak.prepare(&sides, &access(None)), Err(SetupError::Problems(_))));
}
