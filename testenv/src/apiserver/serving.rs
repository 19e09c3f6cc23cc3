//! What an API server needs to prove itself and its callers; kcp takes the same flags.

use tempfile::TempDir;

use super::authentication::{self, JwtIssuer};
use super::{Client, Credential, audit};
use crate::pki::{Ca, LOOPBACK, Leaf};
use crate::process::files;

/// The authorities of one server and its administrator.
#[derive(Debug)]
pub(crate) struct Serving {
    url: String,
    port: u16,
    server_ca: Ca,
    client_ca: Ca,
    admin: Leaf,
}

impl Serving {
    /// New authorities, and a client certificate for an administrator in `admin_group`.
    pub(crate) fn new(name: &str, port: u16, admin_group: &str) -> Self {
        let client_ca = Ca::new(&format!("{name} clients"));
        Self {
            url: format!("https://127.0.0.1:{port}"),
            port,
            server_ca: Ca::new(&format!("{name} server")),
            admin: client_ca.client("lab-admin", &[admin_group]),
            client_ca,
        }
    }

    /// The flags for the socket, for certificates of clients, for tokens and for the audit log; writes the files.
    pub(crate) fn flags(&self, folder: &TempDir, issuers: &[JwtIssuer], audit: bool) -> anyhow::Result<Vec<String>> {
        let authentication = authentication::document(issuers);
        let authentication = files::write(folder, "authentication.json", &authentication)?;
        let client_ca = files::write(folder, "client-ca.crt", self.client_ca.pem())?;
        let mut flags = self.socket_flags(folder, self.port)?;
        flags.push(format!("--client-ca-file={client_ca}"));
        flags.push(format!("--authentication-config={authentication}"));
        if audit {
            flags.extend(audit::flags(folder)?);
        }
        Ok(flags)
    }

    /// The flags for serving on `port` with a certificate of this server's CA; writes the files.
    pub(crate) fn socket_flags(&self, folder: &TempDir, port: u16) -> anyhow::Result<Vec<String>> {
        let leaf = self.server_ca.server(LOOPBACK);
        // kcp copies this file into its kubeconfig as the CA, so the CA has to be in it.
        let chain = format!("{}{}", leaf.cert_pem, self.server_ca.pem());
        let cert = files::write(folder, "server.crt", &chain)?;
        let key = files::write(folder, "server.key", &leaf.key_pem)?;
        Ok(vec![
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={cert}"),
            format!("--tls-private-key-file={key}"),
        ])
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn ca_pem(&self) -> &str {
        self.server_ca.pem()
    }

    /// The CA of the certificates of people.
    pub(crate) fn client_ca_pem(&self) -> &str {
        self.client_ca.pem()
    }

    pub(crate) fn admin(&self) -> Credential<'_> {
        Credential::Certificate(&self.admin)
    }

    /// The administrator's client at `base`.
    pub(crate) fn admin_client(&self, base: &str) -> anyhow::Result<Client> {
        Client::new(base, self.ca_pem(), self.admin())
    }

    pub(crate) fn client_certificate(&self, user: &str, groups: &[&str]) -> Leaf {
        self.client_ca.client(user, groups)
    }
}
