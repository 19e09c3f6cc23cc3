//! What is sent to make an object, and our client's credential in it.

use std::path::Path;

use serde_json::{Value, json};

use super::diff::{created, put};
use super::jwk;
use super::plan::{AUDIENCE_MAPPER, Client, Credential, Mapper, Scope};
use crate::kubeconfig::read_bounded;
use crate::model::Secret;
use crate::setup::{self, SetupError};

/// What Keycloak shows of a secret to somebody who may not see it.
const MASKED: &str = "**********";

/// What came of comparing our client's credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is ours, or none of ours to compare.
    Same,
    /// It was another, and ours is written now. In words, without showing it.
    Other(String),
    /// It cannot be seen. In words.
    Hidden(String),
}

/// The secret in a file.
fn secret(file: &Path) -> Result<Secret, SetupError> {
    let what = "client secret";
    let bytes = read_bounded(file).map_err(|source| SetupError::File { what, file: file.to_owned(), source })?;
    setup::secret(what, file, bytes)
}

/// Reads what [`credential`] will read.
///
/// # Errors
/// When the file cannot be used.
pub(super) fn readable(wanted: Option<&Credential>) -> Result<(), SetupError> {
    match wanted {
        Some(Credential::Secret(file)) => secret(file).map(drop),
        Some(Credential::PublicKey(file)) => public_key(file).map(drop),
        Some(Credential::ByHand(_)) | None => Ok(()),
    }
}

/// The public half of a key as the text that Keycloak keeps.
pub(super) fn public_key(file: &Path) -> Result<Value, SetupError> {
    jwk::public_jwk(file).map_err(|source| SetupError::File { what: "private key", file: file.to_owned(), source })
}

/// Writes the credential into `client` where it is another.
pub(super) fn credential(client: &mut Value, wanted: Option<&Credential>) -> Result<Compared, SetupError> {
    match wanted {
        Some(Credential::Secret(file)) => {
            let secret = secret(file)?;
            let masked = client["secret"] == MASKED;
            if client["secret"] == secret.expose() {
                return Ok(Compared::Same);
            }
            put(client, "secret", secret.expose().into());
            Ok(match masked {
                true => Compared::Hidden(
                    "its secret was not compared: this administrator may not see it, manage-clients may".to_owned(),
                ),
                false => Compared::Other("its secret is another than the one in secret_file".to_owned()),
            })
        }
        Some(Credential::PublicKey(file)) => {
            let key = public_key(file)?;
            let attributes = &client["attributes"];
            let by_url = attributes["use.jwks.url"] == "true";
            let there = attributes["jwks.string"].as_str().unwrap_or_default().to_owned();
            if !by_url && jwk::holds(&there, &key) {
                return Ok(Compared::Same);
            }
            if by_url {
                put(client, "attributes/use.jwks.url", "false".into());
            }
            put(client, "attributes/jwks.string", jwk::added(&there, key).into());
            Ok(Compared::Other("the key in key_file is none of its keys".to_owned()))
        }
        Some(Credential::ByHand(_)) | None => Ok(Compared::Same),
    }
}

/// The audience that a mapper brings into access tokens. A custom one counts only where no client is named.
pub(super) fn audience(mapper: &Value) -> Option<&str> {
    let config = &mapper["config"];
    let named = |member: &str| config[member].as_str().filter(|audience| !audience.is_empty());
    let brings = mapper["protocolMapper"] == AUDIENCE_MAPPER && config["access.token.claim"] != "false";
    named("included.client.audience").or_else(|| named("included.custom.audience")).filter(|_| brings)
}

pub(super) fn new_scope(scope: &Scope) -> Value {
    json!({
        "name": scope.name, "description": scope.why, "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "true", "display.on.consent.screen": "false"},
        "protocolMappers": scope.mappers.iter().map(new_mapper).collect::<Vec<_>>(),
    })
}

pub(super) fn new_mapper(mapper: &Mapper) -> Value {
    let mut body = created(&mapper.initially, &mapper.must);
    put(&mut body, "name", mapper.name.as_str().into());
    put(&mut body, "protocol", "openid-connect".into());
    put(&mut body, "protocolMapper", mapper.kind.into());
    body
}

/// Without its credential.
pub(super) fn new_client(client: &Client) -> Value {
    let mut body = created(&client.initially, &client.must);
    put(&mut body, "clientId", client.id.as_str().into());
    put(&mut body, "defaultClientScopes", json!(client.default_scopes));
    put(&mut body, "optionalClientScopes", json!(client.optional_scopes));
    body
}
