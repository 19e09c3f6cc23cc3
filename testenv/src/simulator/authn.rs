//! Who is calling: client certificates, static tokens and JWTs, in the order of the real server.

use std::collections::HashMap;

use anyhow::{Context, bail};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::config::SimConfig;
use super::jwt::Issuer;
use super::rbac::User;
use super::reply::{Outcome, Refusal};
use super::request::Call;
use super::serve::is_health;

/// A token that is known by its text, for administrators and tests.
#[derive(Clone)]
pub(super) struct StaticToken {
    /// The bearer value.
    pub(super) token: String,
    /// Who it stands for.
    pub(super) user: String,
    /// Its groups; `system:authenticated` is added.
    pub(super) groups: Vec<String>,
}

/// All ways to become somebody.
pub(super) struct Authenticators {
    tokens: HashMap<String, User>,
    issuers: Vec<Issuer>,
    anonymous_everywhere: bool,
}

impl Authenticators {
    /// Prepares the issuers; those that name a realm have their keys fetched now.
    pub(super) async fn prepare(config: SimConfig) -> anyhow::Result<Self> {
        let mut prepared = Vec::with_capacity(config.issuers.len());
        for issuer in config.issuers {
            prepared.push(Issuer::prepare(issuer).await?);
        }
        let tokens = config.tokens.iter().map(|t| {
            let user = User { name: t.user.clone(), groups: t.groups.clone(), ..User::default() };
            (t.token.clone(), user)
        });
        Ok(Self { tokens: tokens.collect(), issuers: prepared, anonymous_everywhere: config.anonymous_everywhere })
    }

    /// The user behind a request: the certificate first, then the bearer, else `system:anonymous`.
    pub(super) async fn authenticate(&self, call: &Call, certificate: Option<&User>) -> Outcome<User> {
        if let Some(user) = certificate {
            return Ok(authenticated(user.clone()));
        }
        // Like the real server, any other `Authorization` is as good as none.
        let Some(token) = bearer(&call.headers) else {
            if !self.anonymous_everywhere && !is_health(&call.path) {
                return Err(Refusal::unauthorized());
            }
            return Ok(User {
                name: "system:anonymous".into(),
                groups: vec!["system:unauthenticated".into()],
                ..User::default()
            });
        };
        if let Some(user) = self.tokens.get(token) {
            return Ok(authenticated(user.clone()));
        }
        for issuer in &self.issuers {
            if let Some(user) = issuer.verify(token).await {
                return Ok(authenticated(user));
            }
        }
        Err(Refusal::unauthorized())
    }
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.trim())
}

/// SHA-256 of `token` in lower-case hex: how the request log names a token.
#[must_use]
pub fn token_digest(token: &str) -> String {
    hex_digest(token.as_bytes())
}

/// The user in the subject of a client certificate: CN is the name, each O a group.
pub(super) fn certificate_user(der: &[u8]) -> anyhow::Result<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).context("parse the client certificate")?;
    let subject = certificate.subject();
    let Some(Ok(name)) = subject.iter_common_name().next().map(|cn| cn.as_str()) else {
        bail!("the client certificate has no readable common name");
    };
    let groups =
        subject.iter_organization().filter_map(|organization| organization.as_str().ok()).map(str::to_owned).collect();
    let mut user = User { name: name.to_owned(), groups, ..User::default() };
    user.extra
        .insert("authentication.kubernetes.io/credential-id".into(), vec![format!("X509SHA256={}", hex_digest(der))]);
    Ok(user)
}

fn hex_digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn authenticated(mut user: User) -> User {
    let everybody = "system:authenticated";
    if !user.groups.iter().any(|group| group == everybody) {
        user.groups.push(everybody.into());
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_user_and_groups() {
        let leaf = crate::pki::Ca::new("clients").client("admin", &["system:masters", "ops"]);
        let (certs, _) = crate::pki::identity(&leaf);
        let user = certificate_user(&certs[0]).unwrap();
        assert_eq!(user.name, "admin");
        assert!(user.is_master());
        assert!(user.groups.contains(&"ops".to_owned()));
    }

    #[test]
    fn the_digest_is_plain_sha_256() {
        assert_eq!(token_digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
