//! `[server]` and `[gateway]`, and the rules for who may listen where.

use std::net::{IpAddr, SocketAddr};

use super::read::Table;
use super::realms::{Known, certificates};
use super::settings::{GatewaySettings, ServerConfig, TlsFiles};
use super::urls::https_url;

/// Reads `[server]`. `passthrough`: some cluster's audience is accepted at the door as well.
pub(super) fn server(root: &mut Table<'_>, known: &Known, passthrough: bool) -> ServerConfig {
    let mut table = root.section("server");
    let defaults = ServerConfig::default();
    let resource = table.text("resource").filter(|resource| {
        let checked = https_url(resource, true);
        if let Err(why) = checked {
            table.report("resource", why, "write the https URL under which clients reach /mcp");
        }
        checked.is_ok()
    });
    let host = |text: &str| if text.contains('/') { Err("a host, not a URL") } else { Ok(text.to_owned()) };
    let toolsets = table.texts("toolsets");
    let listen = table.parsed("listen", "write an IP address and a port, as \"127.0.0.1:8080\"", |text| {
        text.parse::<SocketAddr>().map_err(|_| "not an address")
    });
    let server = ServerConfig {
        listen: listen.unwrap_or(defaults.listen),
        metrics_listen: table.parsed("metrics_listen", "write an IP address and a port, as \"0.0.0.0:9090\"", |text| {
            text.parse::<SocketAddr>().map_err(|_| "not an address")
        }),
        resource,
        audiences: table.texts("audiences"),
        home_realms: known.realm_list(&mut table, "home_realms", false),
        allowed_hosts: table.list(
            "allowed_hosts",
            "write a host name, with a port where it is not the usual one",
            host,
        ),
        allowed_origins: table.texts("allowed_origins"),
        required_scopes: table.texts("required_scopes"),
        tls: table.table("tls").and_then(tls),
        tls_terminated_upstream: table.flag("tls_terminated_upstream"),
        seal_key_files: table.files("seal_key_files"),
        toolsets: if toolsets.is_empty() { defaults.toolsets } else { toolsets },
        legacy_sessions: table.flag("legacy_sessions"),
        i_accept_unauthenticated_clients: table.flag("i_accept_unauthenticated_clients"),
        i_accept_unauthenticated_writes: table.flag("i_accept_unauthenticated_writes"),
        allowed_addresses: table.list(
            "allowed_addresses",
            "write an address or a range, as \"10.0.0.0/8\"",
            address_range,
        ),
    };
    if server.metrics_listen.is_some_and(|address| address.port() != 0 && address == server.listen) {
        table.report("metrics_listen", "is the address of listen", "give the metrics another port, or remove it");
    }
    if known.is_local() {
        without_realms(&table, &server);
    } else {
        with_realms(&table, &server, passthrough);
    }
    table.done();
    server
}

/// Without realms nobody signs in: only this machine may come, unless the operator says so in three places.
fn without_realms(table: &Table<'_>, server: &ServerConfig) {
    if let Some((what, fix)) = refused_listener(server, true, table.has("tls")) {
        table.report("listen", what, fix);
    }
    if server.i_accept_unauthenticated_clients {
        for (key, missing) in
            [("allowed_hosts", !table.has("allowed_hosts")), ("allowed_addresses", !table.has("allowed_addresses"))]
        {
            if missing {
                table.report(
                    "i_accept_unauthenticated_clients",
                    format!("{key} is missing"),
                    format!("list in {key} what may come"),
                );
            }
        }
    } else if server.i_accept_unauthenticated_writes {
        let fix = "remove it, or set i_accept_unauthenticated_clients = true as well";
        table.report("i_accept_unauthenticated_writes", "no unauthenticated client is accepted", fix);
    }
    if server.resource.is_some() {
        table.report(
            "resource",
            "no realm is configured, so no token has an audience",
            "configure a realm, or remove it",
        );
    }
}

fn with_realms(table: &Table<'_>, server: &ServerConfig, passthrough: bool) {
    if !table.has("resource") && !table.has("audiences") && !passthrough {
        table.sink.report(
            table.path(),
            "resource is missing, so no token could be meant for us",
            "write the URL under which clients reach /mcp, or list audiences",
        );
    }
    if !table.has("home_realms") {
        table.sink.report(
            table.path(),
            "home_realms is missing",
            "list the realms whose tokens are accepted at our door",
        );
    } else if server.home_realms.is_empty() {
        table.report(
            "home_realms",
            "names no configured realm, so nobody could come in",
            "list at least one configured realm",
        );
    }
    for key in ["i_accept_unauthenticated_clients", "i_accept_unauthenticated_writes", "allowed_addresses"] {
        if table.has(key) {
            table.report(key, "goes only with a listener without realms", "remove it: with realms everybody signs in");
        }
    }
    if let Some((what, fix)) = refused_listener(server, false, table.has("tls")) {
        table.report("listen", what, fix);
    }
}

/// Why a listener beyond loopback is refused, and what to do.
pub(super) fn refused_listener(server: &ServerConfig, local: bool, tls: bool) -> Option<(&'static str, &'static str)> {
    if server.listen.ip().is_loopback() {
        return None;
    }
    if local {
        let what = "is beyond loopback, and no realm is configured: anybody could use the credentials of this machine";
        let fix = "configure a realm and home_realms, listen on 127.0.0.1, or set i_accept_unauthenticated_clients = true with allowed_hosts and allowed_addresses";
        return (!server.i_accept_unauthenticated_clients).then_some((what, fix));
    }
    let what = "is beyond loopback without TLS: tokens would travel in the clear";
    let fix = "set tls = { cert_file, key_file }, or tls_terminated_upstream = true where a proxy in front ends TLS";
    (!tls && !server.tls_terminated_upstream).then_some((what, fix))
}

fn tls(mut table: Table<'_>) -> Option<TlsFiles> {
    for key in ["cert_file", "key_file"] {
        if !table.has(key) {
            table.sink.report(table.path(), format!("{key} is missing"), "name a PEM file");
        }
    }
    let checked = certificates(&mut table, "cert_file");
    let (cert_file, key_file) = (checked.and_then(|_| table.file("cert_file")), table.file("key_file"));
    table.done();
    Some(TlsFiles { cert_file: cert_file?, key_file: key_file? })
}

/// An address, or a range as `10.0.0.0/8`.
fn address_range(text: &str) -> Result<(IpAddr, u8), &'static str> {
    let refused = "not an address range";
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| refused)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(most), |length| length.parse::<u8>().map_err(|_| refused))?;
    if length <= most { Ok((address, length)) } else { Err(refused) }
}

/// Reads `[gateway]`.
pub(super) fn gateway(root: &mut Table<'_>) -> GatewaySettings {
    let mut table = root.section("gateway");
    let gateway = GatewaySettings { server_names: table.texts("server_names") };
    table.done();
    gateway
}

#[cfg(test)]
mod tests {
    use super::address_range;

    #[test]
    fn address_ranges() {
        assert_eq!(address_range("10.0.0.0/8"), Ok(([10, 0, 0, 0].into(), 8)));
        assert_eq!(address_range("::1"), Ok(("::1".parse().unwrap(), 128)));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "1.2.3.4/", "1.2.3.4/-1", "host"] {
            assert!(address_range(bad).is_err(), "{bad}");
        }
    }
}
