//! `/livez`, `/healthz` and `/readyz`, as Kubernetes components have them.

use std::fmt::Write as _;

use http::{Response, StatusCode};

use super::body::{Body, text};
use super::rescue::one_line;
use crate::auth::RealmStatus;
use crate::dispatch::Live;

/// Alive: the process answers.
pub(super) fn live() -> Response<Body> {
    text(StatusCode::OK, "ok")
}

/// Ready to take calls: everything but shutdown. A realm that does not answer degrades its own callers only, and is
/// named in the verbose form.
pub(super) fn ready(live: &Live, draining: bool, verbose: bool) -> Response<Body> {
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if !verbose {
        return text(status, if draining { "shutting down" } else { "ok" });
    }
    text(status, checks(live.generation, &live.auth.realm_status(), draining))
}

fn checks(generation: u64, realms: &[RealmStatus], draining: bool) -> String {
    let mut lines = String::new();
    let listener = if draining { "[-]listener shutting down" } else { "[+]listener ok" };
    // Writing to a String cannot fail.
    let _ = writeln!(lines, "{listener}\n[+]generation {generation}");
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
    use super::checks;
    use crate::auth::RealmStatus;
    use crate::model::RealmName;

    #[test]
    fn a_degraded_realm_is_named_and_does_not_fail_the_check() {
        let realm = |name: &str, ok, detail: &str| RealmStatus {
            realm: RealmName::parse(name).unwrap(),
            ok,
            detail: detail.to_owned(),
        };
        let text = checks(7, &[realm("alpha", true, ""), realm("beta", false, "keys\nnot read")], false);
        assert_eq!(
            text,
            "[+]listener ok\n[+]generation 7\n[+]realm alpha ok\n[!]realm beta degraded: keys not read\nreadyz check passed\n"
        );
        assert!(checks(7, &[], true).ends_with("readyz check failed\n"));
    }
}
