//! What a test can change while realms run: who is linked, what is switched on, the clock, and what the next answers are.

use std::sync::Arc;

use serde_json::Value;

use super::Realms;
use super::client::{Authentication, Client, Scope};
use super::config::{Provider, User};
use super::faults::Fault;
use super::grants::{GrantRequest, GrantType};
use super::mint::TokenBuilder;
use super::token::Form;
use super::verify::Jwt;

/// Users.
impl Realms {
    /// Adds a user.
    pub fn add_user(&self, realm: &str, user: User) {
        self.with(realm, |realm| realm.config.users.push(user));
    }

    /// Changes a user.
    ///
    /// # Panics
    /// When there is no such realm or user; all methods here panic for what does not exist.
    pub fn change_user(&self, realm: &str, username: &str, change: impl FnOnce(&mut User)) {
        self.with(realm, |of| {
            let user = of.config.users.iter_mut().find(|user| user.username == username);
            change(user.unwrap_or_else(|| panic!("realm {realm} has no user {username}")));
        });
    }

    /// Links a user to who is `sub` at the provider `alias`, in place of an earlier link.
    pub fn link(&self, realm: &str, username: &str, alias: &str, sub: &str) {
        self.change_user(realm, username, |user| drop(user.links.insert(alias.to_owned(), sub.to_owned())));
    }

    /// Ends the link of a user to the provider `alias`.
    pub fn unlink(&self, realm: &str, username: &str, alias: &str) {
        self.change_user(realm, username, |user| drop(user.links.remove(alias)));
    }

    /// Enables or disables a user.
    pub fn enable_user(&self, realm: &str, username: &str, enabled: bool) {
        self.change_user(realm, username, |user| user.enabled = enabled);
    }

    /// Ends the session of a user: tokens of before are no longer exchanged, tokens from now on are.
    pub fn log_out(&self, realm: &str, username: &str) {
        let sub = self.user(realm, username).sub;
        self.with(realm, |realm| realm.ledger.log_out(&sub));
    }

    /// Takes one token back (RFC 7009), so that it is no longer exchanged.
    pub fn revoke(&self, realm: &str, token: &str) {
        let jwt = Jwt::read(token).expect("a token of this realm is revoked");
        let jti = jwt.text("jti").expect("tokens of a realm have an id");
        self.with(realm, |realm| realm.ledger.revoke(jti));
    }
}

/// Clients, scopes and providers.
impl Realms {
    /// Changes a client.
    pub fn change_client(&self, realm: &str, id: &str, change: impl FnOnce(&mut Client)) {
        self.with(realm, |of| {
            let client = of.config.clients.iter_mut().find(|client| client.id == id);
            change(client.unwrap_or_else(|| panic!("realm {realm} has no client {id}")));
        });
    }

    /// Gives a client another secret.
    pub fn set_secret(&self, realm: &str, id: &str, secret: &str) {
        self.change_client(realm, id, |client| client.auth = Authentication::Secret(secret.to_owned()));
    }

    /// Enables or disables a client.
    pub fn enable_client(&self, realm: &str, id: &str, enabled: bool) {
        self.change_client(realm, id, |client| client.enabled = enabled);
    }

    /// Adds a client scope, in place of one with the same name.
    pub fn add_scope(&self, realm: &str, scope: Scope) {
        self.with(realm, |realm| {
            realm.config.scopes.retain(|other| other.name != scope.name);
            realm.config.scopes.push(scope);
        });
    }

    /// Adds an identity provider, in place of one with the same alias. Links are the users', and stay.
    pub fn add_provider(&self, realm: &str, provider: Provider) {
        self.with(realm, |realm| {
            realm.config.providers.retain(|other| other.alias != provider.alias);
            realm.config.providers.push(provider);
        });
    }

    /// Changes an identity provider: `enabled`, `grant_enabled`, its limits.
    pub fn change_provider(&self, realm: &str, alias: &str, change: impl FnOnce(&mut Provider)) {
        self.with(realm, |of| {
            let provider = of.config.providers.iter_mut().find(|provider| provider.alias == alias);
            change(provider.unwrap_or_else(|| panic!("realm {realm} has no provider {alias}")));
        });
    }

    /// Sets up realm `home` to give `client` grants for realm `target`, in the scope `access-<target>`: the client whose
    /// id is the target's issuer, the scope that has it as audience, and the provider `home` at `target`.
    pub fn connect(&self, home: &str, target: &str, client: &str) {
        let (from, to) = (self.issuer(home), self.issuer(target));
        let scope = format!("access-{target}");
        self.register(home, Client::public(&to, &[]));
        self.add_scope(home, Scope::new(&scope, &[&to]));
        self.change_client(home, client, |client| client.optional_scopes.push(scope));
        self.add_provider(target, Provider::new(home, &from));
    }
}

/// The clock and the next answers.
impl Realms {
    /// Sets the clock of one realm ahead of the machine's by so many seconds, or back with a negative number.
    pub fn set_clock(&self, realm: &str, ahead: i64) {
        self.with(realm, |realm| realm.clock_ahead = ahead);
    }

    /// Makes the next `times` requests for one grant meet `fault`; `None` is all of them. What replaces the answer comes
    /// before the grant is looked at; what spoils it (a delay, a reset) comes after, so a grant is burnt then.
    pub fn fault_grant(&self, realm: &str, grant: GrantType, fault: Fault, times: Option<usize>) {
        self.with(realm, |realm| realm.behaviour.faults.set(grant, fault, times));
    }

    /// Changes the next `times` tokens of one grant before they are signed; `None` is all of them.
    pub fn edit_token(
        &self,
        realm: &str,
        grant: GrantType,
        times: Option<usize>,
        edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static,
    ) {
        self.with(realm, |realm| realm.behaviour.tokens.set(grant, Arc::new(edit), times));
    }

    /// Changes the JSON of the next `times` successes of one grant; `None` is all of them. The closure also sees the form
    /// of the request, to return what was sent.
    pub fn edit_answer(
        &self,
        realm: &str,
        grant: GrantType,
        times: Option<usize>,
        edit: impl Fn(&mut Value, &Form) + Send + Sync + 'static,
    ) {
        self.with(realm, |realm| realm.behaviour.answers.set(grant, Arc::new(edit), times));
    }

    /// The token requests to `realm` since the start or the last `clear`, in the order of their answers.
    ///
    /// # Panics
    /// When the log is full.
    #[must_use]
    pub fn grants(&self, realm: &str) -> Vec<GrantRequest> {
        self.with(realm, |_| ());
        self.site.grants(realm)
    }
}
