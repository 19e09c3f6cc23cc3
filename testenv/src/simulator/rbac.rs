//! Who may do what: a flat list of rules instead of Role objects, with the semantics of RBAC.

use serde_json::{Value, json};

/// Somebody who made a request, as an API server sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user name, with the issuer's prefix where one is configured.
    pub name: String,
    /// The uid, where the authenticator gives one.
    pub uid: Option<String>,
    /// All groups, `system:authenticated` included.
    pub groups: Vec<String>,
    /// Extra keys with their values.
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

impl User {
    /// True for a member of `system:masters`, to whom nothing is refused.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}

/// A permission: these subjects may use these verbs on these things. There are no denials.
#[derive(Clone, Debug)]
pub struct Rule {
    users: Vec<String>,
    subject_groups: Vec<String>,
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    namespaces: Vec<String>,
    urls: Vec<String>,
}

impl Rule {
    /// A rule for one user; it allows nothing yet.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::of(vec![name.to_owned()], Vec::new())
    }

    /// A rule for one group; it allows nothing yet.
    #[must_use]
    pub fn group(name: &str) -> Self {
        Self::of(Vec::new(), vec![name.to_owned()])
    }

    fn of(users: Vec<String>, subject_groups: Vec<String>) -> Self {
        Self {
            users,
            subject_groups,
            verbs: Vec::new(),
            api_groups: vec!["*".into()],
            resources: Vec::new(),
            names: Vec::new(),
            namespaces: vec!["*".into()],
            urls: Vec::new(),
        }
    }

    /// Verbs such as `get`, `list`, `impersonate`, `access`, or `*`.
    #[must_use]
    pub fn verbs(mut self, verbs: &[&str]) -> Self {
        self.verbs = owned(verbs);
        self
    }

    /// API groups (`""` is the core group); `*`, the default, means all.
    #[must_use]
    pub fn api_groups(mut self, groups: &[&str]) -> Self {
        self.api_groups = owned(groups);
        self
    }

    /// Resources: `pods`, `pods/log`, `*/status`, or `*` for all with their subresources.
    #[must_use]
    pub fn resources(mut self, resources: &[&str]) -> Self {
        self.resources = owned(resources);
        self
    }

    /// Only objects of these names; without it, all.
    #[must_use]
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = owned(names);
        self
    }

    /// Only in these namespaces, like a Role; `*`, the default, is like a ClusterRole.
    #[must_use]
    pub fn namespaces(mut self, namespaces: &[&str]) -> Self {
        self.namespaces = owned(namespaces);
        self
    }

    /// Paths that are no resources; a `*` at the end means everything below.
    #[must_use]
    pub fn urls(mut self, urls: &[&str]) -> Self {
        self.urls = owned(urls);
        self
    }

    /// `get`, `list` and `watch` on every resource.
    #[must_use]
    pub fn reads_everything(self) -> Self {
        self.verbs(&["get", "list", "watch"]).resources(&["*"])
    }

    /// What `cluster-admin` may: everything.
    #[must_use]
    pub fn everything(self) -> Self {
        self.verbs(&["*"]).resources(&["*"]).urls(&["*"])
    }

    /// What `system:kcp:workspace:access` gives: the right to enter a workspace, nothing in it.
    #[must_use]
    pub fn access(self) -> Self {
        self.verbs(&["access"]).urls(&["/"])
    }

    fn applies_to(&self, user: &User) -> bool {
        self.users.contains(&user.name) || self.subject_groups.iter().any(|group| user.groups.contains(group))
    }

    fn allows(&self, a: &Attributes) -> bool {
        if !matches(&self.verbs, &a.verb) {
            return false;
        }
        if a.resource.is_empty() {
            return self
                .urls
                .iter()
                .any(|url| url == &a.path || url.strip_suffix('*').is_some_and(|prefix| a.path.starts_with(prefix)));
        }
        matches(&self.api_groups, &a.group)
            && self.covers_resource(a)
            && (self.names.is_empty() || self.names.contains(&a.name))
            && matches(&self.namespaces, &a.namespace)
    }

    fn covers_resource(&self, a: &Attributes) -> bool {
        let wanted = a.resource_and_subresource();
        self.resources.iter().any(|resource| {
            resource == "*"
                || *resource == wanted
                || (!a.subresource.is_empty() && *resource == format!("*/{}", a.subresource))
        })
    }
}

/// What a request wants, as the authorizer sees it. An empty `resource` means a path that is no resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty at the cluster scope.
    pub namespace: String,
    /// Object name, or empty.
    pub name: String,
    /// The whole path.
    pub path: String,
}

impl Attributes {
    /// `pods/log`, or just `pods`.
    pub(super) fn resource_and_subresource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The verb `access` on the path `/`: may this user enter the workspace?
    pub(super) fn access() -> Self {
        Self { verb: "access".into(), path: "/".into(), ..Self::default() }
    }
}

/// True when some rule, or membership of `system:masters`, allows it.
pub(super) fn allowed(rules: &[Rule], user: &User, attributes: &Attributes) -> bool {
    user.is_master() || rules.iter().any(|rule| rule.applies_to(user) && rule.allows(attributes))
}

/// What every API server grants from the start: discovery, health, version and the reviews of oneself.
pub(super) fn bootstrap_rules() -> Vec<Rule> {
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    vec![
        Rule::group("system:unauthenticated").verbs(&["get"]).urls(&health),
        Rule::group("system:authenticated").verbs(&["get"]).urls(&discovery),
        Rule::group("system:authenticated")
            .verbs(&["create"])
            .api_groups(&["authentication.k8s.io", "authorization.k8s.io"])
            .resources(&["selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    ]
}

/// The `status` of a SelfSubjectRulesReview of `user` in `namespace`.
pub(super) fn rules_status<'a>(rules: impl Iterator<Item = &'a Rule>, user: &User, namespace: &str) -> Value {
    let masters = Rule::group("system:masters").everything();
    let mut resource_rules = Vec::new();
    let mut url_rules = Vec::new();
    for rule in rules.cloned().chain([masters]) {
        if !rule.applies_to(user) {
            continue;
        }
        if !rule.resources.is_empty() && matches(&rule.namespaces, namespace) {
            let mut entry = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                entry["resourceNames"] = json!(rule.names);
            }
            resource_rules.push(entry);
        }
        if !rule.urls.is_empty() {
            url_rules.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    json!({"resourceRules": resource_rules, "nonResourceRules": url_rules, "incomplete": false})
}

fn matches(patterns: &[String], value: &str) -> bool {
    patterns.iter().any(|pattern| pattern == "*" || pattern == value)
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str]) -> User {
        User { name: name.into(), groups: owned(groups), ..User::default() }
    }

    fn wants(verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_role_counts_in_its_namespace_only() {
        let rules = [Rule::user("bob").verbs(&["get", "list"]).resources(&["pods"]).namespaces(&["dev"])];
        let bob = user("bob", &[]);
        assert!(allowed(&rules, &bob, &wants("list", "pods", "dev", "")));
        assert!(!allowed(&rules, &bob, &wants("list", "pods", "", "")));
        assert!(!allowed(&rules, &bob, &wants("list", "pods", "prod", "")));
        assert!(!allowed(&rules, &bob, &wants("delete", "pods", "dev", "a")));
        let eve = user("eve", &["bob"]);
        assert!(!allowed(&rules, &eve, &wants("list", "pods", "dev", "")));
    }

    #[test]
    fn subresources_and_names_must_be_granted() {
        let bob = user("bob", &["dev"]);
        let pods = [Rule::group("dev").verbs(&["get"]).resources(&["pods"])];
        assert!(!allowed(&pods, &bob, &wants("get", "pods/log", "a", "p")));
        let logs = [Rule::group("dev").verbs(&["get"]).resources(&["*/log"])];
        assert!(allowed(&logs, &bob, &wants("get", "pods/log", "a", "p")));
        assert!(!allowed(&logs, &bob, &wants("get", "pods", "a", "p")));
        let named = [Rule::user("bob").verbs(&["get"]).resources(&["*"]).names(&["x"])];
        assert!(allowed(&named, &bob, &wants("get", "secrets", "a", "x")));
        assert!(!allowed(&named, &bob, &wants("get", "secrets", "a", "y")));
    }

    #[test]
    fn masters_may_everything() {
        let root = user("admin", &["system:masters"]);
        assert!(allowed(&[], &root, &wants("delete", "nodes", "", "n1")));
    }

    #[test]
    fn cluster_admin_includes_access_and_view_does_not() {
        let alice = user("alice", &[]);
        let admin = [Rule::user("alice").everything()];
        assert!(allowed(&admin, &alice, &Attributes::access()));
        let view = [Rule::user("alice").reads_everything()];
        assert!(!allowed(&view, &alice, &Attributes::access()));
    }
}
