//! The simulator through its socket: what a client sees.

mod faults;
mod kcp;
mod kubelet;
mod kubernetes;
mod lists;
mod metrics;
mod openapi;
mod realms;
mod twin;

use http::Method;
use serde_json::{Value, json};

use super::Simulator;

/// An HTTP client with a bearer, and what it got.
struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

struct Answer {
    status: u16,
    content_type: String,
    headers: http::HeaderMap,
    text: String,
    json: Value,
}

impl Client {
    fn new(simulator: &Simulator, token: impl Into<Option<&'static str>>) -> Self {
        let tls = crate::pki::client_config(simulator.ca_pem(), None, &[]);
        Self::with_tls(simulator.url(), tls.as_ref().clone(), token.into())
    }

    fn with_tls(url: &str, tls: rustls::ClientConfig, token: Option<&str>) -> Self {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(10))
            .build()
            .unwrap();
        Self { http, base: url.to_owned(), token: token.map(str::to_owned) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let accept = [("accept", accept)];
        self.send(Method::GET, path, &accept, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// The answer before its body is read.
    async fn raw(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base));
        request.bearer_auth(self.token.as_deref().unwrap_or_default()).send().await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let content_type = headers.get("content-type").map(|v| v.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        Answer {
            status,
            content_type: content_type.unwrap_or_default(),
            headers,
            json: serde_json::from_str(&text).unwrap_or(json!(null)),
            text,
        }
    }
}

impl Answer {
    fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }

    fn names(&self, list: &str) -> Vec<String> {
        let items = self.json[list].as_array().unwrap();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
