//! What a running program cannot change: the listener's settings, and the kind of caller that it lets in.

use crate::config::Config;
use crate::model::Problem;
use crate::server::Limits;

/// Puts the `started` value back where a setting cannot change while the program runs, and names those that differ.
///
/// # Errors
/// When realms came or went: a truncated file must not turn a server with realms into one without.
pub(super) fn keep(started: &Config, new: &mut Config) -> Result<Vec<&'static str>, Problem> {
    if started.is_local() != new.is_local() {
        let (what, fix) = if new.is_local() {
            ("there is no realm any more", "write the realms again; to go on without realms, restart")
        } else {
            ("kubeferry was started without realms", "restart it, so that callers sign in")
        };
        return Err(Problem::new("realms", what, fix));
    }
    let mut changed = Vec::new();
    let Config { server: new, limits: new_limits, .. } = new;
    let old = &started.server;
    put_back("server.listen", &old.listen, &mut new.listen, &mut changed);
    put_back("server.metrics_listen", &old.metrics_listen, &mut new.metrics_listen, &mut changed);
    put_back("server.resource", &old.resource, &mut new.resource, &mut changed);
    put_back("server.allowed_hosts", &old.allowed_hosts, &mut new.allowed_hosts, &mut changed);
    put_back("server.allowed_origins", &old.allowed_origins, &mut new.allowed_origins, &mut changed);
    put_back("server.tls", &old.tls, &mut new.tls, &mut changed);
    put_back("server.legacy_sessions", &old.legacy_sessions, &mut new.legacy_sessions, &mut changed);
    let (accepts, accept) = (&old.i_accept_unauthenticated_clients, &mut new.i_accept_unauthenticated_clients);
    if accepts != accept {
        put_back("server.i_accept_unauthenticated_clients", accepts, accept, &mut changed);
        new.i_accept_unauthenticated_writes = old.i_accept_unauthenticated_writes;
        new.allowed_addresses.clone_from(&old.allowed_addresses);
    }
    if old.required_scopes != new.required_scopes {
        // Tokens must have the new ones from now on; only the document still tells the old ones.
        changed.push("server.required_scopes (in the metadata document)");
    }
    limits(&started.limits.listener, &mut new_limits.listener, &mut changed);
    Ok(changed)
}

/// Those of the listener; the limits of calls and of clusters change live.
fn limits(old: &Limits, new: &mut Limits, changed: &mut Vec<&'static str>) {
    put_back("limits.connections", &old.connections, &mut new.connections, changed);
    put_back("limits.streams", &old.streams, &mut new.streams, changed);
    put_back("limits.requests_in_flight", &old.in_flight, &mut new.in_flight, changed);
    put_back("limits.header_bytes", &old.header_bytes, &mut new.header_bytes, changed);
    put_back("limits.header_read", &old.header_read, &mut new.header_read, changed);
    put_back("limits.body_bytes", &old.body_bytes, &mut new.body_bytes, changed);
    put_back("limits.body_read", &old.body_read, &mut new.body_read, changed);
    put_back("limits.idle", &old.idle, &mut new.idle, changed);
    put_back("limits.write_stall", &old.write_stall, &mut new.write_stall, changed);
    put_back("limits.json_depth", &old.json_depth, &mut new.json_depth, changed);
    put_back("limits.handshake", &old.handshake, &mut new.handshake, changed);
    put_back("limits.drain", &old.drain, &mut new.drain, changed);
    put_back("limits.sessions", &old.sessions, &mut new.sessions, changed);
}

fn put_back<T: PartialEq + Clone>(key: &'static str, old: &T, new: &mut T, changed: &mut Vec<&'static str>) {
    if old != new {
        new.clone_from(old);
        changed.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::keep;
    use crate::config::Config;

    #[test]
    fn the_listener_stays_as_it_was_started() {
        let started = Config::default();
        let mut new = Config::default();
        assert_eq!(keep(&started, &mut new).unwrap(), [""; 0]);
        new.server.listen = ([127, 0, 0, 1], 1).into();
        new.server.i_accept_unauthenticated_clients = true;
        new.server.i_accept_unauthenticated_writes = true;
        new.server.required_scopes.push("mcp".to_owned());
        new.policy.read_only = true;
        new.limits.listener.connections = 1;
        new.limits.calls.per_second = 7;
        let changed = keep(&started, &mut new).unwrap();
        assert_eq!(
            changed,
            [
                "server.listen",
                "server.i_accept_unauthenticated_clients",
                "server.required_scopes (in the metadata document)",
                "limits.connections"
            ]
        );
        assert_eq!(new.server.listen, started.server.listen);
        assert_eq!((new.limits.listener, new.limits.calls.per_second), (started.limits.listener, 7));
        assert!(!new.server.i_accept_unauthenticated_writes && new.policy.read_only);
        assert_eq!(new.server.required_scopes, ["mcp"]);
    }
}
