//! Kubeconfig texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Leaf;

/// How the user of a kubeconfig proves who it is.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A client certificate.
    Certificate(&'a Leaf),
    /// A bearer token.
    Token(&'a str),
}

/// A kubeconfig as YAML with one cluster, one user and one context, all called `name`.
///
/// `url` is the server with its path, which for kcp names the workspace.
#[must_use]
pub fn kubeconfig(name: &str, url: &str, ca_pem: &str, credential: Credential<'_>) -> String {
    let user = match credential {
        Credential::Token(token) => format!("token: \"{token}\""),
        Credential::Certificate(leaf) => format!(
            "client-certificate-data: {}\n    client-key-data: {}",
            STANDARD.encode(&leaf.cert_pem),
            STANDARD.encode(&leaf.key_pem)
        ),
    };
    let ca = STANDARD.encode(ca_pem);
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: "{name}"
  cluster:
    server: "{url}"
    certificate-authority-data: {ca}
users:
- name: "{name}"
  user:
    {user}
contexts:
- name: "{name}"
  context:
    cluster: "{name}"
    user: "{name}"
current-context: "{name}"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_a_token_or_a_certificate() {
        let token = kubeconfig("kcp", "https://127.0.0.1:1", "CA", Credential::Token("t"));
        assert!(token.contains("    token: \"t\"\ncontexts:"), "{token}");
        let leaf = Leaf { cert_pem: "C".to_owned(), key_pem: "K".to_owned() };
        let text = kubeconfig("a", "https://127.0.0.1:1", "CA", Credential::Certificate(&leaf));
        assert!(text.contains("    client-certificate-data: Qw==\n    client-key-data: Sw==\n"), "{text}");
    }
}
