//! The admin API of one realm, over the realm's guarded client: its CA, no redirects, no proxy, a deadline and a bounded
//! body for each request.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::place;
use crate::model::{Problem, RealmName, Secret};
use crate::output::scrub_text;
use crate::realm::{RealmReader, is_private};
use crate::setup::{AdminAccess, AdminLogin, SetupError, Side};

/// One request. An administrators' API writes, which takes longer than reading a key.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer, in bytes: all client scopes of a realm with their mappers.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Items of one page of a list, and the most pages.
const PAGE: usize = 100;
const MAX_PAGES: usize = 50;
/// A token is renewed this long before it ends; Keycloak gives administrators one minute.
const MARGIN: Duration = Duration::from_secs(15);

/// An administrator at one realm.
pub(super) struct Admin<'a> {
    realm: &'a RealmName,
    reader: RealmReader,
    /// The server's address, without a slash at its end.
    base: String,
    /// The realm's name at the server.
    name: &'a str,
    login: &'a AdminLogin,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl<'a> Admin<'a> {
    /// Checks the address; asks nothing yet.
    pub(super) fn new(side: &'a Side, access: &'a AdminAccess) -> Result<Self, SetupError> {
        let (base, name) = place(side)?;
        let base = access.url.as_deref().unwrap_or(base).trim_end_matches('/').to_owned();
        check(&base, side.realm.allow_private, &side.realm.name)?;
        let reader = RealmReader::new(&side.realm).map_err(SetupError::Realm)?;
        Ok(Self { realm: &side.realm.name, reader, base, name, login: &access.login, token: Mutex::default() })
    }

    /// Where this is, for a line of progress.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// The object at `path` below the realm; `None` when there is none.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, SetupError> {
        let answer = self.send(Method::GET, path, None).await?;
        // A realm that is not there is another matter than an object that is not there.
        if answer.status == 404 && !answer.said.contains("Realm not found") {
            return Ok(None);
        }
        let request = format!("GET {path}");
        let body = self.successful(answer, &request)?;
        let wrong = |error: serde_json::Error| SetupError::Answer {
            realm: self.realm.clone(),
            request: request.clone(),
            why: format!("not JSON ({error})"),
        };
        serde_json::from_slice(&body).map(Some).map_err(wrong)
    }

    /// All objects of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, SetupError> {
        match self.get(path).await? {
            Some(Value::Array(items)) => Ok(items),
            // Each realm has all lists: something else answers there.
            None => Err(SetupError::Refused {
                realm: self.realm.clone(),
                request: format!("GET {}/admin/realms/{}{path}", self.base, self.name),
                status: 404,
                said: String::new(),
                fix: "this is not the address of Keycloak's admin API: give it with --admin-url".to_owned(),
            }),
            Some(_) => Err(SetupError::Answer {
                realm: self.realm.clone(),
                request: format!("GET {path}"),
                why: "no list".to_owned(),
            }),
        }
    }

    /// All objects of a list that Keycloak gives page by page.
    pub(super) async fn all(&self, path: &str) -> Result<Vec<Value>, SetupError> {
        let mut all = Vec::new();
        for page in 0..MAX_PAGES {
            let items = self.list(&format!("{path}?first={}&max={PAGE}", page * PAGE)).await?;
            let last = items.len() < PAGE;
            all.extend(items);
            if last {
                return Ok(all);
            }
        }
        let why = format!("the list has more than {} items", MAX_PAGES * PAGE);
        Err(SetupError::Answer { realm: self.realm.clone(), request: format!("GET {path}"), why })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<(), SetupError> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        self.successful(answer, &format!("POST {path}")).map(drop)
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<(), SetupError> {
        let answer = self.send(Method::PUT, path, Some(body)).await?;
        self.successful(answer, &format!("PUT {path}")).map(drop)
    }

    /// Takes an assignment away, to make it another.
    pub(super) async fn release(&self, path: &str) -> Result<(), SetupError> {
        let answer = self.send(Method::DELETE, path, None).await?;
        self.successful(answer, &format!("DELETE {path}")).map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, SetupError> {
        let token = self.token().await?;
        let url = format!("{}/admin/realms/{}{path}", self.base, self.name);
        let request = self.client()?.request(method.clone(), &url).bearer_auth(token.expose()).timeout(REQUEST_TIMEOUT);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.answer(request, format!("{method} {url}")).await
    }

    /// The token, or a new one when it is about to end.
    async fn token(&self) -> Result<Secret, SetupError> {
        let (user, password, realm) = match self.login {
            AdminLogin::Token(token) => return Ok(token.clone()),
            AdminLogin::Password { user, password, realm } => (user, password, realm),
        };
        let mut kept = self.token.lock().await;
        if let Some((token, end)) = &*kept
            && Instant::now() < *end
        {
            return Ok(token.clone());
        }
        let url = format!("{}/realms/{}/protocol/openid-connect/token", self.base, encoded(realm));
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", user),
            ("password", password.expose()),
        ];
        let request = self.client()?.post(&url).form(&form).timeout(REQUEST_TIMEOUT);
        let answer = self.answer(request, format!("POST {url}")).await?;
        if answer.status != 200 {
            return Err(self.refused(
                format!("signing in as {user} at realm {realm} of {}", self.base),
                &answer,
                sign_in_fix(&answer, realm),
            ));
        }
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            #[serde(default)]
            expires_in: u64,
        }
        let issued: Issued = serde_json::from_slice(&answer.body).map_err(|_secret| SetupError::Answer {
            realm: self.realm.clone(),
            request: "signing in".to_owned(),
            why: "there is no access token in it".to_owned(),
        })?;
        let token = Secret::new(issued.access_token);
        let life = Duration::from_secs(issued.expires_in).saturating_sub(MARGIN);
        *kept = Some((token.clone(), Instant::now() + life.min(Duration::from_secs(3600))));
        Ok(token)
    }

    fn client(&self) -> Result<&reqwest::Client, SetupError> {
        self.reader.client().map_err(SetupError::Realm)
    }

    async fn answer(&self, request: reqwest::RequestBuilder, shown: String) -> Result<Answer, SetupError> {
        let failed = |source: reqwest::Error| SetupError::Unanswered {
            realm: self.realm.clone(),
            request: shown.clone(),
            source: source.without_url(),
        };
        let mut response: Response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let why = format!("it is larger than {MAX_ANSWER} bytes");
                return Err(SetupError::Answer { realm: self.realm.clone(), request: shown.clone(), why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, said: if status < 400 { String::new() } else { said(&body) }, body })
    }

    fn successful(&self, answer: Answer, request: &str) -> Result<Vec<u8>, SetupError> {
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let fix = fix(&answer, request, self.name);
        Err(self.refused(request.to_owned(), &answer, fix))
    }

    fn refused(&self, request: String, answer: &Answer, fix: String) -> SetupError {
        let said = if answer.said.is_empty() { String::new() } else { format!(": {}", answer.said) };
        SetupError::Refused { realm: self.realm.clone(), request, status: answer.status, said, fix }
    }
}

/// One whole answer. Its body may hold a secret.
struct Answer {
    status: u16,
    /// What an error says of itself, scrubbed.
    said: String,
    body: Vec<u8>,
}

/// A part of a path or of a query.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Only https, without user and query; a literal private address only where the realm may have one. Names are looked at
/// when they are resolved.
pub(super) fn check(base: &str, allow_private: bool, realm: &RealmName) -> Result<(), SetupError> {
    let wrong = |what: &str, fix: &str| Err(SetupError::Problems(vec![Problem::new("--admin-url", what, fix)]));
    let url = match Url::parse(base) {
        Ok(url) if url.scheme() == "https" => url,
        _ => return wrong("is not an https URL", "write the server's address, as https://keycloak.example"),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return wrong("has a user, a query or a fragment", "write the server's address, as https://keycloak.example");
    }
    let literal: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) | None => None,
    };
    match literal {
        Some(address) if is_private(address) && !allow_private => {
            wrong("is a private address", &format!("set realms.{realm}.allow_private = true if it may be one"))
        }
        _ => Ok(()),
    }
}

/// Keycloak's errors are `error` and `error_description`, or `errorMessage`; other text is not shown.
fn said(body: &[u8]) -> String {
    let Ok(object) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let text = ["errorMessage", "error_description", "error"].into_iter().find_map(|name| object[name].as_str());
    scrub_text(&text.unwrap_or_default().chars().take(300).collect::<String>()).replace(['\n', '\r'], " ")
}

fn sign_in_fix(answer: &Answer, realm: &str) -> String {
    match answer.status {
        400 | 401 | 403 => format!(
            "look at --admin-user, --admin-password-file and --admin-realm (now {realm}); an account with a second factor \
             cannot sign in like this, for it give --admin-token-file"
        ),
        404 => format!("there is no realm {realm}, or --admin-url is not the address of Keycloak"),
        _ => "look into Keycloak's log".to_owned(),
    }
}

/// What to do about a request that was refused.
fn fix(answer: &Answer, request: &str, realm: &str) -> String {
    let reads = request.starts_with("GET ");
    let roles = if request.contains(" /identity-provider") {
        ("view-identity-providers", "manage-identity-providers")
    } else if request.contains(" /components") {
        ("view-realm", "manage-realm")
    } else {
        ("view-clients", "manage-clients")
    };
    match answer.status {
        401 => "the token is not accepted: has it expired, and was it issued by this server?".to_owned(),
        403 => {
            let role = if reads { roles.0 } else { roles.1 };
            format!(
                "give this administrator the role {role} of client {realm}-realm in realm master (or of client \
                 realm-management in realm {realm}, and sign in with --admin-realm {realm}); --check needs view-clients and \
                 view-identity-providers, --apply manage-clients and manage-identity-providers, \
                 --dynamic-registration view-realm and manage-realm as well"
            )
        }
        404 => format!("is {realm} a realm of this server? Make it first; this program makes no realms"),
        409 => "something of this name appeared in the meantime; run it again".to_owned(),
        _ => "look into Keycloak's log".to_owned(),
    }
}
