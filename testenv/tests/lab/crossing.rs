//! The program before a fleet whose tokens cross realms, for rows that count at realms and at clusters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testenv::crossing::Crossing;
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::poll;
use testenv::realm::{GrantRequest, GrantType};

use super::bench::{good, names};
use super::case::Case;

/// What a reload takes on a busy machine.
const RELOADED: Duration = Duration::from_secs(20);

/// A fleet and a program of this row's own.
pub struct Fleet<'a> {
    case: &'a Case,
    /// Realms, clusters and what stands before them.
    pub crossing: Crossing,
    /// The program.
    pub ferry: Arc<Ferry>,
    config: std::path::PathBuf,
}

impl<'a> Fleet<'a> {
    /// Realms in Keycloak's style.
    pub async fn start(case: &'a Case) -> anyhow::Result<Self> {
        Self::of(case, Crossing::start().await?, |text| text).await
    }

    /// The program with an edited configuration.
    pub async fn of(case: &'a Case, crossing: Crossing, edit: impl FnOnce(String) -> String) -> anyhow::Result<Self> {
        Self::logging(case, crossing, "debug", edit).await
    }

    /// The same with another level of the log.
    pub async fn logging(
        case: &'a Case,
        crossing: Crossing,
        level: &str,
        edit: impl FnOnce(String) -> String,
    ) -> anyhow::Result<Self> {
        let config = crossing.config_of(&edit(crossing.config_text()));
        let ferry = case.keep(Ferry::start(Some(&config), &[("KUBEFERRY_LOG", level)]).await?);
        crossing.clear();
        Ok(Self { case, crossing, ferry, config })
    }

    /// A new token of a user of corp.
    pub fn token(&self, user: &str) -> String {
        let token = self.crossing.token("corp", user);
        self.case.remember(&token);
        token
    }

    /// alice with a new token, so that nothing is kept for her yet, no failure either.
    pub async fn alice(&self) -> anyhow::Result<Client> {
        self.client(&self.token("alice")).await
    }

    /// A client with this token.
    pub async fn client(&self, token: &str) -> anyhow::Result<Client> {
        self.case.remember(token);
        Client::http(self.ferry.url(), Some(token), Era::Modern).await
    }

    /// Replaces the configuration, and waits for the reload.
    pub async fn reload(&self, edit: impl FnOnce(String) -> String) -> anyhow::Result<()> {
        let before = self.reloads();
        self.write(edit)?;
        self.reloaded(before).await
    }

    /// Replaces the configuration as `rename` does it.
    pub fn write(&self, edit: impl FnOnce(String) -> String) -> anyhow::Result<()> {
        let new = self.config.with_extension("new");
        std::fs::write(&new, edit(std::fs::read_to_string(&self.config)?))?;
        Ok(std::fs::rename(&new, &self.config)?)
    }

    /// How often it was reloaded.
    pub fn reloads(&self) -> usize {
        let log = self.ferry.log();
        log.lines().filter(|line| line.contains(r#""message":"reloaded"#)).count()
    }

    /// Waits for a reload after `before` others.
    pub async fn reloaded(&self, before: usize) -> anyhow::Result<()> {
        poll::until("a reload", RELOADED, || async {
            if self.reloads() > before { Ok(()) } else { Err(super::scene::tail(&self.ferry.log())) }
        })
        .await
    }

    /// The requests of one grant to `realm`.
    pub fn grants(&self, realm: &str, grant: GrantType) -> Vec<GrantRequest> {
        let all = self.crossing.realms.grants(realm);
        all.into_iter().filter(|seen| seen.grant == Some(grant)).collect()
    }

    /// How many exchanges corp was asked for.
    pub fn exchanges(&self) -> usize {
        self.grants("corp", GrantType::TokenExchange).len()
    }

    /// How many grants `realm` was shown.
    pub fn shown(&self, realm: &str) -> usize {
        self.grants(realm, GrantType::JwtBearer).len()
    }

    /// What a cluster was shown.
    pub fn seen(&self, cluster: &str) -> BTreeSet<String> {
        self.crossing.tap(cluster).token_digests()
    }

    /// Fails when a cluster heard of anything.
    pub fn assert_untouched(&self, cluster: &str, when: &str) {
        let paths: Vec<String> = self.crossing.tap(cluster).requests().into_iter().map(|seen| seen.path).collect();
        assert!(paths.is_empty(), "{when}: {cluster} was asked for {paths:?}");
    }
}

/// Lists the namespaces of a cluster, which must work.
pub async fn lists(client: &Client, cluster: &str) -> anyhow::Result<Called> {
    let answer = good(client, "namespaces_list", json!({"cluster": cluster})).await?;
    anyhow::ensure!(names(&answer.text).iter().any(|name| name == "default"), "{cluster}: {}", answer.text);
    Ok(answer)
}

/// Lists the namespaces of a cluster, which must fail with this code; what is said.
pub async fn fails(client: &Client, cluster: &str, code: &str) -> anyhow::Result<String> {
    let answer = client.call("namespaces_list", json!({"cluster": cluster})).await?;
    let twin = answer.structured.unwrap_or_default();
    anyhow::ensure!(answer.is_error && twin["code"] == code, "{cluster} does not fail with {code}: {}", answer.text);
    anyhow::ensure!(answer.text.contains(cluster), "it names {cluster}: {}", answer.text);
    Ok(answer.text)
}

/// For how many seconds a token for a cluster is kept now.
pub async fn kept(client: &Client, cluster: &str) -> anyhow::Result<Option<u64>> {
    let told = good(client, "auth_explain", json!({"cluster": cluster})).await?;
    Ok(told.structured.as_ref().and_then(|told| told["keptForSeconds"].as_u64()))
}

/// `text` with `old` replaced by `new` in the table of one cluster.
pub fn in_table(text: &str, table: &str, old: &str, new: &str) -> String {
    let begins = text.find(&format!("[{table}]\n")).unwrap_or_else(|| panic!("no [{table}] in {text}"));
    let ends = text[begins..].find("\n[").map_or(text.len(), |at| begins + at);
    let edited = text[begins..ends].replacen(old, new, 1);
    assert_ne!(edited, text[begins..ends], "[{table}] has {old}");
    format!("{}{edited}{}", &text[..begins], &text[ends..])
}
