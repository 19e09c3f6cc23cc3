//! The JWT authorization grant (RFC 7523 section 2.1) as Keycloak does it: a grant of another issuer for a token of the user
//! that is linked to its subject. The order of the checks is Keycloak's, and with it what burns a grant: it is spent at its
//! `jti`, before the user and the scopes are looked at. Neither `typ` is checked, as there.

use serde_json::{Value, json};

use super::client::Client;
use super::config::{Provider, User};
use super::grants::GrantType;
use super::keys::uuid;
use super::scopes::{for_audiences, resolve};
use super::state::Realm;
use super::token::{Asked, Refusal, finish, refusal, user_token};
use super::verify::{BadSignature, Jwt};

/// Answers one grant.
pub(super) fn bearer(realm: &Realm, client: &Client, asked: &Asked<'_>) -> Result<Value, Refusal> {
    let allowed = client.jwt_grant.as_ref();
    let allowed =
        allowed.ok_or_else(|| invalid("JWT Authorization Grant is not supported for the requested client"))?;
    let assertion = asked.form.get("assertion").ok_or_else(|| invalid("Missing parameter:assertion"))?;
    let grant = Jwt::read(assertion).ok_or_else(|| invalid("The provided assertion is not a valid JWT"))?;
    let issuer = grant.text("iss").ok_or_else(|| invalid("Missing claim: iss"))?;
    let sub = grant.text("sub").ok_or_else(|| invalid("Missing claim: sub"))?;
    let mut providers = realm.config.providers.iter();
    let provider = providers.find(|one| one.issuer == issuer && one.enabled && one.grant_enabled);
    let provider = provider.ok_or_else(|| invalid("No Identity Provider for provided issuer"))?;
    if !allowed.contains(&provider.alias) {
        return Err(invalid("Identity Provider is not allowed for the client"));
    }
    if provider.validate_signature {
        let keys = provider.keys.as_ref().or_else(|| asked.published.get(issuer)).map_or(&[][..], Vec::as_slice);
        match grant.check(keys) {
            Err(BadSignature::Algorithm) => return Err(invalid("Invalid signature algorithm")),
            Err(BadSignature::Key | BadSignature::Wrong) => return Err(invalid("Invalid signature")),
            Ok(()) => {}
        }
    }
    for_this_realm(realm, client, provider, &grant)?;
    in_time(provider, &grant, realm.now())?;
    let jti = grant.text("jti").ok_or_else(|| invalid("Token jti claim is required"))?;
    if !realm.ledger.spend(issuer, jti) {
        return Err(invalid("Token reuse detected"));
    }
    let user = linked(realm, provider, sub)?;
    let granted = resolve(realm, client, asked.form.get("scope").map(String::as_str))?;
    let now = realm.now();
    let lifetime = client.token_lifetime.unwrap_or(realm.config.token_lifetime);
    let end = grant.seconds("exp").filter(|_| provider.limit_exp).unwrap_or(i64::MAX).min(now + lifetime);
    let token = user_token(realm, user)
        .claim("jti", format!("trrtag:{}", uuid()))
        .claim("iat", now)
        .claim("exp", end)
        .without_claim("sid")
        .claim("azp", client.id.clone())
        .claim("scope", granted.scope.clone());
    let id_token = granted.openid.then(|| token.clone().claim("typ", "ID").audience(&client.id).mint());
    let token = finish(realm, GrantType::JwtBearer, for_audiences(token, &granted.audiences));
    let mut answer = json!({
        "access_token": token, "expires_in": end - now, "refresh_expires_in": 0, "token_type": "Bearer",
        "not-before-policy": 0, "scope": granted.scope,
    });
    if let Some(id_token) = id_token {
        answer["id_token"] = id_token.into();
    }
    Ok(answer)
}

fn invalid(text: &str) -> Refusal {
    refusal(400, "invalid_grant", text)
}

/// The grant is for this realm alone: its issuer or its token endpoint, or what the client has instead.
fn for_this_realm(realm: &Realm, client: &Client, provider: &Provider, grant: &Jwt) -> Result<(), Refusal> {
    let own = [realm.issuer.clone(), realm.token_endpoint()];
    let accepted = client.grant_audiences.get(&provider.alias).map_or(&own[..], std::slice::from_ref);
    let audiences = grant.audiences();
    if !audiences.iter().any(|audience| accepted.iter().any(|one| one == audience)) {
        return Err(invalid("Invalid token audience"));
    }
    if audiences.len() > 1 {
        return Err(invalid("Multiple audiences not allowed"));
    }
    Ok(())
}

/// The provider's maximum limits the age of a grant, and its life only where there is no `iat`. The skew helps what is
/// ahead, not what is late.
fn in_time(provider: &Provider, grant: &Jwt, now: i64) -> Result<(), Refusal> {
    let exp = grant.seconds("exp").ok_or_else(|| invalid("Token exp claim is required"))?;
    let ahead = now + provider.clock_skew;
    if exp <= now || grant.seconds("nbf").is_some_and(|nbf| nbf > ahead) {
        return Err(invalid("Token is not active"));
    }
    match grant.seconds("iat") {
        Some(iat) if iat > ahead => Err(invalid("Token was issued in the future")),
        Some(iat) if iat < now - provider.max_age => {
            Err(invalid("Token was issued too far in the past to be used now"))
        }
        None if exp > now + provider.max_age => {
            Err(invalid("Token expiration is too far in the future and iat claim not present in token"))
        }
        _ => Ok(()),
    }
}

/// The user that is `sub` at the provider.
fn linked<'a>(realm: &'a Realm, provider: &Provider, sub: &str) -> Result<&'a User, Refusal> {
    let mut users = realm.config.users.iter();
    let user = users.find(|user| user.links.get(&provider.alias).is_some_and(|linked| linked == sub));
    let user = user.ok_or_else(|| invalid("User not found"))?;
    if !user.enabled {
        return Err(invalid("User is not enabled"));
    }
    if user.action_pending {
        return Err(invalid("Account is not fully set up"));
    }
    Ok(user)
}
