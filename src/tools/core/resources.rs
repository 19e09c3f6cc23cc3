//! `resources_list` and `resources_get`: objects of any kind.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, ApiResource, Failure, ListRequest, Place, Table, names};
use crate::output::{Body, Form, Listing, MAX_LIMIT, Output, Page, check_fields};
use crate::pool::ClusterClient;
use crate::tools::groups::Groups;
use crate::tools::next::Next;
use crate::tools::{Cx, Spec, TargetNeed, Tool, anomalies, arguments, groups};

/// `resources_list`.
pub(super) struct ResourcesList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListArgs {
    api_version: Option<String>,
    kind: String,
    namespace: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Tool for ResourcesList {
    const SPEC: Spec = Spec {
        name: "resources_list",
        title: "Resources: list",
        description: "List objects of a kind (Kind, plural or short name); apiVersion only when ambiguous",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = ListArgs;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: ListArgs) -> Result<Output, Failure> {
        arguments::kind(&args.kind, args.api_version.as_deref())?;
        let what = What {
            namespace: arguments::namespace(args.namespace)?,
            label_selector: arguments::label_selector(args.label_selector)?,
            field_selector: arguments::field_selector(args.field_selector)?,
        };
        let resource = client.kind(&args.kind, args.api_version.as_deref()).await?;
        let namespace = what.namespace.clone();
        let output = list(cx, client, &resource, what).await?;
        let target = client.target();
        let next = match &target.place {
            Place::Whole => None,
            Place::Name(_) | Place::Path(_) => first(&output.body, &resource, namespace, &target.address().to_string()),
        };
        Ok(Output { next: next.iter().map(Next::to_string).collect(), ..output })
    }
}

/// What to read first of a list in the workspace of a kcp, where nobody knows the way yet; none where it cannot be got, and
/// in the rest of a list.
fn first(body: &Body, resource: &ApiResource, namespace: Option<String>, cluster: &str) -> Option<Next> {
    let (list, at) = match body {
        Body::Table(list) => (list, 0),
        Body::Sorted { list, first } => (list, first.iter().position(|first| *first).unwrap_or(0)),
        Body::Groups { .. }
        | Body::Objects { .. }
        | Body::Object(_)
        | Body::Fields { .. }
        | Body::Text(_)
        | Body::Lines(_) => {
            return None;
        }
    };
    serves(resource, "get").ok()?;
    let row = list.content.rows.get(at).filter(|_| list.page.form == Form::Fresh)?;
    let column = list.content.columns.iter().position(|column| column.name.eq_ignore_ascii_case("name"))?;
    let name = row.cells.get(column).filter(|name| names::object(name).is_ok())?.clone();
    let namespace = row.namespace.clone().or(namespace).filter(|_| resource.namespaced);
    let next = Next::at("resources_get", cluster).with("kind", resource.qualified()).with("name", name);
    Some(match namespace {
        Some(namespace) => next.with("namespace", namespace),
        None => next,
    })
}

/// Which objects of a kind, already checked.
pub(in crate::tools) struct What {
    pub(in crate::tools) namespace: Option<String>,
    pub(in crate::tools) label_selector: Option<String>,
    pub(in crate::tools) field_selector: Option<String>,
}

/// One page of a kind, in the form that the caller wants.
pub(in crate::tools) async fn list(
    cx: &Cx,
    client: &ClusterClient,
    resource: &ApiResource,
    what: What,
) -> Result<Output, Failure> {
    let (namespace, note) = scope(resource, what.namespace);
    let shown = match &namespace {
        Some(namespace) => format!("{} in namespace {namespace}", resource.qualified()),
        None => resource.qualified(),
    };
    let doing = format!("listing {shown}");
    serves(resource, "list").map_err(|failure| failure.doing(&doing))?;
    let narrow = match (resource.namespaced, &namespace) {
        (true, None) => "namespace, labelSelector or fieldSelector",
        (true, Some(_)) | (false, _) => "labelSelector or fieldSelector",
    };
    let are_pods = resource.qualified() == "pods";
    let may_group = are_pods && cx.presentation.free;
    let page = Page { limit: if may_group { MAX_LIMIT } else { cx.page.limit }, ..cx.page.clone() };
    let request = ListRequest {
        namespace,
        label_selector: what.label_selector,
        field_selector: what.field_selector,
        limit: page.limit,
        continue_token: page.token.clone(),
    };
    let mut notes: Vec<String> = note.into_iter().collect();
    let body = if cx.presentation.wants_objects() {
        let content = client.list_objects(resource, &request).await.map_err(|failure| failure.doing(&doing))?;
        Body::Objects { list: Listing { resource: shown, content, page, narrow }, kind: resource.kind.clone() }
    } else {
        let content = client.list(resource, &request).await.map_err(|failure| failure.doing(&doing))?;
        let (body, said) = arranged(Listing { resource: shown, content, page, narrow }, resource, may_group);
        notes.extend(said);
        body
    };
    Ok(Output { notes, ..Output::new(body) })
}

/// A page of a table with what needs a look first; long lists of pods in groups, where the caller asked for no form. The
/// rest of a page keeps the form and the order that it was begun in. A server that sends more than it was asked for gets
/// rows, not groups.
fn arranged(mut list: Listing<Table>, resource: &ApiResource, may_group: bool) -> (Body, Option<String>) {
    let rows = list.content.rows.len();
    let most = usize::try_from(list.page.limit).unwrap_or(usize::MAX);
    let grouped = match list.page.form {
        Form::Fresh if may_group && rows > groups::ABOVE && rows <= most => {
            groups::of_pods(&list.content).filter(Groups::are_worth_it)
        }
        Form::Groups if may_group => groups::of_pods(&list.content),
        Form::Fresh | Form::Rows | Form::Groups => None,
    };
    let fresh = list.page.form == Form::Fresh;
    if let Some(Groups { table, sizes, first, odd }) = grouped {
        let well = match odd {
            0 => "all well".to_owned(),
            odd if fresh => format!("{odd} not well, first"),
            odd => format!("{odd} not well"),
        };
        let said = format!(
            "{rows} pods of this page in {} groups by name, {well}; one pod per row with format=table",
            sizes.len()
        );
        list.content = table;
        return (Body::Groups { list, sizes, first }, Some(said));
    }
    if list.page.form == Form::Groups {
        // The offset counts pods in the order of groups.
        list.page = Page { offset: 0, form: Form::Rows, ..list.page };
    }
    let first = anomalies::marks(&list.content, resource.qualified() == "pods").filter(|_| fresh);
    let Some(first) = first else { return (Body::Table(list), None) };
    let odd = first.iter().filter(|odd| **odd).count();
    let said = format!("{odd} of {rows} {} on this page are not well: they come first", resource.plural);
    (Body::Sorted { list, first }, Some(said))
}

/// The namespace that counts: none for a kind without namespaces, and a note when one was given.
fn scope(resource: &ApiResource, namespace: Option<String>) -> (Option<String>, Option<String>) {
    match namespace {
        Some(_) if !resource.namespaced => {
            (None, Some(format!("{} are in no namespace: namespace was ignored", resource.qualified())))
        }
        namespace => (namespace, None),
    }
}

fn serves(resource: &ApiResource, verb: &str) -> Result<(), Failure> {
    if resource.verbs.iter().any(|served| served == verb) {
        return Ok(());
    }
    let verbs = if resource.verbs.is_empty() { "none".into() } else { resource.verbs.join(", ") };
    Err(Failure::arguments(format!("{} cannot be used with {verb}; verbs: {verbs}", resource.qualified())))
}

/// `resources_get`.
pub(super) struct ResourcesGet;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GetArgs {
    api_version: Option<String>,
    kind: String,
    name: String,
    namespace: Option<String>,
    #[schemars(description = "As spec.replicas")]
    fields: Option<Vec<String>>,
}

impl Tool for ResourcesGet {
    const SPEC: Spec = Spec {
        name: "resources_get",
        title: "Resources: get",
        description: "Get one object as YAML, Secret values masked",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = GetArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: GetArgs) -> Result<Output, Failure> {
        arguments::kind(&args.kind, args.api_version.as_deref())?;
        let which = Which::read(args.name, args.namespace)?;
        let fields = args.fields.unwrap_or_default();
        check_fields(&fields)?;
        let resource = client.kind(&args.kind, args.api_version.as_deref()).await?;
        let found = get(client, &resource, which).await?;
        let output = Output::new(Body::Fields { object: found.object, fields });
        Ok(Output { notes: found.note.into_iter().collect(), ..output })
    }
}

/// Which object of a kind, already checked.
pub(in crate::tools) struct Which {
    pub(in crate::tools) name: String,
    pub(in crate::tools) namespace: Option<String>,
}

impl Which {
    /// Checks a name and a namespace.
    pub(in crate::tools) fn read(name: String, namespace: Option<String>) -> Result<Self, Failure> {
        names::object(&name).map_err(|error| Failure::arguments(error.to_string()))?;
        Ok(Self { name, namespace: arguments::namespace(namespace)? })
    }
}

/// An object, and where it was found.
pub(in crate::tools) struct Found {
    pub(in crate::tools) object: Value,
    pub(in crate::tools) namespace: Option<String>,
    /// Says how the namespace came about, where the caller must know.
    pub(in crate::tools) note: Option<String>,
}

/// One object; in the default namespace when none was given.
pub(in crate::tools) async fn get(
    client: &ClusterClient,
    resource: &ApiResource,
    which: Which,
) -> Result<Found, Failure> {
    let (namespace, note) = match scope(resource, which.namespace) {
        (None, None) if resource.namespaced => {
            let default = client.default_namespace().to_owned();
            let note = format!("namespace {default}, as none was given");
            (Some(default), Some(note))
        }
        scoped => scoped,
    };
    let name = which.name;
    let doing = match &namespace {
        Some(namespace) => format!("getting {} {namespace}/{name}", resource.qualified()),
        None => format!("getting {} {name}", resource.qualified()),
    };
    serves(resource, "get").map_err(|failure| failure.doing(&doing))?;
    let object = client.get(resource, namespace.as_deref(), &name).await;
    let object = with_kind(object.map_err(|failure| failure.doing(&doing))?, resource);
    Ok(Found { object, namespace, note })
}

/// An object says what it is, also where the API server left it out: masking goes by kind.
fn with_kind(mut object: Value, resource: &ApiResource) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.entry("apiVersion").or_insert_with(|| resource.api_version().into());
        fields.entry("kind").or_insert_with(|| resource.kind.as_str().into());
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{arranged, first, scope, serves, with_kind};
    use crate::model::{ApiResource, Column, Row, Table};
    use crate::output::{Body, Form, Listing, MAX_LIMIT, Output, Page, Presentation, render};
    use crate::reference::tokens;

    fn resource(plural: &str, kind: &str, namespaced: bool) -> ApiResource {
        ApiResource {
            group: String::new(),
            version: "v1".into(),
            plural: plural.into(),
            singular: plural.trim_end_matches('s').into(),
            kind: kind.into(),
            short_names: vec![],
            namespaced,
            verbs: vec!["get".into()],
        }
    }

    #[test]
    fn a_namespace_counts_only_where_there_are_namespaces() {
        assert_eq!(scope(&resource("pods", "Pod", true), Some("a".into())), (Some("a".into()), None));
        let (namespace, note) = scope(&resource("nodes", "Node", false), Some("a".into()));
        assert_eq!(namespace, None);
        assert_eq!(note.unwrap(), "nodes are in no namespace: namespace was ignored");
    }

    #[test]
    fn verbs_that_are_not_served_are_not_tried() {
        let failure = serves(&resource("tokenreviews", "TokenReview", false), "list").unwrap_err();
        assert_eq!(failure.to_string(), "tokenreviews cannot be used with list; verbs: get");
        assert!(serves(&resource("pods", "Pod", true), "get").is_ok());
    }

    #[test]
    fn what_is_read_first_is_what_a_list_shows_first() {
        let columns = ["Name", "Data"].map(|name| Column { name: name.into(), priority: 0 }).to_vec();
        let row = |name: &str, namespace: Option<&str>| Row {
            namespace: namespace.map(Into::into),
            cells: vec![name.into(), "1".into()],
        };
        let rows = vec![row("a", Some("shop")), row("b", None)];
        let content = Table { columns, rows, ..Table::default() };
        let list = Listing { resource: "configmaps".into(), content, page: Page::first(10), narrow: "" };
        let kind = resource("configmaps", "ConfigMap", true);
        let next = |body: &Body, kind: &ApiResource, namespace: Option<&str>| {
            first(body, kind, namespace.map(Into::into), "k:root:a").map(|next| next.to_string())
        };
        let table = Body::Table(list.clone());
        let read = "resources_get cluster=k:root:a kind=configmaps name=a namespace=shop";
        assert_eq!(next(&table, &kind, None).as_deref(), Some(read));
        let sorted = Body::Sorted { list: list.clone(), first: vec![false, true] };
        let read = "resources_get cluster=k:root:a kind=configmaps name=b namespace=own";
        assert_eq!(next(&sorted, &kind, Some("own")).as_deref(), Some(read));
        assert_eq!(next(&table, &ApiResource { verbs: vec!["list".into()], ..kind.clone() }, None), None);
        let rest = Listing { page: Page { form: Form::Rows, ..Page::first(10) }, ..list };
        assert_eq!(next(&Body::Table(rest), &kind, None), None);
    }

    #[test]
    fn an_object_without_kind_gets_the_kind_that_was_asked_for() {
        let object = with_kind(json!({"data": {"a": "YQ=="}}), &resource("secrets", "Secret", true));
        assert_eq!(object, json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "YQ=="}}));
    }

    /// The columns and names of a real namespace: deployments of ten pods, every fortieth pod not well.
    fn shop(pods: usize) -> Listing<Table> {
        let columns = [("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1)];
        let letters = b"bcdfghjklmnpqrstvwxz2456789";
        let random = |seed: usize, length: u32| -> String {
            (0..length).map(|at| char::from(letters[(seed * 7_919 / 5_usize.pow(at) + seed) % letters.len()])).collect()
        };
        let row = |at: usize| {
            let hash = random(at / 10 + 31, 8);
            let (ready, status, restarts) =
                if at % 40 == 7 { ("0/1", "CrashLoopBackOff", "12 (3m ago)") } else { ("1/1", "Running", "0") };
            let name = format!("checkout-{}-9{hash}-{}", at / 10, random(at + 3, 5));
            let cells = [&name, ready, status, restarts, "12d", "10.244.3.17", "node-3"];
            Row { namespace: None, cells: cells.map(Into::into).to_vec() }
        };
        let content = Table {
            columns: columns.map(|(name, priority)| Column { name: name.into(), priority }).to_vec(),
            rows: (0..pods.min(MAX_LIMIT as usize)).map(row).collect(),
            continue_token: (pods > MAX_LIMIT as usize).then(|| "next".into()),
            remaining: pods.checked_sub(MAX_LIMIT as usize).filter(|left| *left > 0).map(|left| left as u64),
        };
        Listing {
            resource: "pods in namespace shop".into(),
            content,
            page: Page::first(MAX_LIMIT),
            narrow: "labelSelector",
        }
    }

    fn answer(list: Listing<Table>, may_group: bool) -> String {
        let (body, said) = arranged(list, &resource("pods", "Pod", true), may_group);
        assert_eq!(matches!(body, Body::Groups { .. }), may_group);
        let output = Output { notes: said.into_iter().collect(), ..Output::new(body) };
        render(output, &Presentation::default(), |_| Some("H".repeat(100))).unwrap().text
    }

    #[test]
    fn a_hundred_pods_cost_few_tokens_and_say_which_need_a_look() {
        let grouped = answer(shop(100), true);
        assert!(
            grouped.starts_with("# 100 pods of this page in 10 groups by name, 3 not well, first; one pod"),
            "{grouped}"
        );
        assert!(grouped.contains("\ncheckout-0-*\t1 CrashLoopBackOff, 9 Running\tcheckout-0-"), "{grouped}");
        assert!(!grouped.contains(" shown;") && tokens(&grouped) <= 500, "{}: {grouped}", tokens(&grouped));
        let rows = answer(shop(100), false);
        assert_eq!(rows.lines().filter(|line| line.starts_with("checkout-")).count(), 100);
        assert!(tokens(&rows) <= 4_000, "{}", tokens(&rows));
    }

    #[test]
    fn ten_thousand_pods_come_in_pages_of_groups_with_the_total() {
        let text = answer(shop(10_000), true);
        assert!(text.contains("\n# 500 of 10000 pods in namespace shop shown; narrow with labelSelector"), "{text}");
        assert!(text.len() <= 7_000 && tokens(&text) <= 2_000, "{} tokens", tokens(&text));
    }

    #[test]
    fn short_lists_other_kinds_and_more_than_was_asked_for_stay_rows() {
        let (pods, others) = (resource("pods", "Pod", true), resource("podlikes", "PodLike", true));
        let (body, said) = arranged(shop(50), &pods, true);
        let Body::Sorted { list, first } = body else { panic!("{body:?}") };
        assert_eq!(said.unwrap(), "2 of 50 pods on this page are not well: they come first");
        assert_eq!(list.content, shop(50).content, "the order is for whoever prints it");
        assert_eq!(first.iter().enumerate().filter(|(_, odd)| **odd).map(|(at, _)| at).collect::<Vec<_>>(), [7, 47]);
        assert!(matches!(arranged(shop(100), &others, false), (Body::Sorted { .. }, Some(_))));
        let more = Listing { page: Page::first(99), ..shop(100) };
        assert!(matches!(arranged(more, &pods, true), (Body::Sorted { .. }, Some(_))));
    }

    #[test]
    fn the_rest_of_a_page_keeps_its_form() {
        let pods = resource("pods", "Pod", true);
        let rest = |count, form, may_group| {
            let page = Page { offset: 20, form, ..Page::first(MAX_LIMIT) };
            arranged(Listing { page, ..shop(count) }, &pods, may_group)
        };
        assert!(matches!(rest(100, Form::Rows, true), (Body::Table(_), None)));
        let (body, said) = rest(40, Form::Groups, true);
        assert!(matches!(body, Body::Groups { .. }), "{body:?}");
        assert!(said.unwrap().starts_with("40 pods of this page in 4 groups by name, 1 not well; "));
        let (body, _) = rest(40, Form::Groups, false);
        let Body::Table(list) = body else { panic!("{body:?}") };
        assert_eq!((list.page.offset, list.page.form), (0, Form::Rows), "in another order nothing was shown yet");
    }
}
