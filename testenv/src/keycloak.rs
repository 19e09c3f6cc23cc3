//! A real **Keycloak** on https, with the realms of `clusters/keycloak` or others, everything in memory.
//!
//! It is the judge of what the Rust realm server plays: tests change it as its administrator and watch what it then
//! says. It is ready some 17 s after the start on an idle machine, so tests share one where they can.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::artifacts::Program;
use crate::pki::{self, Ca, LOOPBACK, Leaf};
use crate::process::{Launch, Process, files, port};
use crate::realm::uuid;

pub mod admin;

pub use admin::Admin;

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
/// ops at corp, operators at plant) is linked, bob (dev at corp, operators at plant) has a user in both and no link.
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

/// An answer of a token endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, a JSON string when it is not JSON.
    pub body: Value,
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
        let folder = folder(home, realms)?;
        let args = args(&folder, &program, port, &ca)?;
        let secrets = Secrets::new();
        let [address, audience, password] = VARIABLES;
        let launch = Launch {
            name: "keycloak",
            program: &java(),
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
        let realms: Vec<&str> = realms.iter().map(|(name, _)| *name).chain(["master"]).collect();
        keycloak.ready(&realms).await?;
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

    /// Signs `user` in with the password and answers the access token, which the client's scopes give its audiences.
    ///
    /// # Errors
    /// When the realm refuses, with its words.
    pub async fn login(&self, realm: &str, client: &str, user: &str) -> anyhow::Result<String> {
        let form = [
            ("grant_type", "password"),
            ("client_id", client),
            ("username", user),
            ("password", &self.secrets.users),
            ("scope", "openid"),
        ];
        let answer = self.token(realm, &form, None).await?;
        ensure!(answer.status == 200, "signing {user} in at {realm}: {} {}", answer.status, answer.body);
        let token = answer.body["access_token"].as_str();
        Ok(token.context("the answer holds no access token")?.to_owned())
    }

    /// Asks the token endpoint of a realm, as a client with a name and a secret if there is one.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn token(
        &self,
        realm: &str,
        form: &[(&str, &str)],
        client: Option<(&str, &str)>,
    ) -> anyhow::Result<Answer> {
        let endpoint = format!("{}/protocol/openid-connect/token", self.issuer(realm));
        let mut request = self.http.post(endpoint).form(form);
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        let response = request.send().await.with_context(|| format!("asking realm {realm} for a token"))?;
        let status = response.status().as_u16();
        let text = response.text().await.context("reading the answer of a token endpoint")?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
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

impl Answer {
    /// `error` and `error_description`, empty where there is none.
    #[must_use]
    pub fn refusal(&self) -> (&str, &str) {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        (text("error"), text("error_description"))
    }
}

fn client(ca_pem: &str) -> anyhow::Result<reqwest::Client> {
    pki::install_provider();
    let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).context("reading the CA of Keycloak")?;
    let builder = reqwest::Client::builder().no_proxy().timeout(REQUEST).tls_certs_only(roots);
    builder.build().context("building the HTTP client")
}

/// Java in `JAVA_HOME`, else in `PATH`.
fn java() -> PathBuf {
    let given: Option<OsString> = std::env::var_os("JAVA_HOME").filter(|given| !given.is_empty());
    given.map_or_else(|| "java".into(), |given| Path::new(&given).join("bin/java"))
}

/// A home of its own: the program is shared, what it writes is not.
fn folder(home: &Path, realms: &[(&str, &str)]) -> anyhow::Result<TempDir> {
    let folder = files::folder("keycloak")?;
    for name in ["lib", "providers", "themes"] {
        let shared = home.join(name);
        std::os::unix::fs::symlink(&shared, folder.path().join(name))
            .with_context(|| format!("linking {}", shared.display()))?;
    }
    let import = folder.path().join("data/import");
    for new in [&import, &folder.path().join("conf"), &folder.path().join("tmp")] {
        std::fs::create_dir_all(new).with_context(|| format!("creating {}", new.display()))?;
    }
    for (name, text) in realms {
        let parsed: Value = serde_json::from_str(text).with_context(|| format!("reading realm {name}"))?;
        if parsed["realm"] != *name {
            bail!("the file of realm {name} is that of {}", parsed["realm"]);
        }
        let file = import.join(format!("{name}-realm.json"));
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(folder)
}

/// What `bin/kc.sh start` would give to Java, which runs without that shell between: a shell that is killed leaves Java
/// behind.
fn args(folder: &TempDir, program: &Path, port: u16, ca: &Ca) -> anyhow::Result<Vec<String>> {
    let Leaf { cert_pem, key_pem } = ca.server(LOOPBACK);
    let cert = files::write(folder, "server.crt", &cert_pem)?;
    let key = files::write(folder, "server.key", &key_pem)?;
    // Realms fetch each other's keys from the same server.
    let trusted = files::write(folder, "ca.crt", ca.pem())?;
    let home = folder.path().display();
    let opened = ["java.util", "java.util.concurrent", "java.security", "java.lang"];
    let mut args: Vec<String> = opened.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")).into();
    args.extend(["-Xms64m", "-Xmx384m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC"].map(str::to_owned));
    // Compiled once and lightly: half of the processor time until it is ready, and calls that take three times as long.
    args.push("-XX:TieredStopAtLevel=1".to_owned());
    args.extend(["-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Dfile.encoding=UTF-8"].map(str::to_owned));
    args.extend([
        format!("-Djava.io.tmpdir={home}/tmp"),
        format!("-Dkc.home.dir={home}"),
        format!("-Djboss.server.config.dir={home}/conf"),
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager".to_owned(),
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
         io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
            .to_owned(),
        "-Dpicocli.disable.closures=true".to_owned(),
        "-cp".to_owned(),
        program.display().to_string(),
        "io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned(),
    ]);
    args.extend(
        ["start", "--optimized", "--import-realm", "--cache=local", "--http-host=127.0.0.1"].map(str::to_owned),
    );
    args.extend([
        format!("--hostname=https://127.0.0.1:{port}"),
        format!("--https-port={port}"),
        format!("--https-certificate-file={cert}"),
        format!("--https-certificate-key-file={key}"),
        format!("--truststore-paths={trusted}"),
    ]);
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_realm_file_holds_a_secret() {
        for (name, text) in REALMS {
            let realm: Value = serde_json::from_str(text).unwrap();
            assert_eq!(realm["realm"], name);
            for client in realm["clients"].as_array().unwrap() {
                let secret = client["secret"].as_str();
                assert!(secret.is_none_or(|secret| secret.starts_with("${")), "{}", client["clientId"]);
            }
            for user in realm["users"].as_array().unwrap() {
                for credential in user["credentials"].as_array().into_iter().flatten() {
                    assert_eq!(credential["value"], "${USERS_PASSWORD}", "{}", user["username"]);
                }
            }
        }
    }

    /// The set-up of `clusters/keycloak`, asked by hand: both legs, the exchange in one realm, and who is not linked.
    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn two_realms_work_together() {
        let resource = "https://ferry.test/mcp";
        let keycloak = Keycloak::start(resource, &REALMS).await.unwrap();
        let users = keycloak.admin().get("/plant/users").await.unwrap();
        assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");

        let (corp, plant) = (keycloak.issuer("corp"), keycloak.issuer("plant"));
        let exchange = async |user: &str, audience: &str, scope: &str| {
            let token = keycloak.login("corp", LOGIN_CLIENT, user).await.unwrap();
            assert_eq!(audiences(&token), [FERRY_CLIENT, resource]);
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", &token),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("audience", audience),
                ("scope", scope),
            ];
            let secret = form_encoded(keycloak.client_secret("corp"));
            let answer = keycloak.token("corp", &form, Some((FERRY_CLIENT, &secret))).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            let issued = answer.body["access_token"].as_str().unwrap().to_owned();
            assert_eq!(
                (claims(&issued)["iss"].as_str(), audiences(&issued)),
                (Some(&*corp), vec![audience.to_owned()])
            );
            issued
        };
        exchange("alice", "kubernetes-corp-1", "k8s-corp-1").await;
        for user in ["alice", "bob"] {
            let grant = exchange(user, &plant, "access-plant").await;
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &grant),
                ("scope", "k8s-plant-1"),
            ];
            let secret = form_encoded(keycloak.client_secret("plant"));
            let answer = keycloak.token("plant", &form, Some((FERRY_CLIENT, &secret))).await.unwrap();
            if user == "bob" {
                assert_eq!((answer.status, answer.refusal()), (400, ("invalid_grant", "User not found")));
                continue;
            }
            let issued = answer.body["access_token"].as_str().unwrap();
            assert_eq!(audiences(issued), ["kubernetes-plant-1"]);
            assert_eq!(claims(issued)["groups"], serde_json::json!(["operators"]));
        }
    }

    fn form_encoded(text: &str) -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }

    fn claims(token: &str) -> Value {
        use base64::Engine as _;
        let claims = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    /// Sorted: Keycloak has no order.
    fn audiences(token: &str) -> Vec<String> {
        let audiences = &claims(token)["aud"];
        let one = audiences.as_str().map(|one| vec![one.to_owned()]);
        let mut audiences = one.unwrap_or_else(|| serde_json::from_value(audiences.clone()).unwrap());
        audiences.sort();
        audiences
    }
}
