//! The kinds that a server comes with, as rows of data.

use std::sync::Arc;

use serde_json::{Value, json};

use super::columns::Columns;
use super::types::{ResourceType, Subresource, strings};

/// Verbs of an ordinary resource, in the order of discovery. Watching is announced as the real server does, but not served yet.
pub(super) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const STATUS: &[&str] = &["get", "patch", "update"];

/// A subresource: its name, what it answers (group, version, kind), its verbs.
type Extra = (&'static str, (&'static str, &'static str, &'static str), &'static [&'static str]);

/// A row of the tables below.
pub(super) struct BuiltIn {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    /// Subresources besides `status`.
    subresources: &'static [Extra],
    status: bool,
    create_only: bool,
    custom: bool,
    /// Part of running pods, which a kcp does not do.
    pub(super) workload: bool,
}

impl BuiltIn {
    const fn new(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Self {
        Self {
            group,
            version,
            plural,
            kind,
            namespaced: true,
            short_names: &[],
            categories: &[],
            subresources: &[],
            status: false,
            create_only: false,
            custom: false,
            workload: false,
        }
    }

    pub(super) fn resource_type(&self) -> ResourceType {
        let own = |name, verbs| Subresource { name, response: ("", "", self.kind.to_owned()), verbs };
        let mut subresources: Vec<Subresource> = self
            .subresources
            .iter()
            .map(|(name, (group, version, kind), verbs)| Subresource {
                name,
                response: (group, version, (*kind).to_owned()),
                verbs,
            })
            .collect();
        if self.status {
            subresources.push(own("status", STATUS));
        }
        let verbs: Vec<&str> = match (self.create_only, self.plural) {
            (true, _) => CREATE.to_vec(),
            (false, "namespaces") => ALL_VERBS.iter().copied().filter(|v| *v != "deletecollection").collect(),
            (false, _) => ALL_VERBS.to_vec(),
        };
        ResourceType {
            group: self.group.into(),
            version: self.version.into(),
            kind: self.kind.into(),
            plural: self.plural.into(),
            singular: self.kind.to_lowercase(),
            namespaced: self.namespaced,
            short_names: strings(self.short_names),
            categories: strings(self.categories),
            verbs: strings(&verbs),
            subresources,
            custom: self.custom,
            columns: Columns::built_in(self.group, self.plural),
            schema: (self.plural == "apibindings").then(|| Arc::new(api_binding())),
        }
    }
}

/// The part of the schema of an APIBinding that says what is bound, in words of our own.
fn api_binding() -> Value {
    json!({"type": "object", "description": "Binds the APIs of an APIExport into this workspace.", "properties": {
        "spec": {"type": "object", "description": "What is wanted.", "required": ["reference"], "properties": {
            "reference": {"type": "object", "description": "Where the APIs come from.", "properties": {
                "export": {"type": "object", "description": "An APIExport.", "required": ["name"], "properties": {
                    "name": {"type": "string", "description": "Name of the APIExport."},
                    "path": {"type": "string", "description": "Path of its workspace; empty is this one."}}}}}}},
        "status": {"type": "object", "description": "What is.", "properties": {
            "phase": {"type": "string", "enum": ["", "Binding", "Bound"]}}}}})
}

const SCALE: Extra = ("scale", ("autoscaling", "v1", "Scale"), STATUS);

pub(super) const CORE: &[BuiltIn] = &[
    BuiltIn { short_names: &["cm"], ..BuiltIn::new("", "v1", "configmaps", "ConfigMap") },
    BuiltIn { short_names: &["ev"], ..BuiltIn::new("", "v1", "events", "Event") },
    BuiltIn {
        short_names: &["ns"],
        namespaced: false,
        status: true,
        subresources: &[("finalize", ("", "", "Namespace"), &["update"])],
        ..BuiltIn::new("", "v1", "namespaces", "Namespace")
    },
    BuiltIn {
        short_names: &["no"],
        namespaced: false,
        status: true,
        workload: true,
        subresources: &[("proxy", ("", "", "NodeProxyOptions"), &["create", "delete", "get", "patch", "update"])],
        ..BuiltIn::new("", "v1", "nodes", "Node")
    },
    BuiltIn {
        short_names: &["po"],
        categories: &["all"],
        status: true,
        workload: true,
        subresources: &[("exec", ("", "", "PodExecOptions"), &["create", "get"]), ("log", ("", "", "Pod"), &["get"])],
        ..BuiltIn::new("", "v1", "pods", "Pod")
    },
    BuiltIn::new("", "v1", "secrets", "Secret"),
    BuiltIn { short_names: &["sa"], ..BuiltIn::new("", "v1", "serviceaccounts", "ServiceAccount") },
    BuiltIn {
        short_names: &["svc"],
        categories: &["all"],
        status: true,
        workload: true,
        ..BuiltIn::new("", "v1", "services", "Service")
    },
];

pub(super) const WORKLOADS: &[BuiltIn] = &[
    BuiltIn {
        short_names: &["deploy"],
        categories: &["all"],
        status: true,
        subresources: &[SCALE],
        ..BuiltIn::new("apps", "v1", "deployments", "Deployment")
    },
    BuiltIn {
        short_names: &["rs"],
        categories: &["all"],
        status: true,
        subresources: &[SCALE],
        ..BuiltIn::new("apps", "v1", "replicasets", "ReplicaSet")
    },
];

pub(super) const COMMON: &[BuiltIn] = &[
    BuiltIn {
        namespaced: false,
        create_only: true,
        ..BuiltIn::new("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")
    },
    BuiltIn {
        namespaced: false,
        create_only: true,
        ..BuiltIn::new("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
    },
    BuiltIn {
        namespaced: false,
        create_only: true,
        ..BuiltIn::new("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
    },
    BuiltIn {
        namespaced: false,
        ..BuiltIn::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
    },
    BuiltIn { namespaced: false, ..BuiltIn::new("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole") },
    BuiltIn::new("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    BuiltIn::new("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    BuiltIn {
        namespaced: false,
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        status: true,
        ..BuiltIn::new("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
    },
];

pub(super) const KCP: &[BuiltIn] = &[
    kcp_type("tenancy.kcp.io", "workspaces", "Workspace", &["ws"]),
    kcp_type("tenancy.kcp.io", "workspacetypes", "WorkspaceType", &[]),
    kcp_type("apis.kcp.io", "apibindings", "APIBinding", &[]),
    kcp_type("apis.kcp.io", "apiexports", "APIExport", &[]),
    kcp_type("core.kcp.io", "logicalclusters", "LogicalCluster", &[]),
];

const fn kcp_type(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
) -> BuiltIn {
    BuiltIn {
        namespaced: false,
        short_names,
        categories: &["kcp"],
        status: true,
        custom: true,
        ..BuiltIn::new(group, "v1alpha1", plural, kind)
    }
}
