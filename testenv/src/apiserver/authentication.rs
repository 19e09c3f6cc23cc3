//! The file for `--authentication-config`: whose tokens an API server accepts, and whom they name.

use serde_json::{Value, json};

/// An OIDC issuer whose tokens an API server (or kcp) accepts.
#[derive(Clone, Debug)]
pub struct JwtIssuer {
    /// The issuer, exactly as in `iss`; below it is `/.well-known/openid-configuration`. Must be https.
    pub url: String,
    /// The CA of the issuer's server.
    pub ca_pem: String,
    /// Accepted values of `aud`: one must be there. At least one.
    pub audiences: Vec<String>,
    /// The claim that names the user. With `email`, Kubernetes also demands `email_verified`.
    pub username: Claim,
    /// The claim that lists the groups.
    pub groups: Option<Claim>,
    /// The claim that holds the user's UID.
    pub uid: Option<String>,
    /// Where the discovery document is when it is not below `url`; it must name `url` all the same.
    pub discovery_url: Option<String>,
}

/// A claim of a token and what is put before its value.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The claim's name.
    pub name: String,
    /// The prefix, which may be empty.
    pub prefix: String,
}

impl Claim {
    /// The claim `name` with `prefix` before its value.
    pub fn new(name: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { name: name.into(), prefix: prefix.into() }
    }

    fn mapping(&self) -> Value {
        json!({"claim": self.name, "prefix": self.prefix})
    }
}

impl JwtIssuer {
    /// An issuer whose claims `sub` and `groups` are user and groups, with `prefix` before both.
    #[must_use]
    pub fn new(url: &str, ca_pem: &str, audience: &str, prefix: &str) -> Self {
        Self {
            url: url.to_owned(),
            ca_pem: ca_pem.to_owned(),
            audiences: vec![audience.to_owned()],
            username: Claim::new("sub", prefix),
            groups: Some(Claim::new("groups", prefix)),
            uid: None,
            discovery_url: None,
        }
    }

    /// The entry of `jwt` in an AuthenticationConfiguration, and in kcp's WorkspaceAuthenticationConfiguration.
    pub(crate) fn authenticator(&self) -> Value {
        let mut mappings = json!({"username": self.username.mapping()});
        if let Some(groups) = &self.groups {
            mappings["groups"] = groups.mapping();
        }
        if let Some(uid) = &self.uid {
            mappings["uid"] = json!({"claim": uid});
        }
        let mut issuer = json!({
            "url": self.url,
            "certificateAuthority": self.ca_pem,
            "audiences": self.audiences,
            "audienceMatchPolicy": "MatchAny",
        });
        if let Some(elsewhere) = &self.discovery_url {
            issuer["discoveryURL"] = json!(elsewhere);
        }
        json!({"issuer": issuer, "claimMappings": mappings})
    }
}

/// The text of the file, as JSON. Anonymous callers reach the health paths and nothing else.
pub(crate) fn document(issuers: &[JwtIssuer]) -> String {
    let jwt: Vec<Value> = issuers.iter().map(JwtIssuer::authenticator).collect();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": jwt,
        "anonymous": {
            "enabled": true,
            "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_maps_only_the_claims_it_names() {
        let mut issuer = JwtIssuer::new("https://127.0.0.1:1/realm", "PEM", "kubernetes", "lab:");
        issuer.groups = None;
        issuer.uid = Some("uid".to_owned());
        let document: Value = serde_json::from_str(&document(&[issuer])).unwrap();
        assert_eq!(
            document["jwt"][0]["claimMappings"],
            json!({"username": {"claim": "sub", "prefix": "lab:"}, "uid": {"claim": "uid"}})
        );
        assert_eq!(document["jwt"][0]["issuer"]["audiences"], json!(["kubernetes"]));
    }
}
