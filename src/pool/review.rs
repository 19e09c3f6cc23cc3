//! Questions about oneself: SelfSubjectAccessReview and SelfSubjectRulesReview (authorization.k8s.io/v1), asked with the
//! caller's own credential. What kubeferry's policy has to say comes first: a question does not lift it.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::classify;
use super::client::ClusterClient;
use super::reply::clean;
use super::send::Ask;
use crate::model::{Access, Failure};
use crate::policy::{Operation, Refusal};

/// What somebody may be allowed to do: a verb, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// RBAC verb, as `get`; `*` is all of them.
    pub verb: String,
    /// On what.
    pub on: On,
}

/// What a verb is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// A path that is no resource, as `/version`.
    Path(String),
    /// Objects.
    Objects {
        /// API group, empty for the core group.
        group: String,
        /// Plural, as RBAC names it.
        resource: String,
        /// Subresource, as `log`.
        subresource: Option<String>,
        /// One namespace; `None` = all of them, or a kind without namespaces.
        namespace: Option<String>,
        /// One object.
        name: Option<String>,
        /// True when the kind is in no namespace.
        cluster_scoped: bool,
    },
}

/// The API server's answer to a [`Wish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it would be allowed.
    pub allowed: bool,
    /// The server's reason, on one line; often empty.
    pub reason: String,
    /// What the server could not evaluate, on one line; usually empty.
    pub error: String,
}

/// What one may do in a namespace, as the API server lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rules {
    /// For objects.
    #[serde(deserialize_with = "or_none")]
    pub resource_rules: Vec<ResourceRule>,
    /// For paths that are no resources.
    #[serde(deserialize_with = "or_none")]
    pub non_resource_rules: Vec<PathRule>,
    /// True when the server says that there may be more.
    pub incomplete: bool,
    /// Why.
    pub evaluation_error: String,
}

/// Verbs on kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceRule {
    /// RBAC verbs.
    #[serde(deserialize_with = "or_none")]
    pub verbs: Vec<String>,
    /// API groups, `""` is the core group.
    #[serde(deserialize_with = "or_none")]
    pub api_groups: Vec<String>,
    /// Plurals, with subresources as `pods/log`.
    #[serde(deserialize_with = "or_none")]
    pub resources: Vec<String>,
    /// Objects by name; none = all.
    #[serde(deserialize_with = "or_none")]
    pub resource_names: Vec<String>,
}

/// Verbs on paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PathRule {
    /// RBAC verbs.
    #[serde(deserialize_with = "or_none")]
    pub verbs: Vec<String>,
    /// Paths, as `/api/*`.
    #[serde(rename = "nonResourceURLs", deserialize_with = "or_none")]
    pub paths: Vec<String>,
}

/// Go writes an empty list as null.
fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(reader).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
struct Review<T> {
    status: T,
}

impl ClusterClient {
    /// Why kubeferry itself would not send what `wish` is about, whatever the API server allows.
    pub fn policy_against(&self, wish: &Wish) -> Option<String> {
        let On::Objects { group, resource, subresource, namespace, name, cluster_scoped } = &wish.on else {
            return None;
        };
        let classes = classify::classes(&wish.verb, group, resource, subresource.as_deref(), name.as_deref());
        let refusal = |access: Option<Access>| {
            let Some(access) = access else { return Some(Refusal::Never { what: wish.to_string() }) };
            let operation = Operation {
                verb: "get",
                access: Some(access),
                group: Some(group.clone()),
                resource: resource.clone(),
                subresource: subresource.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
                dry_run: false,
                watch: false,
                cluster_scoped: *cluster_scoped,
            };
            self.limits().in_bounds(&operation).err()
        };
        classes.into_iter().find_map(refusal).map(|refusal| refusal.to_string())
    }

    /// Why nothing is said of `namespace`.
    pub fn policy_against_namespace(&self, namespace: &str) -> Option<String> {
        let out = !self.limits().namespaces.allows(namespace);
        out.then(|| Refusal::Namespace { namespace: namespace.to_owned() }.to_string())
    }

    /// What kubeferry's policy keeps out of bounds here, as `secrets (read)`.
    pub fn kinds_out_of_bounds(&self) -> Vec<String> {
        let word = |access: &Access| access.word();
        let denied = self.limits().denied.iter().map(|denied| {
            let dot = if denied.group.is_empty() { "" } else { "." };
            let kind = format!("{}{dot}{}", denied.resource, denied.group);
            let classes: Vec<&str> = denied.access.iter().map(word).collect();
            if classes.is_empty() { kind } else { format!("{kind} ({})", classes.join(", ")) }
        });
        denied.collect()
    }

    /// Whether the API server would allow it: SelfSubjectAccessReview.
    ///
    /// # Errors
    /// The API server's answer when it is none, or no answer. In a kcp, 403 means that the caller has no access to the
    /// workspace.
    pub async fn may(&self, wish: &Wish) -> Result<Verdict, Failure> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Status {
            allowed: bool,
            reason: String,
            evaluation_error: String,
        }
        let status: Status = self.review("SelfSubjectAccessReview", &wish.spec()).await?;
        let Status { allowed, reason, evaluation_error } = status;
        Ok(Verdict { allowed, reason: clean(&reason), error: clean(&evaluation_error) })
    }

    /// What the caller may do in `namespace`, and at the cluster scope: SelfSubjectRulesReview.
    ///
    /// # Errors
    /// As [`ClusterClient::may`].
    pub async fn rules(&self, namespace: &str) -> Result<Rules, Failure> {
        let rules: Rules = self.review("SelfSubjectRulesReview", &json!({"namespace": namespace})).await?;
        Ok(Rules { evaluation_error: clean(&rules.evaluation_error), ..rules })
    }

    async fn review<T: DeserializeOwned>(&self, kind: &str, spec: &Value) -> Result<T, Failure> {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let ask = Ask {
            method: Method::POST,
            path: format!("/apis/authorization.k8s.io/v1/{}s", kind.to_lowercase()),
            accept: "application/json",
            body: Some(Bytes::from(body.to_string())),
            cluster_scoped: true,
            last: None,
        };
        let reply = self.request(&ask).await?;
        let review: Review<T> = serde_json::from_slice(&reply.body).map_err(|error| self.unreadable(&error))?;
        Ok(review.status)
    }
}

impl Wish {
    /// The `spec` of an access review.
    fn spec(&self) -> Value {
        match &self.on {
            On::Path(path) => json!({"nonResourceAttributes": {"verb": self.verb, "path": path}}),
            On::Objects { group, resource, subresource, namespace, name, cluster_scoped: _ } => {
                let mut attributes = json!({"verb": self.verb, "group": group, "resource": resource});
                for (field, value) in [("subresource", subresource), ("namespace", namespace), ("name", name)] {
                    if let Some(value) = value {
                        attributes[field] = value.as_str().into();
                    }
                }
                json!({"resourceAttributes": attributes})
            }
        }
    }
}

/// `get pods/log web-1 in namespace shop`.
impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let On::Objects { group, resource, subresource, namespace, name, cluster_scoped } = &self.on else {
            let On::Path(path) = &self.on else { return Ok(()) };
            return write!(f, "{} {path}", self.verb);
        };
        write!(f, "{} {resource}", self.verb)?;
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        if let Some(subresource) = subresource {
            write!(f, "/{subresource}")?;
        }
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        match namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None if *cluster_scoped => Ok(()),
            None => f.write_str(" in all namespaces"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{On, Rules, Wish};

    #[test]
    fn a_wish_is_asked_for_and_said() {
        let path = Wish { verb: "get".into(), on: On::Path("/version".into()) };
        assert_eq!(path.to_string(), "get /version");
        assert_eq!(path.spec(), json!({"nonResourceAttributes": {"verb": "get", "path": "/version"}}));
        let objects = |namespace: Option<&str>, cluster_scoped| Wish {
            verb: "update".into(),
            on: On::Objects {
                group: "apps".into(),
                resource: "deployments".into(),
                subresource: Some("scale".into()),
                namespace: namespace.map(Into::into),
                name: Some("web".into()),
                cluster_scoped,
            },
        };
        let one = objects(Some("shop"), false);
        assert_eq!(one.to_string(), "update deployments.apps/scale web in namespace shop");
        let attributes = json!({"verb": "update", "group": "apps", "resource": "deployments", "subresource": "scale",
            "namespace": "shop", "name": "web"});
        assert_eq!(one.spec(), json!({"resourceAttributes": attributes}));
        assert_eq!(objects(None, false).to_string(), "update deployments.apps/scale web in all namespaces");
        assert_eq!(objects(None, true).to_string(), "update deployments.apps/scale web");
    }

    #[test]
    fn what_go_leaves_out_or_writes_as_null_is_empty() {
        let rules = json!({"resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": null}],
            "nonResourceRules": null, "incomplete": true});
        let rules: Rules = serde_json::from_value(rules).unwrap();
        assert!(
            rules.incomplete && rules.non_resource_rules.is_empty() && rules.resource_rules[0].resources.is_empty()
        );
    }
}
