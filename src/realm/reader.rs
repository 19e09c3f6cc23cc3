//! Reads one realm's discovery document and keys over a client that follows no redirect, takes no proxy from the
//! environment, speaks https only and stops at a size and a time.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use reqwest::redirect;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::guard::{Guard, is_private};
use super::{Metadata, RawJwk, RealmConfig, RealmError};
use crate::model::RealmName;

/// One request, from the lookup of the name to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest discovery document, in bytes.
const MAX_DOCUMENT: usize = 64 * 1024;
/// The largest JWKS, in bytes.
const MAX_JWKS: usize = 256 * 1024;
/// How long a discovery document is used.
const METADATA_LIFE: Duration = Duration::from_secs(600);

const DISCOVERY: &str = "discovery document";
const KEYS: &str = "keys";
const TOKENS: &str = "token endpoint";

/// The largest answer of a token endpoint, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What a token endpoint answered, whatever its status: the caller judges it. Debug shows no body.
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// True for `application/json`, with or without parameters.
    pub json: bool,
    /// `Retry-After` in seconds, where it is a number.
    pub retry_after: Option<Duration>,
    /// The body, at most 64 KiB. It may hold a token.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawAnswer").field("status", &self.status).field("json", &self.json).finish_non_exhaustive()
    }
}

/// Reads one realm. Cheap to keep; share it by `Arc`.
pub struct RealmReader {
    realm: RealmName,
    issuer: String,
    discovery: Option<Url>,
    jwks_file: Option<PathBuf>,
    allow_private: bool,
    /// A host without certificates of its own still serves realms that need no request; so this fails on use.
    client: Result<reqwest::Client, RealmError>,
    metadata: Mutex<Option<Kept>>,
}

/// The last answer of discovery, good or bad.
struct Kept {
    at: Instant,
    answer: Result<Metadata, RealmError>,
}

impl RealmReader {
    /// Makes the reader; asks nothing of the realm.
    ///
    /// # Errors
    /// When the issuer or `discovery_url` is no plain https address (an issuer with `jwks_file` may be any text), or the
    /// CA is no PEM.
    pub fn new(config: &RealmConfig) -> Result<Self, RealmError> {
        let wrong = |what: String| RealmError::Config { realm: config.name.clone(), what };
        let text = config.discovery_url.clone().unwrap_or_else(|| {
            format!("{}/.well-known/openid-configuration", config.issuer.strip_suffix('/').unwrap_or(&config.issuer))
        });
        let key = if config.discovery_url.is_some() { "discovery_url" } else { "issuer" };
        let discovery = match plain_https(&text) {
            Ok(url) => Some(url),
            Err(_) if config.jwks_file.is_some() && config.discovery_url.is_none() => None,
            Err(why) => return Err(wrong(format!("{key} {why}"))),
        };
        let roots = match config.ca.as_deref().map(reqwest::Certificate::from_pem_bundle) {
            None => None,
            Some(Ok(roots)) if !roots.is_empty() => Some(roots),
            Some(Ok(_)) => return Err(wrong("the CA file holds no certificate".to_owned())),
            Some(Err(error)) => {
                return Err(wrong(format!("the CA file is not PEM: {}", error.without_url())));
            }
        };
        let custom = roots.is_some();
        let client = match client(roots, config.allow_private) {
            Ok(client) => Ok(client),
            Err(error) if custom => {
                return Err(wrong(format!("the CA cannot be used: {}", error.without_url())));
            }
            Err(_) => Err(wrong("this host has no CA certificates; set ca_file".to_owned())),
        };
        Ok(Self {
            realm: config.name.clone(),
            issuer: config.issuer.clone(),
            discovery,
            jwks_file: config.jwks_file.clone(),
            allow_private: config.allow_private,
            client,
            metadata: Mutex::new(None),
        })
    }

    /// The guarded client, for requests to addresses in [`RealmReader::metadata`], whose host was checked there, and to those
    /// that the operator named and the caller checked.
    ///
    /// # Errors
    /// When this host has no CA certificates and none are configured.
    pub fn client(&self) -> Result<&reqwest::Client, RealmError> {
        self.client.as_ref().map_err(Clone::clone)
    }

    /// The discovery document, at most ten minutes old. Callers at the same time share one request.
    ///
    /// # Errors
    /// When it cannot be had, names another issuer, or names addresses that are not https on the issuer's host.
    pub async fn metadata(&self) -> Result<Metadata, RealmError> {
        let began = Instant::now();
        let mut kept = self.metadata.lock().await;
        if let Some(Kept { at, answer }) = &*kept {
            // A failure is shared with those who were already waiting, and tried again for those who come later.
            let fresh = if answer.is_ok() { at.elapsed() < METADATA_LIFE } else { *at >= began };
            if fresh {
                return answer.clone();
            }
        }
        let answer = self.discover().await;
        *kept = Some(Kept { at: Instant::now(), answer: answer.clone() });
        answer
    }

    /// The published keys, asked for at each call: from `jwks_file`, or from `jwks_uri`.
    ///
    /// # Errors
    /// When they cannot be had, or are no JWKS. Single keys that cannot be read are left out.
    pub async fn keys(&self) -> Result<Vec<RawJwk>, RealmError> {
        if let Some(path) = &self.jwks_file {
            let failed =
                |source| RealmError::File { realm: self.realm.clone(), path: path.clone(), source: Arc::new(source) };
            return self.parse_keys(&read_file(path).await.map_err(failed)?);
        }
        let metadata = self.metadata().await?;
        let url = self.check(KEYS, &metadata.jwks_uri)?;
        let answer = match self.get(KEYS, url, MAX_JWKS).await {
            Ok(body) => self.parse_keys(&body),
            Err(error) => Err(error),
        };
        if answer.is_err() {
            // Perhaps the keys moved: look at the discovery document again next time.
            *self.metadata.lock().await = None;
        }
        answer
    }

    /// Sends a form to the realm's token endpoint (RFC 6749 3.2) within 5 s. `headers` and `form` may hold secrets: they
    /// go to the checked address alone, and no redirect is followed.
    ///
    /// # Errors
    /// When the realm has no token endpoint, or no whole answer came; every HTTP status is an answer.
    pub async fn token_request(&self, headers: HeaderMap, form: String) -> Result<RawAnswer, RealmError> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.ask_for_token(headers, form)).await;
        let answer = answer.unwrap_or_else(|elapsed| {
            let (realm, url) = (self.realm.clone(), crate::model::names::quote(&self.issuer));
            Err(RealmError::Fetch { realm, what: TOKENS, url, hint: "", source: Arc::new(elapsed) })
        });
        if matches!(&answer, Err(_) | Ok(RawAnswer { status: 404 | 405, .. })) {
            // Perhaps the endpoint moved: look at the discovery document again next time, unless somebody does so now.
            if let Ok(mut kept) = self.metadata.try_lock() {
                *kept = None;
            }
        }
        answer
    }

    async fn ask_for_token(&self, headers: HeaderMap, form: String) -> Result<RawAnswer, RealmError> {
        let wrong = |why: &str| RealmError::Document { realm: self.realm.clone(), what: TOKENS, why: why.to_owned() };
        let metadata = self.metadata().await?;
        let endpoint = metadata.token_endpoint.as_deref().ok_or_else(|| wrong("the realm has none"))?;
        let url = self.check(TOKENS, endpoint)?;
        self.allowed(TOKENS, &url)?;
        let shown = masked(&url);
        let failed = |error: reqwest::Error| self.fetch_failed(TOKENS, &shown, error);
        let request = self.client()?.post(url).headers(headers);
        let request =
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header(ACCEPT, "application/json");
        let response = request.body(form).send().await.map_err(failed)?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let json = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
        let retry_after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        let body = self.body(TOKENS, &shown, response, MAX_ANSWER).await?;
        Ok(RawAnswer { status, json, retry_after, body })
    }

    async fn discover(&self) -> Result<Metadata, RealmError> {
        let wrong = |why: String| RealmError::Document { realm: self.realm.clone(), what: DISCOVERY, why };
        let Some(url) = self.discovery.clone() else {
            return Err(wrong("its issuer is no https address, and there is no discovery_url".to_owned()));
        };
        let body = self.get(DISCOVERY, url, MAX_DOCUMENT).await?;
        let metadata: Metadata =
            serde_json::from_slice(&body).map_err(|error| wrong(format!("not the expected JSON ({error})")))?;
        if metadata.issuer != self.issuer {
            let given = crate::model::names::quote(&metadata.issuer);
            return Err(wrong(format!("its issuer is {given}, not the configured one")));
        }
        // The keys' address is checked as strictly as the token endpoint's, although only one of them gets credentials.
        let _keys = self.check(KEYS, &metadata.jwks_uri)?;
        if let Some(endpoint) = &metadata.token_endpoint {
            let _endpoint = self.check(TOKENS, endpoint)?;
        }
        Ok(metadata)
    }

    /// An address out of the discovery document: https, on the host of the issuer or of `discovery_url`.
    fn check(&self, what: &'static str, text: &str) -> Result<Url, RealmError> {
        let refused = |url: String, why| RealmError::Refused { realm: self.realm.clone(), what, url, why };
        let url = plain_https(text).map_err(|why| refused(crate::model::names::quote(text), why))?;
        let issuer = Url::parse(&self.issuer).ok();
        let known = [issuer.as_ref(), self.discovery.as_ref()];
        if known.into_iter().flatten().any(|known| known.host() == url.host()) {
            Ok(url)
        } else {
            Err(refused(masked(&url), "it is on another host than the issuer"))
        }
    }

    async fn get(&self, what: &'static str, url: Url, limit: usize) -> Result<Vec<u8>, RealmError> {
        self.allowed(what, &url)?;
        let shown = masked(&url);
        let response = self.client()?.get(url).send().await.map_err(|error| self.fetch_failed(what, &shown, error))?;
        if response.status() != reqwest::StatusCode::OK {
            let why = format!("the realm answered {}", response.status().as_u16());
            return Err(RealmError::Document { realm: self.realm.clone(), what, why });
        }
        self.body(what, &shown, response, limit).await
    }

    /// Refuses a literal private address; names are checked by the resolver, which addresses never reach.
    fn allowed(&self, what: &'static str, url: &Url) -> Result<(), RealmError> {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(is_private) && !self.allow_private {
            let why = "it is a private address; allow_private = true allows it for this realm";
            return Err(RealmError::Refused { realm: self.realm.clone(), what, url: masked(url), why });
        }
        Ok(())
    }

    async fn body(
        &self,
        what: &'static str,
        shown: &str,
        mut response: reqwest::Response,
        limit: usize,
    ) -> Result<Vec<u8>, RealmError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.fetch_failed(what, shown, error))? {
            if body.len() + chunk.len() > limit {
                let why = format!("larger than {limit} bytes");
                return Err(RealmError::Document { realm: self.realm.clone(), what, why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn fetch_failed(&self, what: &'static str, shown: &str, error: reqwest::Error) -> RealmError {
        RealmError::Fetch {
            realm: self.realm.clone(),
            what,
            url: shown.to_owned(),
            hint: hint(&error),
            source: Arc::new(error.without_url()),
        }
    }

    fn parse_keys(&self, body: &[u8]) -> Result<Vec<RawJwk>, RealmError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(body).map_err(|error| RealmError::Document {
            realm: self.realm.clone(),
            what: KEYS,
            why: format!("not a JWKS ({error})"),
        })?;
        Ok(set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
    }
}

impl std::fmt::Debug for RealmReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealmReader").field("realm", &self.realm).finish_non_exhaustive()
    }
}

fn client(roots: Option<Vec<reqwest::Certificate>>, allow_private: bool) -> reqwest::Result<reqwest::Client> {
    // reqwest is built without a provider of its own. Already installed is as good.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .timeout(REQUEST_TIMEOUT)
        .connect_timeout(REQUEST_TIMEOUT)
        .pool_max_idle_per_host(2)
        .pool_idle_timeout(Duration::from_secs(60))
        .user_agent(concat!("kubeferry/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Guard { allow_private }));
    match roots {
        Some(roots) => builder.tls_certs_only(roots),
        None => builder,
    }
    .build()
}

/// An https address without user information and fragment.
fn plain_https(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an address")?;
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    match (url.scheme(), url.host().is_some(), bare) {
        ("https", true, true) => Ok(url),
        ("https", true, false) => Err("must have no user information or fragment"),
        _ => Err("must be https"),
    }
}

/// Scheme, host, port and path.
fn masked(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

async fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    let read = file.take(MAX_JWKS as u64 + 1).read_to_end(&mut body).await?;
    if read > MAX_JWKS { Err(io::Error::other("larger than 256 KiB")) } else { Ok(body) }
}

/// The next step for the failure that people meet most.
fn hint(error: &reqwest::Error) -> &'static str {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return " (its certificate is not trusted: check the realm's ca_file, the CA that signed it, and the host name)";
        }
        // An io::Error names the source of what it wraps, not the wrapped error itself.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    ""
}
