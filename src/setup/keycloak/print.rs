//! The steps as text that a shell can run: comments for the person, Keycloak's own `kcadm.sh` for the requests. For realms
//! that have nothing of it yet; `--check` and `--apply` are for all others.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::admin::check;
use super::body::{new_client, new_scope, public_key};
use super::plan::{Client, Credential, RESOURCE_SCOPE, Thing};
use super::{diff, linking, place, plan as kinds, plans};
use crate::setup::{Part, SetupError, Side, SignIn};

/// All steps for `sides`; contacts nobody, reads the public half of a key and no secret.
pub(super) fn script(sides: &[Side], sign_in: &SignIn) -> Result<String, SetupError> {
    let plans = plans(sides)?;
    let mut script = Script { text: HEAD.to_owned(), step: 0 };
    let mut server = "";
    for (side, things) in sides.iter().zip(plans) {
        let (base, realm) = place(side)?;
        let base = sign_in.url.as_deref().unwrap_or(base).trim_end_matches('/');
        check(base, side.realm.allow_private, &side.realm.name)?;
        if base != server {
            let [at, of, who] = [base, &sign_in.realm, &sign_in.user].map(quoted);
            let command = format!("kcadm.sh config credentials --server {at} --realm {of} --user {who}");
            script.command(&format!("sign in as an administrator of {base}; it asks for the password"), &command);
            server = base;
        }
        for thing in &things {
            script.thing(realm, thing)?;
        }
    }
    script.by_hand(sides);
    Ok(script.text)
}

const HEAD: &str = "\
# What Keycloak needs for kubeferry, for realms that have nothing of it yet: one command for each step, kcadm.sh comes with
# Keycloak. A server with a private CA: kcadm.sh config truststore --trustpass PASSWORD FILE.p12
# Realms that have a part of it: kubeferry realm setup with --check, then with --apply.
";

struct Script {
    text: String,
    step: usize,
}

impl Script {
    fn command(&mut self, title: &str, command: &str) {
        self.step += 1;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\n# {}. {}\n{command}\n", self.step, title.replace(['\n', '\r'], " "));
    }

    /// `guard` is a command that succeeds where nothing is to be done.
    fn create(&mut self, title: &str, realm: &str, what: &str, guard: &str, body: &Value) {
        let command = format!("{guard}kcadm.sh create {what} -r {} -f - <<'JSON'\n{body:#}\nJSON", quoted(realm));
        self.command(title, &command);
    }

    fn thing(&mut self, realm: &str, thing: &Thing) -> Result<(), SetupError> {
        match thing {
            Thing::Scope(scope) => {
                let (title, guard) = match scope.only_made {
                    true => (
                        format!("realm {realm}: client scope {}, unless it is there", scope.name),
                        format!("test -n \"{}\" ||\n", scope_id(realm, &scope.name)),
                    ),
                    false => (format!("realm {realm}: client scope {} ({})", scope.name, scope.why), String::new()),
                };
                self.create(&title, realm, "client-scopes", &guard, &new_scope(scope));
            }
            Thing::Client(client) => self.client(realm, client)?,
            Thing::IdentityProvider(provider) => {
                let title = format!("realm {realm}: take the word of {}", provider.issuer);
                let body = diff::created(&provider.initially, &provider.must);
                self.create(&title, realm, "identity-provider/instances", "", &body);
            }
            Thing::RealmDefault { scope } => {
                let command = format!(
                    "kcadm.sh update \"default-default-client-scopes/{}\" -r {} -n -b '{{}}'",
                    scope_id(realm, scope),
                    quoted(realm)
                );
                self.command(&format!("realm {realm}: clients that register themselves get scope {scope}"), &command);
            }
            Thing::LoginClient { client, scope } => {
                let command = format!(
                    "kcadm.sh update \"clients/{}/default-client-scopes/{}\" -r {} -n -b '{{}}'",
                    client_id(realm, client),
                    scope_id(realm, scope),
                    quoted(realm)
                );
                self.command(
                    &format!("realm {realm}: client {client}, with which people sign in, gets scope {scope}"),
                    &command,
                );
            }
            Thing::Policy(policy) => {
                let body = diff::created(&serde_json::Map::new(), &policy.must);
                let mut members = String::new();
                for (name, value) in body["config"].as_object().into_iter().flatten() {
                    members.push_str(&format!(" -s {}", quoted(&format!("config.\"{name}\"={value}"))));
                }
                let id = policy_id(realm, policy.provider);
                let command = format!("kcadm.sh update \"components/{id}\" -r {}{members}", quoted(realm));
                self.command(&format!("realm {realm}: {}", policy.why), &command);
            }
        }
        Ok(())
    }

    fn client(&mut self, realm: &str, client: &Client) -> Result<(), SetupError> {
        let mut body = new_client(client);
        let mut title = match &client.credential {
            Some(_) => format!("realm {realm}: our client {}", client.id),
            None => format!("realm {realm}: a client that stands for audience {}", client.id),
        };
        match &client.credential {
            Some(Credential::Secret(file)) => {
                self.command(&title, &with_secret(realm, file, &body));
                return Ok(());
            }
            Some(Credential::PublicKey(file)) => {
                let keys = serde_json::json!({"keys": [public_key(file)?]}).to_string();
                diff::put(&mut body, "attributes/jwks.string", keys.into());
            }
            Some(Credential::ByHand(what)) => title.push_str(&format!("; then configure in Keycloak: {what}")),
            None => {}
        }
        self.create(&title, realm, "clients", "", &body);
        Ok(())
    }

    /// What no administrator's command can decide.
    fn by_hand(&mut self, sides: &[Side]) {
        let mut notes = Vec::new();
        for side in sides {
            let name = &side.realm.name;
            if let Part::Home(home) = &side.part {
                let served = home.registration_hosts.is_some() || !home.login_clients.is_empty();
                if home.resource.is_some() && !served {
                    notes.push(format!(
                        "realm {name}: clients with which people sign in need {RESOURCE_SCOPE} as a default client scope: \
                         --login-client ID, or --dynamic-registration"
                    ));
                }
            }
            notes.extend(linking(side).map(|how| format!("realm {name}: {how}")));
            if let (Part::Target(target), Ok((_, realm))) = (&side.part, place(side)) {
                notes.push(format!(
                    "   kcadm.sh create users/ACCOUNT-ID/federated-identity/{alias} -r {realm} -s identityProvider={alias} \
                     -s userId=SUB -s userName=NAME",
                    alias = kinds::alias(&target.home),
                    realm = quoted(realm),
                ));
                notes.push(format!(
                    "realm {name}: the server of Keycloak must trust the CA of {} (--truststore-paths)",
                    target.home_issuer
                ));
            }
        }
        if !notes.is_empty() {
            self.text.push_str("\n# By hand:\n");
        }
        for note in notes {
            let _ = writeln!(
                self.text,
                "# {}{}",
                if note.starts_with(' ') { "" } else { "* " },
                note.replace(['\n', '\r'], " ")
            );
        }
    }
}

/// The command that makes a client with the secret in `file`. Other people of the machine see the arguments of commands, so
/// the shell writes the secret, as a text of JSON, into what the command reads.
fn with_secret(realm: &str, file: &Path, body: &Value) -> String {
    // The shell may stand in another folder.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let text = format!("{body:#}").replace('\\', r"\\").replace('$', r"\$").replace('`', r"\`");
    // The members are in the order of their names, and a client has some.
    let text = text.replacen('{', "{\n  \"secret\": \"${secret:?no secret was read}\",", 1);
    format!(
        "secret=$(tr -d '\\r\\n' < {file} | sed 's/[\"\\\\]/\\\\&/g')\n\
         kcadm.sh create clients -r {realm} -f - <<JSON\n{text}\nJSON\nunset secret",
        file = quoted(&file.display().to_string()),
        realm = quoted(realm),
    )
}

/// A shell command's answer with the id of a client scope.
fn scope_id(realm: &str, scope: &str) -> String {
    let list = format!("kcadm.sh get client-scopes -r {} --fields id,name --format csv --noquotes", quoted(realm));
    format!("$({list} | awk -F, -v name={} '$2 == name {{print $1}}')", quoted(scope))
}

fn client_id(realm: &str, client: &str) -> String {
    let query = quoted(&format!("clientId={client}"));
    format!("$(kcadm.sh get clients -r {} -q {query} --fields id --format csv --noquotes)", quoted(realm))
}

fn policy_id(realm: &str, provider: &str) -> String {
    let kind = "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy";
    let list = format!(
        "kcadm.sh get components -r {} -q type={kind} --fields id,providerId,subType --format csv --noquotes",
        quoted(realm)
    );
    format!("$({list} | awk -F, '$2 == \"{provider}\" && $3 == \"anonymous\" {{print $1}}')")
}

/// A word of the shell, as it is.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::{Value, json};

    use super::{quoted, with_secret};

    #[test]
    fn a_secret_reaches_what_the_command_reads_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's a secret");
        let body = json!({"clientId": "a $HOME `id` \\ \"client\"", "enabled": true});
        // In the place of kcadm.sh: shows what it reads.
        let run = || {
            let script = format!("kcadm.sh() {{ cat; }}\nkcadm=kcadm.sh\n{}", with_secret("corp", &file, &body));
            let script = script.replace("kcadm.sh", "kcadm");
            Command::new("sh").args(["-eu", "-c", &script]).output().unwrap()
        };
        for secret in ["plain", r#"a "quoted" \ $HOME `id` %: +'s"#] {
            std::fs::write(&file, format!("{secret}\r\n")).unwrap();
            let read: Value = serde_json::from_slice(&run().stdout).unwrap();
            assert_eq!(read, json!({"clientId": body["clientId"], "enabled": true, "secret": secret}));
        }
        std::fs::remove_file(&file).unwrap();
        let output = run();
        assert!(!output.status.success() && output.stdout.is_empty(), "no client without its secret");
    }

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quoted("https://kc.example:8443"), "https://kc.example:8443");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
