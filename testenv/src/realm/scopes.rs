//! Client scopes: what a client that asks for some gets, and for whom its token is then.

use serde_json::Value;

use super::client::Client;
use super::config::Style;
use super::mint::TokenBuilder;
use super::state::Realm;
use super::token::{Refusal, refusal};

/// What a client gets.
#[derive(Debug)]
pub(super) struct Granted {
    /// `scope` of the answer and of the token: the client's default scopes, then those that were asked for. In the style of
    /// the RFCs the default scopes are for who asks for none (RFC 6749 section 3.3).
    pub scope: String,
    /// What the scopes and the client's own mappers bring.
    pub audiences: Vec<String>,
    /// Whether `openid` is among the scopes.
    pub openid: bool,
}

/// Resolves `scope` for `client`.
pub(super) fn resolve(realm: &Realm, client: &Client, asked: Option<&str>) -> Result<Granted, Refusal> {
    let asked = asked.unwrap_or_default();
    let wanted: Vec<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
    let assigned = |scope: &str| client.default_scopes.iter().chain(&client.optional_scopes).any(|one| one == scope);
    if wanted.iter().any(|scope| *scope != "openid" && !assigned(scope)) {
        return Err(refusal(400, "invalid_scope", &format!("Invalid scopes: {asked}")));
    }
    let openid = wanted.contains(&"openid");
    let mut scopes: Vec<&str> = if openid { vec!["openid"] } else { Vec::new() };
    let adds_defaults = realm.config.style == Style::Keycloak || wanted.is_empty();
    let defaults = client.default_scopes.iter().filter(|_| adds_defaults);
    for scope in defaults.map(String::as_str).chain(wanted) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let mut audiences = client.audiences.clone();
    for scope in realm.config.scopes.iter().filter(|scope| scopes.contains(&scope.name.as_str())) {
        for audience in &scope.audiences {
            if !audiences.contains(audience) {
                audiences.push(audience.clone());
            }
        }
    }
    Ok(Granted { scope: scopes.join(" "), audiences, openid })
}

/// Writes `aud` as Keycloak does: absent, a string or an array, by the number.
pub(super) fn for_audiences(token: TokenBuilder, audiences: &[String]) -> TokenBuilder {
    match audiences {
        [] => token,
        [one] => token.claim("aud", one.clone()),
        several => token.claim("aud", Value::from(several.to_vec())),
    }
}
