//! One API surface: a Kubernetes server, or one logical cluster of a kcp. Also the handle that fills it.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::clock::now;
use super::impersonate;
use super::kubelet::Kubelets;
use super::objects::strip_type;
use super::rbac::{Attributes, Rule, User, allowed, bootstrap_rules, rules_status};
use super::reply::Refusal;
use super::request::Call;
use super::store::Store;
use super::types::{ResourceType, Types};

static BOOTSTRAP: LazyLock<Vec<Rule>> = LazyLock::new(bootstrap_rules);

/// Fills and changes one Kubernetes server or one workspace, past authentication and RBAC. Clones are the same place.
#[derive(Clone)]
pub struct Scope {
    pub(super) space: Arc<RwLock<Space>>,
}

impl Scope {
    /// A place with the namespaces `default` and `kube-system` (in a kcp, `default` alone).
    pub(super) fn new(cluster: Option<Cluster>, types: Arc<Types>) -> Self {
        let is_kcp = cluster.is_some();
        let space = Space {
            cluster,
            types,
            store: Store::default(),
            kubelets: Kubelets::default(),
            rules: Vec::new(),
            warmed: BTreeSet::new(),
            impersonators: Mutex::default(),
        };
        let scope = Self { space: Arc::new(RwLock::new(space)) };
        if is_kcp {
            scope.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": "default", "annotations": {"bootstrap.kcp.io/create-only": "true"}}}));
        } else {
            scope.namespace("default").namespace("kube-system");
        }
        scope
    }

    /// The logical cluster name, or nothing on a Kubernetes server.
    #[must_use]
    pub fn name(&self) -> String {
        let space = self.read();
        let cluster = space.cluster.as_ref();
        cluster.map_or_else(String::new, |c| c.name.clone())
    }

    /// The canonical workspace path, or nothing on a Kubernetes server.
    #[must_use]
    pub fn path(&self) -> String {
        let space = self.read();
        let cluster = space.cluster.as_ref();
        cluster.map_or_else(String::new, |c| c.path.clone())
    }

    /// Adds a rule.
    pub fn allow(&self, rule: Rule) -> &Self {
        self.write().rules.push(rule);
        self
    }

    /// Takes all rules back.
    pub fn revoke_all(&self) -> &Self {
        self.write().rules.clear();
        self
    }

    /// Serves a further resource, as an installed CRD or a bound APIExport would.
    pub fn register(&self, resource: ResourceType) -> &Self {
        Arc::make_mut(&mut self.write().types).add(resource);
        self
    }

    /// Creates a namespace, if it is not there.
    pub fn namespace(&self, name: &str) -> &Self {
        self.write().ensure_namespace(name);
        self
    }

    /// Writes an object, given with kind and version. Its namespace is created; uid, times and versions are filled in.
    ///
    /// # Panics
    /// When the object has no name or its kind is not served here.
    pub fn put(&self, object: Value) -> &Self {
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            self.namespace(namespace);
        }
        self.write().insert(object);
        self
    }

    /// Writes many objects.
    ///
    /// # Panics
    /// As [`Scope::put`].
    pub fn put_all(&self, objects: impl IntoIterator<Item = Value>) -> &Self {
        for object in objects {
            self.put(object);
        }
        self
    }

    /// Writes thousands of objects: as [`Scope::put_all`], with one lock for all of them.
    ///
    /// # Panics
    /// As [`Scope::put`].
    pub fn add_many(&self, objects: impl IntoIterator<Item = Value>) -> &Self {
        let mut space = self.write();
        let mut namespaces = BTreeSet::new();
        for object in objects {
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            if let Some(namespace) = namespace.filter(|namespace| !namespaces.contains(namespace)) {
                space.ensure_namespace(&namespace);
                namespaces.insert(namespace);
            }
            space.insert(object);
        }
        drop(space);
        self
    }

    /// The stored object, without kind and version. `namespace` is empty for a cluster-scoped one.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let space = self.read();
        let ty = space.types.find_kind(api_version, kind)?;
        let object = space.store.get(&ty, namespace, name)?;
        Some(object.as_ref().clone())
    }

    /// Makes every continue token given out so far answer 410, as compaction does.
    pub fn expire_continue_tokens(&self) -> &Self {
        self.write().store.compact();
        self
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Space> {
        self.space.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Space> {
        self.space.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which logical cluster a space is.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) path: String,
}

/// Types, objects and rules of one place.
pub(super) struct Space {
    pub(super) cluster: Option<Cluster>,
    pub(super) types: Arc<Types>,
    pub(super) store: Store,
    pub(super) kubelets: Kubelets,
    rules: Vec<Rule>,
    warmed: BTreeSet<(String, String)>,
    /// Who has impersonated somebody here, which changes what a later refusal says.
    impersonators: Mutex<BTreeSet<String>>,
}

impl Space {
    /// True when `user` may do this here. In a kcp, entering the workspace comes before everything.
    pub(super) fn allows(&self, user: &User, attributes: &Attributes) -> bool {
        let entered = self.cluster.is_none() || allowed(&self.rules, user, &Attributes::access());
        user.is_master() || entered && (allowed(&BOOTSTRAP, user, attributes) || allowed(&self.rules, user, attributes))
    }

    /// What a 403 says after its message.
    pub(super) fn denial(&self) -> &'static str {
        match self.cluster {
            Some(_) => "access denied",
            None => "",
        }
    }

    /// The refusal for a requestor who never impersonated anybody, if that differs from the plain one.
    pub(super) fn first_impersonation_refusal(
        &self,
        requestor: &str,
        call: &Call,
        attributes: &Attributes,
    ) -> Option<Box<Refusal>> {
        let known = self.impersonators.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(requestor) {
            return None;
        }
        let mode = impersonate::constrained_mode(&call.headers)?;
        let attributes =
            Attributes { verb: format!("impersonate-on:{mode}:{}", attributes.verb), ..attributes.clone() };
        Some(Refusal::forbidden(requestor, &attributes, self.denial()))
    }

    pub(super) fn remember_impersonator(&self, requestor: &str) {
        let mut known = self.impersonators.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(requestor) {
            known.insert(requestor.to_owned());
        }
    }

    /// The answer to "what may I do in this namespace".
    pub(super) fn rules_status(&self, user: &User, namespace: &str) -> Value {
        rules_status(BOOTSTRAP.iter().chain(&self.rules), user, namespace)
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        let namespaces = self.types.find("", "v1", "namespaces");
        namespaces.is_some_and(|ty| self.store.get(&ty, "", name).is_some())
    }

    fn ensure_namespace(&mut self, name: &str) {
        if !self.has_namespace(name) {
            self.insert(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
    }

    /// True once, at the first read of a custom resource.
    pub(super) fn is_first_read(&mut self, ty: &ResourceType) -> bool {
        ty.custom && self.warmed.insert((ty.group.clone(), ty.plural.clone()))
    }

    /// Writes an object as the server itself does.
    ///
    /// # Panics
    /// When the object has no name or its kind is not served here.
    pub(super) fn insert(&mut self, mut object: Value) {
        let part = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (part("apiVersion"), part("kind"));
        let ty = self
            .types
            .find_kind(&api_version, &kind)
            .unwrap_or_else(|| panic!("this place serves no {kind} of {api_version}"));
        assert!(object["metadata"]["name"].is_string(), "an object of the lab needs a name");
        if ty.namespaced && !object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = "default".into();
        }
        strip_type(&mut object);
        self.complete(&ty, &mut object);
        self.store.put(&ty, object);
    }

    /// Fills in what a server sets on every object, and on a Namespace.
    pub(super) fn complete(&self, ty: &ResourceType, object: &mut Value) {
        let has_spec = object["spec"].is_object();
        let metadata = &mut object["metadata"];
        if !metadata["uid"].is_string() {
            metadata["uid"] = uid().into();
        }
        if !metadata["creationTimestamp"].is_string() {
            metadata["creationTimestamp"] = now().into();
        }
        if has_spec && (ty.custom || ty.group == "apps" || ty.plural == "pods") && !metadata["generation"].is_u64() {
            metadata["generation"] = 1.into();
        }
        if let Some(cluster) = &self.cluster {
            metadata["annotations"]["kcp.io/cluster"] = cluster.name.as_str().into();
        }
        if ty.group.is_empty() && ty.plural == "namespaces" {
            metadata["labels"]["kubernetes.io/metadata.name"] = metadata["name"].clone();
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            if !object["status"]["phase"].is_string() {
                object["status"]["phase"] = "Active".into();
            }
        }
        // Indexing above leaves null where nothing was.
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        if let Some(fields) = object["metadata"].as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
}

/// Random bytes from the one crypto provider.
pub(super) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the machine has randomness");
    bytes
}

/// A random (version 4) UUID.
fn uid() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let cuts = [0, 8, 12, 16, 20, 32];
    let parts: Vec<&str> = cuts.windows(2).map(|cut| &hex[cut[0]..cut[1]]).collect();
    parts.join("-")
}
