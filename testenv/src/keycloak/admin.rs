//! The administrator of a Keycloak: its admin REST API, thinly.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::Mutex;

/// How long a token is used: half of the minute that it lives.
const TOKEN_LIFE: Duration = Duration::from_secs(30);

/// A client of the admin API. Paths begin with a realm, as `/corp/clients`; the empty path is all realms.
#[derive(Clone)]
pub struct Admin {
    http: reqwest::Client,
    url: String,
    name: String,
    password: String,
    token: Arc<Mutex<Option<(String, Instant)>>>,
}

impl Admin {
    pub(super) fn new(http: reqwest::Client, url: &str, name: &str, password: &str) -> Self {
        let token = Arc::default();
        Self { http, url: url.to_owned(), name: name.to_owned(), password: password.to_owned(), token }
    }

    /// Reads.
    ///
    /// # Errors
    /// When the answer is not 2xx, with its text; so do the methods below.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// Makes something, or does something.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Replaces something.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    /// Reads what is at `path`, changes it and writes it back.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn change(&self, path: &str, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        let mut object = self.get(path).await?;
        change(&mut object);
        self.put(path, &object).await?;
        Ok(())
    }

    /// The path of the client with that `clientId`.
    ///
    /// # Errors
    /// When there is none; so do the methods below.
    pub async fn client(&self, realm: &str, client: &str) -> anyhow::Result<String> {
        let id = self.find(&format!("/{realm}/clients"), "clientId", client).await?;
        Ok(format!("/{realm}/clients/{id}"))
    }

    /// The path of the user with that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn user(&self, realm: &str, user: &str) -> anyhow::Result<String> {
        let id = self.find(&format!("/{realm}/users"), "username", user).await?;
        Ok(format!("/{realm}/users/{id}"))
    }

    /// The path of the client scope with that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn scope(&self, realm: &str, scope: &str) -> anyhow::Result<String> {
        let id = self.find(&format!("/{realm}/client-scopes"), "name", scope).await?;
        Ok(format!("/{realm}/client-scopes/{id}"))
    }

    /// The id of the object of a collection whose `key` has that value.
    async fn find(&self, collection: &str, key: &str, value: &str) -> anyhow::Result<String> {
        let all = self.get(collection).await?;
        let found = all.as_array().into_iter().flatten().find(|object| object[key] == value);
        let id = found.and_then(|object| object["id"].as_str());
        Ok(id.with_context(|| format!("nothing in {collection} has {key} {value}"))?.to_owned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let call = format!("{method} /admin/realms{path}");
        let mut request = self.http.request(method, format!("{}/admin/realms{path}", self.url));
        request = request.bearer_auth(self.token().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| call.clone())?;
        let status = response.status();
        let text = response.text().await.with_context(|| call.clone())?;
        ensure!(status.is_success(), "{call}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn token(&self) -> anyhow::Result<String> {
        let mut kept = self.token.lock().await;
        if let Some((token, at)) = &*kept
            && at.elapsed() < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", &self.name),
            ("password", &self.password),
        ];
        let endpoint = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let response = self.http.post(endpoint).form(&form).send().await.context("signing the administrator in")?;
        let status = response.status();
        let answer: Value = response.json().await.context("reading the administrator's token")?;
        let token = answer["access_token"].as_str();
        let token = token.with_context(|| format!("the administrator is refused: {status}: {}", answer["error"]))?;
        *kept = Some((token.to_owned(), Instant::now()));
        Ok(token.to_owned())
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("url", &self.url).finish_non_exhaustive()
    }
}
