use crate::config::{Environment, Origin, parse, view};

#[test]
fn every_value_has_its_origin_and_the_text_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let main = "[server]\nlisten = \"127.0.0.1:1\"\n\n[clusters.\"a.b\"]\nserver = \"https://a\"\nstrategy = \"none\"\nlabels = { \"k \\\"ey\" = \"v\\\\\\n\", password = \"hunter2\" }\n";
    std::fs::write(folder.path().join("main.toml"), main).unwrap();
    std::fs::write(
        folder.path().join("conf.d/1.toml"),
        "[[policy.denied]]\nresource = \"secrets\"\naccess = [\"read\", \"write\"]\n",
    )
    .unwrap();
    let origin = Origin { file: Some(folder.path().join("main.toml")), listen: None };
    let environment = Environment::of(&[("KUBEFERRY_POLICY_READ_ONLY", "true")], None);
    let text = view(&origin, &environment).unwrap().unwrap();
    let shown = text.replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(shown, @r##"
[clusters."a.b"]
server = "https://a"  # main.toml:5
strategy = "none"  # main.toml:6

[clusters."a.b".labels]
"k \"ey" = "v\\\n"  # main.toml:7
password = "(hidden)"  # main.toml:7

[policy]
disable_destructive = false  # default
read_only = true  # environment KUBEFERRY_POLICY_READ_ONLY

[[policy.denied]]
access = ["read", "write"]  # conf.d/1.toml:3
resource = "secrets"  # conf.d/1.toml:2

[server]
legacy_sessions = false  # default
listen = "127.0.0.1:1"  # main.toml:2
tls_terminated_upstream = false  # default
"##);
    let again = parse(&text, &folder.path().join("main.toml"), &Environment::of(&[], None));
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    assert!(again.config.policy.read_only);
    assert_eq!(again.config.clusters.first().unwrap().labels.get("k \"ey").unwrap(), "v\\\n");
}

#[test]
fn what_is_not_understood_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.toml");
    std::fs::write(&file, "[server]\npassword = \"hunter2\"\n").unwrap();
    let origin = Origin { file: Some(file), listen: None };
    assert!(view(&origin, &Environment::of(&[], None)).unwrap().is_none());
}
