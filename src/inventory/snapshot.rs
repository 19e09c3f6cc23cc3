//! The clusters of one generation, and the only place where what a caller wrote becomes a cluster and a place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::names::{self, NameError, quote};
use crate::model::{Address, Cluster, ClusterKind, ClusterName, Place, WorkspacePath};

/// Near names in an answer, at most.
const NEAR: usize = 5;

/// The clusters of one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    /// Those of them that are a kcp.
    kcps: Vec<Arc<Cluster>>,
    aliases: BTreeMap<String, Vec<ClusterName>>,
    ambiguous: BTreeMap<String, Vec<ClusterName>>,
}

/// Why there is no target. It says nothing about clusters that this caller may not see: for those every variant is the
/// very same as if they did not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No cluster of this name exists for this caller.
    #[error("no cluster {given} here")]
    Unknown {
        /// What was given, quoted and cut.
        given: String,
        /// At most five near names that this caller may see.
        near: Vec<String>,
    },
    /// Several clusters of which this caller sees at least two could be meant.
    #[error("{given} could be any of {}", choices.join(", "))]
    Ambiguous {
        /// What was given, quoted and cut.
        given: String,
        /// Those that this caller may see.
        choices: Vec<String>,
    },
    /// It is outside the grammar.
    #[error(transparent)]
    Grammar(#[from] NameError),
    /// A workspace was named in a cluster that is not a kcp.
    #[error("{cluster} is no kcp and has no workspaces")]
    NotAKcp {
        /// The cluster.
        cluster: String,
    },
}

type Sees<'a> = &'a dyn Fn(&Cluster) -> bool;

impl Snapshot {
    /// A snapshot of clusters with unique names, and of short names that several discovered ones would have.
    pub fn new(clusters: Vec<Cluster>, ambiguous: BTreeMap<String, Vec<ClusterName>>) -> Self {
        let clusters: BTreeMap<_, _> = clusters.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect();
        let is_name = |text: &str| ClusterName::parse(text).is_ok_and(|name| clusters.contains_key(&name));
        let mut aliases: BTreeMap<String, Vec<ClusterName>> = BTreeMap::new();
        for cluster in clusters.values() {
            // An alias must never take the place of a cluster's name, nor of an address in that cluster.
            for alias in cluster.aliases.iter().filter(|alias| !alias.split(':').next().is_some_and(is_name)) {
                aliases.entry(alias.clone()).or_default().push(cluster.name.clone());
            }
        }
        let kcps = clusters.values().filter(|cluster| cluster.kind == ClusterKind::Kcp).cloned().collect();
        Self { clusters, kcps, aliases, ambiguous }
    }

    /// The cluster of this very name.
    pub fn get(&self, name: &ClusterName) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// All clusters, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// Those that are a kcp, by name.
    pub fn kcps(&self) -> impl ExactSizeIterator<Item = &Arc<Cluster>> {
        self.kcps.iter()
    }

    /// The cluster and the place that a caller means.
    ///
    /// * `text`: `<cluster>`, `<cluster>:<place>` or a foreign name. With `from` it may also be a place relative to it
    ///   (`..`, `team:a`, `./plant-1`), absolute in its cluster (`:root:x`, `root:x`), or empty for `from` itself; what
    ///   begins with the name of `from`'s cluster is an address as usual.
    /// * `workspace`: the place, when `text` is the cluster alone; relative to `from` where that is given.
    /// * `from`: an address.
    /// * `sees`: whether a cluster exists for this caller.
    ///
    /// # Errors
    /// When nothing, or more than one cluster, can be meant.
    pub fn find(
        &self,
        text: &str,
        from: Option<&str>,
        workspace: Option<&str>,
        sees: Sees<'_>,
    ) -> Result<(Arc<Cluster>, Place), ResolveError> {
        let (cluster, place) = match (from, workspace) {
            (None, None) => self.absolute(text, sees)?,
            (None, Some(workspace)) => match self.absolute(text, sees)? {
                (cluster, Place::Whole) => (cluster, Place::relative(workspace, None)?),
                (_, Place::Name(_) | Place::Path(_)) => return Err(twice(text)),
            },
            (Some(from), workspace) => self.relative(text, from, workspace, sees)?,
        };
        if place != Place::Whole && cluster.kind != ClusterKind::Kcp {
            return Err(ResolveError::NotAKcp { cluster: cluster.name.to_string() });
        }
        Ok((cluster, place))
    }

    fn relative(
        &self,
        text: &str,
        from: &str,
        workspace: Option<&str>,
        sees: Sees<'_>,
    ) -> Result<(Arc<Cluster>, Place), ResolveError> {
        let (cluster, start) = self.absolute(from, sees)?;
        let base = base(&cluster, &start);
        let below = |place: &str| Place::relative(place, base.as_ref());
        let names_it =
            text.split(':').next() == Some(cluster.name.as_str()) || cluster.aliases.iter().any(|alias| alias == text);
        match workspace {
            Some(workspace) if text.is_empty() || names_it => match self.absolute_or(text, &cluster, sees)? {
                Place::Whole => Ok((cluster, below(workspace)?)),
                Place::Name(_) | Place::Path(_) => Err(twice(text)),
            },
            Some(_) => Err(NameError::new("from", from, "an address in the same cluster as the target").into()),
            None if text.is_empty() => Ok((cluster, start)),
            None if names_it => {
                let place = self.absolute_or(text, &cluster, sees)?;
                Ok((cluster, place))
            }
            None => Ok((cluster, below(text)?)),
        }
    }

    /// The place of `text`, which is empty or names `cluster`.
    fn absolute_or(&self, text: &str, cluster: &Cluster, sees: Sees<'_>) -> Result<Place, ResolveError> {
        if text.is_empty() || text == cluster.name.as_str() {
            Ok(Place::Whole)
        } else {
            Ok(self.absolute(text, sees)?.1)
        }
    }

    /// Grammar first; a foreign name only whole.
    fn absolute(&self, text: &str, sees: Sees<'_>) -> Result<(Arc<Cluster>, Place), ResolveError> {
        let read = Address::parse(text);
        if let Ok(address) = &read
            && let Some(cluster) = self.seen(&address.cluster, sees)
        {
            return Ok((cluster.clone(), address.place.clone()));
        }
        let short = text.split(':').next().unwrap_or(text);
        let choices = self.seen_of(self.ambiguous.get(short), sees);
        // Of several, one seen is no choice: the answer is as if the others were not there, and still nothing is guessed.
        if read.is_ok() && choices.len() > 1 {
            return Err(ambiguous(text, &choices));
        }
        match self.seen_of(self.aliases.get(text), sees).as_slice() {
            [] => {}
            [cluster] => return Ok(((*cluster).clone(), Place::Whole)),
            several => return Err(ambiguous(text, several)),
        }
        read?;
        let visible = self.iter().filter(|cluster| sees(cluster)).map(|cluster| cluster.name.as_str());
        let near = names::near(short, visible, NEAR).into_iter().map(str::to_owned).collect();
        Err(ResolveError::Unknown { given: quote(text), near })
    }

    fn seen(&self, name: &ClusterName, sees: Sees<'_>) -> Option<&Arc<Cluster>> {
        self.clusters.get(name).filter(|cluster| sees(cluster))
    }

    fn seen_of(&self, names: Option<&Vec<ClusterName>>, sees: Sees<'_>) -> Vec<&Arc<Cluster>> {
        names.into_iter().flatten().filter_map(|name| self.seen(name, sees)).collect()
    }
}

/// Where relative places start: the place of `from`, or the only entry of a bare kcp.
fn base(cluster: &Cluster, place: &Place) -> Option<WorkspacePath> {
    match (place, cluster.entry.as_slice()) {
        (Place::Path(path), _) => Some(path.clone()),
        (Place::Name(name), _) => WorkspacePath::parse(name.as_str()).ok(),
        (Place::Whole, [only]) => Some(only.clone()),
        (Place::Whole, _) => None,
    }
}

fn ambiguous(text: &str, choices: &[&Arc<Cluster>]) -> ResolveError {
    ResolveError::Ambiguous {
        given: quote(text),
        choices: choices.iter().map(|cluster| cluster.name.to_string()).collect(),
    }
}

fn twice(text: &str) -> ResolveError {
    NameError::new("cluster", text, "with the argument workspace, the cluster's name alone").into()
}

#[cfg(test)]
mod tests;
