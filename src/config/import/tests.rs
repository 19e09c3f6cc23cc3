use std::path::{Path, PathBuf};

use super::{Imported, import};
use crate::config::{Config, Environment, parse, report};
use crate::model::WorkspacePath;

const PEM: &str = "kcp-ca.pem";

/// A folder with the files that the results may name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["kcp.example".to_owned()]).unwrap();
    for name in [PEM, "tls.crt", "ca.crt"] {
        std::fs::write(folder.path().join(name), made.cert.pem()).unwrap();
    }
    std::fs::write(folder.path().join("oidc-client.secret"), "not-a-secret").unwrap();
    std::fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let kubeconfig = "current-context: kcp\ncontexts: [{name: kcp, context: {cluster: kcp, user: u}}]\n\
        clusters: [{name: kcp, cluster: {server: 'https://api.kcp.example:6443', certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: hunter2}}]\n";
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
    folder
}

/// Imports, and reads the result as `config check` does: it must have no mistake.
fn check(text: &str) -> (Imported, Config) {
    let folder = folder();
    let environment = Environment::of(&[], Some(PathBuf::from("/nonexistent-home")));
    let imported = import(text, folder.path(), &environment).unwrap();
    let loaded = parse(&imported.toml, &folder.path().join("kubeferry.toml"), &environment);
    assert_eq!(report(&loaded.problems, &loaded.map), "", "{}", imported.toml);
    for left in &imported.left {
        assert!(imported.toml.contains(&format!("# {}: ", left.key)), "{left} is not in {}", imported.toml);
        assert!(!left.what.is_empty() && !left.fix.is_empty() && !left.to_string().contains('\n'), "{left:?}");
    }
    (imported, loaded.config)
}

fn keys(imported: &Imported) -> Vec<&str> {
    imported.left.iter().map(|left| left.key.as_str()).collect()
}

/// The configuration of kcp's guide.
#[test]
fn the_configuration_of_kcps_guide() {
    let text = r#"
require_oauth = true
authorization_url = "https://auth.example.com"
oauth_audience = "platform-mesh"
certificate_authority = "ca.crt"
cluster_provider_strategy = "kcp"
kubeconfig = "kubeconfig"
toolsets = ["kcp", "core"]
disabled_tools = ["pods_list", "nodes_top_of_the_pops"]
port = "8080"
server_url = "https://mcp.example.com"
trust_proxy_headers = true
stateless = true
log_level = 2
"#;
    let (imported, config) = check(text);
    assert_eq!(keys(&imported), ["kubeconfig", "cluster_auth_mode", "require_oauth", "disabled_tools", "log_level"]);
    assert_eq!(config.server.resource.as_deref(), Some("https://mcp.example.com/mcp"));
    assert_eq!(
        (config.server.listen.to_string().as_str(), config.server.tls_terminated_upstream),
        ("0.0.0.0:8080", true)
    );
    assert_eq!(config.server.audiences, ["platform-mesh"]);
    assert_eq!(config.server.toolsets, ["kcp", "core", "fleet"]);
    let realm = &config.realms[0];
    assert!(realm.issuer == "https://auth.example.com" && realm.ca.is_some());
    let kcp = &config.clusters[0];
    assert_eq!(
        (kcp.kind, kcp.endpoint.server.as_str()),
        (crate::model::ClusterKind::Kcp, "https://api.kcp.example:6443")
    );
    assert_eq!(
        (kcp.settings.strategy.as_str(), kcp.settings.audiences.as_slice()),
        ("passthrough", &["platform-mesh".to_owned()][..])
    );
    let entry: Vec<&str> = kcp.entry.iter().map(WorkspacePath::as_str).collect();
    assert_eq!(entry, ["root"], "the URL names no workspace");
    assert_eq!(config.policy.disabled_tools, ["pods_list"]);
    assert!(!imported.toml.contains("hunter2"));
}

/// kcp-operator's kubeconfigs name no workspace, those of `kubectl ws` do.
#[test]
fn the_workspace_of_a_kubeconfig_is_the_entry() {
    let text = "require_oauth = true\nauthorization_url = \"https://auth.example.com\"\noauth_audience = \"kcp\"\n\
        cluster_provider_strategy = \"kcp\"\nkubeconfig = \"/etc/kubernetes-mcp-server/kubeconfig\"\n";
    for (server, more, entry, said) in [
        ("https://kcp.example:6443/clusters/root:org:team", "", "root:org:team", 1),
        ("https://kcp.example:6443/clusters/2gr4s8eyy3n1rqtl/", "", "2gr4s8eyy3n1rqtl", 1),
        ("https://kcp.example:6443", "", "root", 1),
        ("https://kcp.example:6443/clusters/*", "", "root", 2),
        ("https://kcp.example:6443/clusters/root", ", tls-server-name: kcp.internal", "root", 1),
        ("https://kcp.example:6443/clusters/root", ", proxy-url: 'http://a:hunter2@proxy'", "root", 2),
    ] {
        // A pod had it mounted; here it is beside the configuration.
        let folder = folder();
        let kubeconfig = format!(
            "current-context: kcp\ncontexts: [{{name: kcp, context: {{cluster: kcp}}}}]\n\
             clusters: [{{name: kcp, cluster: {{server: '{server}', certificate-authority: ca.crt{more}}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        let environment = Environment::of(&[], Some(PathBuf::from("/nonexistent-home")));
        let imported = import(text, folder.path(), &environment).unwrap();
        let loaded = parse(&imported.toml, &folder.path().join("kubeferry.toml"), &environment);
        assert_eq!(report(&loaded.problems, &loaded.map), "", "{}", imported.toml);
        let kcp = &loaded.config.clusters[0];
        let entries: Vec<&str> = kcp.entry.iter().map(WorkspacePath::as_str).collect();
        assert_eq!((kcp.endpoint.server.as_str(), entries), ("https://kcp.example:6443", vec![entry]), "{server}");
        assert_eq!(kcp.endpoint.tls_server_name.is_some(), more.contains("kcp.internal"));
        let of_kubeconfig: Vec<_> = imported.left.iter().filter(|left| left.key == "kubeconfig").collect();
        assert_eq!(of_kubeconfig.len(), said, "{of_kubeconfig:?}");
        let beside = folder.path().join("kubeconfig");
        assert!(of_kubeconfig[0].fix.contains(beside.to_str().unwrap()), "{}", of_kubeconfig[0]);
        assert!(!imported.toml.contains("hunter2"), "{}", imported.toml);
    }
}

#[test]
fn a_kcp_whose_kubeconfig_cannot_be_read_is_written_by_hand() {
    let text = "require_oauth = true\nauthorization_url = \"https://auth.example.com\"\noauth_audience = \"kcp\"\n\
        cluster_provider_strategy = \"kcp\"\nkubeconfig = \"/nowhere/missing\"\n";
    let (imported, config) = check(text);
    assert_eq!(config.clusters[0].endpoint.server, "https://kcp.example.com:6443");
    let said = imported.left.iter().find(|left| left.key == "kubeconfig").unwrap();
    assert!(said.what.contains("could not be read") && said.fix.contains("import again"), "{said}");
}

#[test]
fn one_machine_and_its_kubeconfig() {
    let text = r#"
kubeconfig = "kubeconfig"
port = "9090"
read_only = true
disable_destructive = true
list_output = "yaml"
stateless = false
enabled_tools = ["pods_list", "namespaces_list"]
denied_resources = [{ group = "", version = "v1", kind = "Secret" }, { group = "rbac.authorization.k8s.io", version = "v1" }, { group = "x.example", version = "v1", kind = "Policy" }]

[http]
read_header_timeout = "15s"
max_body_bytes = 16777216
rate_limit_rps = 2.5
"#;
    let (imported, config) = check(text);
    assert_eq!(keys(&imported), ["bind_address", "http.rate_limit_rps", "denied_resources", "list_output"]);
    assert!(config.is_local() && config.policy.read_only && config.policy.disable_destructive);
    assert!(config.server.legacy_sessions && config.server.listen.ip().is_loopback());
    assert_eq!(config.policy.enabled_tools, ["pods_list", "namespaces_list"]);
    let denied: Vec<_> = config.policy.denied.iter().map(|one| (one.group.as_str(), one.resource.as_str())).collect();
    assert_eq!(denied, [("", "secrets"), ("rbac.authorization.k8s.io", "*"), ("x.example", "policies")]);
    assert_eq!((config.limits.listener.header_read.as_secs(), config.limits.listener.body_bytes), (15, 16 << 20));
    assert_eq!((config.limits.calls.per_second, config.limits.calls.burst), (2, 10));
}

/// What is before any exchange.
const SIGN_IN: &str = "require_oauth = true\nauthorization_url = \"https://kc.example/realms/a\"\noauth_audience = \"mcp\"\n\
    kubeconfig = \"kubeconfig\"\nport = \"8443\"\ntls_cert = \"tls.crt\"\ntls_key = \"tls.key\"\nrequire_tls = true\n";

#[test]
fn an_exchange_becomes_our_client_and_shows_no_secret() {
    let old = "sts_client_id = \"mcp\"\nsts_client_secret = \"hunter2\"\nsts_audience = \"kubernetes\"\nsts_scopes = [\"openid\", \"k8s\"]\n";
    let new = "[token_exchange]\nstrategy = \"rfc8693\"\naudience = \"kubernetes\"\nscopes = [\"openid\", \"k8s\"]\n\
        [token_exchange.client_auth]\nclient_id = \"mcp\"\nclient_secret = \"hunter2\"\nmethod = \"client_secret_basic\"\n";
    for (keys_there, auth) in [(old, "client_secret_post"), (new, "client_secret_basic")] {
        let (imported, config) = check(&format!("{SIGN_IN}{keys_there}"));
        assert!(
            !imported.toml.contains("hunter2") && !format!("{imported:?}").contains("hunter2"),
            "{}",
            imported.toml
        );
        let client = config.realms[0].client.as_ref().unwrap();
        assert_eq!((client.id.as_str(), client.auth.as_str()), ("mcp", auth));
        assert!(client.secret_file.as_ref().is_some_and(|file| file.ends_with("oidc-client.secret")));
        let bound = &config.binds[0].settings;
        assert_eq!((bound.strategy.as_str(), bound.audiences.as_slice()), ("exchange", &["kubernetes".to_owned()][..]));
        assert_eq!(bound.scope.as_deref(), Some("openid k8s"));
        assert!(config.server.tls.is_some() && config.server.listen.to_string() == "0.0.0.0:8443");
        let said: Vec<String> = imported.left.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains("put the secret alone into")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("one audience")), "{said:?}");
    }
    let file = "[token_exchange]\naudience = \"kubernetes\"\n[token_exchange.client_auth]\nclient_id = \"mcp\"\nmethod = \"jwt_file\"\ntoken_file = \"/run/token\"\n";
    let (_, config) = check(&format!("{SIGN_IN}{file}"));
    let client = config.realms[0].client.as_ref().unwrap();
    assert_eq!((client.auth.as_str(), client.token_file.as_deref()), ("federated_file", Some(Path::new("/run/token"))));
}

#[test]
fn an_exchange_that_cannot_be_carried_over_leaves_clusters_unbound() {
    for (keys_there, why) in [
        ("sts_client_secret = \"hunter2\"\nsts_audience = \"k\"\n", "needs a client id"),
        ("sts_client_id = \"c\"\nsts_audience = \"k\"\n", "no client authentication"),
        (
            "sts_client_id = \"c\"\nsts_client_secret = \"hunter2\"\nsts_audience = \"mcp\"\n",
            "could use its tokens here",
        ),
        (
            "token_exchange_strategy = \"entra-obo\"\nsts_client_id = \"c\"\nsts_client_secret = \"hunter2\"\nsts_audience = \"k\"\n",
            "only that of RFC 8693",
        ),
        ("sts_client_id = \"c\"\nsts_auth_style = \"assertion\"\nsts_audience = \"k\"\n", "needs its key_file"),
    ] {
        let (imported, config) = check(&format!("{SIGN_IN}{keys_there}"));
        assert_eq!(config.binds[0].settings.strategy, "none", "{}", imported.toml);
        assert!(config.realms[0].client.is_none() && !imported.toml.contains("hunter2"), "{}", imported.toml);
        let said = imported.left.iter().find(|left| left.key == "sts_client_id").unwrap();
        assert!(said.what.contains(why) && said.what.contains("stay unbound"), "{said}");
    }
    let (imported, _) = check("kubeconfig = \"kubeconfig\"\nsts_client_id = \"c\"\nsts_audience = \"k\"\n");
    assert!(keys(&imported).contains(&"sts_client_id"), "{:?}", keys(&imported));
}

#[test]
fn what_allows_more_is_never_the_result() {
    // Opaque tokens, everything confirmed by hand, and only a tool that is not here.
    let text = "skip_jwt_verification = true\nenabled_tools = [\"helm_list\"]\nkubeconfig = \"kubeconfig\"\nport = \"80\"\ncluster_auth_mode = \"kubeconfig\"\n[[confirmation_rules]]\ntool = \"x\"\nmessage = \"sure?\"\n";
    let (imported, config) = check(text);
    assert_eq!(config.policy.enabled_tools, ["whoami"], "not everything");
    assert!(config.server.listen.ip().is_loopback() && !config.server.i_accept_unauthenticated_clients);
    for key in ["skip_jwt_verification", "enabled_tools", "bind_address", "confirmation_rules"] {
        assert!(keys(&imported).contains(&key), "{key}: {:?}", keys(&imported));
    }
    let shared = "require_oauth = true\nauthorization_url = \"https://a.example\"\noauth_audience = \"m\"\ncluster_auth_mode = \"kubeconfig\"\nkubeconfig = \"kubeconfig\"\n";
    assert_eq!(check(shared).1.binds[0].settings.strategy, "none", "no shared identity");
}

/// Every key of `facts`-level documentation there is known here, so that none is called unknown.
#[test]
fn every_key_of_the_other_server_is_known() {
    let text = r#"
log_level = 0
log_file = ""
port = ""
bind_address = "0.0.0.0"
list_output = "table"
stateless = true
read_only = false
disable_destructive = false
toolsets = ["core", "config"]
enabled_tools = []
disabled_tools = []
server_instructions = ""
prompts = []
denied_resources = []
require_oauth = false
oauth_audience = ""
authorization_url = ""
skip_jwt_verification = false
disable_dynamic_client_registration = false
oauth_scopes = []
sts_client_id = ""
sts_client_secret = ""
sts_audience = ""
sts_scopes = []
token_exchange_strategy = ""
sts_auth_style = "params"
sts_client_cert_file = ""
sts_client_key_file = ""
sts_federated_token_file = ""
cluster_auth_mode = ""
certificate_authority = ""
server_url = ""
trust_proxy_headers = false
tls_cert = ""
tls_key = ""
require_tls = false
tls_min_version = ""
tls_cipher_suites = ""
cluster_provider_strategy = "kubeconfig"
kubeconfig = "kubeconfig"
validation_enabled = false
experimental_enable_target_compatibility_tool_filters = false
confirmation_fallback = ""
confirmation_rules = []
something_new = 1
[http]
[telemetry]
enabled = false
[tool_overrides.pods_list]
description = "x"
[cluster_provider_configs.kcp]
[toolset_configs.helm]
"#;
    let (imported, _) = check(text);
    let unknown: Vec<_> = imported.left.iter().filter(|left| left.what.contains("is not a key of")).collect();
    assert_eq!(unknown.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["something_new"]);
}

#[test]
fn no_toml_is_one_line() {
    let error = import("a = 1\nb =", Path::new("/"), &Environment::of(&[], None)).unwrap_err();
    assert!(error.to_string().starts_with("line 2: not TOML"), "{error}");
}

/// Reads the result as `config check` does: what is wrong with it.
fn problems(text: &str) -> (Imported, Config, String) {
    let folder = folder();
    let environment = Environment::of(&[], Some(PathBuf::from("/nonexistent-home")));
    let imported = import(text, folder.path(), &environment).unwrap();
    let loaded = parse(&imported.toml, &folder.path().join("kubeferry.toml"), &environment);
    let said = report(&loaded.problems, &loaded.map);
    (imported, loaded.config, said)
}

#[test]
fn whoever_must_sign_in_there_never_comes_in_unnamed_here() {
    for (issuer, key) in [
        ("", "require_oauth"),
        ("authorization_url = \"http://a.example\"\n", "authorization_url"),
        ("authorization_url = \"a\"\n", "authorization_url"),
    ] {
        let text = format!(
            "require_oauth = true\n{issuer}oauth_audience = \"m\"\ncertificate_authority = \"ca.crt\"\nkubeconfig = \"kubeconfig\"\nport = \"80\"\n"
        );
        let (imported, _, said) = problems(&text);
        assert!(
            said.contains("realms.oidc: issuer is missing") && said.lines().count() == 1,
            "{said}{}",
            imported.toml
        );
        assert!(keys(&imported).contains(&key), "{:?}", keys(&imported));
        // With the issuer it starts, and callers sign in.
        let mended = imported.toml.replace("[realms.oidc]\n", "[realms.oidc]\nissuer = \"https://a.example\"\n");
        let folder = folder();
        let loaded = parse(&mended, &folder.path().join("c.toml"), &Environment::of(&[], None));
        assert_eq!(report(&loaded.problems, &loaded.map), "", "{mended}");
        assert!(!loaded.config.is_local() && loaded.config.realms[0].ca.is_some());
    }
}

#[test]
fn what_only_callers_who_sign_in_need_is_named_when_it_is_not_used() {
    let text = "authorization_url = \"https://a.example\"\noauth_audience = \"m\"\ncertificate_authority = \"ca.crt\"\nkubeconfig = \"kubeconfig\"\n";
    let (imported, _) = check(text);
    assert_eq!(keys(&imported)[..3], ["authorization_url", "oauth_audience", "certificate_authority"]);
}

#[test]
fn one_context_there_is_not_every_context_here() {
    let realm = "require_oauth = true\nauthorization_url = \"https://a.example\"\noauth_audience = \"m\"\nkubeconfig = \"kubeconfig\"\n";
    let (imported, config) = check(&format!("{realm}cluster_provider_strategy = \"disabled\"\n"));
    assert_eq!(config.binds.len(), 1, "{}", imported.toml);
    let matches = &config.binds[0].matches;
    assert_eq!((matches.source.as_deref(), matches.name.as_deref()), (Some("kubeconfig"), Some("kcp")));
    let none = realm.replace("\"kubeconfig\"\n", "\"tls.key\"\n");
    let (imported, config) = check(&format!("{none}cluster_provider_strategy = \"disabled\"\n"));
    assert!(config.binds.is_empty() && keys(&imported).contains(&"cluster_provider_strategy"), "{}", imported.toml);
    // Local callers reach every context of a source: there must be a file with one alone.
    for strategy in ["disabled", "kcp"] {
        let (_, config, said) =
            problems(&format!("kubeconfig = \"kubeconfig\"\ncluster_provider_strategy = \"{strategy}\"\n"));
        assert!(said.contains("current-context.kubeconfig cannot be read"), "{said}");
        assert!(config.default_source.is_none());
    }
}

#[test]
fn a_pods_own_account_and_what_is_not_known_give_no_cluster() {
    let realm = "require_oauth = true\nauthorization_url = \"https://a.example\"\noauth_audience = \"m\"\n";
    for realm in ["", realm] {
        for strategy in ["in-cluster", "something-else"] {
            let text = format!("{realm}kubeconfig = \"kubeconfig\"\ncluster_provider_strategy = \"{strategy}\"\n");
            let (imported, config) = check(&text);
            assert!(
                config.sources.is_empty() && config.binds.is_empty() && config.clusters.is_empty(),
                "{}",
                imported.toml
            );
            assert!(config.default_source.is_none() && keys(&imported).contains(&"cluster_provider_strategy"));
        }
    }
}

#[test]
fn toolsets_that_are_not_here_do_not_become_the_default_ones() {
    for (toolsets, more) in [("[\"helm\"]", ""), ("[\"helm\"]", "enabled_tools = [\"pods_list\"]\n")] {
        let (imported, config) = check(&format!("kubeconfig = \"kubeconfig\"\ntoolsets = {toolsets}\n{more}"));
        assert_eq!(config.policy.enabled_tools, ["whoami"], "{}", imported.toml);
    }
    let (_, config) = check("kubeconfig = \"kubeconfig\"\ntoolsets = [\"helm\", \"core\"]\n");
    assert!(config.policy.enabled_tools.is_empty() && config.server.toolsets == ["core", "fleet"]);
}

#[test]
fn a_rate_that_becomes_another_is_said() {
    for (rate, here, word) in [("0.2", 1, "more than there"), ("2.5", 2, "became less"), ("3", 3, "per caller here;")] {
        let (imported, config) = check(&format!("kubeconfig = \"kubeconfig\"\n[http]\nrate_limit_rps = {rate}\n"));
        let said = imported.left.iter().find(|left| left.key == "http.rate_limit_rps").unwrap().to_string();
        assert!(config.limits.calls.per_second == here && said.contains(word), "{rate}: {said}");
    }
}
