//! The realms of the fleet and how they trust each other.

use super::{CLIENT, PLACES, Place};
use crate::realm::{
    Algorithm, Authentication, Client, RealmConfig, Realms, RealmsConfig, Scope, SigningKey, Style, User,
};
use crate::world::RESOURCE;

/// What is not the same when it is not form-encoded before it goes into a header.
pub(super) const CORP_SECRET: &str = "c0rp:client s3cret+/=%";
pub(super) const LAKE_SECRET: &str = "l4ke&client=s3cret+/";
/// How long people's tokens live, in seconds; those of the exchange live 240, those of a grant 300.
const TOKEN_LIFETIME: i64 = 3600;

/// Starts them; also the key that kubeferry signs with at plant.
pub(super) async fn start(style: Style) -> anyhow::Result<(Realms, SigningKey)> {
    let plant_key = SigningKey::generate(Algorithm::Es256).with_thumbprint();
    let sign_in = Client::public("mcp-client", &[RESOURCE, CLIENT]);
    let own = Client::confidential(CLIENT, CORP_SECRET, &[]).exchanges(&[]).token_lifetime(240);
    let corp = RealmConfig::new("corp").user(User::new("alice", &["dev", "ops"])).user(User::new("bob", &["dev"]));
    let corp = corp.client(sign_in.clone()).client(own);
    let acme = RealmConfig::new("acme").user(User::new("carol", &["dev"])).client(sign_in);
    let of_plant = Client::public(CLIENT, &[]).auth(Authentication::PrivateKeyJwt(vec![plant_key.jwk()]));
    let plant =
        target("plant").user(User::new("alice-p", &["operators"])).client(of_plant.takes_grants(&["corp"], &[]));
    let of_lake = Client::confidential(CLIENT, LAKE_SECRET, &[]).takes_grants(&["corp"], &[]);
    let lake = target("lake").user(User::new("alice-l", &["readers"])).client(of_lake);
    let [corp, acme] = [corp, acme].map(|realm| RealmConfig { token_lifetime: TOKEN_LIFETIME, ..realm });
    let realms = [corp, acme, plant, lake].map(|realm| realm.style(style)).into();
    let realms = Realms::start(RealmsConfig { realms }).await?;
    let alice = realms.user("corp", "alice").sub;
    for (target, user) in [("plant", "alice-p"), ("lake", "alice-l")] {
        realms.connect("corp", target, CLIENT);
        realms.link(target, user, "corp", &alice);
    }
    for place in &PLACES {
        offer(&realms, place);
    }
    Ok((realms, plant_key))
}

/// A realm that takes grants, and signs otherwise than corp.
fn target(name: &str) -> RealmConfig {
    RealmConfig::new(name).algorithm(Algorithm::Es256)
}

/// Lets kubeferry's client have tokens for a cluster when it asks for the cluster's scope.
fn offer(realms: &Realms, place: &Place) {
    realms.register(place.realm, Client::public(place.audience, &[]));
    realms.add_scope(place.realm, Scope::new(&place.scope(), &[place.audience]));
    realms.change_client(place.realm, CLIENT, |client| client.optional_scopes.push(place.scope()));
}
