//! `ClusterClient`: what a tool has in hand. One target, one identity, one permit; every request leaves through the send
//! site.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::caches::Caches;
use super::discovery::{self, Content, Document};
use super::items::{self, Items, is_asked_for, is_list};
use super::place;
use super::reply::clean;
use super::send::{Ask, Sender};
use super::stream::{End, Stream};
use super::table::{self, TableError};
use super::transport::Reply;
use crate::model::{
    ApiResource, ApiResources, Failure, FailureKind, KeyHasher, ListRequest, PathTrust, Place, Principal, Table,
    Target, UserInfo, Way, WorkspacePath, names,
};
use crate::policy::{Limits, Namespaces};

mod enter;
mod workspaces;

/// A client for one target under one identity, for one call.
pub struct ClusterClient {
    sender: Arc<Sender>,
    caches: Arc<Caches>,
    target: Target,
    /// The prefix of every request; changes once when a workspace was made anew under the same path.
    prefix: Mutex<Arc<str>>,
    resolved_again: AtomicBool,
    /// The canonical path, as far as it is known without doubt.
    canonical: OnceLock<WorkspacePath>,
    /// The path that was given with a name, and that nobody has held against it.
    claimed: Option<WorkspacePath>,
    /// The rules of the policy were asked.
    entered: AtomicBool,
}

impl fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterClient").field("target", &self.target.address().to_string()).finish_non_exhaustive()
    }
}

impl ClusterClient {
    /// Binds the client to the cluster, or to the first segment of a path, which can never be a mount. Sends nothing.
    pub(super) fn bind(sender: Arc<Sender>, caches: Arc<Caches>) -> Self {
        let target = sender.permit.target().clone();
        let prefix = match &target.place {
            Place::Whole => String::new(),
            Place::Name(name) => place::prefix(name),
            Place::Path(path) => format!("/clusters/{}", path.segments().next().unwrap_or_default()),
        };
        let canonical = target.place.canonical().map(OnceLock::from).unwrap_or_default();
        let (resolved_again, entered) = (AtomicBool::new(false), AtomicBool::new(true));
        let prefix = Mutex::new(prefix.into());
        Self { sender, caches, target, prefix, resolved_again, canonical, claimed: None, entered }
    }

    /// Goes to the place itself: resolves a path, unless the operator trusts paths. The rules of the policy were asked before
    /// ([`ClusterClient::admit`]).
    pub(super) async fn settle(self) -> Result<Self, Failure> {
        if let Place::Path(path) = &self.target.place {
            let prefix: Arc<str> = match self.target.cluster.paths {
                PathTrust::Trusted => format!("/clusters/{path}").into(),
                PathTrust::Resolve => place::prefix(&self.written(self.resolve(path, false).await)?).into(),
            };
            self.set_prefix(prefix);
        }
        Ok(self)
    }

    /// The target of this call.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What is left of the call's time.
    pub fn time_left(&self) -> Duration {
        self.sender.deadline.saturating_duration_since(std::time::Instant::now())
    }

    /// Tells its credential from others.
    pub(super) fn credential_digest(&self) -> [u8; 32] {
        self.sender.credential.digest()
    }

    /// Whose call it is.
    pub fn principal(&self) -> &Arc<Principal> {
        self.sender.permit.caller().principal()
    }

    /// The way by which the caller reaches the cluster.
    pub fn way(&self) -> &Way {
        self.sender.permit.way()
    }

    /// The namespace that is meant when none is given: the kubeconfig context's for the local caller, else `default`.
    pub fn default_namespace(&self) -> &str {
        self.target.cluster.namespace.as_deref().unwrap_or("default")
    }

    /// Finds a kind by kind, plural, singular or short name, or `plural.group`, with an optional apiVersion.
    ///
    /// # Errors
    /// When it is not served here, with near names; when discovery cannot be read.
    pub async fn kind(&self, wanted: &str, api_version: Option<&str>) -> Result<ApiResource, Failure> {
        discovery::kind(self, wanted, api_version).await
    }

    /// Everything that is served here.
    ///
    /// # Errors
    /// When discovery cannot be read.
    pub async fn kinds(&self) -> Result<ApiResources, Failure> {
        discovery::all(self, false).await.map(|served| served.kinds().cloned().collect())
    }

    /// Everything that is served here, read anew unless this caller did so within the last seconds.
    ///
    /// # Errors
    /// When discovery cannot be read.
    pub async fn kinds_again(&self) -> Result<ApiResources, Failure> {
        let fresh = self.may_refresh();
        discovery::all(self, fresh).await.map(|served| served.kinds().cloned().collect())
    }

    /// One object.
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer.
    pub async fn get(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<serde_json::Value, Failure> {
        let name = names::object(name).map_err(|error| Failure::arguments(error.to_string()))?;
        let path = format!("{}/{name}", collection(kind, namespace)?);
        let reply = self.request(&Ask { cluster_scoped: !kind.namespaced, ..Ask::get(path) }).await?;
        let object = json(&reply).map_err(|failure| self.named(failure))?;
        if !is_asked_for(&object, &kind.kind, name) {
            return Err(self.named(not_asked_for()));
        }
        Ok(object)
    }

    /// One page as the server's own Table; across namespaces with [`crate::model::Row::namespace`].
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer.
    pub async fn list(&self, kind: &ApiResource, request: &ListRequest) -> Result<Table, Failure> {
        let across = kind.namespaced && request.namespace.is_none();
        let object = if across { "Metadata" } else { "None" };
        let path = list_path(kind, request, Some(object))?;
        let ask = Ask { accept: table::ACCEPT, cluster_scoped: !kind.namespaced, ..Ask::get(path) };
        let reply = self.request(&ask).await?;
        let mut table = table::parse(&reply.body).map_err(|error| {
            let failure = Failure::new(FailureKind::Cluster, "unexpected_answer", clean(&error.to_string()));
            let hint = match &error {
                TableError::Shape(_) | TableError::Kind(_) => "Ask for format=json",
                TableError::TooLong => "Narrow it with namespace or labelSelector",
            };
            self.named(failure.because(&error).hint(hint))
        })?;
        if let Some(limits) = self.limits_of_namespaces(kind) {
            table.rows.retain(|row| row.cells.first().is_some_and(|name| limits.allows(name)));
        }
        Ok(table)
    }

    /// One page of whole objects: the List object.
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer.
    pub async fn list_objects(&self, kind: &ApiResource, request: &ListRequest) -> Result<serde_json::Value, Failure> {
        let path = list_path(kind, request, None)?;
        let reply = self.request(&Ask { cluster_scoped: !kind.namespaced, ..Ask::get(path) }).await?;
        let mut list = json(&reply).map_err(|failure| self.named(failure))?;
        let (kind_of_list, items) = (list["kind"].as_str().unwrap_or_default(), list.get("items"));
        let fits = items.is_none_or(|items| items.is_array() || items.is_null());
        if !fits || !is_list(kind_of_list, items.is_some()) {
            return Err(self.named(not_asked_for()));
        }
        if let (Some(limits), Some(items)) = (self.limits_of_namespaces(kind), list["items"].as_array_mut()) {
            items.retain(|item| item["metadata"]["name"].as_str().is_some_and(|name| limits.allows(name)));
        }
        Ok(list)
    }

    /// One page of a kind, read as `T`: nothing else of the objects is kept. Not for kinds of which the policy leaves some
    /// out of lists.
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer.
    pub async fn list_as<T: DeserializeOwned>(
        &self,
        kind: &ApiResource,
        request: &ListRequest,
    ) -> Result<Items<T>, Failure> {
        if self.limits_of_namespaces(kind).is_some() {
            return Err(Failure::internal("a list with limits was read without holding them"));
        }
        let path = list_path(kind, request, None)?;
        let reply = self.request(&Ask { cluster_scoped: !kind.namespaced, ..Ask::get(path) }).await?;
        items::read(&reply.body).map_err(|failure| self.named(failure))
    }

    /// The policy's limits, when `kind` is Namespace, or OpenShift's name for it, and some are out of bounds: those are
    /// left out of lists.
    fn limits_of_namespaces(&self, kind: &ApiResource) -> Option<&Namespaces> {
        let limits = &self.sender.permit.limits().namespaces;
        let is_namespace = matches!(
            (kind.group.as_str(), kind.plural.as_str()),
            ("", "namespaces") | ("project.openshift.io", "projects")
        );
        (is_namespace && limits.restrict()).then_some(limits)
    }

    /// Who the API server takes the caller for: SelfSubjectReview.
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer.
    pub async fn whoami(&self) -> Result<UserInfo, Failure> {
        #[derive(serde::Deserialize)]
        struct Review {
            status: ReviewStatus,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ReviewStatus {
            user_info: UserInfo,
        }
        let body = br#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        let ask = Ask {
            method: Method::POST,
            path: "/apis/authentication.k8s.io/v1/selfsubjectreviews".into(),
            accept: "application/json",
            body: Some(Bytes::from_static(body)),
            cluster_scoped: true,
            last: None,
        };
        let reply = self.request(&ask).await?;
        let review: Review = serde_json::from_slice(&reply.body).map_err(|error| self.named(unexpected(&error)))?;
        Ok(review.status.user_info)
    }

    /// Sends a request to the target. A path that was resolved earlier and now answers 403 or 404 to a read is resolved
    /// once more in a call: the workspace may have been made anew under the same path.
    pub(super) async fn request(&self, ask: &Ask) -> Result<Reply, Failure> {
        self.enter().await?;
        let prefix = self.prefix();
        let failure = match self.sent(self.sender.send(&prefix, ask).await) {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let gone = matches!(failure.code, "forbidden" | "not_found") && ask.method == Method::GET;
        let (Place::Path(path), true, PathTrust::Resolve) = (&self.target.place, gone, self.target.cluster.paths)
        else {
            return Err(failure);
        };
        if self.resolved_again.swap(true, Ordering::Relaxed) {
            return Err(failure);
        }
        let name = match self.written(self.resolve(path, true).await) {
            Ok(name) => name,
            Err(now) if matches!(now.code, "workspace_mount" | "workspace_not_ready") => return self.sent(Err(now)),
            Err(_) => return Err(failure),
        };
        let now: Arc<str> = place::prefix(&name).into();
        if now == prefix {
            return Err(failure);
        }
        // The same path is the same canonical path, of which the rules of the policy say the same.
        self.set_prefix(Arc::clone(&now));
        self.sent(self.sender.send(&now, ask).await)
    }

    /// Sends a request whose answer is read while it comes, for `span` at most; or what ended before it began.
    pub(super) async fn stream(&self, ask: &Ask, span: Duration) -> Result<Result<Stream<'_>, End>, Failure> {
        self.enter().await?;
        self.sender.open(&self.prefix(), ask, span).await
    }

    /// A discovery document, from this caller's own view or from the server.
    pub(super) async fn document(&self, document: Document, fresh: bool) -> Result<Arc<Content>, Failure> {
        self.enter().await?;
        let key = self.view("discovery").field("document", format!("{document:?}")).finish();
        if fresh {
            self.caches.discovery.invalidate(&key).await;
        }
        let read = Box::pin(async {
            // What was read just now is not worth a second look.
            self.caches.refreshed.insert(self.view("refresh").finish(), ());
            discovery::fetch(self, &self.caches.contents, &document).await.map_err(|failure| self.named(failure))
        });
        self.caches.look_up("discovery", &self.caches.discovery, key, read).await
    }

    /// True at most once in 5 s for this caller here: whether a kind that was not found is worth a second look.
    pub(super) fn may_refresh(&self) -> bool {
        let key = self.view("refresh").finish();
        let fresh = !self.caches.refreshed.contains_key(&key);
        if fresh {
            self.caches.refreshed.insert(key, ());
        }
        fresh
    }

    /// An answer of the send site, which knows the call's own target only.
    fn sent(&self, answer: Result<Reply, Failure>) -> Result<Reply, Failure> {
        answer.map_err(|failure| failure.target(self.target.address().to_string()))
    }

    /// The body of a document that is no object, as `/version`.
    pub(super) async fn document_of(&self, path: &str) -> Result<Bytes, Failure> {
        Ok(self.request(&Ask::get(path)).await?.body)
    }

    /// A key for what this caller, with this very token, has seen of this place.
    fn view(&self, kind: &str) -> KeyHasher {
        self.sender_view(kind).field("place", self.prefix().as_bytes())
    }

    fn sender_view(&self, kind: &str) -> KeyHasher {
        super::caches::view(kind, self.sender.transport.key(), self.principal())
    }

    /// An answer that cannot be read.
    pub(super) fn unreadable(&self, error: &serde_json::Error) -> Failure {
        self.named(unexpected(error))
    }

    /// What requests of this call are held against.
    pub(super) fn limits(&self) -> &Limits {
        self.sender.permit.limits()
    }

    /// Which target an answer came from that cannot be read.
    fn named(&self, failure: Failure) -> Failure {
        match failure.target {
            Some(_) => failure,
            None => failure.target(self.target.address().to_string()),
        }
    }

    fn prefix(&self) -> Arc<str> {
        Arc::clone(&self.prefix.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_prefix(&self, prefix: Arc<str>) {
        *self.prefix.lock().unwrap_or_else(PoisonError::into_inner) = prefix;
    }
}

/// `/api/v1/namespaces/a/pods`: every segment checked before it stands in a URL.
pub(super) fn collection(kind: &ApiResource, namespace: Option<&str>) -> Result<String, Failure> {
    let arguments = |error: names::NameError| Failure::arguments(error.to_string());
    let (group, version) =
        (names::group(&kind.group).map_err(arguments)?, names::version(&kind.version).map_err(arguments)?);
    let plural = names::plural(&kind.plural).map_err(arguments)?;
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match namespace.filter(|_| kind.namespaced) {
        Some(namespace) => {
            Ok(format!("{root}/namespaces/{}/{plural}", names::namespace(namespace).map_err(arguments)?))
        }
        None => Ok(format!("{root}/{plural}")),
    }
}

fn list_path(kind: &ApiResource, request: &ListRequest, include_object: Option<&str>) -> Result<String, Failure> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &request.limit.to_string());
    let optional = [
        ("labelSelector", request.label_selector.as_deref()),
        ("fieldSelector", request.field_selector.as_deref()),
        ("continue", request.continue_token.as_deref()),
        ("includeObject", include_object),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    Ok(format!("{}?{}", collection(kind, request.namespace.as_deref())?, query.finish()))
}

fn json(reply: &Reply) -> Result<serde_json::Value, Failure> {
    serde_json::from_slice(&reply.body).map_err(|error| unexpected(&error))
}

/// JSON, and another thing than what was asked for.
pub(super) fn not_asked_for() -> Failure {
    Failure::new(FailureKind::Cluster, "unexpected_answer", "the answer is not the object that was asked for")
}

pub(super) fn unexpected(error: &serde_json::Error) -> Failure {
    Failure::new(FailureKind::Cluster, "unexpected_answer", "the answer is not the JSON that was asked for")
        .because(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{ApiResource, ListRequest, collection, list_path};

    fn pods() -> ApiResource {
        ApiResource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            singular: "pod".into(),
            kind: "Pod".into(),
            short_names: vec![],
            namespaced: true,
            verbs: vec![],
        }
    }

    #[test]
    fn paths_are_built_from_checked_segments() {
        assert_eq!(collection(&pods(), Some("a")).unwrap(), "/api/v1/namespaces/a/pods");
        assert!(collection(&pods(), Some("../x")).is_err());
        let request =
            ListRequest { label_selector: Some("a=b,c!=d&limit=9".into()), limit: 5, ..ListRequest::default() };
        let path = list_path(&pods(), &request, Some("None")).unwrap();
        assert_eq!(path, "/api/v1/pods?limit=5&labelSelector=a%3Db%2Cc%21%3Dd%26limit%3D9&includeObject=None");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_a_list_of_pods(namespace in any::<Option<String>>(), selector in any::<String>()) {
            let request = ListRequest { namespace, label_selector: Some(selector), limit: 5, ..ListRequest::default() };
            if let Ok(path) = list_path(&pods(), &request, None) {
                let operation = crate::pool::classify::classify(&http::Method::GET, &path).unwrap();
                prop_assert!(operation.verb == "list" && operation.resource == "pods" && operation.namespace == request.namespace);
            }
        }
    }
}
