use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::{any, proptest};

use crate::inventory::{SourceConfig, Store};
use crate::model::Problem;

use super::{ConfigError, DefaultSource, Environment, Loaded, Origin, load, parse, report};

fn nowhere() -> Environment {
    Environment::of(&[], Some(PathBuf::from("/nonexistent-home")))
}

fn check(text: &str) -> Loaded {
    parse(text, Path::new("/nonexistent/kubeferry.toml"), &nowhere())
}

/// The report without the name of the file.
fn problems(text: &str) -> String {
    let loaded = check(text);
    report(&loaded.problems, &loaded.map).replace("/nonexistent/kubeferry.toml:", "")
}

fn sample(name: &str) -> Loaded {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("clusters").join(name);
    let loaded = load(&Origin { file: Some(file), listen: None }, &nowhere()).unwrap();
    assert_eq!(report(&loaded.problems, &loaded.map), "");
    loaded
}

#[test]
fn the_samples_are_valid() {
    let two = sample("two-realms.toml").config;
    assert!(!two.is_local());
    assert_eq!(two.realms.iter().map(|realm| realm.name.as_str()).collect::<Vec<_>>(), ["corp", "plant"]);
    let corp = two.realms.first().unwrap();
    assert_eq!((corp.profile.word(), corp.max_token_lifetime), ("keycloak", Duration::from_secs(12 * 3600)));
    let link = two.links.first().unwrap();
    assert_eq!((link.from.as_str(), link.to.as_str(), link.scope.as_deref()), ("corp", "plant", Some("access-plant")));
    let plant = two.clusters.iter().find(|entry| entry.name.as_str() == "plant-1").unwrap();
    assert_eq!(
        (plant.settings.strategy.as_str(), plant.settings.expect_username.as_deref(), plant.tier.word()),
        ("chain", Some("plant:{username}"), "prod")
    );
    assert_eq!(plant.origin.as_deref(), Some("clusters.plant-1"));
    assert_eq!(two.binds.first().unwrap().matches.host.as_deref(), Some("127.0.0.1"));
    assert_eq!(two.policy.denied_namespaces, ["kube-system"]);
    let local = sample("local.toml").config;
    assert!(local.is_local() && local.policy.read_only && local.default_source.is_none());
}

#[tokio::test]
async fn the_samples_become_an_inventory() {
    let mut seen = BTreeMap::new();
    for name in ["two-realms.toml", "local.toml"] {
        let config = sample(name).config;
        let mut found = Vec::new();
        for source in &config.sources {
            found.extend(source.open().discover().await.unwrap().clusters);
        }
        let merged = Store::default().merge(&config.clusters, &found, &config.binds, config.is_local());
        let shown = merged
            .entries
            .iter()
            .map(|entry| format!("{}={}", entry.name, entry.settings.strategy))
            .collect::<Vec<_>>();
        assert!(!format!("{merged:?}").contains("not-a-token"));
        seen.insert(name, shown.join(" "));
    }
    insta::assert_debug_snapshot!(seen, @r##"
{
    "local.toml": "arn-aws-eks-eu-central-1-123456789012-cluster-prod=local kind-dev=local",
    "two-realms.toml": "corp-1=exchange kcp-eu=exchange plant-1=chain arn-aws-eks-eu-central-1-123456789012-cluster-prod=none kind-dev=impersonate",
}
"##);
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    insta::assert_snapshot!(problems(r#"
[server]
listen = "0.0.0.0:8080"
resource = "http://mcp.example.com/mcp"
home_realms = ["corq"]
allowed_hosts = ["https://x/"]
legacy_session = true
tls_terminated_upstream = "yes"
allowed_addresses = ["10.0.0.0/8", 7, "10.0.0.0/99"]
seal_key_files = ["seal.key"]

[realms.local]
issuer = "https://l"

[realms.corp]
issuer = "https://me:hunter2@kc/realms/corp"
algorithms = ["RS256", "HS256"]
profile = "keyclock"
max_token_lifetime = "24"
ca_file = "ca.pem"
[realms.corp.client]
id = "kubeferry"
auth = "client_secret_basic"
client_secret = "hunter2"

[realms.a]
issuer = "https://kc/realms/a"
[realms.b]
issuer = "https://kc/realms/a"
[realms.c]

[links.x]
from = "corp"
to = "plant"

[clusters.Plant_1]
server = "https://10.1.2.3:6443?x=hunter2"
strategy = "exchang"
realm = "corp"
link = "y"

[clusters.plant-2]
server = "http://127.0.0.1:6443"
insecure_skip_tls_verify = true
strategy = "exchange"
entry = ["root:../x"]
gateway_credentials = { kubeconfig = "none.kubeconfig" }
impersonate = { groups = "x" }
lables = { a = "b" }

[clusters.kcp]
kind = "kcp"
server = "https://kcp/clusters/root"

[[sources]]
type = "kubeconfg"
[[sources]]
type = "kubeconfig"
[[sources]]
type = "kubeconfig"

[[bind]]
match = { source = "kubeconf", port = 70000, host = "https://h" }
strategy = "impersonate"
realms = ["corp", "nope"]
[[bind]]
match = {}

[policy]
read_only = 1
denied = [{ group = "", resource = "Secrets", access = ["reed"] }]
namespaces = { deny = ["kube-*"] }
[[policy.rules]]
name = "x"

[servers]
"#), @r##"
3: server.listen: is beyond loopback without TLS: tokens would travel in the clear; set tls = { cert_file, key_file }, or tls_terminated_upstream = true where a proxy in front ends TLS
4: server.resource: not an https URL; write the https URL under which clients reach /mcp
5: server.home_realms: names no configured realm, so nobody could come in; list at least one configured realm
5: server.home_realms[0]: no realm "corq" is configured; did you mean corp?
6: server.allowed_hosts[0]: a host, not a URL; write a host name, with a port where it is not the usual one
7: server.legacy_session: unknown key; did you mean legacy_sessions?
8: server.tls_terminated_upstream: a string where true or false is expected; write true or false
9: server.allowed_addresses: goes only with a listener without realms; remove it: with realms everybody signs in
9: server.allowed_addresses[1]: an integer where a string in quotes is expected; write a string in quotes
9: server.allowed_addresses[2]: not an address range; write an address or a range, as "10.0.0.0/8"
10: server.seal_key_files[0]: /nonexistent/seal.key cannot be read: No such file or directory (os error 2); create the file, or correct its path; a relative path starts at the configuration's folder
12: realms.local: local is the built-in realm of local mode; give it another name
16: realms.corp.issuer: a user or a password in a URL is not allowed; write an https URL without user, query and fragment
17: realms.corp.algorithms[1]: "HS256" is not an accepted algorithm; write asymmetric ones only, as RS256, PS256, ES256, EdDSA
18: realms.corp.profile: "keyclock" is not known; did you mean keycloak?
19: realms.corp.max_token_lifetime: not a duration; write a number and a unit, as "30s", "5m" or "24h"
20: realms.corp.ca_file: /nonexistent/ca.pem cannot be read: No such file or directory (os error 2); create the file, or correct its path; a relative path starts at the configuration's folder
21: realms.corp.client: secret_file is missing; auth = "client_secret_basic" reads it
24: realms.corp.client.client_secret: unknown key; secrets come by file reference only: put the value into a file that only kubeferry can read
29: realms.b.issuer: realms.a has the same issuer; one realm per issuer: merge the two
30: realms.c: issuer is missing; write the issuer exactly as it is in tokens
34: links.x.to: no realm "plant" is configured; write one of a, b, c, corp
36: clusters.Plant_1: cluster name "Plant_1" is not valid: use a-z, 0-9, '-' and '.', at most 63 characters, optionally @<source>; call it plant-1
37: clusters.Plant_1.server: a query or a fragment is not allowed; write an https URL without user, query and fragment
38: clusters.Plant_1.strategy: "exchang" is not known; did you mean exchange?
40: clusters.Plant_1.link: no link "y" is configured; did you mean x?
43: clusters.plant-2.server: is not https; write an https URL; http is only for loopback when no realm is configured
44: clusters.plant-2.insecure_skip_tls_verify: strategy exchange carries a person's identity to a server that nobody checked; remove it and set ca_file
46: clusters.plant-2.entry: only a kcp has workspaces; remove it, or set kind = "kcp"
46: clusters.plant-2.entry[0]: workspace "root:../x" is not valid: use a path as root:org:team, or a logical cluster name as 2gr4s8eyy3n1rqtl: a-z, 0-9 and '-', joined by ':'; write workspace paths, as root:org
47: clusters.plant-2.gateway_credentials.kubeconfig: /nonexistent/none.kubeconfig cannot be read: No such file or directory (os error 2); create the file, or correct its path; a relative path starts at the configuration's folder
48: clusters.plant-2.impersonate: user is missing; write a template, as "{realm}:{username}"
49: clusters.plant-2.lables: unknown key; did you mean labels?
51: clusters.kcp: strategy is missing; write one of exchange, chain, impersonate, passthrough, local, static, in_cluster, none
53: clusters.kcp.server: names a workspace; write the host alone, and the workspace in entry
56: sources[0].type: "kubeconfg" is not known; did you mean kubeconfig?
59: sources[2]: the source name "kubeconfig" is taken; give each source its own name
63: bind[0].match.host: a host name or address alone; write it without scheme, user, port or wildcard
63: bind[0].match.port: an integer where a port, 1 to 65535 is expected; write a port, 1 to 65535
63: bind[0].match.source: no source "kubeconf" is configured; did you mean kubeconfig?
65: bind[0].realms[1]: no realm "nope" is configured; write one of a, b, c, corp
66: bind[1]: strategy is missing; write one of exchange, chain, impersonate, passthrough, local, static, in_cluster, none
67: bind[1].match: has no condition; write one of source, name, host, port, path
70: policy.read_only: an integer where true or false is expected; write true or false
71: policy.denied[0].access[0]: "reed" is not a class of access; write read, write, delete or exec
71: policy.denied[0].resource: resource "Secrets" is not valid: a plural name in lower case, as pods; write a plural name in lower case, without version and subresource
72: policy.namespaces.deny[0]: namespace "kube-*" is not valid: lower-case letters, digits and '-', 1 to 63 characters (RFC 1123 label); write a namespace's name; there are no wildcards
73: policy.rules[0]: effect is missing; write allow or deny
73: policy.rules[0]: match is missing; say which calls it is about
76: servers: unknown key; did you mean server?
"##);
}

#[test]
fn who_may_listen_where() {
    insta::assert_snapshot!(problems("[server]\nlisten = \"0.0.0.0:80\"\n[clusters]\n"), @r##"2: server.listen: is beyond loopback, and no realm is configured: anybody could use the credentials of this machine; configure a realm and home_realms, listen on 127.0.0.1, or set i_accept_unauthenticated_clients = true with allowed_hosts and allowed_addresses"##);
    insta::assert_snapshot!(problems("[server]\nlisten = \"0.0.0.0:80\"\ni_accept_unauthenticated_clients = true\n[clusters]\n"), @r##"
3: server.i_accept_unauthenticated_clients: allowed_addresses is missing; list in allowed_addresses what may come
3: server.i_accept_unauthenticated_clients: allowed_hosts is missing; list in allowed_hosts what may come
"##);
    insta::assert_snapshot!(problems("[server]\ni_accept_unauthenticated_writes = true\nresource = \"https://h/mcp\"\n[clusters]\n"), @r##"
2: server.i_accept_unauthenticated_writes: no unauthenticated client is accepted; remove it, or set i_accept_unauthenticated_clients = true as well
3: server.resource: no realm is configured, so no token has an audience; configure a realm, or remove it
"##);
    let accepted = "[server]\nlisten = \"0.0.0.0:80\"\ni_accept_unauthenticated_clients = true\nallowed_hosts = [\"h\"]\nallowed_addresses = [\"10.0.0.0/8\"]\n[clusters]\n";
    assert_eq!(problems(accepted), "");
    let realm = "[realms.a]\nissuer = \"https://a\"\n";
    insta::assert_snapshot!(problems(&format!("[server]\nlisten = \"[::]:80\"\n{realm}")), @r##"
1: server: home_realms is missing; list the realms whose tokens are accepted at our door
1: server: resource is missing, so no token could be meant for us; write the URL under which clients reach /mcp, or list audiences
2: server.listen: is beyond loopback without TLS: tokens would travel in the clear; set tls = { cert_file, key_file }, or tls_terminated_upstream = true where a proxy in front ends TLS
"##);
    insta::assert_snapshot!(problems(&format!("[server]\nresource = \"https://h/mcp\"\nhome_realms = []\ni_accept_unauthenticated_clients = true\n{realm}")), @r##"
3: server.home_realms: names no configured realm, so nobody could come in; list at least one configured realm
4: server.i_accept_unauthenticated_clients: goes only with a listener without realms; remove it: with realms everybody signs in
"##);
    assert_eq!(problems(&format!("[server]\nresource = \"https://h/mcp\"\nhome_realms = [\"a\"]\n{realm}")), "");
    assert_eq!(
        problems(&format!(
            "[server]\nlisten = \"[::]:80\"\ntls_terminated_upstream = true\naudiences = [\"x\"]\nhome_realms = [\"a\"]\n{realm}"
        )),
        ""
    );
}

#[test]
fn broken_syntax_is_one_problem_with_its_line() {
    insta::assert_snapshot!(problems("[server]\n\nlisten = \n"), @r##"3: not TOML: string values must be quoted, expected literal string; correct the syntax"##);
    insta::assert_snapshot!(problems("a = 1\na = 2\n"), @r##"2: not TOML: duplicate key; correct the syntax"##);
}

#[test]
fn later_problems_find_their_line() {
    let loaded = check(
        "[clusters.p]\nserver = \"https://h\"\nstrategy = \"exchange\"\n\n[[bind]]\nmatch = { name = \"x\" }\nstrategy = \"none\"\n",
    );
    let later = [
        Problem::new("clusters.p.strategy", "a", "b"),
        Problem::new("clusters.p.audiences", "missing", "write"),
        Problem::new("bind[0].realms[3]", "c", "d"),
        Problem::new("elsewhere", "e", "f"),
    ];
    insta::assert_snapshot!(report(&later, &loaded.map), @r##"
/nonexistent/kubeferry.toml:1: clusters.p.audiences: missing; write
/nonexistent/kubeferry.toml:1: elsewhere: e; f
/nonexistent/kubeferry.toml:3: clusters.p.strategy: a; b
/nonexistent/kubeferry.toml:5: bind[0].realms[3]: c; d
"##);
}

#[test]
fn files_are_read_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap().cert.pem();
    for (name, content) in [
        ("ca.pem", pem.as_str()),
        ("junk.pem", "junk"),
        (
            "gateway.kubeconfig",
            "contexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: 'https://h', certificate-authority: ca.pem}}]\n",
        ),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let text = "
[clusters.good]
server = \"https://h:443/\"
ca_file = \"ca.pem\"
strategy = \"impersonate\"
gateway_credentials = { kubeconfig = \"gateway.kubeconfig\" }
[clusters.junk]
server = \"https://h\"
ca_file = \"junk.pem\"
strategy = \"impersonate\"
gateway_credentials = { kubeconfig = \"gateway.kubeconfig\" }
";
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    let environment = Environment::of(&[("KUBEFERRY_CONFIG", file.to_str().unwrap())], None);
    let loaded = load(&Origin::default(), &environment).unwrap();
    let shown = report(&loaded.problems, &loaded.map).replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(shown, @"c.toml:9: clusters.junk.ca_file: junk.pem: holds no PEM certificate; name a file of PEM certificates");
    let good = loaded.config.clusters.first().unwrap();
    assert_eq!((good.endpoint.server.as_str(), good.endpoint.ca.as_deref()), ("https://h", Some(pem.as_bytes())));
    assert_eq!(loaded.files, [file]);
}

#[test]
fn without_a_configuration_the_kubeconfig_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, "").unwrap();
    let environment = Environment::of(&[("KUBECONFIG", file.to_str().unwrap())], None);
    let loaded = load(&Origin::default(), &environment).unwrap();
    assert_eq!((loaded.problems.len(), loaded.config.default_source), (0, Some(DefaultSource::Kubeconfig)));
    assert_eq!(loaded.config.sources, [SourceConfig::Kubeconfig { name: "kubeconfig".to_owned(), paths: vec![file] }]);
    let none = load(&Origin::default(), &nowhere()).unwrap();
    insta::assert_snapshot!(report(&none.problems, &none.map), @r##"clusters: no cluster is configured, and there is no kubeconfig (looked for /nonexistent-home/.kube/config) and no service account of a pod; set KUBECONFIG, or write a configuration with [clusters.<name>] and name it with --config"##);
    let absent = Origin { file: Some(folder.path().join("absent.toml")), listen: None };
    assert!(matches!(load(&absent, &nowhere()), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn no_secret_at_a_wrong_place_is_repeated() {
    let text = "
[server]
resource = \"https://me:hunter2@h\"
tls = { key = \"hunter2\" }
[realms.a]
issuer = [\"hunter2\"]
token = \"hunter2\"
client = { id = \"x\", auth = \"none\", password = \"hunter2\" }
[clusters.a]
server = \"https://me:hunter2@h\"
token = \"hunter2\"
strategy = \"none\"
";
    let loaded = check(text);
    assert!(loaded.problems.len() >= 8);
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        problems(&text);
    }

    /// Known keys with values of any type, in any table.
    #[test]
    fn no_document_panics(lines in proptest::collection::vec(
        "(\\[(server|realms\\.[a-zA-Z]|links\\.x|clusters\\.[a-zA-Z_]|clusters\\.\"[a-z@.\\[]{0,4}\"|policy|gateway)\\]|\\[\\[(sources|bind|policy\\.rules|policy\\.denied)\\]\\]|(listen|issuer|server|strategy|entry|match|type|paths|realms|home_realms|client|tls|impersonate|denied|namespaces|labels|max_token_lifetime|kind|algorithms|allowed_addresses|gateway_credentials) = (\"[ -!#-\\[\\]-~]{0,12}\"|-?[0-9]{1,20}|true|\\[\\]|\\[\"a\", 1\\]|\\{\\}|\\{ source = \"a\", port = 1, id = \"x\" \\}|1979-05-27))",
        0..12,
    )) {
        problems(&lines.join("\n"));
    }
}

#[test]
fn a_listener_given_on_the_command_line_keeps_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\n").unwrap();
    let environment = Environment::of(&[("KUBECONFIG", kubeconfig.to_str().unwrap())], None);
    let check = |listen: &str| {
        let origin = Origin { file: None, listen: Some(listen.parse().unwrap()) };
        load(&origin, &environment).unwrap().problems
    };
    assert!(check("127.0.0.1:0").is_empty());
    assert!(check("0.0.0.0:8080").iter().any(|problem| problem.key == "--listen"));
}
