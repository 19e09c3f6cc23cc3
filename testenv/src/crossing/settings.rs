//! kubeferry's configuration for the fleet.

use std::fmt::Write;

use super::{CLIENT, Crossing, PLACES, Place};
use crate::realm::Style;
use crate::world::{RESOURCE, Site};

pub(super) fn ca_file(site: &Site) -> String {
    format!("{}-ca.pem", site.name)
}

/// The configuration; paths in it are relative to the folder of the fleet.
pub(super) fn text(crossing: &Crossing) -> String {
    let mut text = format!("[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\", \"acme\"]\n");
    let profile = match crossing.style {
        Style::Keycloak => "keycloak",
        Style::Rfc => "rfc",
    };
    for realm in ["corp", "acme", "plant", "lake"] {
        let issuer = crossing.realms.issuer(realm);
        add(
            &mut text,
            &format!(
                "[realms.{realm}]\nissuer = \"{issuer}\"\nca_file = \"realms-ca.pem\"\nallow_private = true\n\
                 username_claim = \"preferred_username\"\nprofile = \"{profile}\"\n"
            ),
        );
    }
    for (realm, auth) in [
        ("corp", "auth = \"client_secret_basic\"\nsecret_file = \"corp.secret\""),
        ("plant", "auth = \"private_key_jwt\"\nkey_file = \"plant-client.pem\""),
        ("lake", "auth = \"client_secret_post\"\nsecret_file = \"lake.secret\""),
    ] {
        add(&mut text, &format!("[realms.{realm}.client]\nid = \"{CLIENT}\"\n{auth}\n"));
    }
    for to in ["plant", "lake"] {
        let audience = crossing.realms.issuer(to);
        let request = format!("{{ audience = \"{audience}\", scope = \"access-{to}\" }}");
        add(&mut text, &format!("[links.corp-to-{to}]\nfrom = \"corp\"\nto = \"{to}\"\nrequest = {request}\n"));
    }
    for (place, site) in PLACES.iter().zip(&crossing.sites) {
        add(&mut text, &cluster(place, site));
    }
    text
}

fn cluster(place: &Place, site: &Site) -> String {
    let Place { name, realm, audience, .. } = place;
    let strategy = match place.link {
        Some(link) => format!("strategy = \"chain\"\nlink = \"{link}\""),
        None => "strategy = \"exchange\"".to_owned(),
    };
    let kind = if *name == "kcp-eu" { "kind = \"kcp\"\nentry = [\"root\"]\n" } else { "" };
    format!(
        "[clusters.{name}]\nserver = \"{}\"\nca_file = \"{}\"\nrealm = \"{realm}\"\naudiences = [\"{audience}\"]\n\
         scope = \"{}\"\n{strategy}\n{kind}",
        site.tap.url(),
        ca_file(site),
        place.scope(),
    )
}

fn add(text: &mut String, table: &str) {
    write!(text, "\n{table}").expect("a String takes any text");
}
