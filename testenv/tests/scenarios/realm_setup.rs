//! `kubeferry realm setup` with a real Keycloak: realms that have nothing but people and a client to sign in with become
//! realms between which a token is chained.

mod printed;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::ferry::{self, Ran};
use testenv::keycloak::Keycloak;
use testenv::tap::{Tap, digest};

use crate::lab::bench::secret_file;

const RESOURCE: &str = "https://ferry.test/mcp";
/// With characters that must be encoded on the way.
const CLIENT_SECRET: &str = "a secret%: of +corp";
const OTHER_SECRET: &str = "a secret of plant";
/// How our client authenticates at plant, at first.
const PLANT_SECRET: &str = "auth = \"client_secret_post\", secret_file = \"plant.secret\"";

/// The realms before anything was set up.
fn empty_realms() -> Vec<(String, String)> {
    let person = |group: &str| {
        json!({
            "username": "alice", "enabled": true, "email": "alice@corp.test", "emailVerified": true, "firstName": "Alice",
            "lastName": "A", "groups": [group], "credentials": [{"type": "password", "value": "${USERS_PASSWORD}"}],
        })
    };
    let login = json!({"clientId": "mcp-client", "publicClient": true, "directAccessGrantsEnabled": true});
    let realm = |name: &str, group: &str| {
        let realm = json!({
            "realm": name, "enabled": true, "groups": [{"name": group}], "users": [person(group)], "clients": [login],
        });
        (name.to_owned(), realm.to_string())
    };
    vec![realm("corp", "dev"), realm("plant", "operators"), realm("west", "dev"), realm("south", "operators")]
}

/// Keycloak, and a configuration of kubeferry for its realms.
struct Set {
    keycloak: Keycloak,
    /// API servers that refuse everything, and remember what they were sent.
    clusters: [Tap; 3],
    folder: TempDir,
    config: String,
    password: String,
}

impl Set {
    async fn start() -> anyhow::Result<Self> {
        let realms = empty_realms();
        let realms: Vec<(&str, &str)> = realms.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let keycloak = Keycloak::start(RESOURCE, &realms).await?;
        let folder = tempfile::tempdir()?;
        secret_file(folder.path(), "corp.secret", &format!("{CLIENT_SECRET}\n"))?;
        secret_file(folder.path(), "plant.secret", OTHER_SECRET)?;
        std::fs::write(folder.path().join("ca.pem"), keycloak.ca_pem())?;
        let password = secret_file(folder.path(), "admin.password", keycloak.admin_credentials().1)?;
        for key in ["first", "second", "south"] {
            let kind = if key == "south" { &rcgen::PKCS_ECDSA_P256_SHA256 } else { &rcgen::PKCS_RSA_SHA256 };
            let pem = rcgen::KeyPair::generate_for(kind)?.serialize_pem();
            secret_file(folder.path(), &format!("{key}.key"), &pem)?;
        }
        let sink = async |name| Tap::sink(name, 403).await;
        let clusters = [sink("corp-1").await?, sink("plant-1").await?, sink("south-1").await?];
        for cluster in &clusters {
            std::fs::write(folder.path().join(format!("{}.pem", cluster.name())), cluster.ca_pem())?;
        }
        let text = configuration(&keycloak, &clusters);
        let config = folder.path().join("kubeferry.toml");
        std::fs::write(&config, text)?;
        let (config, password) = (config.display().to_string(), password.display().to_string());
        Ok(Self { keycloak, clusters, folder, config, password })
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        Ok(secret_file(self.folder.path(), name, text)?.display().to_string())
    }

    /// Runs it as the administrator `admin` unless `more` says otherwise.
    async fn setup(&self, more: &[&str]) -> anyhow::Result<Ran> {
        let own = more.iter().any(|word| word.starts_with("--admin-") || *word == "--print");
        let login = ["--admin-user", self.keycloak.admin_credentials().0, "--admin-password-file", &self.password];
        let pair = ["--config", &self.config, "realm", "setup", "--provider", "keycloak"];
        let login: &[&str] = if own { &[] } else { &login };
        let ran = ferry::run(&[&pair[..], more, login].concat(), &[], None).await?;
        for secret in [CLIENT_SECRET, OTHER_SECRET, self.keycloak.admin_credentials().1] {
            ensure!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a secret was printed: {more:?}");
        }
        Ok(ran)
    }

    async fn pair(&self, mode: &[&str]) -> anyhow::Result<Ran> {
        let pair = ["--home", "corp", "--target", "plant", "--login-client", "mcp-client"];
        self.setup(&[&pair[..], mode].concat()).await
    }

    /// One line for each thing, without the sum at the end.
    async fn applied(&self, more: &[&str]) -> anyhow::Result<Vec<String>> {
        let ran = self.pair(&[&["--apply"], more].concat()).await?;
        ensure!(ran.code == 0, "{ran:?}");
        let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        let sum = lines.pop().context("there is a sum")?;
        ensure!(sum == format!("all {} things are as they should be", lines.len()), "{sum}");
        Ok(lines)
    }
}

fn configuration(keycloak: &Keycloak, clusters: &[Tap; 3]) -> String {
    let realm = |name: &str, auth: &str| {
        format!(
            "[realms.{name}]\nissuer = \"{}\"\nca_file = \"ca.pem\"\nallow_private = true\nprofile = \"keycloak\"\n\
             client = {{ id = \"kubeferry\", {auth} }}\n",
            keycloak.issuer(name)
        )
    };
    let cluster = |tap: &Tap, how: &str| {
        let (name, url) = (tap.name(), tap.url());
        format!(
            "[clusters.{name}]\nserver = \"{url}\"\nca_file = \"{name}.pem\"\naudiences = [\"kubernetes-{name}\"]\n\
             scope = \"k8s-{name}\"\n{how}\n"
        )
    };
    let west = "[clusters.west-1]\nserver = \"https://127.0.0.1:1\"\nstrategy = \"exchange\"\nrealm = \"west\"\n\
                audiences = [\"kubernetes-west-1\"]\nscope = \"k8s-west-1\"\n";
    let secret = "auth = \"client_secret_basic\", secret_file = \"corp.secret\"";
    [
        &format!(
            "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\", \"west\"]\ntls_terminated_upstream = true\n"
        ),
        &realm("corp", secret),
        &realm("plant", PLANT_SECRET),
        &realm("west", secret),
        &realm("south", "auth = \"private_key_jwt\", key_file = \"south.key\""),
        "[links.corp-plant]\nfrom = \"corp\"\nto = \"plant\"\nrequest = { scope = \"access-plant\" }\n",
        "[links.west-south]\nfrom = \"west\"\nto = \"south\"\nrequest = { scope = \"access-south\" }\n",
        &cluster(&clusters[0], "strategy = \"exchange\"\nrealm = \"corp\""),
        west,
        &cluster(&clusters[1], "strategy = \"chain\"\nrealm = \"plant\"\nlink = \"corp-plant\""),
        &cluster(&clusters[2], "strategy = \"chain\"\nrealm = \"south\"\nlink = \"west-south\""),
    ]
    .map(|part: &str| format!("{part}\n"))
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real control planes: scripts/test"]
async fn empty_realms_of_a_real_keycloak_are_set_up() {
    let set = Set::start().await.unwrap();
    an_administrator_who_may_not_is_told_why(&set).await.unwrap();
    a_pair_is_set_up_once(&set).await.unwrap();
    a_token_is_chained(&set).await.unwrap();
    kubeferry_calls_clusters_of_both_realms(&set).await.unwrap();
    a_change_by_hand_is_found_and_mended(&set).await.unwrap();
    clients_register_themselves_when_asked_for(&set).await.unwrap();
    a_key_is_replaced_while_both_are_in_use(&set).await.unwrap();
    printed::the_printed_steps_do_the_same(&set).await.unwrap();
}

/// A wrong password, no role, a token that is none, a realm that is not there, nobody there.
async fn an_administrator_who_may_not_is_told_why(set: &Set) -> anyhow::Result<()> {
    let admin = set.keycloak.admin();
    let (login, corp) = (["--home", "corp", "--check"], "realm corp: ");
    let nobody = json!({
        "username": "nobody", "enabled": true, "email": "n@corp.test", "emailVerified": true, "firstName": "N", "lastName": "N",
        "credentials": [{"type": "password", "value": "of nobody", "temporary": false}],
    });
    admin.post("/master/users", &nobody).await?;
    let (wrong, own) = (set.file("wrong", "wrong")?, set.file("own", "of nobody")?);
    let named = set.keycloak.admin_credentials().0;
    for (how, says) in [
        (
            ["--admin-user", named, "--admin-password-file", &wrong],
            &["Invalid user credentials", "--admin-password-file"][..],
        ),
        (
            ["--admin-user", "nobody", "--admin-password-file", &own],
            &["403", "view-clients", "manage-identity-providers"],
        ),
        (["--admin-token-file", &wrong, "--admin-realm", "master"], &["401", "the token is not accepted"]),
        (["--admin-token-file", &wrong, "--admin-url", "https://127.0.0.1:1"], &["no answer", "--admin-url"]),
    ] {
        let ran = set.setup(&[&login[..], &how].concat()).await?;
        ensure!(ran.code == 3 && ran.stdout.is_empty() && ran.stderr.contains(corp), "{how:?}: {ran:?}");
        ensure!(says.iter().all(|part| ran.stderr.contains(part)), "{how:?} says {says:?}: {}", ran.stderr);
    }
    for (more, says) in [
        (&["--home", "nowhere", "--check"][..], "no realm \"nowhere\" is configured"),
        (&["--home", "west", "--target", "plant", "--check"], "no link leads from realm west to realm plant"),
        (&["--home", "corp", "--check", "--admin-realm", "master"], "--admin-password-file"),
        (&["--home", "plant", "--check"], "realm plant is no home realm"),
        (&["--home", "corp", "--print", "--admin-token-file", &wrong], "--print signs nobody in"),
        (&["--home", "corp", "--check", "--apply"], "cannot be used with"),
        (&["--home", "corp"], "--print|--apply|--check"),
    ] {
        let ran = set.setup(more).await?;
        ensure!(ran.code == 2 && ran.stderr.contains(says), "{more:?} says {says}: {ran:?}");
    }
    Ok(())
}

/// Everything is missing, then made, then there; and the second time nothing is changed.
async fn a_pair_is_set_up_once(set: &Set) -> anyhow::Result<()> {
    let ran = set.pair(&["--check"]).await?;
    ensure!(ran.code == 1, "{ran:?}");
    let corp = set.keycloak.issuer("plant");
    for thing in [
        &*format!("missing  realm corp: client {corp}"),
        "missing  realm corp: client kubernetes-corp-1",
        "missing  realm corp: client kubeferry",
        "missing  realm corp: client scope access-plant",
        "missing  realm corp: client scope mcp-resource",
        "missing  realm plant: identity provider corp",
        "missing  realm plant: client scope k8s-plant-1",
    ] {
        ensure!(ran.stdout.lines().any(|line| line == thing), "{thing}: {}", ran.stdout);
    }
    let found = set.keycloak.admin().get("/corp/clients?clientId=kubeferry").await?;
    ensure!(found == json!([]), "a check changes nothing: {found}");

    let first = set.applied(&[]).await?;
    ensure!(first.iter().filter(|line| line.starts_with("created")).count() >= 12, "{first:#?}");
    let ran = set.pair(&["--check"]).await?;
    ensure!(ran.code == 0 && ran.stdout.starts_with("all "), "{ran:?}");
    let second = set.applied(&[]).await?;
    ensure!(second.iter().all(|line| line.starts_with("left ")), "{second:#?}");
    // Each realm's own administrator does his part.
    for side in ["home", "target"] {
        let ran = set.pair(&["--check", "--only", side]).await?;
        ensure!(ran.code == 0, "{side}: {ran:?}");
    }
    Ok(())
}

/// Leg 1 and leg 2, and the exchange inside one realm, with what was set up and one link of a person.
async fn a_token_is_chained(set: &Set) -> anyhow::Result<()> {
    let (keycloak, admin) = (&set.keycloak, set.keycloak.admin());
    let inbound = keycloak.login("corp", "mcp-client", "alice").await?;
    let sub = claims(&inbound)?["sub"].as_str().context("sub")?.to_owned();
    ensure!(
        claims(&inbound)?["aud"].as_array().is_some_and(|all| all.contains(&RESOURCE.into())),
        "{}",
        claims(&inbound)?
    );
    let account = admin.user("plant", "alice").await?;
    let link = json!({"identityProvider": "corp", "userId": sub, "userName": "alice"});
    admin.post(&format!("{account}/federated-identity/corp"), &link).await?;

    let exchange = async |audience: &str, scope: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &inbound),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", audience),
            ("scope", scope),
        ];
        let answer = keycloak.token("corp", &form, Some(("kubeferry", CLIENT_SECRET))).await?;
        let token = answer.body["access_token"].as_str().with_context(|| format!("{}", answer.body))?;
        anyhow::Ok(token.to_owned())
    };
    let same = claims(&exchange("kubernetes-corp-1", "k8s-corp-1").await?)?;
    ensure!(
        same["aud"] == "kubernetes-corp-1" && same["sub"] == sub.as_str() && same["groups"] == json!(["dev"]),
        "{same}"
    );
    let grant = exchange(&keycloak.issuer("plant"), "access-plant").await?;
    let life = claims(&grant)?;
    ensure!(life["aud"] == keycloak.issuer("plant").as_str(), "{life}");
    ensure!(life["exp"].as_i64().zip(life["iat"].as_i64()).is_some_and(|(exp, iat)| exp - iat == 240), "{life}");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", &grant),
        ("scope", "k8s-plant-1"),
        ("client_id", "kubeferry"),
        ("client_secret", OTHER_SECRET),
    ];
    let answer = keycloak.token("plant", &form, None).await?;
    let issued = answer.body["access_token"].as_str().with_context(|| format!("{}", answer.body))?;
    let issued = claims(issued)?;
    ensure!(issued["iss"] == keycloak.issuer("plant").as_str() && issued["aud"] == "kubernetes-plant-1", "{issued}");
    ensure!(issued["preferred_username"] == "alice" && issued["groups"] == json!(["operators"]), "{issued}");
    Ok(())
}

/// Calls a cluster as alice of `home`, and gives what the cluster was sent for it, and the digest of alice's own token.
async fn called(set: &Set, config: &str, home: &str, cluster: &Tap) -> anyhow::Result<[String; 2]> {
    let inbound = set.keycloak.login(home, "mcp-client", "alice").await?;
    let file = set.file(&format!("token-{}", digest(&inbound)), &inbound)?;
    let at = format!("cluster={}", cluster.name());
    cluster.clear();
    let ran =
        ferry::run(&["--config", config, "call", "--token-file", &file, "namespaces_list", &at], &[], None).await?;
    let sent: Vec<String> = cluster.token_digests().into_iter().collect();
    ensure!(ran.code == 1 && sent.len() == 1, "{at}: {ran:?}: {sent:?}");
    Ok([sent[0].clone(), digest(&inbound)])
}

/// kubeferry itself obtains what it sends, by both strategies: it checks each token before it sends it, and what arrives is
/// another one than the person's.
async fn kubeferry_calls_clusters_of_both_realms(set: &Set) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    for cluster in &set.clusters[..2] {
        seen.extend(called(set, &set.config, "corp", cluster).await?);
    }
    seen.sort();
    seen.dedup();
    ensure!(seen.len() == 4, "each server gets a token of its own, and none the person's: {seen:?}");
    Ok(())
}

/// What somebody changed comes back; what they added stays, and so do the links of people.
async fn a_change_by_hand_is_found_and_mended(set: &Set) -> anyhow::Result<()> {
    let admin = set.keycloak.admin();
    let scope = admin.scope("plant", "k8s-plant-1").await?;
    let mapper = admin.get(&scope).await?["protocolMappers"][0]["id"].as_str().context("a mapper")?.to_owned();
    let mapper = format!("{scope}/protocol-mappers/models/{mapper}");
    admin.change(&mapper, |mapper| mapper["config"]["included.custom.audience"] = "elsewhere".into()).await?;
    let client = admin.client("corp", "kubeferry").await?;
    admin
        .change(&client, |client| {
            client["secret"] = "another".into();
            client["attributes"]["standard.token.exchange.enabled"] = "false".into();
            client["description"] = "ours".into();
        })
        .await?;
    let provider = "/plant/identity-provider/instances/corp";
    admin.change(provider, |provider| provider["config"]["jwtAuthorizationGrantEnabled"] = "false".into()).await?;
    let plant = admin.client("plant", "kubeferry").await?;
    admin.change(&plant, |client| client["attributes"]["oauth2.jwt.authorization.grant.idp"] = "lake".into()).await?;

    let ran = set.pair(&["--check"]).await?;
    ensure!(ran.code == 1 && ran.stdout.lines().count() == 5, "four differ, and a sum: {ran:?}");
    for line in [
        "differs  realm corp: client kubeferry: attributes standard.token.exchange.enabled is \"false\", should be \"true\"; \
         its secret is another than the one in secret_file",
        "differs  realm plant: mapper audience kubernetes-plant-1 of client scope k8s-plant-1: config \
         included.custom.audience is \"elsewhere\", should be \"kubernetes-plant-1\"",
        "differs  realm plant: identity provider corp: config jwtAuthorizationGrantEnabled is \"false\", should be \"true\"",
        "differs  realm plant: client kubeferry: attributes oauth2.jwt.authorization.grant.idp is \"lake\", should be a list \
         with corp",
    ] {
        ensure!(ran.stdout.lines().any(|found| found == line), "{line}: {}", ran.stdout);
    }
    let lines = set.applied(&[]).await?;
    ensure!(lines.iter().filter(|line| line.starts_with("changed")).count() == 4, "{lines:#?}");
    ensure!(!lines.iter().any(|line| line.starts_with("created")), "{lines:#?}");
    ensure!(set.pair(&["--check"]).await?.code == 0);
    ensure!(admin.get(&client).await?["description"] == "ours", "what is nobody's business stays");
    let attributes = admin.get(&plant).await?["attributes"].clone();
    ensure!(attributes["oauth2.jwt.authorization.grant.idp"] == "lake##corp", "{attributes}");
    let account = admin.user("plant", "alice").await?;
    let links = admin.get(&format!("{account}/federated-identity")).await?;
    ensure!(links[0]["identityProvider"] == "corp", "the link of a person stays: {links}");
    Ok(())
}

/// Only then the realm's policy is touched; and what is there already stays in its list.
async fn clients_register_themselves_when_asked_for(set: &Set) -> anyhow::Result<()> {
    let asked = ["--dynamic-registration", "--registration-host", "mcp.example"];
    let ran = set.pair(&[&["--check"], &asked[..]].concat()).await?;
    ensure!(ran.code == 1 && ran.stdout.lines().count() == 4, "three differ, and a sum: {ran:?}");
    let client = json!({"client_name": "an MCP client", "redirect_uris": ["http://127.0.0.1/callback"]});
    let answer = set.keycloak.register("corp", &client).await?;
    ensure!(answer.status == 403, "a new realm takes no client from anywhere: {answer:?}");
    set.applied(&asked).await?;
    ensure!(set.pair(&[&["--check"], &asked[..]].concat()).await?.code == 0);
    ensure!(
        set.pair(&["--check", "--dynamic-registration"]).await?.code == 0,
        "fewer hosts are no reason to take one away"
    );
    let defaults = set.keycloak.admin().get("/corp/default-default-client-scopes").await?;
    ensure!(
        defaults.as_array().is_some_and(|all| all.iter().any(|scope| scope["name"] == "mcp-resource")),
        "{defaults}"
    );
    for more in [json!({}), json!({"scope": "mcp-resource"})] {
        let mut client = client.clone();
        client.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
        let answer = set.keycloak.register("corp", &client).await?;
        ensure!(answer.status == 201, "{client}: {answer:?}");
        let id = answer.body["client_id"].as_str().context("client_id")?.to_owned();
        let made = set.keycloak.admin().get(&set.keycloak.admin().client("corp", &id).await?).await?;
        let has = |list: &str| made[list].as_array().is_some_and(|all| all.contains(&"mcp-resource".into()));
        ensure!(has("defaultClientScopes") || has("optionalClientScopes") && client["scope"].is_string(), "{made}");
    }
    Ok(())
}

/// Pods with the key before and pods with the new one are let in at the same time, and each is asked by its own.
async fn a_key_is_replaced_while_both_are_in_use(set: &Set) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&set.config)?;
    let mut configs = Vec::new();
    for key in ["first", "second"] {
        let text = text.replace(PLANT_SECRET, &format!("auth = \"private_key_jwt\", key_file = \"{key}.key\""));
        let config = set.folder.path().join(format!("{key}.toml"));
        std::fs::write(&config, text)?;
        let config = config.display().to_string();
        let (user, file) = (set.keycloak.admin_credentials().0, &set.password);
        let pair = ["--home", "corp", "--target", "plant", "--admin-user", user, "--admin-password-file", file];
        for mode in ["--apply", "--check"] {
            let setup = ["--config", &config, "realm", "setup", "--provider", "keycloak", mode];
            let ran = ferry::run(&[&setup[..], &pair].concat(), &[], None).await?;
            ensure!(ran.code == 0, "{key} {mode}: {ran:?}");
        }
        configs.push(config);
    }
    for config in &configs {
        called(set, config, "corp", &set.clusters[1]).await?;
    }
    Ok(())
}

fn claims(token: &str) -> anyhow::Result<Value> {
    let claims = token.split('.').nth(1).context("a JWT has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
}
