//! The URL of an API server: one normal form, so that two spellings of one server are equal.

use std::net::IpAddr;

use url::{Host, Url};

/// A checked API server URL: `http` or `https`, a host, no user, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    url: Url,
}

impl ServerUrl {
    /// Reads and normalises a URL.
    ///
    /// # Errors
    /// In words, what is not allowed; never the text itself, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\' && c != b'%') {
            return Err("a URL holds no spaces, '\\', '%' or characters outside ASCII");
        }
        let url = Url::parse(text).map_err(|_| "not a URL")?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return Err("not an https URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a user or a password in a URL is not allowed");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a query or a fragment is not allowed");
        }
        Ok(Self { url })
    }

    /// The normal form: lower-case host, no default port, no trailing slash.
    pub fn text(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// True for `https`.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own when none is written.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The path without a trailing slash; empty for none.
    pub fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The same server without the path.
    #[must_use]
    pub fn without_path(&self) -> Self {
        let mut url = self.url.clone();
        url.set_path("");
        Self { url }
    }

    /// True when the host is this machine's loopback.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn spellings_of_one_server_are_equal() {
        let read = |text: &str| ServerUrl::parse(text).unwrap().text().to_owned();
        assert_eq!(read("https://H.Example:443/"), "https://h.example");
        assert_eq!(read("https://[::1]:6443"), "https://[::1]:6443");
        assert_eq!(read("https://h/clusters/root:org/"), "https://h/clusters/root:org");
        assert_eq!(ServerUrl::parse("https://[::1]:6443").unwrap().host(), "::1");
        assert!(ServerUrl::parse("https://127.9.9.9").unwrap().is_loopback());
        assert!(!ServerUrl::parse("https://localhost.example").unwrap().is_loopback());
        assert_eq!(ServerUrl::parse("https://h/x").unwrap().without_path().text(), "https://h");
    }

    #[test]
    fn a_user_a_query_or_odd_characters_are_refused() {
        for bad in [
            "https://u:hunter2@h",
            "https://u@h",
            "https://h?x",
            "https://h#x",
            "ftp://h",
            "h:6443",
            "https://h/%2e",
            "https://h\\x",
            "https://h /",
            "",
        ] {
            let why = ServerUrl::parse(bad).unwrap_err();
            assert!(!why.contains("hunter2"), "{bad}");
        }
    }
}
