//! The source `kubeconfig`: each context of the files is a cluster.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::kubeconfig::{Context, Kubeconfig, ServerUrl};
use crate::model::{ClusterKind, ClusterName, WorkspacePath};

use super::entry::LocalContext;
use super::source::{Discovered, Findings, Skipped, Source, SourceError};

/// Reading a few small files; a network file system may hang.
const DEADLINE: Duration = Duration::from_secs(5);

/// Contexts of kubeconfig files, merged as kubectl does.
#[derive(Debug)]
pub struct KubeconfigSource {
    name: String,
    paths: Vec<PathBuf>,
}

impl KubeconfigSource {
    /// A source over `paths`; those that do not exist are passed over.
    pub fn new(name: &str, paths: &[PathBuf]) -> Self {
        Self { name: name.to_owned(), paths: paths.to_vec() }
    }

    async fn look(&self) -> Result<Findings, SourceError> {
        let (name, paths) = (self.name.clone(), self.paths.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let read = Kubeconfig::read_all(&paths)?;
            Ok(findings(&name, &paths, &read))
        });
        let name = || self.name.clone();
        match tokio::time::timeout(DEADLINE, reading).await {
            Err(_) => Err(SourceError::Slow { name: name(), seconds: DEADLINE.as_secs() }),
            Ok(Err(_)) => Err(SourceError::Stopped { name: name() }),
            Ok(Ok(found)) => found.map_err(|source| SourceError::Kubeconfig { name: name(), source }),
        }
    }
}

impl Source for KubeconfigSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn discover(&self) -> BoxFuture<'_, Result<Findings, SourceError>> {
        Box::pin(self.look())
    }

    fn watched_files(&self) -> Vec<PathBuf> {
        self.paths.clone()
    }
}

fn findings(source: &str, files: &[PathBuf], read: &Kubeconfig) -> Findings {
    let mut findings = Findings::default();
    for name in read.contexts() {
        let found = read.context(name).map_err(|error| error.to_string());
        match found.and_then(|context| discovered(source, files, read, context)) {
            Ok(cluster) => findings.clusters.push(cluster),
            Err(why) => findings.skipped.push(Skipped { foreign: name.to_owned(), why }),
        }
    }
    findings
}

fn discovered(source: &str, files: &[PathBuf], read: &Kubeconfig, context: Context) -> Result<Discovered, String> {
    let server = &context.cluster.server;
    if !server.is_https() && !server.is_loopback() {
        return Err("its server is not https".to_owned());
    }
    let workspace = workspace(server)?;
    let kind = match workspace {
        Some(_) => ClusterKind::Kcp,
        None if context.name.starts_with("kind-") && server.is_loopback() => ClusterKind::Kind,
        None => ClusterKind::Kubernetes,
    };
    let mut endpoint = context.cluster.endpoint();
    if workspace.is_some() {
        server.without_path().text().clone_into(&mut endpoint.server);
    }
    Ok(Discovered {
        source: source.to_owned(),
        slug: ClusterName::slug(&context.name),
        endpoint,
        kind,
        entry: workspace.into_iter().collect(),
        current: read.current() == Some(context.name.as_str()),
        local: Some(LocalContext { files: files.to_vec(), context: context.name.clone() }),
        namespace: context.namespace,
        foreign: context.name,
    })
}

/// The workspace of a kcp URL, `https://host/clusters/<workspace>`. A kcp is known by this and never by its name.
fn workspace(server: &ServerUrl) -> Result<Option<WorkspacePath>, String> {
    match server.path().strip_prefix("/clusters/") {
        None => Ok(None),
        Some(path) => WorkspacePath::parse(path).map(Some).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::ClusterKind;

    use super::{KubeconfigSource, Source};

    #[tokio::test]
    async fn contexts_become_clusters_without_their_users() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(
            &file,
            "
current-context: kind-dev
contexts:
- {name: kind-dev, context: {cluster: dev, user: admin, namespace: web}}
- {name: kind-far, context: {cluster: far}}
- {name: 'workspace.kcp.io/current', context: {cluster: ws}}
- {name: kcp-by-name-only, context: {cluster: far}}
- {name: wild, context: {cluster: wild}}
- {name: plain, context: {cluster: plain}}
- {name: broken, context: {cluster: nowhere}}
clusters:
- {name: dev, cluster: {server: 'https://127.0.0.1:6443'}}
- {name: far, cluster: {server: 'https://far.example:6443'}}
- {name: ws, cluster: {server: 'https://kcp.example:6443/clusters/root:org'}}
- {name: wild, cluster: {server: 'https://kcp.example:6443/clusters/*'}}
- {name: plain, cluster: {server: 'http://far.example'}}
users:
- {name: admin, user: {token: hunter2}}
",
        )
        .unwrap();
        let source = KubeconfigSource::new("home", std::slice::from_ref(&file));
        let found = source.discover().await.unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
        let shown: Vec<_> = found
            .clusters
            .iter()
            .map(|one| {
                (
                    one.slug.as_str(),
                    one.kind,
                    one.endpoint.server.as_str(),
                    one.entry.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    one.current,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("kind-dev", ClusterKind::Kind, "https://127.0.0.1:6443", vec![], true),
                ("kind-far", ClusterKind::Kubernetes, "https://far.example:6443", vec![], false),
                (
                    "workspace.kcp.io-current",
                    ClusterKind::Kcp,
                    "https://kcp.example:6443",
                    vec!["root:org".to_owned()],
                    false
                ),
                ("kcp-by-name-only", ClusterKind::Kubernetes, "https://far.example:6443", vec![], false),
            ]
        );
        assert_eq!(found.clusters.first().unwrap().namespace.as_deref(), Some("web"));
        let skipped: Vec<_> = found.skipped.iter().map(|one| one.foreign.as_str()).collect();
        assert_eq!(skipped, ["wild", "plain", "broken"]);
        assert_eq!(source.watched_files(), std::slice::from_ref(&file));
        std::fs::write(&file, "contexts: 7").unwrap();
        assert!(source.discover().await.is_err());
    }
}
