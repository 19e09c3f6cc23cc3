//! What the requests of one permitted call may do. The send site in `pool` holds every single request against this,
//! whatever built it.

use std::sync::Arc;

use crate::model::Access;

/// The limits of one permit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The strongest class of access that the tool needs.
    pub access: Access,
    /// Writes only as server-side dry runs: a permit for a preview.
    pub dry_run_only: bool,
    /// Kinds out of bounds.
    pub denied: Arc<[DeniedKind]>,
    /// Namespaces in or out of bounds.
    pub namespaces: Arc<Namespaces>,
}

/// `denied = [{ group = "", resource = "secrets", access = ["read"] }]`: every version and subresource of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedKind {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural, or `*` for every kind of the group.
    pub resource: String,
    /// Classes of access that are denied; empty = all.
    pub access: Vec<Access>,
}

/// `namespaces = { allow = [], deny = ["kube-system"] }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// When not empty: only these.
    pub allow: Vec<String>,
    /// Never these.
    pub deny: Vec<String>,
}

impl Namespaces {
    /// True when some namespace is out of bounds.
    pub fn restrict(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// Whether objects in `namespace` are in bounds.
    pub fn allows(&self, namespace: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|name| name == namespace);
        (self.allow.is_empty() || listed(&self.allow)) && !listed(&self.deny)
    }
}

/// A request to an API server, as the send site reads it from method and URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Kubernetes verb, as `list`.
    pub verb: &'static str,
    /// Class of access; `None` = never sent (`serviceaccounts/token`).
    pub access: Option<Access>,
    /// API group; `None` for a path that is no resource, as `/version`.
    pub group: Option<String>,
    /// Plural; empty for a path that is no resource.
    pub resource: String,
    /// Subresource, as `log`.
    pub subresource: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Object name.
    pub name: Option<String>,
    /// True with `dryRun=All`.
    pub dry_run: bool,
    /// True for a watch.
    pub watch: bool,
    /// True when discovery says that objects of this kind are in no namespace; a URL alone cannot tell.
    pub cluster_scoped: bool,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The tool was permitted for a weaker class of access.
    #[error("this call may {permitted}, not {wanted}")]
    Access {
        /// What the permit holds.
        permitted: &'static str,
        /// What the request would do.
        wanted: &'static str,
    },
    /// The permit holds dry runs only.
    #[error("this call may only preview changes")]
    DryRunOnly,
    /// The kind is out of bounds.
    #[error("{resource} are out of bounds here")]
    Kind {
        /// Qualified plural.
        resource: String,
    },
    /// The namespace is out of bounds.
    #[error("namespace {namespace} is out of bounds here")]
    Namespace {
        /// The namespace.
        namespace: String,
    },
    /// Some namespaces are out of bounds, and the request is over all of them.
    #[error("some namespaces are out of bounds here, so a list over all namespaces is not sent")]
    AllNamespaces,
    /// Some namespaces are out of bounds, and the kubelet of a node has pods and logs of all of them.
    #[error("some namespaces are out of bounds here, and what a node says is of all of them")]
    Node,
    /// The kind is out of bounds, and the request is for something that tells of it.
    #[error("{resource} are out of bounds here, and this tells of them")]
    TellsOf {
        /// Qualified plural of what is out of bounds.
        resource: &'static str,
    },
    /// Requests of this kind are never sent.
    #[error("{what} is never sent")]
    Never {
        /// What was asked.
        what: String,
    },
}

impl Limits {
    /// Whether a request may be sent under these limits.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub fn hold(&self, operation: &Operation) -> Result<(), Refusal> {
        let Some(wanted) = operation.access else {
            let parts = [operation.verb, &operation.resource, operation.subresource.as_deref().unwrap_or_default()];
            return Err(Refusal::Never { what: parts.join(" ").trim_end().to_owned() });
        };
        if wanted > self.access {
            return Err(Refusal::Access { permitted: self.access.word(), wanted: wanted.word() });
        }
        if self.dry_run_only && wanted != Access::Read && !operation.dry_run {
            return Err(Refusal::DryRunOnly);
        }
        self.hold_kind(operation, wanted)?;
        self.hold_namespace(operation)
    }

    /// Whether kind and namespace are in bounds, whatever the permit is for: what a question about an operation may say.
    ///
    /// # Errors
    /// The limit that it would break.
    pub fn in_bounds(&self, operation: &Operation) -> Result<(), Refusal> {
        Self { access: Access::Exec, dry_run_only: false, ..self.clone() }.hold(operation)
    }

    fn hold_kind(&self, operation: &Operation, wanted: Access) -> Result<(), Refusal> {
        let Some(group) = &operation.group else { return Ok(()) };
        if self.denies(group, &operation.resource, wanted) {
            let dot = if group.is_empty() { "" } else { "." };
            return Err(Refusal::Kind { resource: format!("{}{dot}{group}", operation.resource) });
        }
        match tells_of(operation) {
            Some(resource) if self.denies("", resource, Access::Read) => Err(Refusal::TellsOf { resource }),
            Some(_) | None => Ok(()),
        }
    }

    fn denies(&self, group: &str, resource: &str, wanted: Access) -> bool {
        self.denied.iter().any(|denied| {
            denied.group == group
                && (denied.resource == "*" || denied.resource == resource)
                && (denied.access.is_empty() || denied.access.contains(&wanted))
        })
    }

    fn hold_namespace(&self, operation: &Operation) -> Result<(), Refusal> {
        if !self.namespaces.restrict() || operation.group.is_none() {
            return Ok(());
        }
        let is_namespace = operation.group.as_deref() == Some("") && operation.resource == "namespaces";
        let namespace = if is_namespace { operation.name.as_ref() } else { operation.namespace.as_ref() };
        match namespace {
            Some(namespace) if !self.namespaces.allows(namespace) => {
                Err(Refusal::Namespace { namespace: namespace.clone() })
            }
            Some(_) => Ok(()),
            None if is_kubelet(operation) => Err(Refusal::Node),
            // Names of namespaces are no content of them.
            None if is_namespace || operation.cluster_scoped || operation.name.is_some() => Ok(()),
            None if is_review(operation) => Ok(()),
            None => Err(Refusal::AllNamespaces),
        }
    }
}

/// The core kind that an answer tells of by another path: a kubelet has the logs and stats of pods, the metrics API the
/// names and the use of pods and nodes.
fn tells_of(operation: &Operation) -> Option<&'static str> {
    match (operation.group.as_deref(), operation.resource.as_str()) {
        (Some("metrics.k8s.io"), "pods") => Some("pods"),
        (Some("metrics.k8s.io"), "nodes") => Some("nodes"),
        _ => is_kubelet(operation).then_some("pods"),
    }
}

fn is_kubelet(operation: &Operation) -> bool {
    operation.group.as_deref() == Some("")
        && operation.resource == "nodes"
        && operation.subresource.as_deref() == Some("proxy")
}

fn is_review(operation: &Operation) -> bool {
    matches!(operation.group.as_deref(), Some("authentication.k8s.io" | "authorization.k8s.io"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{DeniedKind, Limits, Namespaces, Operation, Refusal};
    use crate::model::Access;

    fn limits(access: Access) -> Limits {
        let secrets = DeniedKind { group: String::new(), resource: "secrets".into(), access: vec![Access::Read] };
        Limits {
            access,
            dry_run_only: access == Access::Write,
            denied: Arc::new([secrets]),
            namespaces: Arc::new(Namespaces { allow: vec![], deny: vec!["kube-system".into()] }),
        }
    }

    fn operation(verb: &'static str, access: Access, resource: &str, namespace: Option<&str>) -> Operation {
        Operation {
            verb,
            access: Some(access),
            group: Some(String::new()),
            resource: resource.into(),
            subresource: None,
            namespace: namespace.map(Into::into),
            name: None,
            dry_run: false,
            watch: false,
            cluster_scoped: false,
        }
    }

    #[test]
    fn a_permit_holds_its_own_class_and_weaker_ones() {
        let read = limits(Access::Read);
        assert_eq!(read.hold(&operation("list", Access::Read, "pods", Some("a"))), Ok(()));
        assert!(matches!(
            read.hold(&operation("create", Access::Write, "pods", Some("a"))),
            Err(Refusal::Access { .. })
        ));
        let write = limits(Access::Write);
        assert_eq!(write.hold(&operation("create", Access::Write, "pods", Some("a"))), Err(Refusal::DryRunOnly));
        let preview = Operation { dry_run: true, ..operation("create", Access::Write, "pods", Some("a")) };
        assert_eq!(write.hold(&preview), Ok(()));
        let token = Operation { access: None, ..operation("create", Access::Write, "serviceaccounts", Some("a")) };
        assert!(matches!(limits(Access::Exec).hold(&token), Err(Refusal::Never { .. })));
    }

    #[test]
    fn kinds_and_namespaces_out_of_bounds_are_refused() {
        let read = limits(Access::Read);
        assert!(matches!(read.hold(&operation("get", Access::Read, "secrets", Some("a"))), Err(Refusal::Kind { .. })));
        assert!(matches!(
            read.hold(&operation("list", Access::Read, "pods", Some("kube-system"))),
            Err(Refusal::Namespace { .. })
        ));
        assert_eq!(read.hold(&operation("list", Access::Read, "pods", None)), Err(Refusal::AllNamespaces));
        assert_eq!(read.hold(&operation("list", Access::Read, "namespaces", None)), Ok(()));
        let nodes = Operation { cluster_scoped: true, ..operation("list", Access::Read, "nodes", None) };
        assert_eq!(read.hold(&nodes), Ok(()));
        let kubelet = Operation { subresource: Some("proxy".into()), name: Some("n".into()), ..nodes };
        assert_eq!(read.hold(&kubelet), Err(Refusal::Node), "it has logs of all namespaces");
        let free = Limits { namespaces: Arc::default(), ..read };
        assert_eq!(free.hold(&kubelet), Ok(()));
    }

    #[test]
    fn a_question_is_held_against_kind_and_namespace_alone() {
        let read = limits(Access::Read);
        assert_eq!(read.in_bounds(&operation("create", Access::Write, "secrets", Some("a"))), Ok(()));
        let secrets = operation("get", Access::Read, "secrets", Some("a"));
        assert!(matches!(read.in_bounds(&secrets), Err(Refusal::Kind { .. })));
        let system = operation("delete", Access::Delete, "pods", Some("kube-system"));
        assert!(matches!(read.in_bounds(&system), Err(Refusal::Namespace { .. })));
    }

    #[test]
    fn what_tells_of_a_kind_is_out_of_bounds_with_it() {
        let denying = |resource: &str, access: Vec<Access>| {
            let denied = DeniedKind { group: String::new(), resource: resource.into(), access };
            Limits { denied: Arc::new([denied]), namespaces: Arc::default(), ..limits(Access::Read) }
        };
        let kubelet = Operation { subresource: Some("proxy".into()), ..operation("get", Access::Read, "nodes", None) };
        let metrics = |resource: &str| Operation {
            group: Some("metrics.k8s.io".into()),
            ..operation("list", Access::Read, resource, Some("a"))
        };
        let of = |resource| Err(Refusal::TellsOf { resource });
        for access in [vec![], vec![Access::Read]] {
            let pods = denying("pods", access.clone());
            assert_eq!((pods.hold(&kubelet), pods.hold(&metrics("pods"))), (of("pods"), of("pods")));
            assert_eq!(pods.hold(&metrics("nodes")), Ok(()));
            let nodes = denying("nodes", access.clone());
            assert_eq!(nodes.hold(&metrics("nodes")), of("nodes"));
            assert!(matches!(nodes.hold(&kubelet), Err(Refusal::Kind { .. })), "it is of the kind itself");
            assert_eq!(nodes.hold(&metrics("pods")), Ok(()));
            let all = denying("*", access);
            assert_eq!((all.hold(&metrics("pods")), all.hold(&metrics("nodes"))), (of("pods"), of("nodes")));
        }
        let writes = denying("pods", vec![Access::Write]);
        assert_eq!((writes.hold(&kubelet), writes.hold(&metrics("pods"))), (Ok(()), Ok(())), "reading is allowed");
    }
}
