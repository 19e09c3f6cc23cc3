//! The objects of a plan, and how their members must be.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// One object that must be there, in the order in which they are made.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Thing {
    Scope(Scope),
    Client(Client),
    IdentityProvider(IdentityProvider),
    /// A scope that new clients of the realm get.
    RealmDefault {
        scope: String,
    },
    /// A default scope of a client that is not ours.
    LoginClient {
        client: String,
        scope: String,
    },
    Policy(Policy),
}

/// A policy of the realm for clients that register themselves without a token.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Policy {
    pub provider: &'static str,
    /// What it is for.
    pub why: String,
    pub must: Vec<Must>,
}

/// A client scope.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Scope {
    pub name: String,
    /// What it is for: the first words of its description.
    pub why: String,
    pub mappers: Vec<Mapper>,
    /// A scope of this name that is there already stays as it is: it is the realm's own.
    pub only_made: bool,
    /// What is to be done about other audiences that it brings in.
    pub others: Others,
}

/// Audiences of a scope that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Others {
    /// Keycloak leaves out what was not asked for.
    Ignored,
    /// Harmless, and good to know.
    Told,
    /// Each token would have them, and be refused for it.
    ByHand,
}

/// A protocol mapper.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Mapper {
    pub name: String,
    pub kind: &'static str,
    pub must: Vec<Must>,
    pub initially: Map<String, Value>,
}

impl Mapper {
    /// The audience that it must bring in.
    pub(super) fn audience(&self) -> Option<&str> {
        self.must.iter().filter(|must| must.path.ends_with(".audience")).find_map(|must| {
            if let Want::Is(Value::String(audience)) = &must.want { Some(audience.as_str()) } else { None }
        })
    }
}

/// A client.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Client {
    pub id: String,
    pub must: Vec<Must>,
    pub initially: Map<String, Value>,
    pub credential: Option<Credential>,
    pub default_scopes: Vec<String>,
    pub optional_scopes: Vec<String>,
    /// The audiences that each cluster's token may have, where the realm gives all that the scopes bring in.
    pub allowed: Vec<Vec<String>>,
}

/// How our client authenticates.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Credential {
    /// The secret in this file.
    Secret(PathBuf),
    /// The public half of the key in this file.
    PublicKey(PathBuf),
    /// Something that this program cannot write.
    ByHand(String),
}

/// An identity provider: another realm whose word is taken.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct IdentityProvider {
    /// Its alias, unless one of this issuer is there already.
    pub alias: String,
    /// The client of ours that may use it.
    pub client: String,
    pub issuer: String,
    pub must: Vec<Must>,
    pub initially: Map<String, Value>,
}

/// One member of an object as it must be.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Must {
    /// Members from the outside in, joined by `/`.
    pub path: &'static str,
    pub want: Want,
}

/// How a member must be.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Want {
    Is(Value),
    /// A list of aliases, joined by [`super::SEPARATOR`], that this one is among.
    Names(String),
    /// An array that these are among.
    Holds(Vec<String>),
    /// Not there, or an empty text.
    Empty,
    /// Not there, or anything but true.
    NotTrue,
    /// Any https URL; this one where there is none.
    Https(String),
    /// A text with a number from 1 to this; this where it is more or nothing.
    UpTo(u64),
}
