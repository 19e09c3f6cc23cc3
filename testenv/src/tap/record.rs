//! What a [`Tap`](crate::tap::Tap) remembers of the traffic it relays. No secret is kept: tokens become digests.

use std::collections::BTreeSet;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Uri};
use sha2::{Digest, Sha256};

/// Requests kept between two calls of `clear`. A log with holes proves nothing, so reading one that
/// overflowed panics.
const MAX_REQUESTS: usize = 200_000;

/// The subprotocol in which Kubernetes clients of WebSockets carry a bearer token.
const WEBSOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// One connection, from the moment that TCP accepted it.
#[derive(Debug, Clone)]
pub struct TapConnection {
    /// Number of the connection, counted from 0 and never reused.
    pub id: usize,
    /// When TCP accepted it.
    pub opened_at: SystemTime,
    /// Whether the TLS handshake succeeded; `false` also while it is under way.
    pub secured: bool,
    /// The application protocol of the handshake, `None` when none was agreed.
    pub alpn: Option<String>,
    /// SHA-256 (hex) of the client certificate's DER form, `None` when none was presented.
    pub client_certificate: Option<String>,
}

/// One request, recorded when its head arrived.
#[derive(Debug, Clone)]
pub struct TapRequest {
    /// The connection it came on.
    pub connection: usize,
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query; the value of a query parameter `access_token` is replaced by its digest.
    pub path: String,
    /// [`digest`] of the bearer token of the first `authorization` header; of its whole value when it
    /// has another scheme; `None` when there is no such header.
    pub authorization: Option<String>,
    /// Digests of every credential of the request: all `authorization` headers, a WebSocket
    /// subprotocol with a bearer token, a query parameter `access_token`.
    pub credentials: BTreeSet<String>,
    /// The `impersonate-*` headers in the order of their first appearance, names in lower case.
    pub impersonation: Vec<(String, Vec<String>)>,
    /// All header names in lower case, in order, each once.
    pub header_names: Vec<String>,
    /// SHA-256 (hex) of the DER form of the connection's client certificate.
    pub client_certificate: Option<String>,
    /// Status of the answer; `None` before there is one and when the upstream broke off without one.
    pub status: Option<u16>,
    /// When the head of the request arrived.
    pub at: SystemTime,
}

impl TapRequest {
    /// The values of one impersonation header (`name` in lower case), empty when it is absent.
    #[must_use]
    pub fn impersonated(&self, name: &str) -> &[String] {
        self.impersonation.iter().find(|(header, _)| header == name).map_or(&[], |(_, values)| values)
    }
}

/// SHA-256 of `token` as lower-case hex: how a Tap names a token without keeping it.
#[must_use]
pub fn digest(token: &str) -> String {
    hex_digest(token.as_bytes())
}

pub(super) fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub connections: Vec<TapConnection>,
    requests: Vec<TapRequest>,
    next_connection: usize,
    /// Number of requests forgotten by `clear`: the id of `requests[0]`.
    cleared: usize,
    overflowed: usize,
}

impl Log {
    pub fn open(&mut self) -> usize {
        let id = self.next_connection;
        self.next_connection += 1;
        let opened_at = SystemTime::now();
        let (secured, alpn, client_certificate) = (false, None, None);
        self.connections.push(TapConnection { id, opened_at, secured, alpn, client_certificate });
        id
    }

    pub fn secured(&mut self, id: usize, alpn: Option<String>, client_certificate: Option<String>) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.secured = true;
            connection.alpn = alpn;
            connection.client_certificate = client_certificate;
        }
    }

    /// Adds a request and returns the id under which its status can be set.
    pub fn request(&mut self, request: TapRequest) -> usize {
        if self.requests.len() == MAX_REQUESTS {
            self.overflowed += 1;
            return usize::MAX;
        }
        self.requests.push(request);
        self.cleared + self.requests.len() - 1
    }

    /// Sets the status of a request, unless it was cleared meanwhile.
    pub fn answered(&mut self, id: usize, status: u16) {
        let index = id.checked_sub(self.cleared);
        if let Some(request) = index.and_then(|index| self.requests.get_mut(index)) {
            request.status = Some(status);
        }
    }

    pub fn requests(&self) -> &[TapRequest] {
        assert!(self.overflowed == 0, "{} requests did not fit into the log; clear it earlier", self.overflowed);
        &self.requests
    }

    pub fn clear(&mut self) {
        self.cleared += self.requests.len();
        self.requests.clear();
        self.connections.clear();
        self.overflowed = 0;
    }
}

pub(super) fn describe(
    connection: usize,
    client_certificate: Option<&String>,
    method: &http::Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> TapRequest {
    let (path, query_token) = without_token(uri);
    let authorization: Vec<String> =
        headers.get_all(AUTHORIZATION).iter().map(|value| credential_digest(value.as_bytes())).collect();
    let mut credentials: BTreeSet<String> = authorization.iter().cloned().collect();
    credentials.extend(query_token);
    credentials.extend(websocket_token(headers));
    TapRequest {
        connection,
        method: method.to_string(),
        path,
        authorization: authorization.into_iter().next(),
        credentials,
        impersonation: impersonation(headers),
        header_names: headers.keys().map(|name| name.as_str().to_owned()).collect(),
        client_certificate: client_certificate.cloned(),
        status: None,
        at: SystemTime::now(),
    }
}

/// The digest of the token of a `Bearer` value, in any spelling of the scheme, else of the whole value.
fn credential_digest(value: &[u8]) -> String {
    let bearer = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    hex_digest(bearer.map_or(value, |(_, token)| token.trim_ascii()))
}

fn impersonation(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .keys()
        .filter(|name| name.as_str().starts_with("impersonate-"))
        .map(|name| (name.as_str().to_owned(), headers.get_all(name).iter().map(text).collect()))
        .collect()
}

fn websocket_token(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(WEBSOCKET_BEARER))
        .map(|encoded| {
            let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
            hex_digest(&decoded.unwrap_or_else(|_| encoded.as_bytes().to_vec()))
        })
}

/// Path and query with the value of `access_token` replaced, and the digest that replaced it.
fn without_token(uri: &Uri) -> (String, Option<String>) {
    let Some(query) = uri.query() else {
        return (uri.path().to_owned(), None);
    };
    let mut found = None;
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.strip_prefix("access_token=") {
            None => part.to_owned(),
            Some(token) => {
                let token = digest(token);
                let part = format!("access_token={token}");
                found = Some(token);
                part
            }
        })
        .collect();
    (format!("{}?{}", uri.path(), parts.join("&")), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(uri: &str, headers: &[(&'static str, &str)]) -> TapRequest {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        describe(0, None, &http::Method::GET, &uri.parse().unwrap(), &map)
    }

    #[test]
    fn no_token_survives_in_a_record() {
        let request = described(
            "/api?watch=1&access_token=tok-query",
            &[
                ("authorization", "bEARER tok-header"),
                ("authorization", "Basic tok-basic"),
                ("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rLXdz"),
            ],
        );
        assert!(!format!("{request:?}").contains("tok-"), "{request:?}");
        assert_eq!(request.authorization, Some(digest("tok-header")));
        let expected = [digest("tok-header"), digest("Basic tok-basic"), digest("tok-ws"), digest("tok-query")];
        assert_eq!(request.credentials, BTreeSet::from(expected));
        assert_eq!(request.path, format!("/api?watch=1&access_token={}", digest("tok-query")));
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_status_of_a_cleared_request_is_dropped() {
        let mut log = Log::default();
        let old = log.request(described("/old", &[]));
        log.clear();
        let new = log.request(described("/new", &[]));
        log.answered(old, 500);
        log.answered(new, 200);
        assert_eq!(log.requests().iter().map(|request| request.status).collect::<Vec<_>>(), [Some(200)]);
    }
}
