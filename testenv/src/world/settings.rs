//! kubeferry's configuration for a world, and the files that it names.

use std::fmt::Write;

use super::{RESOURCE, Site, World};
use crate::apiserver::{Credential, kubeconfig};
use crate::process::files;

/// Writes the CAs and the gateway's kubeconfig.
pub(super) fn write_files(world: &World) -> anyhow::Result<()> {
    files::write(&world.folder, "realms-ca.pem", world.realms.ca_pem())?;
    for site in world.sites() {
        files::write(&world.folder, &ca_file(site), site.tap.ca_pem())?;
    }
    let tap = &world.dev.tap;
    let gateway = kubeconfig("dev", &tap.url(), tap.ca_pem(), Credential::Token(&world.gateway_token));
    files::write(&world.folder, "gateway.kubeconfig", &gateway)?;
    Ok(())
}

fn ca_file(site: &Site) -> String {
    format!("{}-ca.pem", site.name)
}

/// The configuration; paths in it are relative to the folder of the world.
pub(super) fn text(world: &World) -> String {
    let mut text = format!("[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\", \"acme\"]\n");
    for realm in ["corp", "acme"] {
        let issuer = world.realms.issuer(realm);
        add(
            &mut text,
            &format!(
                "[realms.{realm}]\nissuer = \"{issuer}\"\nca_file = \"realms-ca.pem\"\nallow_private = true\n\
                 username_claim = \"preferred_username\"\n"
            ),
        );
    }
    add(&mut text, &passthrough(&world.corp_1, "corp", "labels = { site = \"corp\" }"));
    add(&mut text, &passthrough(&world.acme_1, "acme", "labels = { site = \"acme\" }"));
    let entry = "kind = \"kcp\"\nentry = [\"root\"]\nlabels = { site = \"eu\" }";
    add(&mut text, &passthrough(&world.kcp, "corp", entry));
    let dev = &world.dev;
    let server = format!("server = \"{}\"\nca_file = \"{}\"", dev.tap.url(), ca_file(dev));
    add(
        &mut text,
        &format!(
            "[clusters.{}]\n{server}\nstrategy = \"impersonate\"\nrealms = [\"corp\", \"acme\"]\ntier = \"dev\"\n\
             gateway_credentials = {{ kubeconfig = \"gateway.kubeconfig\" }}\n\
             impersonate = {{ user = \"{{realm}}:{{username}}\", groups = \"{{realm}}:{{group}}\" }}\n",
            dev.name
        ),
    );
    text
}

/// A cluster that gets the caller's own token, which is for it as well; its audience is its name.
fn passthrough(site: &Site, realm: &str, more: &str) -> String {
    let Site { name, tap } = site;
    format!(
        "[clusters.{name}]\nserver = \"{}\"\nca_file = \"{}\"\nrealm = \"{realm}\"\naudiences = [\"{name}\"]\n\
         strategy = \"passthrough\"\ni_accept_token_passthrough = true\n{more}\n",
        tap.url(),
        ca_file(site)
    )
}

fn add(text: &mut String, table: &str) {
    write!(text, "\n{table}").expect("a String takes any text");
}
