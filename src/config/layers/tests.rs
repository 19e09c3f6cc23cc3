use std::path::Path;

use crate::config::{Environment, Loaded, Origin, load, report};

const MAIN: &str = "[server]\nlisten = \"127.0.0.1:1\"\ntoolsets = [\"core\", \"fleet\"]\n[policy]\nread_only = true\n[clusters.a]\nserver = \"https://a\"\nstrategy = \"none\"\n[clusters.a.labels]\nsite = \"x\"\n";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

fn loaded(folder: &Path, variables: &[(&str, &str)]) -> Loaded {
    let origin = Origin { file: Some(folder.join("main.toml")), listen: None };
    load(&origin, &Environment::of(variables, None)).unwrap()
}

fn problems(folder: &Path, variables: &[(&str, &str)]) -> String {
    let loaded = loaded(folder, variables);
    report(&loaded.problems, &loaded.map).replace(&format!("{}/", folder.display()), "")
}

#[test]
fn later_files_merge_into_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let denied = "[[policy.denied]]\nresource = ";
    write(
        folder.path(),
        &[
            ("main.toml", &format!("{MAIN}{denied}\"secrets\"\n")),
            (
                "conf.d/20-b.toml",
                &format!("server.toolsets = [\"core\"]\nclusters.a.tier = \"test\"\n{denied}\"nodes\"\n"),
            ),
            (
                "conf.d/10-a.toml",
                "[clusters.b]\nserver = \"https://b\"\nstrategy = \"none\"\n[clusters.a]\ntier = \"prod\"\nlabels.rack = \"7\"\n",
            ),
            ("conf.d/.30-hidden.toml", "nonsense"),
            ("conf.d/40-other.txt", "nonsense"),
        ],
    );
    let loaded = loaded(folder.path(), &[]);
    assert_eq!(report(&loaded.problems, &loaded.map), "");
    let config = &loaded.config;
    assert_eq!(config.server.toolsets, ["core"]);
    assert_eq!(config.clusters.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let a = config.clusters.first().unwrap();
    assert_eq!((a.tier.word(), a.labels.len()), ("test", 2));
    assert_eq!(config.policy.denied.iter().map(|one| one.resource.as_str()).collect::<Vec<_>>(), ["secrets", "nodes"]);
    let name = |file: &Path| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = loaded.files.iter().map(|file| name(file)).collect();
    assert_eq!(files, ["main.toml", "conf.d/10-a.toml", "conf.d/20-b.toml"]);
    assert!(loaded.watched.contains(&folder.path().join("conf.d")));
}

#[test]
fn each_problem_has_its_own_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("main.toml", &format!("{MAIN}[[policy.denied]]\nresource = \"secrets\"\n")),
            ("conf.d/1.toml", "\n[clusters.a]\nserver = \"nonsense\"\n"),
            (
                "conf.d/2.toml",
                "[[policy.denied]]\nresource = \"secrets\"\n[[policy.denied]]\nresource = 7\n[server]\ntoolsets = [1]\n",
            ),
        ],
    );
    insta::assert_snapshot!(problems(folder.path(), &[]), @r##"
conf.d/1.toml:3: clusters.a.server: not a URL; write an https URL without user, query and fragment
conf.d/2.toml:4: policy.denied[2].resource: an integer where a string in quotes is expected; write a string in quotes
conf.d/2.toml:6: server.toolsets[0]: an integer where a string in quotes is expected; write a string in quotes
"##);
    write(folder.path(), &[("main.toml", "a = \n"), ("conf.d/2.toml", "\nb = \n")]);
    let text = problems(folder.path(), &[]);
    assert!(text.starts_with("conf.d/2.toml:2: conf.d/2.toml: not TOML"), "{text}");
    assert!(text.lines().nth(1).unwrap().starts_with("main.toml:1: not TOML"), "{text}");
}

#[test]
fn the_environment_comes_after_files_and_before_flags() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("main.toml", MAIN)]);
    let variables = [("KUBEFERRY_SERVER_LISTEN", "127.0.0.1:2"), ("KUBEFERRY_POLICY_READ_ONLY", "false")];
    let config = loaded(folder.path(), &variables).config;
    assert_eq!((config.server.listen.port(), config.policy.read_only), (2, false));
    let origin = Origin { file: Some(folder.path().join("main.toml")), listen: Some(([127, 0, 0, 1], 3).into()) };
    assert_eq!(load(&origin, &Environment::of(&variables, None)).unwrap().config.server.listen.port(), 3);
    // Without any file they count as well.
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, "").unwrap();
    let alone = [("KUBECONFIG", kubeconfig.to_str().unwrap()), ("KUBEFERRY_POLICY_READ_ONLY", "true")];
    let alone = load(&Origin::default(), &Environment::of(&alone, None)).unwrap();
    assert!(alone.problems.is_empty() && alone.config.policy.read_only);
    assert_eq!(alone.watched, [kubeconfig]);
}

#[test]
fn variables_that_set_nothing_are_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("main.toml", MAIN)]);
    let wrong = [
        ("KUBEFERRY_SERVER_LISTN", "x"),
        ("KUBEFERRY_POLICY_READ_ONLY", "yes"),
        ("KUBEFERRY_SERVER_RESOURCE", ""),
        ("KUBEFERRY_SERVER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("KUBEFERRY_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("KUBEFERRY_LOG", "debug"),
    ];
    insta::assert_snapshot!(problems(folder.path(), &wrong), @r##"
environment KUBEFERRY_POLICY_READ_ONLY: policy.read_only: a string where true or false is expected; write true or false
environment KUBEFERRY_SERVER_LISTN: sets no key that the environment can set; did you mean KUBEFERRY_SERVER_LISTEN?
"##);
}
