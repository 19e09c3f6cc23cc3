//! What is served in a workspace, and what says where it is from.

use crate::model::{ApiResource, ApiResources, Failure};
use crate::pool::ClusterClient;

use super::super::part::{self, Part};
use super::binding::Binding;
use super::crd::Crd;
use super::export::Export;

const APIS: &str = "apis.kcp.io";
/// The core kinds of every workspace. Others of the core group are bound.
const CORE: [&str; 6] = ["configmaps", "events", "namespaces", "resourcequotas", "secrets", "serviceaccounts"];
/// The groups that kcp itself serves in every workspace. `tenancy.kcp.io` and `topology.kcp.io` are bound, of exports of `root`.
const GROUPS: [&str; 11] = [
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "rbac.authorization.k8s.io",
    "admissionregistration.k8s.io",
    "events.k8s.io",
    "apiextensions.k8s.io",
    "apis.kcp.io",
    "cache.kcp.io",
    "core.kcp.io",
];

/// What was read of a workspace, by one caller.
pub(in crate::tools::kcp) struct Found {
    /// In the server's order; a resource in several versions several times.
    pub(super) kinds: ApiResources,
    pub(super) bindings: Part<Binding>,
    pub(super) crds: Part<Crd>,
}

/// Where a resource is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tools::kcp) enum Origin<'a> {
    /// kcp itself serves it.
    BuiltIn,
    /// A binding brings it.
    Bound(&'a Binding),
    /// A CustomResourceDefinition here defines it.
    Crd,
    /// What would tell may not be read.
    Unknown,
}

/// A resource, in all of its versions.
pub(in crate::tools::kcp) struct Resource<'a> {
    /// In its preferred version.
    pub(in crate::tools::kcp) kind: &'a ApiResource,
    /// The preferred one first.
    pub(super) versions: Vec<&'a str>,
    /// Where it is from.
    pub(in crate::tools::kcp) origin: Origin<'a>,
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Binding {}

impl Origin<'_> {
    /// In words.
    pub(in crate::tools::kcp) fn words(&self) -> String {
        match self {
            Self::BuiltIn => "built in".to_owned(),
            Self::Bound(binding) => format!("export {} (binding {})", binding.export(), binding.name()),
            Self::Crd => "local CRD".to_owned(),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}

impl Found {
    /// Reads all three at once. The public objects are asked, and not the annotation of the LogicalCluster that names the
    /// binding of each resource: it names one for a resource that a local CRD serves, too (measured on v0.31.2).
    ///
    /// # Errors
    /// When discovery cannot be read.
    pub(in crate::tools::kcp) async fn read(client: &ClusterClient) -> Result<Self, Failure> {
        let kinds = kinds(client).await?;
        let (bindings, crds) = futures::join!(
            part::read(client, "apibindings", served(&kinds, "apibindings", APIS)),
            part::read(
                client,
                "customresourcedefinitions",
                served(&kinds, "customresourcedefinitions", "apiextensions.k8s.io")
            ),
        );
        let found = Self { kinds, bindings, crds };
        if found.is_stale() { found.again(client).await } else { Ok(found) }
    }

    /// The same with the kinds read anew, unless that was done just now.
    ///
    /// # Errors
    /// When discovery cannot be read.
    pub(super) async fn again(self, client: &ClusterClient) -> Result<Self, Failure> {
        Ok(Self { kinds: client.kinds_again().await?, ..self })
    }

    /// Each resource once, with where it is from.
    pub(in crate::tools::kcp) fn resources(&self) -> Vec<Resource<'_>> {
        let mut all: Vec<Resource<'_>> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for kind in self.kinds.iter() {
            let at = *places.entry((&kind.group, &kind.plural)).or_insert(all.len());
            match all.get_mut(at) {
                Some(known) => known.versions.push(&kind.version),
                None => all.push(Resource { kind, versions: vec![&kind.version], origin: self.origin(kind) }),
            }
        }
        all
    }

    /// What could not be read, in words.
    pub(in crate::tools::kcp) fn missing(&self) -> impl Iterator<Item = String> {
        [self.bindings.missing("apibindings"), self.crds.missing("customresourcedefinitions")].into_iter().flatten()
    }

    fn origin(&self, kind: &ApiResource) -> Origin<'_> {
        let binding = self.bindings.items().iter().find(|binding| binding.brings(&kind.plural, &kind.group));
        let is_crd = || self.crds.items().iter().any(|crd| crd.defines(&kind.plural, &kind.group));
        match binding {
            Some(binding) => Origin::Bound(binding),
            None if is_crd() => Origin::Crd,
            None if is_built_in(kind) || (self.bindings.is_whole() && self.crds.is_whole()) => Origin::BuiltIn,
            None => Origin::Unknown,
        }
    }

    /// True when what is bound or defined here is not what was served when the caller last looked.
    fn is_stale(&self) -> bool {
        let serves = |name: &str| self.kinds.iter().any(|kind| kind.qualified() == name);
        let bound = self.bindings.items().iter().flat_map(Binding::resources);
        let defined = self.crds.items().iter().filter(|crd| crd.is_established()).map(Crd::name);
        let gone = |kind: &ApiResource| !is_built_in(kind) && self.origin(kind) == Origin::BuiltIn;
        bound.chain(defined).any(|name| !serves(&name)) || self.kinds.iter().any(gone)
    }
}

async fn kinds(client: &ClusterClient) -> Result<ApiResources, Failure> {
    client.kinds().await.map_err(|failure| failure.doing("reading which kinds are served"))
}

/// The exports that this workspace offers.
///
/// # Errors
/// When discovery cannot be read.
pub(super) async fn exports(client: &ClusterClient) -> Result<Part<Export>, Failure> {
    let kinds = kinds(client).await?;
    Ok(part::read(client, "apiexports", served(&kinds, "apiexports", APIS)).await)
}

/// The bindings of this workspace.
///
/// # Errors
/// When discovery cannot be read.
pub(super) async fn bindings(client: &ClusterClient) -> Result<Part<Binding>, Failure> {
    let kinds = kinds(client).await?;
    Ok(part::read(client, "apibindings", served(&kinds, "apibindings", APIS)).await)
}

fn served<'a>(kinds: &'a ApiResources, plural: &str, group: &str) -> Option<&'a ApiResource> {
    kinds.iter().find(|kind| kind.plural == plural && kind.group == group)
}

fn is_built_in(kind: &ApiResource) -> bool {
    if kind.group.is_empty() { CORE.contains(&kind.plural.as_str()) } else { GROUPS.contains(&kind.group.as_str()) }
}
