//! Which hosts requests may be addressed to, and which browser origins may send them.
//!
//! A page that a person visits can send requests to this listener (CSRF), and can point its own name at it (DNS
//! rebinding). The `Host` check ends the second, the `Origin` check the first. MCP asks for both.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use url::{Host, Url};

use super::{ServerConfig, ServerError};

/// Why a request may not come in. Both are 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwelcome {
    #[error("this server is not called by the host of this request; see server.allowed_hosts")]
    Host,
    #[error("the origin of this request may not call; see server.allowed_origins")]
    Origin,
}

/// The allow-lists, read once.
#[derive(Debug)]
pub(super) struct Doors {
    hosts: Vec<HostRule>,
    origins: Vec<OriginRule>,
    loopback_only: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct HostRule {
    host: String,
    /// None = any port.
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
struct OriginRule {
    scheme: String,
    host: String,
    port: Port,
}

#[derive(Debug, PartialEq, Eq)]
enum Port {
    Any,
    Is(Option<u16>),
}

impl Doors {
    /// Reads the lists of `config`; `address` is what the listener took.
    pub(super) fn new(config: &ServerConfig, address: SocketAddr) -> Result<Self, ServerError> {
        let mut hosts = config.allowed_hosts.iter().map(|entry| host_rule(entry)).collect::<Result<Vec<_>, _>>()?;
        let resource = config.resource.as_deref().and_then(|resource| Url::parse(resource).ok());
        hosts.extend(resource.and_then(|url| url.host_str().map(|host| HostRule { host: plain(host), port: None })));
        if !address.ip().is_unspecified() {
            // An address cannot be rebound, so calling the listener by its own is safe.
            hosts.push(HostRule { host: address.ip().to_string(), port: None });
        }
        let origins = config.allowed_origins.iter().map(|entry| origin_rule(entry)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts, origins, loopback_only: address.ip().is_loopback() })
    }

    /// `Host`, or the authority of an HTTP/2 request; one of them must be there, and they must agree.
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Unwelcome> {
        let mut named = headers.get_all(header::HOST).iter();
        let header = named.next().map(|value| value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()));
        if named.next().is_some() {
            return Err(Unwelcome::Host);
        }
        let authority = match (uri.authority(), &header) {
            (Some(uri), None) => uri,
            (None, Some(Some(host))) => host,
            (Some(uri), Some(Some(host))) if uri == host => uri,
            _ => return Err(Unwelcome::Host),
        };
        let host = plain(authority.host());
        let port = authority.port_u16();
        let listed = |rule: &HostRule| rule.host == host && rule.port.is_none_or(|wanted| Some(wanted) == port);
        if !authority.as_str().contains('@') && (is_loopback(&host) || self.hosts.iter().any(listed)) {
            Ok(())
        } else {
            Err(Unwelcome::Host)
        }
    }

    /// `Origin`: absent is no browser; present must be listed, or be loopback when the listener is.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Unwelcome> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let url = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
        let (Some(url), None) = (url, origins.next()) else { return Err(Unwelcome::Origin) };
        let Some(host) = url.host_str().map(plain) else { return Err(Unwelcome::Origin) };
        let port = url.port_or_known_default();
        let listed = |rule: &OriginRule| {
            rule.scheme == url.scheme() && rule.host == host && (rule.port == Port::Any || rule.port == Port::Is(port))
        };
        let local = self.loopback_only && matches!(url.scheme(), "http" | "https") && is_loopback(&host);
        if local || self.origins.iter().any(listed) { Ok(()) } else { Err(Unwelcome::Origin) }
    }
}

fn host_rule(entry: &str) -> Result<HostRule, ServerError> {
    let bad = |why| ServerError::Allowed { key: "server.allowed_hosts", value: entry.to_owned(), why };
    let authority: Authority = entry.parse().map_err(|_error| bad("write a host, or host:port"))?;
    if entry.contains(['@', '*']) {
        return Err(bad("neither user names nor wildcards are possible"));
    }
    Ok(HostRule { host: plain(authority.host()), port: authority.port_u16() })
}

fn origin_rule(entry: &str) -> Result<OriginRule, ServerError> {
    let bad = |why| ServerError::Allowed { key: "server.allowed_origins", value: entry.to_owned(), why };
    let (origin, any) = entry.strip_suffix(":*").map_or((entry, false), |origin| (origin, true));
    let url = Url::parse(origin).map_err(|_error| bad("write scheme://host, scheme://host:port or scheme://host:*"))?;
    let host = match url.host() {
        Some(Host::Domain(name)) if name.contains('*') => return Err(bad("wildcards in host names are not possible")),
        Some(_) => plain(url.host_str().unwrap_or_default()),
        None => return Err(bad("the host is missing")),
    };
    if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad("an origin ends with its host or port"));
    }
    let port = if any { Port::Any } else { Port::Is(url.port_or_known_default()) };
    Ok(OriginRule { scheme: url.scheme().to_owned(), host, port })
}

/// A host in one spelling: lower case, no brackets, no final dot.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Doors, Unwelcome};
    use crate::server::{Limits, ServerConfig, ServerError};
    use http::{HeaderMap, HeaderValue, Uri, header};

    fn config(hosts: &[&str], origins: &[&str]) -> ServerConfig {
        ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            resource: Some("https://ferry.example/mcp".to_owned()),
            allowed_hosts: hosts.iter().map(ToString::to_string).collect(),
            allowed_origins: origins.iter().map(ToString::to_string).collect(),
            tls: None,
            legacy_sessions: false,
            limits: Limits::default(),
            scopes_supported: Vec::new(),
            metrics_listen: None,
        }
    }

    fn doors(hosts: &[&str], origins: &[&str], address: &str) -> Doors {
        Doors::new(&config(hosts, origins), address.parse().unwrap()).unwrap()
    }

    fn host(doors: &Doors, host: &str) -> Result<(), Unwelcome> {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        doors.check_host(&Uri::from_static("/mcp"), &headers)
    }

    fn origin(doors: &Doors, origin: &str) -> Result<(), Unwelcome> {
        doors.check_origin(&HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_str(origin).unwrap())]))
    }

    #[test]
    fn only_known_hosts_come_in() {
        let doors = doors(&["gate.example:8443", "Inner.Example"], &[], "10.1.2.3:80");
        for good in [
            "localhost:1",
            "127.0.0.1",
            "[::1]:8080",
            "FERRY.example.",
            "gate.example:8443",
            "inner.example:9",
            "10.1.2.3",
        ] {
            assert_eq!(host(&doors, good), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "gate.example",
            "gate.example:1",
            "ferry.example.evil.example",
            "u@localhost",
            "localhost.evil",
            "",
        ] {
            assert_eq!(host(&doors, bad), Err(Unwelcome::Host), "{bad}");
        }
        let none = HeaderMap::new();
        assert_eq!(doors.check_host(&Uri::from_static("/mcp"), &none), Err(Unwelcome::Host));
        assert_eq!(doors.check_host(&Uri::from_static("https://ferry.example/mcp"), &none), Ok(()));
        let other = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        assert_eq!(doors.check_host(&Uri::from_static("https://ferry.example/mcp"), &other), Err(Unwelcome::Host));
    }

    #[test]
    fn two_hosts_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(doors(&[], &[], "127.0.0.1:1").check_host(&Uri::from_static("/"), &headers), Err(Unwelcome::Host));
    }

    #[test]
    fn loopback_origins_may_call_a_loopback_listener_only() {
        let local = doors(&[], &[], "127.0.0.1:80");
        assert_eq!(origin(&local, "http://localhost:6274"), Ok(()));
        assert_eq!(origin(&local, "https://evil.example"), Err(Unwelcome::Origin));
        assert_eq!(origin(&local, "null"), Err(Unwelcome::Origin));
        assert_eq!(local.check_origin(&HeaderMap::new()), Ok(()), "no browser");
        assert_eq!(origin(&doors(&[], &[], "0.0.0.0:80"), "http://localhost:6274"), Err(Unwelcome::Origin));
    }

    #[test]
    fn listed_origins_match_scheme_host_and_port() {
        let doors = doors(&[], &["https://app.example", "http://dev.example:*"], "0.0.0.0:80");
        for good in ["https://app.example", "https://APP.example:443", "http://dev.example:5173"] {
            assert_eq!(origin(&doors, good), Ok(()), "{good}");
        }
        for bad in ["http://app.example", "https://app.example:8443", "https://x.app.example", "https://dev.example"] {
            assert_eq!(origin(&doors, bad), Err(Unwelcome::Origin), "{bad}");
        }
    }

    #[test]
    fn entries_that_cannot_be_read_are_reported() {
        for (hosts, origins) in
            [(&["*.example"][..], &[][..]), (&["http://a"], &[]), (&[], &["app.example"]), (&[], &["https://a/b"])]
        {
            let error = Doors::new(&config(hosts, origins), "127.0.0.1:1".parse().unwrap()).unwrap_err();
            assert!(matches!(error, ServerError::Allowed { .. }), "{error}");
        }
    }
}
