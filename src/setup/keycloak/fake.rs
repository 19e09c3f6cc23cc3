//! A small admin API of one realm, for unit tests: it keeps what it is sent, in the lists that the real one has.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{admin, plan, sync};
use crate::model::Secret;
use crate::realm::fake::{Answer, Realm};
use crate::setup::{AdminAccess, AdminLogin, Line, SetupError, Side, State};

/// A realm with what it has. Ends with the test's runtime.
pub(super) struct FakeKeycloak {
    realm: Realm,
    state: Arc<Mutex<Value>>,
    writes: Arc<Mutex<Vec<String>>>,
}

impl FakeKeycloak {
    /// With the scopes that a new realm has.
    pub(super) async fn start() -> Self {
        let scope = |name: &str| json!({"id": format!("id-{name}"), "name": name, "protocol": "openid-connect"});
        let scopes = ["basic", "profile", "email"].map(scope);
        let state = json!({
            "client-scopes": scopes, "clients": [], "identity-provider/instances": [],
            "components": [{"id": "hosts", "providerId": "trusted-hosts", "subType": "anonymous", "config": {}}, {
                "id": "scopes", "providerId": "allowed-client-templates", "subType": "anonymous",
                "config": {"allow-default-scopes": ["true"]},
            }],
            "default-default-client-scopes": [], "default-optional-client-scopes": [],
        });
        let realm = Realm::start(&["localhost"], 2999).await;
        let (state, writes) = (Arc::new(Mutex::new(state)), Arc::<Mutex<Vec<String>>>::default());
        let (kept, log) = (Arc::clone(&state), Arc::clone(&writes));
        let choose = move |request: &str| {
            let (status, body) = answer(&mut kept.lock().unwrap(), &mut log.lock().unwrap(), request);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            Answer::Raw(format!("{head}{body}").into_bytes())
        };
        realm.route("*", Answer::Chosen(Arc::new(choose)));
        Self { realm, state, writes }
    }

    /// A server that answers otherwise.
    pub(super) fn at(realm: Realm) -> Self {
        Self { realm, state: Arc::default(), writes: Arc::default() }
    }

    /// Compares, or mends, this side here instead of at its issuer.
    pub(super) async fn run(&self, side: &Side, apply: bool) -> Result<Vec<Line>, SetupError> {
        let mut side = side.clone();
        side.realm.ca = self.realm.config().ca;
        side.realm.allow_private = true;
        let access =
            AdminAccess { url: Some(self.realm.issuer()), login: AdminLogin::Token(Secret::new("an administrator's")) };
        let things = plan::plan(&side).map_err(SetupError::Problems)?;
        let admin = admin::Admin::new(&side, &access)?;
        let mut lines = Vec::new();
        let mut tell = |line: Line| lines.push(line);
        sync::run(&admin, &side.realm.name, things, apply, &mut tell).await?;
        lines.retain(|line| line.state != State::Working);
        Ok(lines)
    }

    /// The same as text, each line of its state, its thing and its detail; without what is as it should be.
    pub(super) async fn lines(&self, side: &Side, apply: bool) -> Vec<String> {
        let lines = self.run(side, apply).await.unwrap();
        let told = lines.iter().filter(|line| line.state != State::Left || !line.detail.is_empty());
        told.map(|line| format!("{} {}: {}", line.state.word(), line.what, line.detail)).collect()
    }

    /// Puts an object into a list, with an id where it has none.
    pub(super) fn add(&self, list: &str, object: Value) {
        push(&mut self.state.lock().unwrap(), list, object);
    }

    /// The object of a list whose member `key` is `value`; null when there is none.
    pub(super) fn object(&self, list: &str, key: &str, value: &str) -> Value {
        let state = self.state.lock().unwrap();
        items(&state[list]).iter().find(|item| item[key] == value).cloned().unwrap_or_default()
    }

    /// Changes such an object.
    pub(super) fn change(&self, list: &str, key: &str, value: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock().unwrap();
        let list = state[list].as_array_mut().unwrap();
        change(list.iter_mut().find(|item| item[key] == value).unwrap());
    }

    /// Method and path of each request that was no reading.
    pub(super) fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap().clone()
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn push(state: &mut Value, list: &str, mut object: Value) {
    let all = state[list].as_array_mut().unwrap();
    if object["id"].is_null() {
        object["id"] = format!("{}-{}", list.replace('/', "-"), all.len()).into();
    }
    for (index, mapper) in object["protocolMappers"].as_array_mut().into_iter().flatten().enumerate() {
        mapper["id"] = format!("mapper-{index}").into();
    }
    if list == "clients" && object["clientAuthenticatorType"].is_null() {
        object["clientAuthenticatorType"] = "client-secret".into();
    }
    all.push(object);
}

fn answer(state: &mut Value, writes: &mut Vec<String>, request: &str) -> (u16, Value) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut words = head.split(' ');
    let (method, url) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.strip_prefix("/admin/realms/").and_then(|path| path.split_once('/')).unwrap().1.to_owned();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if method == "GET" {
        return (200, get(&state[&path], &query));
    }
    writes.push(format!("{method} /{path}"));
    let parts: Vec<&str> = path.split('/').collect();
    match (method, parts.as_slice()) {
        ("POST", ["client-scopes" | "clients"] | ["identity-provider", "instances"]) => push(state, &path, body),
        ("POST", ["client-scopes", id, "protocol-mappers", "models"]) => {
            let mappers = &mut object(state, "client-scopes", "id", id)["protocolMappers"];
            let mut all = items(mappers).to_vec();
            all.push(body);
            *mappers = all.into();
        }
        ("PUT", ["client-scopes", id, "protocol-mappers", "models", mapper]) => {
            let scope = object(state, "client-scopes", "id", id);
            let all = scope["protocolMappers"].as_array_mut().unwrap();
            *all.iter_mut().find(|one| one["id"] == *mapper).unwrap() = body;
        }
        ("PUT", [list @ ("clients" | "components"), id]) => *object(state, list, "id", id) = body,
        ("PUT", ["identity-provider", "instances", alias]) => {
            *object(state, "identity-provider/instances", "alias", alias) = body;
        }
        (_, ["clients", id, list, scope]) => assign(state, method, id, list, scope),
        (_, [list @ ("default-default-client-scopes" | "default-optional-client-scopes"), scope]) => {
            let scope = object(state, "client-scopes", "id", scope).clone();
            let other = if list.contains("optional") { "default-default" } else { "default-optional" };
            let taken = items(&state[format!("{other}-client-scopes")]).contains(&scope);
            let all = state[*list].as_array_mut().unwrap();
            all.retain(|one| *one != scope);
            // A scope is one or the other; the second assignment does nothing.
            if method == "PUT" && !taken {
                all.push(scope);
            }
        }
        other => panic!("no such request: {other:?}"),
    }
    (200, json!({}))
}

fn get(list: &Value, query: &[(String, String)]) -> Value {
    let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let number = |name: &str, default| asked(name).map_or(default, |text| text.parse::<usize>().unwrap());
    let client = asked("clientId");
    let fits = |item: &&Value| client.is_none_or(|id| item["clientId"] == id);
    let page = items(list).iter().filter(fits).skip(number("first", 0)).take(number("max", 100));
    page.cloned().collect::<Vec<_>>().into()
}

fn object<'s>(state: &'s mut Value, list: &str, key: &str, value: &str) -> &'s mut Value {
    state[list].as_array_mut().unwrap().iter_mut().find(|item| item[key] == value).unwrap()
}

fn assign(state: &mut Value, method: &str, client: &str, list: &str, scope: &str) {
    let name = object(state, "client-scopes", "id", scope)["name"].clone();
    let member = if list.starts_with("default") { "defaultClientScopes" } else { "optionalClientScopes" };
    let names = &mut object(state, "clients", "id", client)[member];
    let mut all = items(names).to_vec();
    all.retain(|one| *one != name);
    if method == "PUT" {
        all.push(name);
    }
    *names = all.into();
}
