//! The objects of one server or workspace, sorted as etcd sorts them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::reply::{Outcome, Refusal};
use super::selector::Selector;
use super::types::ResourceType;

/// Namespace (empty for cluster-scoped objects) and name.
type Key = (String, String);

/// A store of JSON objects with one revision counter.
#[derive(Debug)]
pub(super) struct Store {
    revision: u64,
    /// Continue tokens of an earlier revision have expired.
    compacted: u64,
    /// By group and plural, so that all versions of a resource show the same objects.
    tables: BTreeMap<(String, String), BTreeMap<Key, Arc<Value>>>,
}

/// Part of a list.
pub(super) struct Page {
    pub(super) items: Vec<Arc<Value>>,
    pub(super) revision: u64,
    pub(super) continue_token: Option<String>,
    /// How many more there are; unknown under a selector.
    pub(super) remaining: Option<usize>,
}

impl Default for Store {
    fn default() -> Self {
        Self { revision: 1, compacted: 0, tables: BTreeMap::new() }
    }
}

impl Store {
    /// The object of this name.
    pub(super) fn get(&self, ty: &ResourceType, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.table(ty)?.get(&key).cloned()
    }

    /// All objects of a kind, in order.
    pub(super) fn all(&self, ty: &ResourceType) -> impl Iterator<Item = &Arc<Value>> {
        self.table(ty).into_iter().flat_map(BTreeMap::values)
    }

    /// Writes `object` under the name in its metadata and gives it a new resourceVersion.
    pub(super) fn put(&mut self, ty: &ResourceType, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        let object = Arc::new(object);
        self.tables.entry((ty.group.clone(), ty.plural.clone())).or_default().insert(key, Arc::clone(&object));
        object
    }

    /// Takes the object of this name out.
    pub(super) fn remove(&mut self, ty: &ResourceType, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let table = self.tables.get_mut(&(ty.group.clone(), ty.plural.clone()))?;
        let removed = table.remove(&(namespace.to_owned(), name.to_owned()))?;
        self.revision += 1;
        Some(removed)
    }

    /// Takes out everything that lies in `namespace`.
    pub(super) fn empty_namespace(&mut self, namespace: &str) {
        for table in self.tables.values_mut() {
            table.retain(|(of, _), _| of != namespace);
        }
        self.revision += 1;
    }

    /// Makes every continue token that was given out so far answer 410.
    pub(super) fn compact(&mut self) {
        self.revision += 1;
        self.compacted = self.revision;
    }

    /// One page of a list: all namespaces without `namespace`, all items without `limit`.
    ///
    /// A continued list goes on from its key in the present state; the real server shows the past one.
    pub(super) fn page(
        &self,
        ty: &ResourceType,
        namespace: Option<&str>,
        selector: &Selector,
        limit: Option<usize>,
        token: Option<&str>,
    ) -> Outcome<Page> {
        let (start, revision) = match token {
            None => (Bound::Included((namespace.unwrap_or_default().to_owned(), String::new())), self.revision),
            Some(token) => self.resume(token)?,
        };
        let mut page = Page { items: Vec::new(), revision, continue_token: None, remaining: None };
        let Some(table) = self.table(ty) else {
            return Ok(page);
        };
        let mut rest = table
            .range((start, Bound::Unbounded))
            .take_while(|((of, _), _)| namespace.is_none_or(|wanted| of == wanted));
        let limit = limit.unwrap_or(usize::MAX);
        let mut last = None;
        while page.items.len() < limit
            && let Some((key, object)) = rest.next()
        {
            last = Some(key);
            if selector.matches(object) {
                page.items.push(Arc::clone(object));
            }
        }
        let remaining = rest.count();
        if let Some(last) = last.filter(|_| remaining > 0) {
            page.continue_token = Some(token_for(last, revision as i64));
            page.remaining = selector.is_empty().then_some(remaining);
        }
        Ok(page)
    }

    fn resume(&self, token: &str) -> Outcome<(Bound<Key>, u64)> {
        let invalid =
            |why: &str| Refusal::bad_request(format!("invalid continue token: continue key is not valid{why}"));
        let decoded = URL_SAFE_NO_PAD.decode(token).map_err(|error| invalid(&format!(": {error}")))?;
        let value: Value = serde_json::from_slice(&decoded).map_err(|error| invalid(&format!(": {error}")))?;
        if value["v"] != "meta.k8s.io/v1" {
            return Err(invalid(": server does not recognize this encoded version"));
        }
        let start = value["start"].as_str().unwrap_or_default();
        let key = start.trim_end_matches('\0');
        let (namespace, name) = key.rsplit_once('/').unwrap_or(("", key));
        let key = (namespace.to_owned(), name.to_owned());
        if name.is_empty() {
            return Err(invalid(": encoded start key empty (version meta.k8s.io/v1)"));
        }
        match value["rv"].as_i64() {
            None | Some(0) => Err(invalid(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")),
            Some(-1) => Ok((Bound::Excluded(key), self.revision)),
            Some(revision) if revision < self.compacted as i64 => Err(Refusal::expired(token_for(&key, -1))),
            Some(revision) => Ok((Bound::Excluded(key), revision.unsigned_abs())),
        }
    }

    fn table(&self, ty: &ResourceType) -> Option<&BTreeMap<Key, Arc<Value>>> {
        self.tables.get(&(ty.group.clone(), ty.plural.clone()))
    }
}

/// The real server's token: version, revision, and the first key not yet sent.
fn token_for((namespace, name): &Key, revision: i64) -> String {
    let start = if namespace.is_empty() { format!("{name}\0") } else { format!("{namespace}/{name}\0") };
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

/// The token that a 410 offers in place of this one; nothing for what is no token.
pub(super) fn inconsistent_token(token: &str) -> Option<String> {
    let mut value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    value["start"].as_str()?;
    value["rv"] = (-1).into();
    Some(URL_SAFE_NO_PAD.encode(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::types::Types;

    fn filled(count: usize) -> (Store, Arc<ResourceType>) {
        let pods = Types::kubernetes().find("", "v1", "pods").unwrap();
        let mut store = Store::default();
        for i in 0..count {
            let namespace = ["b", "a"][i % 2];
            store.put(&pods, json!({"metadata": {"name": format!("p{i:03}"), "namespace": namespace}}));
        }
        (store, pods)
    }

    fn names(page: &Page) -> Vec<String> {
        let name = |o: &Arc<Value>| o["metadata"]["name"].as_str().unwrap().to_owned();
        page.items.iter().map(name).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let (store, pods) = filled(25);
        let all = Selector::default();
        let whole = names(&store.page(&pods, None, &all, None, None).unwrap());
        assert_eq!(whole.len(), 25);
        let (mut seen, mut token, mut left) = (Vec::new(), None, Vec::new());
        loop {
            let page = store.page(&pods, None, &all, Some(10), token.as_deref()).unwrap();
            seen.extend(names(&page));
            left.push(page.remaining);
            token = page.continue_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, whole);
        assert_eq!(left, [Some(15), Some(5), None]);
        let b = store.page(&pods, Some("b"), &all, Some(13), None).unwrap();
        assert_eq!((b.items.len(), b.continue_token), (13, None));
    }

    #[test]
    fn a_selector_hides_the_count() {
        let (store, pods) = filled(25);
        let selector = Selector::parse(&pods, None, Some("metadata.namespace=a")).unwrap();
        let page = store.page(&pods, None, &selector, Some(5), None).unwrap();
        assert!(page.continue_token.is_some());
        assert_eq!(page.remaining, None);
    }

    #[test]
    fn tokens_are_refused_when_bad_and_expire_when_old() {
        let (mut store, pods) = filled(5);
        let all = Selector::default();
        let refused = |store: &Store, token: &str| match store.page(&pods, None, &all, None, Some(token)) {
            Ok(_) => panic!("{token} was accepted"),
            Err(refusal) => refusal.into_reply(),
        };
        for bad in ["%", "AAAA", "e30"] {
            assert_eq!(refused(&store, bad).status(), 400, "{bad}");
        }
        let token = store.page(&pods, None, &all, Some(2), None).unwrap().continue_token.unwrap();
        store.compact();
        let reply = refused(&store, &token);
        assert_eq!(reply.status(), 410);
        let body: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(body["reason"], "Expired");
        let fresh = body["metadata"]["continue"].as_str().unwrap();
        let rest = store.page(&pods, None, &all, None, Some(fresh)).unwrap();
        assert_eq!(rest.items.len(), 3);
    }
}
