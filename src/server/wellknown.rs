//! Protected resource metadata (RFC 9728): where a client learns which realms may issue tokens for this server.

use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use url::Url;

use super::ServerError;
use super::body::{Body, json_answer};

const ROOT: &str = "/.well-known/oauth-protected-resource";

/// The metadata document of `server.resource`.
#[derive(Debug)]
pub(super) struct Metadata {
    resource: String,
    scopes_supported: Vec<String>,
    /// Where the document is, as a client sees it.
    url: String,
    /// The same as a path; a gateway in front may give the resource another path than `/mcp`.
    path: String,
}

impl Metadata {
    /// Derives the document's URL: the well-known part goes between host and path (RFC 9728 section 3.1).
    pub(super) fn new(resource: &str, scopes_supported: Vec<String>) -> Result<Self, ServerError> {
        let bad = || ServerError::Resource { value: resource.to_owned() };
        let mut url = Url::parse(resource).map_err(|_error| bad())?;
        let plain =
            url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
            return Err(bad());
        }
        let path = format!("{ROOT}{}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self { resource: resource.to_owned(), scopes_supported, url: url.into(), path })
    }

    /// The value of `resource_metadata` in a challenge.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// True for the paths where the document is served: the one of the resource, the root and `/mcp`.
    pub(super) fn is_at(&self, path: &str) -> bool {
        path == self.path || path.strip_prefix(ROOT).is_some_and(|rest| matches!(rest, "" | "/mcp"))
    }

    /// The document. It holds nothing secret, so any page may read it.
    pub(super) fn answer(&self, issuers: &[String]) -> Response<Body> {
        let mut document = json!({
            "resource": self.resource,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        if !self.scopes_supported.is_empty() {
            document["scopes_supported"] = json!(self.scopes_supported);
        }
        let mut response = json_answer(StatusCode::OK, &document);
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use http_body_util::BodyExt;

    #[test]
    fn the_document_is_between_host_and_path() {
        let metadata = Metadata::new("https://ferry.example/mcp", vec![]).unwrap();
        assert_eq!(metadata.url(), "https://ferry.example/.well-known/oauth-protected-resource/mcp");
        let behind = Metadata::new("https://gate.example/k8s/mcp", vec![]).unwrap();
        assert_eq!(behind.url(), "https://gate.example/.well-known/oauth-protected-resource/k8s/mcp");
        assert!(behind.is_at("/.well-known/oauth-protected-resource/k8s/mcp"));
        assert!(
            behind.is_at("/.well-known/oauth-protected-resource")
                && !behind.is_at("/.well-known/oauth-protected-resource/x")
        );
        assert_eq!(
            Metadata::new("https://ferry.example", vec![]).unwrap().url(),
            "https://ferry.example/.well-known/oauth-protected-resource"
        );
        for bad in ["ferry", "ftp://a/b", "https://a/b?c", "https://a/b#c", "https://u:p@a/"] {
            assert!(Metadata::new(bad, vec![]).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_document_lists_every_home_issuer() {
        let metadata = Metadata::new("https://ferry.example/mcp", vec!["openid".to_owned()]).unwrap();
        let response = metadata.answer(&["https://a.example".to_owned(), "https://b.example".to_owned()]);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "resource": "https://ferry.example/mcp",
                "authorization_servers": ["https://a.example", "https://b.example"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["openid"],
            })
        );
    }
}
