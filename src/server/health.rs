//! `/livez`, `/healthz`, `/readyz` and `/metrics`, as Kubernetes components have them.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{CONTENT_TYPE, FORWARDED};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::{Body, text};
use super::rescue::one_line;
use crate::auth::RealmStatus;
use crate::dispatch::Live;

/// Alive: the process answers.
pub(super) fn live() -> Response<Body> {
    text(StatusCode::OK, "ok")
}

/// Ready to take calls: everything but shutdown. A realm that does not answer degrades its own callers only, and after a
/// refused reload the last good generation serves; the verbose form names both.
pub(super) fn ready(live: &Live, draining: bool, verbose: bool) -> Response<Body> {
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if !verbose {
        return text(status, if draining { "shutting down" } else { "ok" });
    }
    text(status, checks((live.generation, &live.status.troubles()), &live.auth.realm_status(), draining))
}

/// The counts of this process.
pub(super) fn metrics(live: &Live) -> Response<Body> {
    let mut response = text(StatusCode::OK, live.scrape());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// True for a client on this machine. Behind a proxy on this machine everybody comes from loopback, so a request that
/// says it was forwarded is not local.
pub(super) fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let forwarded = [FORWARDED.as_str(), "x-forwarded-for", "x-real-ip", "via"];
    peer.to_canonical().is_loopback() && !forwarded.iter().any(|name| headers.contains_key(*name))
}

fn checks((generation, troubles): (u64, &[String]), realms: &[RealmStatus], draining: bool) -> String {
    let mut lines = String::new();
    let listener = if draining { "[-]listener shutting down" } else { "[+]listener ok" };
    // Writing to a String cannot fail.
    let _ = writeln!(lines, "{listener}\n[+]configuration generation {generation}");
    for trouble in troubles {
        let _ = writeln!(lines, "[!]configuration {}", one_line(trouble, 160));
    }
    for realm in realms {
        let state = if realm.ok { "[+]" } else { "[!]" };
        let word = if realm.ok { "ok".to_owned() } else { format!("degraded: {}", one_line(&realm.detail, 160)) };
        let _ = writeln!(lines, "{state}realm {} {word}", realm.realm);
    }
    let _ = writeln!(lines, "readyz check {}", if draining { "failed" } else { "passed" });
    lines
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::{HeaderMap, HeaderValue};

    use super::{checks, is_local};
    use crate::auth::RealmStatus;
    use crate::dispatch::ReloadStatus;
    use crate::model::RealmName;

    #[test]
    fn only_this_machine_without_a_proxy_is_local() {
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut headers = HeaderMap::new();
        assert!(
            ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].iter().all(|text| is_local(peer(text), &headers))
        );
        assert!(!["10.0.0.1", "::ffff:10.0.0.1", "fe80::1"].iter().any(|text| is_local(peer(text), &headers)));
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        assert!(!is_local(peer("127.0.0.1"), &headers));
    }

    #[test]
    fn a_degraded_realm_is_named_and_does_not_fail_the_check() {
        let realm = |name: &str, ok, detail: &str| RealmStatus {
            realm: RealmName::parse(name).unwrap(),
            ok,
            detail: detail.to_owned(),
        };
        let text = checks((7, &[]), &[realm("alpha", true, ""), realm("beta", false, "keys\nnot read")], false);
        assert_eq!(
            text,
            "[+]listener ok\n[+]configuration generation 7\n[+]realm alpha ok\n[!]realm beta degraded: keys not read\nreadyz check passed\n"
        );
        assert!(checks((7, &[]), &[], true).ends_with("readyz check failed\n"));
    }

    #[test]
    fn a_refused_reload_is_named_and_does_not_fail_the_check() {
        let status = ReloadStatus::default();
        status.published(&["server.listen"]);
        status.refused(2);
        assert_eq!(
            checks((3, &status.troubles()), &[], false),
            "[+]listener ok\n[+]configuration generation 3\n[!]configuration reload failed 0 s ago: 2 mistakes, see the log\n\
             [!]configuration restart needed for server.listen\nreadyz check passed\n"
        );
        status.published(&[]);
        assert!(status.troubles().is_empty());
    }
}
