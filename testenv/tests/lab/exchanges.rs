//! What the home realm of a fleet was asked and answered, beside the fleet. Each call is alice's with a new token, so that
//! nothing that is kept of an earlier one answers it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testenv::crossing::{Crossing, PLACES, Place};
use testenv::mcp::{Called, Client};
use testenv::realm::{GrantType, Style, TokenBuilder};
use testenv::tap::digest;

use super::bench::bad;
use super::case::Case;
use super::crossing::Fleet;

/// What a token endpoint was sent and what it answered.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// The form.
    pub form: BTreeMap<String, String>,
    /// The JSON, as it left.
    pub answer: Value,
}

type Seen = Arc<Mutex<Vec<Exchanged>>>;

/// See the module.
pub struct Exchanges<'a> {
    /// Clusters, realms and the program.
    pub fleet: Fleet<'a>,
    case: &'a Case,
    seen: Seen,
}

impl<'a> Exchanges<'a> {
    /// In Keycloak's style.
    pub async fn start(case: &'a Case) -> anyhow::Result<Self> {
        Self::start_in(case, Style::Keycloak).await
    }

    /// In another.
    pub async fn start_in(case: &'a Case, style: Style) -> anyhow::Result<Self> {
        let crossing = Crossing::start_in(style).await?;
        Self::of(case, Fleet::logging(case, crossing, "trace", |text| text).await?)
    }

    /// At a fleet that runs.
    pub fn of(case: &'a Case, fleet: Fleet<'a>) -> anyhow::Result<Self> {
        let folder = fleet.crossing.folder();
        for name in ["corp.secret", "lake.secret"] {
            case.remember(&std::fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?);
        }
        let exchanges = Self { fleet, case, seen: Seen::default() };
        exchanges.answers(None, |_, _| ());
        Ok(exchanges)
    }

    /// Replaces a file beside the configuration, as `rename` does it.
    pub fn replace(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let folder = self.fleet.crossing.folder();
        let new = folder.join(format!(".{name}.new"));
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(&new, folder.join(name))?)
    }

    /// Edits the next answers to exchanges at corp.
    pub fn answers(
        &self,
        times: Option<usize>,
        edit: impl Fn(&mut Value, &BTreeMap<String, String>) + Send + Sync + 'static,
    ) {
        let seen = Arc::clone(&self.seen);
        self.fleet.crossing.realms.edit_answer("corp", GrantType::TokenExchange, times, move |answer, form| {
            edit(answer, form);
            let exchanged = Exchanged { form: form.clone(), answer: answer.clone() };
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(exchanged);
        });
    }

    /// Edits the next tokens that corp issues for an exchange.
    pub fn tokens(&self, edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static) {
        self.fleet.crossing.realms.edit_token("corp", GrantType::TokenExchange, None, edit);
    }

    /// Corp behaves again, and what was seen is forgotten.
    pub fn clear(&self) {
        self.fleet.crossing.realms.heal("corp");
        self.answers(None, |_, _| ());
        self.fleet.crossing.clear();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The exchanges at corp that got as far as an answer, since [`Exchanges::clear`].
    pub fn exchanged(&self) -> Vec<Exchanged> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client reads a cluster.
    pub async fn call(&self, client: &Client, cluster: &str) -> anyhow::Result<Called> {
        let called = client.call("namespaces_list", json!({"cluster": place(cluster).address()})).await;
        self.remember();
        called
    }

    /// A new token of alice reads a cluster; see [`Exchanges::serves`].
    pub async fn works(&self, cluster: &str) -> anyhow::Result<()> {
        let client = self.fleet.alice().await?;
        self.serves(&client, cluster).await
    }

    /// A client reads a cluster of corp, which sees tokens that corp issued since [`Exchanges::clear`] and no other.
    pub async fn serves(&self, client: &Client, cluster: &str) -> anyhow::Result<()> {
        let called = self.call(client, cluster).await?;
        anyhow::ensure!(!called.is_error, "{cluster}: {}", called.text);
        let (shown, exchanged) = (self.fleet.crossing.tap(cluster).token_digests(), self.exchanged());
        let issued = exchanged.iter().filter_map(|one| one.answer["access_token"].as_str().map(digest));
        let issued: BTreeSet<String> = issued.collect();
        anyhow::ensure!(!shown.is_empty() && shown.is_subset(&issued), "{cluster}: {shown:?}, not {issued:?}");
        Ok(())
    }

    /// A new token of alice is refused a cluster with this code in one line that names step and realm; no cluster hears of
    /// it. The answer as it came.
    pub async fn refused(&self, cluster: &str, code: &str) -> anyhow::Result<Called> {
        let client = self.fleet.alice().await?;
        self.refuses(&client, cluster, code).await
    }

    /// As [`Exchanges::refused`], for a client that is there.
    pub async fn refuses(&self, client: &Client, cluster: &str, code: &str) -> anyhow::Result<Called> {
        let called = bad(client, "namespaces_list", json!({"cluster": place(cluster).address()})).await;
        self.remember();
        let called = called?;
        let said = called.structured.as_ref().map(|twin| &twin["code"]);
        anyhow::ensure!(said == Some(&json!(code)), "{code}: {} {said:?}", called.text);
        anyhow::ensure!(called.text.contains("realm corp"), "{code} names the realm: {}", called.text);
        self.untouched()?;
        Ok(called)
    }

    /// No cluster heard of anything since [`Exchanges::clear`].
    pub fn untouched(&self) -> anyhow::Result<()> {
        for Place { name, .. } in PLACES {
            let tap = self.fleet.crossing.tap(name);
            anyhow::ensure!(tap.requests().is_empty(), "{name} was asked: {:?}", tap.requests());
        }
        Ok(())
    }

    /// What was issued must be in no log either.
    fn remember(&self) {
        for Exchanged { answer, .. } in self.exchanged() {
            let tokens = ["access_token", "refresh_token"].map(|name| answer[name].as_str().map(str::to_owned));
            tokens.into_iter().flatten().filter(|token| token.len() > 16).for_each(|token| self.case.remember(&token));
        }
    }
}

/// The cluster of this name.
pub fn place(name: &str) -> Place {
    PLACES.into_iter().find(|place| place.name == name).unwrap_or_else(|| panic!("there is no cluster {name}"))
}

/// Header and claims of a JWT.
pub fn decoded(token: &str) -> anyhow::Result<[Value; 2]> {
    let mut parts = token.split('.').map(|part| anyhow::Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?));
    let mut part = || parts.next().context("a JWT has three parts")?;
    Ok([part()?, part()?])
}
