//! What a token with a good signature says, read strictly, and what it is admitted for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::jwt::Home;
use super::{AuthError, Authenticator, LEEWAY};
use crate::model::names::quote;
use crate::model::{Admission, Principal};
use crate::realm::{Profile, RealmConfig};

/// How far `iat` may be ahead of our clock, in seconds.
const IAT_AHEAD: u64 = 60;
/// The longest subject, username and client id, in bytes.
const MAX_NAME: usize = 255;
/// The longest group, scope, role and audience, in bytes.
const MAX_ITEM: usize = 256;
/// The longest audience, in bytes: audiences are addresses.
const MAX_AUDIENCE: usize = 2048;
/// The most groups, and the most roles.
const MAX_GROUPS: usize = 512;
/// The most audiences, and the most scopes.
const MAX_LIST: usize = 128;

/// Why a claim is refused, in words for the caller.
type Why = Cow<'static, str>;

/// The claims of one token of one realm.
pub(super) struct Claims<'a> {
    pub(super) map: &'a Map<String, Value>,
    /// The header says that this is an access token.
    pub(super) access: bool,
    pub(super) realm: &'a RealmConfig,
}

impl Authenticator {
    /// The principal of a token whose signature was checked.
    pub(super) fn admit(
        &self,
        home: &Home,
        claims: &Claims<'_>,
        digest: [u8; 32],
        now: SystemTime,
    ) -> Result<Principal, AuthError> {
        let sub = claims.subject()?;
        let expires = claims.times(now)?;
        claims.not_another_kind()?;
        let audiences = claims.audiences()?;
        let azp = claims.client()?;
        let admission = self.admission(home, claims, &audiences, azp.as_deref())?;
        let scopes = claims.scopes()?;
        let username = claims.username(&sub)?;
        let groups = claims.groups()?;
        let allowed = &home.realm.allowed_clients;
        if !allowed.is_empty() && !azp.as_ref().is_some_and(|azp| allowed.contains(azp)) {
            return Err(AuthError::ClientNotAllowed);
        }
        if !self.required_scopes.iter().all(|scope| scopes.contains(scope)) {
            return Err(AuthError::InsufficientScope { required: self.required_scopes.clone() });
        }
        Ok(Principal {
            realm: home.realm.name.clone(),
            iss: home.realm.issuer.clone(),
            sub,
            username,
            groups,
            scopes,
            roles: self.roles(claims, &audiences)?,
            audiences,
            azp,
            issued: claims.issued()?,
            expires: Some(expires),
            token_digest: digest,
            admission,
            shared: false,
        })
    }

    /// What the token's audiences open.
    fn admission(
        &self,
        home: &Home,
        claims: &Claims<'_>,
        audiences: &[String],
        azp: Option<&str>,
    ) -> Result<Admission, AuthError> {
        let for_us = audiences.iter().any(|audience| self.audiences.contains(audience));
        let for_cluster = audiences.iter().any(|audience| home.passthrough.contains(audience));
        let is_id_token = claims.is_id_token();
        if is_id_token && !home.realm.accept_id_token {
            let client = quote(azp.or(audiences.first().map(String::as_str)).unwrap_or_default());
            let wanted = self.resource.as_deref().unwrap_or("this server");
            return Err(AuthError::invalid(format!(
                "this is an ID token for client {client}; send an access token whose audience is {wanted}"
            )));
        }
        match (for_us, for_cluster, is_id_token) {
            (true, _, true) => Ok(Admission::IdToken),
            (true, _, false) => Ok(Admission::Full),
            // An ID token too: this admission is the narrower one.
            (false, true, _) => Ok(Admission::PassthroughOnly),
            (false, false, _) => Err(AuthError::invalid("the token was issued for another audience")),
        }
    }

    /// The tools that the token's roles name, when it was issued for one of the gateway's names for us.
    fn roles(&self, claims: &Claims<'_>, audiences: &[String]) -> Result<Option<Arc<[String]>>, AuthError> {
        let names: Vec<&String> = self.gateway_server_names.iter().filter(|name| audiences.contains(name)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let access = claims.map.get("resource_access");
        let mut tools = BTreeSet::new();
        for name in names {
            let Some(roles) = access.and_then(|access| access.get(name)).and_then(|entry| entry.get("roles")) else {
                continue;
            };
            let roles = list(Some(roles), MAX_GROUPS, MAX_ITEM)
                .ok_or_else(|| AuthError::invalid("the token's roles are not usable"))?;
            tools.extend(roles.into_iter().filter_map(tool_of_role));
        }
        Ok(Some(tools.into_iter().collect()))
    }
}

/// `pods_list` and `tool:pods_list` name a tool; `prompt:x` and the like name something else.
fn tool_of_role(role: String) -> Option<String> {
    match role.split_once(':') {
        None => Some(role),
        Some(("tool", tool)) if !tool.contains(':') => Some(tool.to_owned()),
        Some(_) => None,
    }
}

impl Claims<'_> {
    /// `sub` (RFC 7519 4.1.2): 1 to 255 bytes that can be shown.
    fn subject(&self) -> Result<String, AuthError> {
        let sub = self.map.get("sub").and_then(Value::as_str).filter(|sub| is_clean(sub, MAX_NAME));
        sub.map(str::to_owned).ok_or_else(|| AuthError::invalid("the token's sub is missing or not usable"))
    }

    /// Checks `exp`, `nbf`, `iat` and the length of the token's life; gives `exp`.
    fn times(&self, now: SystemTime) -> Result<SystemTime, AuthError> {
        let invalid = |why| Err(AuthError::invalid(why));
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (leeway, most) = (LEEWAY.as_secs(), self.realm.max_token_lifetime.as_secs());
        let Some(exp) = self.seconds("exp")? else {
            return invalid("the token has no exp");
        };
        if exp.saturating_add(leeway) <= now {
            return invalid("the token has expired");
        }
        if self.seconds("nbf")?.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return invalid("the token is not valid yet");
        }
        let iat = self.seconds("iat")?;
        if iat.is_some_and(|iat| iat > now.saturating_add(IAT_AHEAD)) {
            return invalid("the token was issued in the future");
        }
        let too_long = iat.is_some_and(|iat| exp.saturating_sub(iat) > most);
        if too_long || exp.saturating_sub(now) > most.saturating_add(leeway) {
            return invalid("the token is valid for longer than its realm allows here");
        }
        UNIX_EPOCH
            .checked_add(Duration::from_secs(exp))
            .ok_or_else(|| AuthError::invalid("the token's exp is not usable"))
    }

    /// When the token was issued, if it says so.
    fn issued(&self) -> Result<Option<SystemTime>, AuthError> {
        Ok(self.seconds("iat")?.and_then(|iat| UNIX_EPOCH.checked_add(Duration::from_secs(iat))))
    }

    /// A NumericDate (RFC 7519 2) in whole seconds; a fraction is cut off.
    fn seconds(&self, name: &'static str) -> Result<Option<u64>, AuthError> {
        let Some(value) = self.map.get(name) else {
            return Ok(None);
        };
        // Beyond 2^53 a double no longer counts seconds.
        let fraction = value.as_f64().filter(|value| (0.0..9_007_199_254_740_992.0).contains(value));
        match (value.as_u64(), fraction) {
            (Some(whole), _) => Ok(Some(whole)),
            (None, Some(fraction)) => Ok(Some(fraction as u64)),
            (None, None) => Err(AuthError::invalid(format!("the token's {name} is no time"))),
        }
    }

    /// Refuses bound tokens (RFC 7800), security events (RFC 8417), and Keycloak's refresh, logout and other tokens.
    fn not_another_kind(&self) -> Result<(), AuthError> {
        if self.map.contains_key("cnf") {
            return Err(AuthError::invalid("the token is bound to a key (cnf); it is not accepted as a bearer token"));
        }
        let foreign = match self.map.get("typ") {
            Some(Value::String(typ)) => {
                self.realm.profile == Profile::Keycloak && !matches!(typ.as_str(), "Bearer" | "ID")
            }
            Some(_) => true,
            None => false,
        };
        if foreign || self.map.contains_key("events") {
            return Err(AuthError::invalid("the token is of a kind (typ) that is no access token"));
        }
        Ok(())
    }

    /// Whether this is an ID token (OpenID Connect Core 2).
    fn is_id_token(&self) -> bool {
        let typ = self.map.get("typ").and_then(Value::as_str);
        if typ == Some("ID") || self.realm.profile == Profile::Dex {
            return true;
        }
        // Older Keycloaks put the nonce into access tokens too; their typ is what counts.
        let said_access = self.access || (self.realm.profile == Profile::Keycloak && typ == Some("Bearer"));
        !said_access && ["nonce", "at_hash", "c_hash"].iter().any(|name| self.map.contains_key(*name))
    }

    fn audiences(&self) -> Result<Vec<String>, AuthError> {
        list(self.map.get("aud"), MAX_LIST, MAX_AUDIENCE)
            .filter(|audiences| !audiences.is_empty())
            .ok_or_else(|| AuthError::invalid("the token's aud is missing or not usable"))
    }

    /// The client: `azp`, or `client_id` (RFC 9068 2.2).
    fn client(&self) -> Result<Option<String>, AuthError> {
        for name in ["azp", "client_id"] {
            match self.map.get(name) {
                None => {}
                Some(Value::String(client)) if is_clean(client, MAX_ITEM) => {
                    return Ok(Some(client.clone()));
                }
                Some(_) => {
                    return Err(AuthError::invalid(format!("the token's {name} is not usable")));
                }
            }
        }
        Ok(None)
    }

    /// `scope` as words in one text (RFC 8693 4.2), or `scp` as some providers write it.
    fn scopes(&self) -> Result<Vec<String>, AuthError> {
        let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let scopes = match (self.map.get("scope"), self.map.get("scp")) {
            (None, None) => Some(Vec::new()),
            (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => Some(words(text)),
            (None, scp @ Some(Value::Array(_))) => list(scp, MAX_LIST, MAX_ITEM),
            (Some(_), _) | (None, Some(_)) => None,
        };
        let fits =
            |scopes: &Vec<String>| scopes.len() <= MAX_LIST && scopes.iter().all(|scope| is_clean(scope, MAX_ITEM));
        scopes.filter(fits).ok_or_else(|| AuthError::invalid("the token's scope is not usable"))
    }

    /// The realm's username claim; `email` counts only when the realm verified it.
    fn username(&self, sub: &str) -> Result<String, AuthError> {
        let name = &self.realm.username_claim;
        if name == "sub" {
            return Ok(sub.to_owned());
        }
        if name == "email" && self.map.get("email_verified") != Some(&Value::Bool(true)) {
            return Err(AuthError::invalid(
                "the token's email is not verified (email_verified), so it cannot be the username",
            ));
        }
        let username = self.map.get(name).and_then(Value::as_str).filter(|username| is_clean(username, MAX_NAME));
        username.map(str::to_owned).ok_or_else(|| {
            AuthError::invalid(format!("the token's {}, the username claim, is missing or not usable", quote(name)))
        })
    }

    fn groups(&self) -> Result<Vec<String>, AuthError> {
        let Some(value) = self.map.get(&self.realm.groups_claim) else {
            return Ok(Vec::new());
        };
        list(Some(value), MAX_GROUPS, MAX_ITEM).ok_or_else(|| {
            let why: Why =
                format!("the token's groups are not usable: at most {MAX_GROUPS} texts of {MAX_ITEM} bytes").into();
            AuthError::invalid(why)
        })
    }
}

/// A text or a list of texts, each of which can be shown; `None` for anything else and for too many.
fn list(value: Option<&Value>, most: usize, longest: usize) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().filter(|text| is_clean(text, longest)).map(str::to_owned);
    match value? {
        single @ Value::String(_) => Some(vec![text(single)?]),
        Value::Array(items) if items.len() <= most => items.iter().map(text).collect(),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// 1 to `longest` bytes, no white space at the ends, and no character that does not show or that changes the order of
/// others: a name must not look like another one.
fn is_clean(text: &str, longest: usize) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    (1..=longest).contains(&text.len()) && text.trim() == text && !text.chars().any(hidden)
}
