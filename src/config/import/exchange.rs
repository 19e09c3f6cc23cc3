//! Token exchange there, by its old keys (`sts_…`) and by its new table (`[token_exchange]`), as a client of ours and the
//! strategy `exchange`.

use toml::{Table, Value};

use super::{From, Ours};

/// The file that the operator puts the secret into: a secret is never repeated.
const SECRET: &str = "oidc-client.secret";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is asked for there. Texts that are empty there are `None`.
#[derive(Default)]
pub(super) struct Exchange {
    /// Which spelling: what notes are about.
    key: &'static str,
    strategy: Option<String>,
    id: Option<String>,
    audience: Option<String>,
    scopes: Vec<String>,
    method: Option<String>,
    secret: bool,
    key_file: Option<String>,
    token_file: Option<String>,
}

/// How clusters are reached by it here.
pub(super) struct Carried {
    pub(super) audience: String,
    pub(super) scope: Option<String>,
}

impl Exchange {
    /// Takes the keys of token exchange; `None` when nothing is asked for.
    pub(super) fn take(from: &mut From<'_>) -> Option<Self> {
        let old = Self::old(from);
        let new = match from.take("token_exchange") {
            Some(Value::Table(table)) => Some(Self::new(from, &table)),
            _ => None,
        };
        new.or(old)
    }

    fn old(from: &mut From<'_>) -> Option<Self> {
        let mut text = |key: &str| from.text(key);
        let found = Self {
            key: "sts_client_id",
            strategy: text("token_exchange_strategy"),
            id: text("sts_client_id"),
            audience: text("sts_audience"),
            method: text("sts_auth_style"),
            secret: text("sts_client_secret").is_some(),
            key_file: text("sts_client_key_file"),
            token_file: text("sts_federated_token_file"),
            scopes: Vec::new(),
        };
        let certificate = text("sts_client_cert_file").is_some();
        let found = Self { scopes: from.texts("sts_scopes"), ..found };
        let asked = [&found.strategy, &found.id, &found.audience, &found.key_file, &found.token_file];
        let asked = found.secret || certificate || asked.iter().any(|value| value.is_some());
        asked.then_some(found)
    }

    fn new(from: &mut From<'_>, table: &Table) -> Self {
        let none = Table::new();
        let client = table.get("client_auth").and_then(Value::as_table).unwrap_or(&none);
        let text = |table: &Table, key: &str| {
            table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let scopes = table.get("scopes").and_then(Value::as_array).cloned().unwrap_or_default();
        if text(table, "token_url").is_some() {
            let what = "the token endpoint is the one of the issuer's discovery document here";
            let fix = "for an endpoint of another realm write that realm, a [links.*] table and strategy = \"chain\"";
            from.leave("token_exchange.token_url", what, fix);
        }
        if text(table, "subject_token_type").is_some_and(|kind| kind != ACCESS_TOKEN) {
            let what = "only access tokens are exchanged here";
            from.leave("token_exchange.subject_token_type", what, "have clients send access tokens");
        }
        Self {
            key: "token_exchange",
            strategy: text(table, "strategy"),
            id: text(client, "client_id"),
            audience: text(table, "audience"),
            scopes: scopes.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect(),
            method: text(client, "method"),
            secret: client.contains_key("client_secret"),
            key_file: text(client, "private_key_file"),
            token_file: text(client, "token_file"),
        }
    }

    /// Writes our client at the realm of `table`. `None` when it cannot be carried over whole: then nothing of it is, and
    /// the clusters stay unbound. `ours` is the audience of tokens for this server.
    pub(super) fn carry(self, from: &mut From<'_>, to: &mut Ours, table: &str, ours: Option<&str>) -> Option<Carried> {
        let client = format!("{table}.client");
        let (auth, file, path) = match self.client() {
            Ok(found) => found,
            Err(what) => return self.left(from, &what, &client),
        };
        let strategy = self.strategy.as_deref().unwrap_or("rfc8693");
        if strategy != "rfc8693" {
            return self.left(from, &format!("the exchange {strategy:?} is not here, only that of RFC 8693"), &client);
        }
        let (Some(id), Some(audience)) = (&self.id, &self.audience) else {
            return self.left(from, "an exchange needs a client id and an audience", &client);
        };
        if ours == Some(audience.as_str()) {
            let what = "the clusters' audience is also this server's: a cluster could use its tokens here";
            return self.left(from, what, &client);
        }
        to.set(&client, "id", id.as_str());
        to.set(&client, "auth", auth);
        to.set(&client, file, path.as_str());
        if path == SECRET {
            let fix = format!("put the secret alone into the file {SECRET}, which it does not start without");
            from.leave(self.key, "a secret is in a file of its own here", fix);
        }
        let what = "each cluster gets a token of its own, but all with one audience, as there";
        let fix = "give each cluster an audience of its own where the realm can; if the realm is a Keycloak, write profile = \"keycloak\"; then run `kubeferry doctor`";
        from.leave(self.key, what, fix);
        let scope = (!self.scopes.is_empty()).then(|| self.scopes.join(" "));
        Some(Carried { audience: audience.clone(), scope })
    }

    /// How our client authenticates, the key of its file, and the file.
    fn client(&self) -> Result<(&'static str, &'static str, String), String> {
        let secret = SECRET.to_owned();
        let (auth, file, path) = match self.method.as_deref() {
            Some("params" | "client_secret_post") => {
                ("client_secret_post", "secret_file", self.secret.then_some(secret))
            }
            Some("header" | "client_secret_basic") => {
                ("client_secret_basic", "secret_file", self.secret.then_some(secret))
            }
            None if self.secret => ("client_secret_post", "secret_file", Some(secret)),
            Some("assertion" | "private_key_jwt") => ("private_key_jwt", "key_file", self.key_file.clone()),
            Some("federated" | "jwt_file") => ("federated_file", "token_file", self.token_file.clone()),
            Some(other) => return Err(format!("the client authentication {other:?} is not here")),
            None => return Err("no client authentication is named".to_owned()),
        };
        path.map(|path| (auth, file, path)).ok_or_else(|| format!("{auth} needs its {file}, which is not named there"))
    }

    fn left(&self, from: &mut From<'_>, what: &str, client: &str) -> Option<Carried> {
        let what = format!("{what}; the clusters stay unbound");
        let fix = format!(
            "write [{client}], and strategy = \"exchange\" with realm, audiences and scope where it says \"none\""
        );
        from.leave(self.key, what, fix);
        None
    }

    /// Nobody signs in, so there is no token to exchange.
    pub(super) fn unused(&self, from: &mut From<'_>) {
        from.leave(
            self.key,
            "without require_oauth there is no token to exchange",
            "set require_oauth = true there and import again",
        );
    }
}
