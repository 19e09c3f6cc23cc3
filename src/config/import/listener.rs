//! The listener, TLS and the limits of `[http]`.

use std::time::Duration;

use toml::Value;

use super::access::Access;
use super::{From, Ours};
use crate::config::read::shown;

pub(super) fn listener(from: &mut From<'_>, ours: &mut Ours, access: &Access) {
    let port = from.text("port").filter(|port| port != "0");
    let address = from.text("bind_address");
    let trusts_proxy = from.flag("trust_proxy_headers").unwrap_or(false);
    let (cert, key) = (from.text("tls_cert"), from.text("tls_key"));
    let has_tls = cert.is_some() && key.is_some();
    if let (Some(cert), Some(key)) = (cert, key) {
        let files = [("cert_file".to_owned(), Value::from(cert)), ("key_file".to_owned(), Value::from(key))];
        ours.set("server", "tls", Value::Table(files.into_iter().collect()));
    }
    match port {
        Some(port) => listen(from, ours, (&port, address.as_deref()), (access.realm, has_tls, trusts_proxy)),
        None => from.leave("port", "without a port it speaks on standard input and output", "start `kubeferry stdio`"),
    }
    tls_remains(from);
    // A proxy's headers are never read; what they were for there, server_url says here.
    if let Some(url) = from.text("server_url").filter(|_| !access.realm) {
        from.leave(
            "server_url",
            format!("without realms no metadata names {url:?}"),
            "add its host to server.allowed_hosts",
        );
    }
    if from.flag("stateless") == Some(false) {
        ours.set("server", "legacy_sessions", true);
    }
    http(from, ours);
}

fn listen(from: &mut From<'_>, ours: &mut Ours, at: (&str, Option<&str>), (realm, tls, proxy): (bool, bool, bool)) {
    let (port, address) = at;
    let Ok(port) = port.trim_start_matches(':').parse::<u16>() else {
        return from.leave("port", "is not a port", "write server.listen");
    };
    let wanted = match address.unwrap_or("0.0.0.0") {
        "" => "0.0.0.0".to_owned(),
        "localhost" => "127.0.0.1".to_owned(),
        address => address.trim_start_matches('[').trim_end_matches(']').to_owned(),
    };
    let Ok(ip) = wanted.parse::<std::net::IpAddr>() else {
        ours.set("server", "listen", format!("127.0.0.1:{port}"));
        return from.leave(
            "bind_address",
            "a name is not an address to listen on",
            "write server.listen with an IP address",
        );
    };
    let there = std::net::SocketAddr::new(ip, port);
    if ip.is_loopback() || (realm && (tls || proxy)) {
        if !ip.is_loopback() && !tls {
            ours.set("server", "tls_terminated_upstream", true);
        }
        return ours.set("server", "listen", there.to_string());
    }
    ours.set("server", "listen", format!("127.0.0.1:{port}"));
    let (what, fix) = if realm {
        (
            "beyond loopback without TLS, tokens would travel in the clear; it listens on 127.0.0.1 here",
            format!(
                "set server.listen = \"{there}\" with server.tls, or with tls_terminated_upstream = true where an ingress ends TLS"
            ),
        )
    } else {
        (
            "beyond loopback without sign-in, anybody could use the kubeconfig's users; it listens on 127.0.0.1 here",
            format!(
                "configure a realm; or, behind a gateway, set server.listen = \"{there}\", i_accept_unauthenticated_clients = true, allowed_hosts and allowed_addresses"
            ),
        )
    };
    from.leave("bind_address", what, fix);
}

fn tls_remains(from: &mut From<'_>) {
    if from.flag("require_tls") == Some(true) {
        from.leave(
            "require_tls",
            "every server must be https here, without a setting",
            "nothing; set server.tls, or tls_terminated_upstream = true",
        );
    }
    for key in ["tls_min_version", "tls_cipher_suites"] {
        if from.take(key).is_some_and(|value| value.as_str() != Some("")) {
            from.leave(
                key,
                "is not a setting here: TLS 1.2 and 1.3 with the safe suites",
                "nothing, or let a proxy in front end TLS",
            );
        }
    }
}

fn http(from: &mut From<'_>, ours: &mut Ours) {
    let Some(Value::Table(mut keys)) = from.take("http") else { return };
    let number = |value: Option<Value>| value.and_then(|value| value.as_integer()).filter(|number| *number > 0);
    if let Some(text) = keys.remove("read_header_timeout") {
        match text.as_str().and_then(go_duration).filter(|span| (1..=300).contains(&span.as_secs())) {
            Some(span) => ours.set("limits", "header_read", shown(span)),
            None => from.leave("http.read_header_timeout", "is not a time from 1s to 5m", "write limits.header_read"),
        }
    }
    if let Some(bytes) = number(keys.remove("max_body_bytes")) {
        let allowed = bytes.clamp(1 << 10, 64 << 20);
        if allowed != bytes {
            from.leave(
                "http.max_body_bytes",
                format!("is out of range here; it became {allowed}"),
                "look at limits.body_bytes",
            );
        }
        ours.set("limits", "body_bytes", allowed);
    }
    let burst = number(keys.remove("rate_limit_burst"));
    let rate = keys.remove("rate_limit_rps");
    let rate = rate.and_then(|rate| rate.as_float().or_else(|| rate.as_integer().map(|whole| whole as f64)));
    if let Some(rate) = rate.filter(|rate| *rate > 0.0) {
        let whole = rate.floor().clamp(1.0, 1_000_000.0);
        // In range: between 1 and a million.
        ours.set("limits", "caller_calls_per_second", whole as i64);
        ours.set("limits", "caller_burst", burst.unwrap_or(10).min(1_000_000));
        let rounded = match rate {
            rate if rate < 1.0 => "; it is a whole number here, and became 1, which is more than there",
            rate if rate > whole => "; it is a whole number here, and became less",
            _ => "",
        };
        let what = format!("counts per session there, and per caller here{rounded}");
        from.leave("http.rate_limit_rps", what, "look at limits.caller_calls_per_second and caller_burst");
    }
    for key in keys.keys().cloned().collect::<Vec<_>>() {
        from.leave(&format!("http.{key}"), "is not known here", "look whether it is needed, in [limits]");
    }
}

/// A duration as Go writes it, `1m30s`.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text.trim(), 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = next;
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::go_duration;

    #[test]
    fn durations_of_go() {
        assert_eq!(go_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        for bad in ["", "5", "s", "1x", "-1s", "1s "] {
            assert_eq!(go_duration(bad).filter(|_| bad != "1s "), None, "{bad:?}");
        }
    }
}
