//! A real **Keycloak** on https, with the realms of `clusters/keycloak` or others, everything in memory.
//!
//! It is the judge of what the Rust realm server plays: tests change it as its administrator and watch what it then
//! says. It is ready some 17 s after the start on an idle machine, so tests share one where they can.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::artifacts::Program;
use crate::pki::{self, Ca};
use crate::process::{Launch, Process, port};
use crate::realm::uuid;

pub mod admin;
pub mod fleet;
mod launch;
#[cfg(test)]
mod tests;
mod tokens;

pub use admin::Admin;
pub use tokens::Answer;

/// How long it may take to serve all realms, beside builds and other servers.
const READY: Duration = Duration::from_secs(240);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// The public client with which people sign in, in realm corp.
pub const LOGIN_CLIENT: &str = "mcp-client";
/// kubeferry's own client in both realms.
pub const FERRY_CLIENT: &str = "fed-proxy";
/// The name of the first administrator.
const ADMIN: &str = "admin";
/// What the files of `clusters/keycloak` take from the environment, beside the client secrets: where Keycloak is, what
/// tokens for kubeferry are for, and everybody's password.
const VARIABLES: [&str; 3] = ["KEYCLOAK_URL", "KUBEFERRY_RESOURCE", "USERS_PASSWORD"];

/// The realms of `clusters/keycloak`: people sign in at corp, and plant takes corp's word for them. alice (groups dev and
/// ops at corp, operators at plant) is linked, bob (dev at corp, operators at plant) has a user in both and no link. Once
/// they are started here, [`LOGIN_CLIENT`] takes passwords, which the files do not let it.
pub const REALMS: [(&str, &str); 2] = [
    ("corp", include_str!("../../clusters/keycloak/corp-realm.json")),
    ("plant", include_str!("../../clusters/keycloak/plant-realm.json")),
];

/// A running Keycloak. It ends, with all it knows, when this is dropped.
#[derive(Debug)]
pub struct Keycloak {
    url: String,
    ca: Ca,
    http: reqwest::Client,
    admin: Admin,
    secrets: Secrets,
    process: Process,
}

/// What is made up for each start, so that no file holds it.
struct Secrets {
    admin: String,
    users: String,
    corp_client: String,
    plant_client: String,
}

impl Keycloak {
    /// Starts it with `realms`, each a name and the text of a realm file (an export of Keycloak) whose placeholders
    /// `${KEYCLOAK_URL}`, `${KUBEFERRY_RESOURCE}`, `${USERS_PASSWORD}`, `${CORP_CLIENT_SECRET}` and
    /// `${PLANT_CLIENT_SECRET}` are filled in. None: only the administrator's own realm, `master`. `resource` is the
    /// audience of tokens for kubeferry.
    ///
    /// # Errors
    /// When there is no Keycloak or no Java, or the realms are not served within four minutes; with the end of its log.
    pub async fn start(resource: &str, realms: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = Program::Keycloak.path()?;
        let home = program.ancestors().nth(2).context("the program of Keycloak is two folders below its home")?;
        let port = port::free()?;
        let url = format!("https://127.0.0.1:{port}");
        let ca = Ca::new("keycloak");
        let folder = launch::folder(home, realms)?;
        let args = launch::args(&folder, &program, port, &ca)?;
        let secrets = Secrets::new();
        let [address, audience, password] = VARIABLES;
        let launch = Launch {
            name: "keycloak",
            program: &launch::java(),
            args,
            envs: vec![
                (address, &url),
                (audience, resource),
                (password, &secrets.users),
                ("CORP_CLIENT_SECRET", &secrets.corp_client),
                ("PLANT_CLIENT_SECRET", &secrets.plant_client),
                ("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN),
                ("KC_BOOTSTRAP_ADMIN_PASSWORD", &secrets.admin),
            ],
        };
        let process = Process::start(folder, launch)?;
        let http = client(ca.pem())?;
        let admin = Admin::new(http.clone(), &url, ADMIN, &secrets.admin);
        let mut keycloak = Self { url, ca, http, admin, secrets, process };
        let imported = realms;
        let realms: Vec<&str> = realms.iter().map(|(name, _)| *name).chain(["master"]).collect();
        keycloak.ready(&realms).await?;
        for (name, text) in imported {
            if *text == REALMS[0].1 {
                keycloak.take_passwords(name).await?;
            }
        }
        Ok(keycloak)
    }

    /// Its address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The issuer of a realm, as in its tokens.
    #[must_use]
    pub fn issuer(&self, realm: &str) -> String {
        format!("{}/realms/{realm}", self.url)
    }

    /// The CA of its server certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// The administrator of all realms.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The name and the password of the administrator.
    #[must_use]
    pub fn admin_credentials(&self) -> (&str, &str) {
        (ADMIN, &self.secrets.admin)
    }

    /// The secret of [`FERRY_CLIENT`] in realm `corp` or `plant`, as it was at the start.
    ///
    /// # Panics
    /// For another realm.
    #[must_use]
    pub fn client_secret(&self, realm: &str) -> &str {
        match realm {
            "corp" => &self.secrets.corp_client,
            "plant" => &self.secrets.plant_client,
            other => panic!("no client of ours is known in realm {other}"),
        }
    }

    /// The password of everybody in the realms of `clusters/keycloak`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.secrets.users
    }

    /// The file with what it printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Lets people sign in with a password and without a browser, which the samples do not allow.
    async fn take_passwords(&self, realm: &str) -> anyhow::Result<()> {
        let client = self.admin.client(realm, LOGIN_CLIENT).await?;
        self.admin.change(&client, |client| client["directAccessGrantsEnabled"] = true.into()).await
    }

    /// Polls the realms: the port opens long before they are served, and answers 503 until then.
    async fn ready(&mut self, realms: &[&str]) -> anyhow::Result<()> {
        let (http, url) = (self.http.clone(), self.url.clone());
        let look = || {
            let http = &http;
            let addresses = realms.iter().map(|realm| format!("{url}/realms/{realm}"));
            let addresses: Vec<String> = addresses.collect();
            async move {
                for address in addresses {
                    let answer = http.get(&address).send().await.map_err(|error| error.to_string())?;
                    let status = answer.status();
                    if !status.is_success() {
                        return Err(format!("{address} answers {status}"));
                    }
                }
                Ok(())
            }
        };
        self.process.until_ready(READY, look).await
    }
}

impl Secrets {
    fn new() -> Self {
        // A percent sign and a colon: a client that does not encode its secret for Basic authentication is refused.
        let secret = || format!("{}%:+", uuid());
        Self { admin: uuid(), users: uuid(), corp_client: secret(), plant_client: secret() }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

fn client(ca_pem: &str) -> anyhow::Result<reqwest::Client> {
    pki::install_provider();
    let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).context("reading the CA of Keycloak")?;
    let builder = reqwest::Client::builder().no_proxy().timeout(REQUEST).tls_certs_only(roots);
    builder.build().context("building the HTTP client")
}
