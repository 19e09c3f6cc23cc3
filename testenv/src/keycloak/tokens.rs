//! Asking the token endpoints of a Keycloak by hand.

use anyhow::{Context, ensure};
use serde_json::Value;
use url::form_urlencoded;

use super::{FERRY_CLIENT, Keycloak};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An answer of a token endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, a JSON string when it is not JSON.
    pub body: Value,
}

impl Keycloak {
    /// Signs `user` in with the password and answers the access token, which the client's scopes give its audiences.
    ///
    /// # Errors
    /// When the realm refuses, with its words.
    pub async fn login(&self, realm: &str, client: &str, user: &str) -> anyhow::Result<String> {
        let form = [
            ("grant_type", "password"),
            ("client_id", client),
            ("username", user),
            ("password", &self.secrets.users),
            ("scope", "openid"),
        ];
        let answer = self.token(realm, &form, None).await?;
        answer.access_token().with_context(|| format!("signing {user} in at {realm}"))
    }

    /// Token exchange (RFC 8693) by kubeferry's client.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn exchange(&self, realm: &str, subject: &str, audience: &str, scope: &str) -> anyhow::Result<Answer> {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", audience),
            ("scope", scope),
        ];
        self.token(realm, &form, Some((FERRY_CLIENT, self.client_secret(realm)))).await
    }

    /// The JWT bearer grant (RFC 7523) by kubeferry's client.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn bearer(&self, realm: &str, assertion: &str, scope: &str) -> anyhow::Result<Answer> {
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion), ("scope", scope)];
        self.token(realm, &form, Some((FERRY_CLIENT, self.client_secret(realm)))).await
    }

    /// Asks the token endpoint of a realm, as a client with a name and a secret if there is one.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn token(
        &self,
        realm: &str,
        form: &[(&str, &str)],
        client: Option<(&str, &str)>,
    ) -> anyhow::Result<Answer> {
        let endpoint = format!("{}/protocol/openid-connect/token", self.issuer(realm));
        let mut request = self.http.post(endpoint).form(form);
        if let Some((id, secret)) = client {
            // RFC 6749 2.3.1: encoded as a form first.
            let [id, secret] =
                [id, secret].map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
            request = request.basic_auth(id, Some(secret));
        }
        answer(request).await.with_context(|| format!("asking realm {realm} for a token"))
    }

    /// Registers a client without any token (RFC 7591), as an MCP client does that nobody told the realm of.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn register(&self, realm: &str, client: &Value) -> anyhow::Result<Answer> {
        let endpoint = format!("{}/clients-registrations/openid-connect", self.issuer(realm));
        let request = self.http.post(endpoint).json(client);
        answer(request).await.with_context(|| format!("registering a client at realm {realm}"))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await.context("reading the answer")?;
    Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

impl Answer {
    /// The token of a good answer.
    ///
    /// # Errors
    /// With what the realm said instead.
    pub fn access_token(&self) -> anyhow::Result<String> {
        ensure!(self.status == 200, "the realm answered {} {:?}", self.status, self.refusal());
        let token = self.body["access_token"].as_str();
        Ok(token.context("the answer holds no access token")?.to_owned())
    }

    /// `error` and `error_description`, empty where there is none.
    #[must_use]
    pub fn refusal(&self) -> (&str, &str) {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        (text("error"), text("error_description"))
    }
}
