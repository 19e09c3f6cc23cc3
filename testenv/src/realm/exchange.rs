//! Token exchange (RFC 8693) as Keycloak's standard token exchange does it: an access token of this realm for another, for
//! the audiences that the client's scopes bring. `resource` and `actor_token` are ignored, as there.

use serde_json::{Value, json};

use super::client::{Authentication, Client};
use super::config::Style;
use super::grants::GrantType;
use super::keys::uuid;
use super::scopes::{Granted, for_audiences, resolve};
use super::state::Realm;
use super::token::{Asked, Refusal, finish, refusal, subject};
use super::verify::Jwt;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// `typ` of a grant in the style of the RFCs.
const GRANT_TYP: &str = "authorization-grant+jwt";

/// What is issued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Access,
    Id,
    /// A grant for another realm; there are none in Keycloak's style.
    Grant,
}

/// Answers one exchange.
pub(super) fn exchange(realm: &Realm, client: &Client, asked: &Asked<'_>) -> Result<Value, Refusal> {
    let invalid = |text: &str| refusal(400, "invalid_request", text);
    if !client.exchange || matches!(client.auth, Authentication::Public) {
        return Err(invalid("Standard token exchange is not enabled for the requested client"));
    }
    let field = |name: &str| {
        let text = || invalid(&format!("Parameter '{name}' required for standard token exchange"));
        asked.form.get(name).filter(|value| !value.is_empty()).ok_or_else(text)
    };
    let (token, kind) = (field("subject_token")?, field("subject_token_type")?);
    if kind != ACCESS_TOKEN {
        return Err(invalid("Parameter 'subject_token' supports access tokens only"));
    }
    let inbound = Jwt::read(token).filter(|jwt| is_good(realm, jwt)).ok_or_else(|| invalid("Invalid token"))?;
    let issued = subject(realm, inbound.text("sub").unwrap_or_default()).ok_or_else(|| invalid("Invalid token"))?;
    let wanted = wanted(realm, asked.form.get("requested_token_type").map(String::as_str))?;
    known(realm, &asked.audiences)?;
    if inbound.text("azp") != Some(&client.id) && !inbound.audiences().contains(&client.id.as_str()) {
        return Err(refusal(403, "access_denied", "Client is not within the token audience"));
    }
    let granted = resolve(realm, client, asked.form.get("scope").map(String::as_str))?;
    let audiences = filtered(granted.audiences.clone(), &asked.audiences)?;
    let audiences = match wanted {
        Wanted::Access => audiences,
        Wanted::Id => vec![client.id.clone()],
        Wanted::Grant if audiences.len() == 1 => audiences,
        Wanted::Grant => return Err(refusal(400, "invalid_target", "A grant is for exactly one audience")),
    };
    let lifetime = client.token_lifetime.unwrap_or(realm.config.token_lifetime);
    let sid = inbound.text("sid").map_or_else(uuid, str::to_owned);
    let now = realm.now();
    let token = issued
        .claim("jti", format!("ntrtte:{}", uuid()))
        .claim("iat", now)
        .claim("exp", now + lifetime)
        .claim("sid", sid.clone())
        .claim("azp", client.id.clone())
        .claim("scope", granted.scope.clone());
    let token = match wanted {
        Wanted::Access => token,
        Wanted::Id => token.claim("typ", "ID"),
        Wanted::Grant => token.without_claim("typ").header("typ", GRANT_TYP),
    };
    let token = finish(realm, GrantType::TokenExchange, for_audiences(token, &audiences));
    Ok(answer(wanted, &token, &granted, lifetime, &sid))
}

/// Whether this is an access token of this realm that still counts. Keycloak has one text for all that it may lack.
fn is_good(realm: &Realm, jwt: &Jwt) -> bool {
    let keys: Vec<Value> = realm.keys.iter().map(super::keys::SigningKey::jwk).collect();
    let now = realm.now();
    jwt.check(&keys).is_ok()
        && jwt.text("iss") == Some(&realm.issuer)
        && jwt.text("typ") == Some("Bearer")
        && jwt.seconds("exp").is_some_and(|exp| exp > now)
        && jwt.seconds("nbf").is_none_or(|nbf| nbf <= now)
        && realm.ledger.holds(jwt.text("sid"), jwt.text("jti"))
}

fn wanted(realm: &Realm, requested: Option<&str>) -> Result<Wanted, Refusal> {
    match (requested, realm.config.style) {
        (None | Some(ACCESS_TOKEN), _) => Ok(Wanted::Access),
        (Some(ID_TOKEN), _) => Ok(Wanted::Id),
        (Some(JWT), Style::Rfc) => Ok(Wanted::Grant),
        _ => Err(refusal(400, "invalid_request", "requested_token_type unsupported")),
    }
}

/// An audience is a client that can be used.
fn known(realm: &Realm, audiences: &[String]) -> Result<(), Refusal> {
    for audience in audiences {
        let target = realm.config.clients.iter().find(|client| client.id == *audience);
        let target = target.ok_or_else(|| refusal(400, "invalid_client", "Audience not found"))?;
        if !target.enabled {
            return Err(refusal(400, "invalid_client", "Client disabled"));
        }
    }
    Ok(())
}

/// What `audience` leaves of what the scopes bring.
fn filtered(available: Vec<String>, asked: &[String]) -> Result<Vec<String>, Refusal> {
    if asked.is_empty() {
        return Ok(available);
    }
    let missing: Vec<&str> = asked.iter().filter(|one| !available.contains(one)).map(String::as_str).collect();
    if !missing.is_empty() {
        let text = format!("Requested audience not available: {}", missing.join(", "));
        return Err(refusal(400, "invalid_request", &text));
    }
    Ok(available.into_iter().filter(|one| asked.contains(one)).collect())
}

fn answer(wanted: Wanted, token: &str, granted: &Granted, lifetime: i64, sid: &str) -> Value {
    let (token_type, issued) = match wanted {
        Wanted::Access => ("Bearer", ACCESS_TOKEN),
        Wanted::Id => ("N_A", ID_TOKEN),
        Wanted::Grant => ("N_A", JWT),
    };
    json!({
        "access_token": token, "expires_in": lifetime, "refresh_expires_in": 0, "token_type": token_type,
        "not-before-policy": 0, "session_state": sid, "scope": granted.scope, "issued_token_type": issued,
    })
}
