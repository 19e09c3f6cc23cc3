//! The process environment as a value, so that every input can be faked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What is read of the process environment: variables by name, and the home folder. `config` makes the real one.
#[derive(Clone)]
pub struct Environment {
    lookup: Arc<Lookup>,
    names: Arc<[String]>,
    home: Option<PathBuf>,
}

impl Environment {
    /// An environment that answers from `lookup`.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static, home: Option<PathBuf>) -> Self {
        Self { lookup: Arc::new(lookup), names: Arc::default(), home }
    }

    /// The same, which can also say which variables are set.
    #[must_use]
    pub fn with_names(self, names: Vec<String>) -> Self {
        Self { names: names.into(), ..self }
    }

    /// An environment of the given variables.
    pub fn of(variables: &[(&str, &str)], home: Option<PathBuf>) -> Self {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let names = variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.clone()).collect();
        let lookup =
            move |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        Self::new(lookup, home).with_names(names)
    }

    /// The names of the variables that are set and not empty, where they are known.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The variable `name`; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// `path` with a leading `~/` replaced by the home folder, and a relative one put below `folder`.
    pub fn resolve(&self, path: &str, folder: &Path) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => folder.join(path),
        }
    }

    /// The kubeconfig files as kubectl finds them: the list in `KUBECONFIG`, else `~/.kube/config`. They may not exist.
    pub fn kubeconfig_files(&self) -> Vec<PathBuf> {
        let listed: Vec<PathBuf> = self
            .get("KUBECONFIG")
            .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default();
        if listed.is_empty() {
            self.home.iter().map(|home| home.join(".kube").join("config")).collect()
        } else {
            listed
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("home", &self.home).finish_non_exhaustive()
    }
}
