//! What a source is, and the list of them.

use std::path::PathBuf;

use futures::future::BoxFuture;

use crate::kubeconfig::KubeconfigError;
use crate::model::{ClusterKind, ClusterName, Endpoint, WorkspacePath};

use super::entry::LocalContext;
use super::kubeconfig::KubeconfigSource;

/// Something that discovers clusters. It takes endpoint and CA only: users, tokens, certificates, plugins and proxies of
/// what it reads are never kept.
pub trait Source: Send + Sync {
    /// Its name: what follows `@` in a name that collides, and what `[[bind]]` rules match.
    fn name(&self) -> &str;

    /// Looks once. Bounded in time; a single broken cluster is skipped, not an error.
    fn discover(&self) -> BoxFuture<'_, Result<Findings, SourceError>>;

    /// Files whose change is a reason to look again.
    fn watched_files(&self) -> Vec<PathBuf>;
}

/// What one look found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The clusters.
    pub clusters: Vec<Discovered>,
    /// Those that cannot be used, for the log and `doctor`.
    pub skipped: Vec<Skipped>,
}

/// A cluster that a source cannot offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its foreign name.
    pub foreign: String,
    /// Why, in one line without any secret.
    pub why: String,
}

/// A cluster as a source found it.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// The source's name.
    pub source: String,
    /// Its name there.
    pub foreign: String,
    /// The name that we would like to give it.
    pub slug: ClusterName,
    /// Where it is; for a kcp the host.
    pub endpoint: Endpoint,
    /// What it seems to be.
    pub kind: ClusterKind,
    /// For a kcp: the workspace that the foreign URL named.
    pub entry: Vec<WorkspacePath>,
    /// The namespace of the kubeconfig context.
    pub namespace: Option<String>,
    /// True for the kubeconfig's current-context.
    pub current: bool,
    /// For local mode: the context that it is.
    pub local: Option<LocalContext>,
}

/// Why a source found nothing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A kubeconfig is broken.
    #[error("source {name}")]
    Kubeconfig {
        /// The source.
        name: String,
        /// Why.
        #[source]
        source: KubeconfigError,
    },
    /// It took too long.
    #[error("source {name} did not answer in {seconds} s")]
    Slow {
        /// The source.
        name: String,
        /// The deadline.
        seconds: u64,
    },
    /// Its task was ended, as at shutdown.
    #[error("source {name} was stopped")]
    Stopped {
        /// The source.
        name: String,
    },
}

/// A `[[sources]]` entry. A new type of source is a file, a variant, and its line in [`SourceConfig::TYPES`], in
/// [`SourceConfig::open`] and where `config` reads its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceConfig {
    /// Contexts of kubeconfig files, merged as kubectl does.
    Kubeconfig {
        /// Its name; the type when none is written.
        name: String,
        /// The files, absolute or relative to the working folder.
        paths: Vec<PathBuf>,
    },
}

impl SourceConfig {
    /// All words for `type`.
    pub const TYPES: &'static [&'static str] = &["kubeconfig"];

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Kubeconfig { name, .. } => name,
        }
    }

    /// The source.
    pub fn open(&self) -> Box<dyn Source> {
        match self {
            Self::Kubeconfig { name, paths } => Box::new(KubeconfigSource::new(name, paths)),
        }
    }
}
