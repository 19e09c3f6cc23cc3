use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Environment, Kubeconfig, KubeconfigError, check_certificates, same_certificates};

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["test.example".to_owned()]).unwrap().cert.pem()
}

fn parse(text: &str) -> Kubeconfig {
    Kubeconfig::parse(text, Path::new("/cfg/config")).unwrap()
}

#[test]
fn files_merge_as_kubectl_does() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let one = write(
        "one",
        "
contexts:
- {name: a, context: {cluster: c, user: u, namespace: first}}
clusters:
- {name: c, cluster: {server: 'https://one:6443'}}
users: null
",
    );
    let two = write(
        "two",
        "
current-context: b
contexts:
- {name: a, context: {cluster: c, namespace: second}}
- {name: b, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: 'https://two:6443'}}
users:
- {name: u, user: {tokenFile: tokens/u}}
",
    );
    let three = write("three", "current-context: a\n");
    let merged =
        Kubeconfig::read_all(&[one, folder.path().join("absent"), two.clone(), three, write("empty", "")]).unwrap();
    assert_eq!(merged.contexts().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(merged.current(), Some("b"));
    let a = merged.context("a").unwrap();
    assert_eq!((a.namespace.as_deref(), a.cluster.server.text()), (Some("first"), "https://one:6443"));
    assert_eq!(merged.context("b").unwrap().file, two);
    assert_eq!(merged.user("u").unwrap().token_file, Some(folder.path().join("tokens/u")));
    assert!(matches!(Kubeconfig::read(&folder.path().join("absent")), Err(KubeconfigError::Read { .. })));
}

#[test]
fn a_ca_comes_as_data_or_beside_the_file_and_must_be_pem() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate();
    std::fs::create_dir(folder.path().join("pki")).unwrap();
    std::fs::write(folder.path().join("pki/ca.crt"), &pem).unwrap();
    let text = format!(
        "
contexts:
- {{name: file, context: {{cluster: file}}}}
- {{name: data, context: {{cluster: data}}}}
- {{name: junk, context: {{cluster: junk}}}}
- {{name: gone, context: {{cluster: gone}}}}
clusters:
- {{name: file, cluster: {{server: 'https://H:443/', certificate-authority: pki/ca.crt}}}}
- {{name: data, cluster: {{server: 'https://h', certificate-authority: nowhere, certificate-authority-data: {}}}}}
- {{name: junk, cluster: {{server: 'https://h', certificate-authority-data: anVuaw==}}}}
",
        STANDARD.encode(&pem)
    );
    let read = Kubeconfig::parse(&text, &folder.path().join("config")).unwrap();
    let (file, data) = (read.context("file").unwrap(), read.context("data").unwrap());
    assert_eq!(file.cluster.endpoint(), data.cluster.endpoint());
    assert_eq!(read.context_for(&data.cluster.endpoint()).unwrap().name, "file");
    let unchecked = crate::model::Endpoint { insecure: true, ..data.cluster.endpoint() };
    assert!(matches!(read.context_for(&unchecked), Err(KubeconfigError::NoSuchEndpoint { .. })));
    let mut other = data.cluster.endpoint();
    other.ca = Some(certificate().into_bytes().into());
    assert!(matches!(read.context_for(&other), Err(KubeconfigError::NoSuchEndpoint { .. })));
    assert!(
        read.context("junk")
            .unwrap_err()
            .to_string()
            .ends_with("context \"junk\": certificate-authority: holds no PEM certificate")
    );
    assert!(read.context("gone").unwrap_err().to_string().ends_with("its cluster \"gone\" is not there"));
    assert!(matches!(read.context("nobody"), Err(KubeconfigError::Absent { .. })));
    assert!(check_certificates(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").is_err());
    assert!(same_certificates(Some(pem.as_bytes()), Some(format!("# note\n{pem}").as_bytes())));
}

#[test]
fn no_secret_is_in_a_debug_text_or_an_error() {
    let text = format!("
contexts:
- {{name: a, context: {{cluster: c, user: u}}}}
- {{name: b, context: {{cluster: d, user: u}}}}
clusters:
- {{name: c, cluster: {{server: 'https://h', proxy-url: 'http://x:hunter2@p'}}}}
- {{name: d, cluster: {{server: 'https://x:hunter2@h'}}}}
users:
- name: u
  user:
    token: hunter2
    password: hunter2
    username: me
    client-key-data: {}
    client-certificate-data: {}
    as: root
    auth-provider: {{name: oidc, config: {{refresh-token: hunter2}}}}
    exec: {{apiVersion: v1, command: bin/login, args: [--secret, hunter2], env: [{{name: A, value: hunter2}}], interactiveMode: Never}}
", STANDARD.encode("hunter2"), STANDARD.encode("hunter2"));
    let read = parse(&text);
    let user = read.user("u").unwrap();
    let shown = format!("{read:?} {user:?} {:?} {:?}", read.context("a").unwrap(), read.context("b").unwrap_err());
    assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("hunter2")), "{shown}");
    assert!(user.acts_as && user.auth_provider);
    assert_eq!(user.token.unwrap().expose(), "hunter2");
    let exec = user.exec.unwrap();
    assert_eq!((exec.command.as_str(), exec.env.len(), exec.args.len()), ("/cfg/bin/login", 1, 2));
    let broken = Kubeconfig::parse("users: [{name: u, user: {token: [hunter2]}}]", Path::new("f")).unwrap_err();
    assert!(
        broken.to_string().starts_with("f:1:")
            && broken.to_string().ends_with(": not a kubeconfig as kubectl writes it")
    );
    assert!(!format!("{broken:?}").contains("hunter2"));
}

#[test]
fn bombs_and_giants_are_refused() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (last, next) in ["ab", "bc", "cd", "de", "ef", "fg", "gh"].iter().map(|pair| pair.split_at(1)) {
        bomb.push_str(&format!(
            "{next}: &{next} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
        ));
    }
    let refused = Kubeconfig::parse(&format!("{bomb}contexts: *h\n"), Path::new("bomb"));
    assert!(matches!(refused, Err(KubeconfigError::Yaml { .. })));
    let deep = format!("contexts: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(Kubeconfig::parse(&deep, Path::new("deep")).is_err());
    let folder = tempfile::tempdir().unwrap();
    let giant = folder.path().join("giant");
    std::fs::write(&giant, " ".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(Kubeconfig::read(&giant), Err(KubeconfigError::Read { .. })));
    assert!(matches!(Kubeconfig::read(folder.path()), Err(KubeconfigError::Read { .. })));
}

#[test]
fn kubeconfig_files_are_found_as_kubectl_does() {
    let home = Some(PathBuf::from("/home/me"));
    let files = |variables: &[(&str, &str)]| Environment::of(variables, home.clone()).kubeconfig_files();
    assert_eq!(files(&[]), [PathBuf::from("/home/me/.kube/config")]);
    assert_eq!(files(&[("KUBECONFIG", "")]), [PathBuf::from("/home/me/.kube/config")]);
    assert_eq!(files(&[("KUBECONFIG", "/a::/b")]), [PathBuf::from("/a"), PathBuf::from("/b")]);
    let environment = Environment::of(&[("SECRET", "hunter2")], home);
    assert_eq!(environment.resolve("~/x", Path::new("/c")), PathBuf::from("/home/me/x"));
    assert_eq!(environment.resolve("x", Path::new("/c")), PathBuf::from("/c/x"));
    assert!(!format!("{environment:?}").contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:&*\\-\\[\\]{} \n\"']{0,200}") {
        drop(Kubeconfig::parse(&text, Path::new("f")));
    }
}

#[test]
fn two_users_of_one_server_are_not_guessed_between() {
    let text = "
contexts:
- {name: admin, context: {cluster: c, user: admin}}
- {name: viewer, context: {cluster: c, user: viewer}}
clusters: [{name: c, cluster: {server: 'https://h'}}]
users: [{name: admin, user: {token: a}}, {name: viewer, user: {token: v}}]
";
    let read = Kubeconfig::parse(text, Path::new("/nowhere/config")).unwrap();
    let endpoint = read.context("admin").unwrap().cluster.endpoint();
    assert!(matches!(read.context_for(&endpoint), Err(KubeconfigError::SeveralUsers { .. })));
}
