//! An administrator's client for setting up a test: plain JSON, no kube crate, so it shares nothing with the program
//! under test.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::Method;
use serde_json::Value;

use super::kubeconfig::Credential;
use crate::{pki, poll};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How long [`Client::apply`] waits for a resource, a namespace or a webhook that is not there yet.
const SETTLE: Duration = Duration::from_secs(30);

/// A client of one API server, or of one kcp workspace.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    person: Vec<(&'static str, String)>,
}

/// An answer other than 2xx, or none.
#[derive(Debug)]
struct Refusal {
    /// The HTTP status; `None` when there was no answer.
    status: Option<u16>,
    message: String,
}

impl Client {
    /// A client of the server at `base`, which is the part of every address before `/api` and `/apis`.
    ///
    /// # Errors
    /// When a PEM text is not what it should be.
    pub fn new(base: &str, ca_pem: &str, credential: Credential<'_>) -> anyhow::Result<Self> {
        pki::install_provider();
        let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).context("reading the CA of the server")?;
        let mut builder = reqwest::Client::builder().no_proxy().timeout(REQUEST).tls_certs_only(roots);
        let mut token = None;
        match credential {
            Credential::Token(text) => token = Some(text.to_owned()),
            Credential::Certificate(leaf) => {
                let pem = format!("{}{}", leaf.cert_pem, leaf.key_pem);
                let identity = reqwest::Identity::from_pem(pem.as_bytes()).context("reading the client certificate")?;
                builder = builder.identity(identity);
            }
        }
        Ok(Self {
            http: builder.build().context("building the HTTP client")?,
            base: base.to_owned(),
            token,
            person: Vec::new(),
        })
    }

    /// The same caller at another base, such as another workspace of the same kcp.
    #[must_use]
    pub fn at(&self, base: String) -> Self {
        Self { base, ..self.clone() }
    }

    /// The same caller acting for another user, with these groups.
    #[must_use]
    pub fn acting_for(&self, user: &str, groups: &[&str]) -> Self {
        let user = [("impersonate-user", user.to_owned())];
        let groups = groups.iter().map(|group| ("impersonate-group", (*group).to_owned()));
        Self { person: user.into_iter().chain(groups).collect(), ..self.clone() }
    }

    /// Reads `path`, such as `/api/v1/namespaces`. An answer that is not JSON becomes a JSON string.
    ///
    /// # Errors
    /// When the answer is not 2xx, with the server's message.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.send(Method::GET, path, None).await?)
    }

    /// Posts `object` to `path`, a collection or a subresource such as `…/serviceaccounts/NAME/token`.
    ///
    /// # Errors
    /// When the answer is not 2xx, with the server's message.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let body = ("application/json", object.to_string());
        Ok(self.send(Method::POST, path, Some(body)).await?)
    }

    /// Merges `patch` into the object at `path` (RFC 7396) and returns what it is now.
    ///
    /// # Errors
    /// When the answer is not 2xx, with the server's message.
    pub async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<Value> {
        let body = ("application/merge-patch+json", patch.to_string());
        Ok(self.send(Method::PATCH, path, Some(body)).await?)
    }

    /// Deletes the object at `path`.
    ///
    /// # Errors
    /// When the answer is not 2xx, with the server's message.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.send(Method::DELETE, path, None).await?)
    }

    /// Applies `objects` in order (server-side apply, forced) and returns what the server made of them.
    ///
    /// Each object needs `apiVersion`, `kind`, `metadata.name` and, where the resource has namespaces,
    /// `metadata.namespace`. Where a resource is not served yet, it waits up to 30 s. A `status` is applied after the rest,
    /// to the subresource, which must be there.
    ///
    /// # Errors
    /// When the server refuses an object, with its message.
    pub async fn apply(&self, objects: &[Value]) -> anyhow::Result<Vec<Value>> {
        let mut applied = Vec::with_capacity(objects.len());
        for object in objects {
            let what = format!("applying {} {}", object["kind"], object["metadata"]["name"]);
            let outcome = poll::until(&what, SETTLE, || async {
                match self.apply_one(object).await {
                    Err(refusal) if refusal.may_pass() => Err(refusal.to_string()),
                    outcome => Ok(outcome),
                }
            });
            applied.push(outcome.await?.context(what)?);
        }
        Ok(applied)
    }

    /// Applies a manifest as it is written: YAML documents in block style, between lines of `---`. See [`Client::apply`].
    ///
    /// # Errors
    /// When a document does not say what it is, or the server refuses one, with its message.
    pub async fn apply_manifest(&self, manifest: &str) -> anyhow::Result<()> {
        let documents = manifest.split("\n---\n").filter(|document| !document.trim().is_empty());
        for document in documents {
            let head = head(document).with_context(|| format!("no apiVersion, kind and name in\n{document}"))?;
            let what = format!("applying {} {}", head["kind"], head["metadata"]["name"]);
            let outcome = poll::until(&what, SETTLE, || async {
                match self.apply_text(&head, document.to_owned()).await {
                    Err(refusal) if refusal.may_pass() => Err(refusal.to_string()),
                    outcome => Ok(outcome),
                }
            });
            outcome.await?.context(what)?;
        }
        Ok(())
    }

    /// Applies the `text` of the object of which `head` has type and name.
    async fn apply_text(&self, head: &Value, text: String) -> Result<Value, Refusal> {
        let path = format!("{}?fieldManager=testenv&force=true", self.path_of(head).await?);
        self.send(Method::PATCH, &path, Some(("application/apply-patch+yaml", text))).await
    }

    async fn apply_one(&self, object: &Value) -> Result<Value, Refusal> {
        let path = self.path_of(object).await?;
        let apply = |path: String| async move {
            let path = format!("{path}?fieldManager=testenv&force=true");
            self.send(Method::PATCH, &path, Some(("application/apply-patch+yaml", object.to_string()))).await
        };
        let applied = apply(path.clone()).await?;
        if object["status"].is_null() { Ok(applied) } else { apply(format!("{path}/status")).await }
    }

    /// The path of `object`, by the server's discovery.
    async fn path_of(&self, object: &Value) -> Result<String, Refusal> {
        let text = |value: &Value, field: &str| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| Refusal::ours(format!("the object has no {field}")))
        };
        let version = text(&object["apiVersion"], "apiVersion")?;
        let kind = text(&object["kind"], "kind")?;
        let name = text(&object["metadata"]["name"], "metadata.name")?;
        let prefix = if version.contains('/') { "apis" } else { "api" };
        let prefix = format!("/{prefix}/{version}");

        let list = self.send(Method::GET, &prefix, None).await?;
        let resource = list["resources"].as_array().into_iter().flatten().find(|resource| {
            let subresource = resource["name"].as_str().is_some_and(|name| name.contains('/'));
            resource["kind"] == kind.as_str() && !subresource
        });
        let resource =
            resource.ok_or_else(|| Refusal { status: Some(404), message: format!("{version} serves no {kind}") })?;
        let plural = text(&resource["name"], "resource name")?;
        if resource["namespaced"] == true {
            let namespace = text(&object["metadata"]["namespace"], "metadata.namespace")?;
            return Ok(format!("{prefix}/namespaces/{namespace}/{plural}/{name}"));
        }
        Ok(format!("{prefix}/{plural}/{name}"))
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, String)>) -> Result<Value, Refusal> {
        let call = format!("{method} {path}");
        let failed = |error: reqwest::Error| Refusal {
            status: None,
            // The error's own address would repeat ours; its sources say what happened.
            message: format!("{call}: {:#}", anyhow!(error.without_url())),
        };
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.person {
            request = request.header(*name, value);
        }
        if let Some((media_type, text)) = body {
            request = request.header(http::header::CONTENT_TYPE, media_type).body(text);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(answer);
        }
        let reason = answer["message"].as_str().unwrap_or_default();
        Err(Refusal { status: Some(status.as_u16()), message: format!("{call}: {status}: {reason}") })
    }
}

/// Type and name of an object in block style YAML.
fn head(document: &str) -> Option<Value> {
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim().to_owned());
    let top = |key: &str| document.lines().find_map(|line| value(line, key));
    let metadata = document.lines().skip_while(|line| *line != "metadata:").skip(1);
    let metadata: Vec<&str> = metadata.take_while(|line| line.starts_with("  ")).collect();
    let below = |key: &str| metadata.iter().find_map(|line| value(line, key));
    let named = serde_json::json!({"name": below("  name:")?, "namespace": below("  namespace:")});
    Some(serde_json::json!({"apiVersion": top("apiVersion:")?, "kind": top("kind:")?, "metadata": named}))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Refusal {
    /// A mistake in what the test gave.
    fn ours(message: String) -> Self {
        Self { status: Some(400), message }
    }

    /// Whether the same request may succeed in a moment: nothing answered, or not everything is there yet.
    fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| matches!(status, 404 | 409 | 429 | 500..))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
