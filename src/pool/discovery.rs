//! Which kinds a cluster or workspace serves.
//!
//! On Kubernetes: aggregated discovery, two requests. On kcp: plain and lazy, one group-version at a time, because its
//! `/apis` answers a plain list whatever is asked and its aggregated `/api` leaves out bound resources (measured). What
//! was read is shared between callers by content, but a caller's pointer to it exists only after that caller's own
//! success there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::client::ClusterClient;
use super::send::Ask;
use crate::model::{ApiResource, ClusterKind, Failure, FailureKind, KeyHasher, names};

pub(super) mod find;
mod serves;
mod wire;

use find::Wanted;
use wire::{Aggregated, GroupList, Kind, ResourceList};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
/// Group-versions read at once.
const AT_ONCE: usize = 8;

/// One discovery document, as a caller has read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Document {
    /// Everything: of a Kubernetes cluster in two requests.
    All,
    /// The names of the groups with their preferred versions.
    Groups,
    /// One group-version; the group is empty for core.
    Version(String, String),
}

/// What a document holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// What is served.
    Kinds(Served),
    /// Preferred group-versions, in the server's order.
    Versions(Vec<(String, String)>),
}

/// What a server serves, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// In the server's order of preference.
    pub(super) kinds: Vec<ApiResource>,
    /// Group-versions of which nothing is known: the servers behind them do not answer.
    silent: Vec<String>,
}

/// What is served at a place, in documents that others may hold too.
#[derive(Debug, Default)]
pub(super) struct Everything {
    contents: Vec<Arc<Content>>,
    /// Group-versions whose document could not be read.
    unread: Vec<String>,
}

impl Everything {
    /// In the server's order of preference.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &ApiResource> + Clone {
        self.served().flat_map(|served| &served.kinds)
    }

    /// Group-versions of which nothing is known.
    fn silent(&self) -> impl Iterator<Item = &str> {
        self.served().flat_map(|served| &served.silent).chain(&self.unread).map(String::as_str)
    }

    fn served(&self) -> impl Iterator<Item = &Served> + Clone {
        self.contents.iter().filter_map(|content| match content.as_ref() {
            Content::Kinds(served) => Some(served),
            Content::Versions(_) => None,
        })
    }
}

impl Content {
    /// Roughly the memory it takes, for the cache's bound.
    pub(super) fn weight(&self) -> u32 {
        let bytes = match self {
            Self::Kinds(served) => served.kinds.len() * 320 + served.silent.len() * 320,
            Self::Versions(versions) => versions.len() * 80,
        };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// Contents by digest of the bytes that they were read from: equal content is stored once.
#[derive(Debug, Default)]
pub(super) struct Contents(Mutex<HashMap<[u8; 32], Weak<Content>>>);

impl Contents {
    /// The content under `key`, which covers what was asked and the bytes that were read.
    fn share(&self, key: KeyHasher, read: impl FnOnce() -> Result<Content, Failure>) -> Result<Arc<Content>, Failure> {
        let key = key.finish();
        let held = |contents: &HashMap<_, Weak<Content>>| contents.get(&key).and_then(Weak::upgrade);
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = held(&lock()) {
            return Ok(content);
        }
        let content = Arc::new(read()?);
        let mut contents = lock();
        contents.retain(|_, content| content.strong_count() > 0);
        contents.insert(key, Arc::downgrade(&content));
        Ok(content)
    }
}

/// Finds one kind.
///
/// # Errors
/// When it is not served here (with near names), or discovery cannot be read.
pub(super) async fn kind(
    client: &ClusterClient,
    wanted: &str,
    api_version: Option<&str>,
) -> Result<ApiResource, Failure> {
    let wanted = Wanted::parse(wanted, api_version)?;
    for fresh in [false, true] {
        let tried = look(client, &wanted, fresh).await;
        match tried {
            Ok(Some(found)) => return Ok(found),
            // What is cached may be older than a new CRD: looked at once more, unless that was tried just now.
            Ok(None) if !fresh && client.may_refresh() => {}
            Ok(None) => break,
            Err(failure) => return Err(failure),
        }
    }
    let known = all(client, false).await.unwrap_or_default();
    Err(not_served(client, &wanted, &known))
}

/// Everything that is served here. Nothing is copied: on a warm path it is asked for with each call.
pub(super) async fn all(client: &ClusterClient, fresh: bool) -> Result<Everything, Failure> {
    match client.target().cluster.kind {
        ClusterKind::Kcp => each_version(client, fresh).await,
        ClusterKind::Kubernetes | ClusterKind::Kind => {
            let content = client.document(Document::All, fresh).await?;
            match content.as_ref() {
                Content::Kinds(_) => Ok(Everything { contents: vec![content], unread: Vec::new() }),
                Content::Versions(_) => each_version(client, fresh).await,
            }
        }
    }
}

async fn look(client: &ClusterClient, wanted: &Wanted, fresh: bool) -> Result<Option<ApiResource>, Failure> {
    let kcp = client.target().cluster.kind == ClusterKind::Kcp;
    let lazily = match wanted.group_version() {
        Some((group, version)) if kcp => Some(Document::Version(group.to_owned(), version.to_owned())),
        None if kcp && wanted.group().is_none_or(str::is_empty) => {
            Some(Document::Version(String::new(), "v1".to_owned()))
        }
        _ => None,
    };
    if let Some(document) = lazily {
        match client.document(document, fresh).await {
            Ok(content) => {
                let Content::Kinds(served) = content.as_ref() else { return Ok(None) };
                let found = find::find(&served.kinds.iter(), wanted).cloned();
                if found.is_some() || wanted.group_version().is_some() {
                    return Ok(found);
                }
            }
            Err(failure) if failure.kind == FailureKind::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        }
    }
    Ok(find::find(&all(client, fresh).await?.kinds(), wanted).cloned())
}

async fn each_version(client: &ClusterClient, fresh: bool) -> Result<Everything, Failure> {
    let groups = client.document(Document::Groups, fresh).await?;
    let Content::Versions(versions) = groups.as_ref() else { return Ok(Everything::default()) };
    let core = (String::new(), "v1".to_owned());
    let documents = std::iter::once(core).chain(versions.iter().cloned());
    let read = stream::iter(documents.map(|(group, version)| async move {
        match client.document(Document::Version(group.clone(), version.clone()), fresh).await {
            Ok(content) => Ok((Some(content), None)),
            // An aggregated API that is down, or a group that went away in between, costs the others nothing.
            Err(failure) if failure.kind == FailureKind::NotFound => Ok((None, None)),
            Err(failure) if failure.kind == FailureKind::Cluster => {
                Ok((None, Some(wire::group_version(&group, &version))))
            }
            Err(failure) => Err(failure),
        }
    }));
    let parts: Vec<_> = read.buffered(AT_ONCE).try_collect().await?;
    let mut all = Everything::default();
    for (content, unread) in parts {
        all.contents.extend(content);
        all.unread.extend(unread);
    }
    Ok(all)
}

/// Reads a document from the server.
pub(super) async fn fetch(
    client: &ClusterClient,
    contents: &Contents,
    document: &Document,
) -> Result<Arc<Content>, Failure> {
    match document {
        Document::All => fetch_all(client, contents).await,
        Document::Groups => {
            let reply = client.request(&Ask::get("/apis")).await?;
            contents.share(KeyHasher::new("groups").field("body", &reply.body), || groups(&reply.body))
        }
        Document::Version(group, version) => {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let reply = client.request(&Ask::get(path)).await?;
            let key = KeyHasher::new("version").field("group", group).field("version", version);
            contents.share(key.field("body", &reply.body), || {
                read::<ResourceList>(&reply.body)
                    .map(|list| Content::Kinds(Served { kinds: list.kinds(group, version), silent: Vec::new() }))
            })
        }
    }
}

async fn fetch_all(client: &ClusterClient, contents: &Contents) -> Result<Arc<Content>, Failure> {
    let ask = |path: &str| Ask { accept: AGGREGATED, ..Ask::get(path) };
    let (core_ask, groups_ask) = (ask("/api"), ask("/apis"));
    let (core, groups) = futures::try_join!(client.request(&core_ask), client.request(&groups_ask))?;
    let aggregated = |body: &[u8]| read::<Kind>(body).is_ok_and(|kind| kind.kind == "APIGroupDiscoveryList");
    if !aggregated(&core.body) || !aggregated(&groups.body) {
        // Servers before 1.26, and proxies that do not pass the Accept header on: one request per group-version.
        return contents.share(KeyHasher::new("groups").field("body", &groups.body), || self::groups(&groups.body));
    }
    contents.share(KeyHasher::new("all").field("core", &core.body).field("groups", &groups.body), || {
        let (core, groups) = (read::<Aggregated>(&core.body)?, read::<Aggregated>(&groups.body)?);
        let silent = groups.silent();
        let mut kinds = core.kinds();
        kinds.extend(groups.kinds());
        Ok(Content::Kinds(Served { kinds, silent }))
    })
}

/// `/apis` as a list of groups; whatever else may be there instead, a Status or a page of a proxy, is none.
fn groups(body: &[u8]) -> Result<Content, Failure> {
    if read::<Kind>(body)?.kind != "APIGroupList" {
        return Err(Failure::new(FailureKind::Cluster, "unexpected_answer", "the discovery document is another thing"));
    }
    read::<GroupList>(body).map(|list| Content::Versions(list.preferred()))
}

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::new(FailureKind::Cluster, "unexpected_answer", "the discovery document cannot be read").because(&error)
    })
}

fn not_served(client: &ClusterClient, wanted: &Wanted, known: &Everything) -> Failure {
    let what = match client.target().cluster.kind {
        ClusterKind::Kcp => "this workspace",
        ClusterKind::Kubernetes | ClusterKind::Kind => "this cluster",
    };
    let mut cause = format!("{what} does not serve {wanted}");
    let silent = silent(known, wanted);
    if !silent.is_empty() {
        cause = format!("{cause}; {} does not answer there now", silent.join(", "));
    }
    let failure =
        Failure::new(FailureKind::NotFound, "kind_not_served", cause).target(client.target().address().to_string());
    let spellings: Vec<String> = known.kinds().flat_map(|kind| [kind.qualified(), kind.kind.to_lowercase()]).collect();
    let near = names::near(wanted.text(), spellings.iter().map(String::as_str), 5);
    if near.is_empty() { failure } else { failure.hint(format!("Served here: {}", near.join(", "))) }
}

/// Group-versions that do not answer and may serve what is wanted, at most three.
fn silent<'a>(known: &'a Everything, wanted: &Wanted) -> Vec<&'a str> {
    let group_of = |api_version: &str| api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    let may = |api_version: &&str| wanted.group().is_none_or(|group| group_of(api_version) == group);
    known.silent().filter(may).take(3).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Content, Everything, Served, Wanted, find, silent};
    use crate::model::ApiResource;

    fn kind(group: &str, plural: &str, short: &str) -> ApiResource {
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            singular: String::new(),
            kind: "Kind".into(),
            short_names: vec![short.into()],
            namespaced: true,
            verbs: vec![],
        }
    }

    #[test]
    fn kinds_are_found_in_what_is_shared() {
        let document = |kinds: Vec<ApiResource>, silent: &str| {
            Arc::new(Content::Kinds(Served { kinds, silent: vec![silent.into()] }))
        };
        let first = document(vec![kind("a.io", "gadgets", "pods")], "x.io/v1");
        let contents = vec![Arc::clone(&first), document(vec![kind("", "pods", "po")], "y.io/v1")];
        let all = Everything { contents, unread: vec!["z.io/v1".into()] };
        let found = |wanted: &str| find::find(&all.kinds(), &Wanted::parse(wanted, None).unwrap());
        assert_eq!(found("pods").map(ApiResource::qualified).as_deref(), Some("pods"), "over all documents");
        assert_eq!(found("gadgets").map(ApiResource::qualified).as_deref(), Some("gadgets.a.io"));
        let Content::Kinds(served) = first.as_ref() else { panic!("it has kinds") };
        assert!(found("gadgets").is_some_and(|found| std::ptr::eq(found, &served.kinds[0])), "no copy");
        assert_eq!(all.silent().collect::<Vec<_>>(), ["x.io/v1", "y.io/v1", "z.io/v1"]);
    }

    #[test]
    fn what_does_not_answer_is_named_where_it_may_matter() {
        let silent_ones = ["metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1"].map(str::to_owned).to_vec();
        let known = Everything { contents: Vec::new(), unread: silent_ones };
        let named = |wanted: &str| silent(&known, &Wanted::parse(wanted, None).unwrap());
        assert_eq!(named("nodes.metrics.k8s.io"), ["metrics.k8s.io/v1beta1"]);
        assert_eq!(named("gadgets"), ["metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1"]);
        assert!(named("gadgets.example.io").is_empty());
    }
}
