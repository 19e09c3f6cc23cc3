//! Checks of URLs that are compared as written.

use url::{Host, Url};

/// Checks that `text` is an https URL without user, query and fragment; with `plain_on_loopback` also http to this
/// machine. The text itself is kept: issuers and resources are compared byte by byte.
pub(super) fn https_url(text: &str, plain_on_loopback: bool) -> Result<(), &'static str> {
    if !text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\') {
        return Err("a URL holds no spaces, '\\' or characters outside ASCII");
    }
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err("not an https URL"),
    };
    match url.scheme() {
        "https" => {}
        "http" if plain_on_loopback && loopback => {}
        _ => return Err("not an https URL"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or a password in a URL is not allowed");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or a fragment is not allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::https_url;

    #[test]
    fn only_https_and_nothing_beside_the_path() {
        assert_eq!(https_url("https://kc.example/realms/corp", false), Ok(()));
        assert_eq!(https_url("http://127.0.0.1:8080/mcp", true), Ok(()));
        for bad in [
            "http://127.0.0.1",
            "https://u:p@h",
            "https://h?q",
            "https://h#f",
            "h",
            "ftp://h",
            "https://h /",
            "file:///x",
            "",
        ] {
            assert!(https_url(bad, false).is_err(), "{bad}");
        }
        assert!(https_url("http://localhost.evil.example", true).is_err());
    }
}
