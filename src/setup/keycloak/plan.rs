//! What a realm of Keycloak must have: the wanted side as Keycloak's objects, a pure function. What each is needed for was
//! measured on a real Keycloak 26.7; the words are those of its admin API.

mod thing;

use serde_json::{Map, Value, json};

pub(super) use self::thing::{Client, Credential, IdentityProvider, Mapper, Must, Others, Policy, Scope, Thing, Want};
use crate::model::{Problem, RealmName};
use crate::realm::RealmClient;
use crate::setup::{Access, Home, Part, Side, Target};

/// The scope that names us in the tokens of callers.
pub(super) const RESOURCE_SCOPE: &str = "mcp-resource";
/// Life of a token that our client is given in a home realm, in seconds. A target realm takes grants of up to 300 s, and
/// its clock may be another.
const TOKEN_LIFE: u64 = 240;
/// The description of a client that is nothing but an audience.
pub(super) const AUDIENCE_DESCRIPTION: &str = "kubeferry: an audience";
/// What brings an audience in.
pub(super) const AUDIENCE_MAPPER: &str = "oidc-audience-mapper";
/// Kinds of identity provider that know the JWT authorization grant; the first is made.
pub(super) const GRANT_PROVIDERS: [&str; 3] = ["jwt-authorization-grant", "oidc", "keycloak-oidc"];
/// What ends the names in a list of identity providers.
pub(super) const SEPARATOR: &str = "##";

fn is(path: &'static str, value: impl Into<Value>) -> Must {
    Must { path, want: Want::Is(value.into()) }
}

/// The things that `side` must have.
///
/// # Errors
/// With every part of the configuration that Keycloak has no way for.
pub(super) fn plan(side: &Side) -> Result<Vec<Thing>, Vec<Problem>> {
    if side.client.auth == "none" {
        let key = format!("realms.{}.client.auth", side.realm.name);
        let what = "is none: Keycloak exchanges no token for a public client";
        let fix = "write client_secret_basic with secret_file, or private_key_jwt with key_file";
        return Err(vec![Problem::new(key, what, fix)]);
    }
    match &side.part {
        Part::Home(home) => Ok(self::home(side, home)),
        Part::Target(target) => self::target(side, target),
    }
}

fn home(side: &Side, home: &Home) -> Vec<Thing> {
    let id = side.client.id.as_str();
    let mut scopes = Scopes::new(&side.realm.groups_claim, Others::Ignored);
    // Keycloak finds the client behind an audience in a request, and brings it in by a scope that names the client.
    let mut audiences: Vec<&str> = Vec::new();
    let grants = home.grants.iter().map(|grant| (&grant.audience, &grant.scope, &grant.key));
    // One audience is asked for, and the others are left out of the token.
    let accesses =
        home.accesses.iter().filter_map(|access| Some((access.audiences.first()?, &access.scope, &access.key)));
    for (audience, scope, why) in grants.chain(accesses) {
        scopes.add(scope, why, &audience_mapper("included.client.audience", audience));
        if audience != id && !audiences.contains(&audience.as_str()) {
            audiences.push(audience);
        }
    }
    let mut things: Vec<Thing> =
        audiences.into_iter().map(|audience| Thing::Client(audience_client(audience))).collect();
    let optional_scopes = scopes.names();
    let resource = home.resource.as_deref().map(|resource| resource_scope(resource, id));
    things.extend(scopes.into_things());
    let life = Must { path: "attributes/access.token.lifespan", want: Want::UpTo(TOKEN_LIFE) };
    let must = [is("attributes/standard.token.exchange.enabled", "true"), life];
    things.push(Thing::Client(our_client(&side.client, must, optional_scopes)));
    // Its mapper names our client, which must be there first.
    if let Some(resource) = resource {
        things.push(Thing::Scope(resource));
        let scope = RESOURCE_SCOPE.to_owned();
        let login = |client: &String| Thing::LoginClient { client: client.clone(), scope: scope.clone() };
        things.extend(home.login_clients.iter().map(login));
        if let Some(hosts) = &home.registration_hosts {
            things.push(Thing::RealmDefault { scope: scope.clone() });
            things.extend(registration(hosts, &home.required_scopes).map(Thing::Policy));
        }
    }
    things
}

fn target(side: &Side, target: &Target) -> Result<Vec<Thing>, Vec<Problem>> {
    let mut scopes = Scopes::new(&side.realm.groups_claim, Others::ByHand);
    for access in &target.accesses {
        for audience in &access.audiences {
            scopes.add(&access.scope, &access.key, &audience_mapper("included.custom.audience", audience));
        }
    }
    let problems: Vec<Problem> = target.accesses.iter().filter_map(|access| scopes.too_many(access)).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let optional_scopes = scopes.names();
    let jwks = match &target.jwks_url {
        Some(url) => Want::Is(url.as_str().into()),
        None => Want::Https(format!("{}/protocol/openid-connect/certs", target.home_issuer)),
    };
    let alias = alias(&target.home);
    let provider = IdentityProvider {
        alias: alias.clone(),
        client: side.client.id.clone(),
        issuer: target.home_issuer.clone(),
        must: vec![
            is("enabled", true),
            is("config/issuer", target.home_issuer.as_str()),
            is("config/useJwksUrl", "true"),
            Must { path: "config/jwksUrl", want: jwks },
            is("config/validateSignature", "true"),
            is("config/jwtAuthorizationGrantEnabled", "true"),
        ],
        initially: members(
            json!({"alias": alias, "providerId": GRANT_PROVIDERS[0], "displayName": format!("realm {}", target.home)}),
        ),
    };
    let must = [
        is("attributes/oauth2.jwt.authorization.grant.enabled", "true"),
        Must { path: "attributes/oauth2.jwt.authorization.grant.idp", want: Want::Names(alias) },
    ];
    let mut things = scopes.into_things();
    things.push(Thing::IdentityProvider(provider));
    let mut client = our_client(&side.client, must, optional_scopes);
    client.allowed = target.accesses.iter().map(|access| access.audiences.clone()).collect();
    things.push(Thing::Client(client));
    Ok(things)
}

/// What the policies of anonymous registration must say. These hosts, and the address of the sender is not looked at, because
/// it is the person's own machine; and these scopes, which a client may name when it registers.
fn registration(hosts: &[String], required: &[String]) -> [Policy; 2] {
    let scopes: Vec<String> = required.iter().cloned().chain([RESOURCE_SCOPE.to_owned()]).collect();
    let trusted = Must { path: "config/trusted-hosts", want: Want::Holds(hosts.to_owned()) };
    let sender = is("config/host-sending-registration-request-must-match", json!(["false"]));
    let why = format!("clients may register themselves from {}", hosts.join(", "));
    let hosts = Policy { provider: "trusted-hosts", why, must: vec![trusted, sender] };
    let why = format!("clients that register themselves may name the scopes {}", scopes.join(", "));
    let must = vec![Must { path: "config/allowed-client-scopes", want: Want::Holds(scopes) }];
    [hosts, Policy { provider: "allowed-client-templates", why, must }]
}

/// The alias that the home realm gets in a target realm.
pub(super) fn alias(home: &RealmName) -> String {
    home.as_str().to_owned()
}

/// The scopes of our client, each once.
struct Scopes {
    found: Vec<Scope>,
    groups_claim: String,
    others: Others,
}

impl Scopes {
    fn new(groups_claim: &str, others: Others) -> Self {
        Self { found: Vec::new(), groups_claim: groups_claim.to_owned(), others }
    }

    /// The first word of `text` brings the audience in; further words are asked for beside it.
    fn add(&mut self, text: &str, why: &str, mapper: &Mapper) {
        for (index, name) in text.split_whitespace().enumerate() {
            let mapper = (index == 0).then(|| mapper.clone());
            match self.found.iter_mut().find(|scope| scope.name == name) {
                Some(scope) => {
                    scope.only_made &= index > 0;
                    let new = mapper.filter(|mapper| !scope.mappers.contains(mapper));
                    scope.mappers.extend(new);
                }
                None => self.found.push(Scope {
                    name: name.to_owned(),
                    why: format!("kubeferry, {why}"),
                    mappers: mapper.into_iter().collect(),
                    only_made: index > 0,
                    others: self.others,
                }),
            }
        }
    }

    /// Leg 2 of a chain asks for no audience: the token has those of all its scopes, and is refused for one too many.
    fn too_many(&self, access: &Access) -> Option<Problem> {
        let words: Vec<&str> = access.scope.split_whitespace().collect();
        let asked = self.found.iter().filter(|scope| words.contains(&scope.name.as_str()));
        let brought = asked.flat_map(|scope| &scope.mappers).filter_map(Mapper::audience);
        let strange: Vec<&str> =
            brought.filter(|audience| access.audiences.iter().all(|known| known != audience)).collect();
        (!strange.is_empty()).then(|| {
            let what = format!(
                "brings in {} of another cluster as well, and a token for more than audiences is not used",
                strange.join(", ")
            );
            let fix = "give each cluster a scope of its own, or all that share one the same audiences";
            Problem::new(format!("{}.scope", access.key), what, fix)
        })
    }

    fn names(&self) -> Vec<String> {
        self.found.iter().map(|scope| scope.name.clone()).collect()
    }

    fn into_things(self) -> Vec<Thing> {
        let groups = Mapper {
            name: "groups".to_owned(),
            kind: "oidc-group-membership-mapper",
            must: Vec::new(),
            initially: members(json!({"config": {
                "claim.name": self.groups_claim, "full.path": "false", "access.token.claim": "true",
                "id.token.claim": "true", "userinfo.token.claim": "true", "introspection.token.claim": "true",
            }})),
        };
        let why = "the groups of a person".to_owned();
        let (name, mappers) = ("groups".to_owned(), vec![groups]);
        let groups = Scope { name, why, mappers, only_made: true, others: Others::Ignored };
        let known = self.found.iter().any(|scope| scope.name == groups.name);
        self.found.into_iter().chain((!known).then_some(groups)).map(Thing::Scope).collect()
    }
}

/// `included.client.audience` must name a client of the realm; `included.custom.audience` may name anything.
fn audience_mapper(member: &'static str, audience: &str) -> Mapper {
    let access = is("config/access.token.claim", "true");
    let must = match member {
        "included.client.audience" => vec![is("config/included.client.audience", audience), access],
        // Keycloak reads the custom one only where no client is named.
        _ => {
            let client = Must { path: "config/included.client.audience", want: Want::Empty };
            vec![client, is("config/included.custom.audience", audience), access]
        }
    };
    Mapper {
        name: format!("audience {audience}"),
        kind: AUDIENCE_MAPPER,
        must,
        initially: members(json!({"config": {"id.token.claim": "false", "introspection.token.claim": "true"}})),
    }
}

/// A caller's token must name the resource, for our door, and our client, which Keycloak asks for before it exchanges.
fn resource_scope(resource: &str, id: &str) -> Scope {
    let mut mappers = vec![audience_mapper("included.client.audience", id)];
    if resource != id {
        mappers.insert(0, audience_mapper("included.custom.audience", resource));
    }
    let (name, why) = (RESOURCE_SCOPE.to_owned(), "kubeferry, server.resource".to_owned());
    Scope { name, why, mappers, only_made: false, others: Others::Told }
}

/// A client that stands for an audience: nobody signs in with it.
fn audience_client(id: &str) -> Client {
    let flows = json!({
        "protocol": "openid-connect", "description": AUDIENCE_DESCRIPTION, "publicClient": false,
        "standardFlowEnabled": false, "implicitFlowEnabled": false, "directAccessGrantsEnabled": false,
        "serviceAccountsEnabled": false, "fullScopeAllowed": false,
    });
    Client {
        id: id.to_owned(),
        must: vec![is("enabled", true)],
        initially: members(flows),
        credential: None,
        default_scopes: Vec::new(),
        optional_scopes: Vec::new(),
        allowed: Vec::new(),
    }
}

fn our_client(client: &RealmClient, must: impl IntoIterator<Item = Must>, optional_scopes: Vec<String>) -> Client {
    let credential = match (&client.secret_file, &client.key_file) {
        (Some(file), _) => Credential::Secret(file.clone()),
        (None, Some(file)) => Credential::PublicKey(file.clone()),
        (None, None) => Credential::ByHand(format!("authentication {} of client {}", client.auth, client.id)),
    };
    let method = match &credential {
        Credential::Secret(_) => Some("client-secret"),
        Credential::PublicKey(_) => Some("client-jwt"),
        Credential::ByHand(_) => None,
    };
    let common = [
        is("enabled", true),
        is("publicClient", false),
        is("bearerOnly", false),
        is("fullScopeAllowed", false),
        // Nobody is there who could consent, and a lightweight token has neither the person nor the groups.
        Must { path: "consentRequired", want: Want::NotTrue },
        Must { path: "attributes/client.use.lightweight.access.token.enabled", want: Want::NotTrue },
    ];
    let mut all: Vec<Must> =
        common.into_iter().chain(method.map(|method| is("clientAuthenticatorType", method))).collect();
    if matches!(credential, Credential::PublicKey(_)) {
        all.push(is("attributes/use.jwks.string", "true"));
    }
    all.extend(must);
    let flows = json!({
        "protocol": "openid-connect", "description": "kubeferry", "standardFlowEnabled": false,
        "implicitFlowEnabled": false, "directAccessGrantsEnabled": false, "serviceAccountsEnabled": false,
    });
    Client {
        id: client.id.clone(),
        must: all,
        initially: members(flows),
        credential: Some(credential),
        default_scopes: ["basic", "profile", "email", "groups"].map(str::to_owned).into(),
        optional_scopes,
        allowed: Vec::new(),
    }
}

fn members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}
