//! The kcp of a kubeconfig there as one cluster here, whose targets are its workspaces.

use std::path::PathBuf;

use super::{From, Ours, list};
use crate::kubeconfig::{ClusterInfo, Kubeconfig, ServerUrl};
use crate::model::WorkspacePath;

/// Its table here.
pub(super) const TABLE: &str = "clusters.kcp";
/// Its CA, which a kubeconfig mostly holds inline.
const CA: &str = "kcp-ca.pem";

/// Writes endpoint and entry of the kcp: the current context's server without the workspace, and that workspace.
pub(super) fn cluster(from: &mut From<'_>, ours: &mut Ours, files: &[PathBuf]) {
    ours.set(TABLE, "kind", "kcp");
    let read = Kubeconfig::read_all(files).ok();
    let current = read.as_ref().and_then(|read| read.context(read.current()?).ok()).map(|context| context.cluster);
    match current.filter(|cluster| cluster.server.is_https()) {
        Some(cluster) => endpoint(from, ours, &cluster, files),
        None => {
            ours.set(TABLE, "server", "https://kcp.example.com:6443");
            let what = "its current context could not be read here";
            let fix = format!(
                "write the host of the kcp as {TABLE}.server; or put the kubeconfig where it is named, or beside the configuration, and import again"
            );
            from.leave("kubeconfig", what, fix);
            ca(from, ours, files);
            ours.set(TABLE, "entry", list(["root"]));
        }
    }
}

fn endpoint(from: &mut From<'_>, ours: &mut Ours, cluster: &ClusterInfo, files: &[PathBuf]) {
    let (server, workspace) = split(&cluster.server);
    ours.set(TABLE, "server", server);
    if cluster.ca.is_some() {
        ca(from, ours, files);
    }
    if let Some(name) = &cluster.tls_server_name {
        ours.set(TABLE, "tls_server_name", name.as_str());
    }
    if cluster.insecure {
        let what = "its certificate was not checked; here it is, because callers' tokens go there";
        from.leave("kubeconfig", what, format!("write {TABLE}.ca_file if no public CA signed it"));
    }
    if cluster.proxy_url.is_some() {
        let what = "the kcp was reached through a proxy, which is not a setting here";
        from.leave("kubeconfig", what, format!("write an address as {TABLE}.server that can be reached directly"));
    }
    let entry = match workspace.as_deref().map(WorkspacePath::parse) {
        None => "root".to_owned(),
        Some(Ok(path)) => path.as_str().to_owned(),
        Some(Err(_)) => {
            let what = "the workspace in its server URL cannot be an entry here";
            from.leave("kubeconfig", what, format!("write where navigation starts as {TABLE}.entry"));
            "root".to_owned()
        }
    };
    ours.set(TABLE, "entry", list([entry]));
}

/// A CA is a file here; a result on standard output makes none.
fn ca(from: &mut From<'_>, ours: &mut Ours, files: &[PathBuf]) {
    ours.set(TABLE, "ca_file", CA);
    let file = match files {
        [file] => format!(" --kubeconfig {:?}", file.display().to_string()),
        _ => String::new(),
    };
    let fix = format!(
        "kubectl config view{file} --raw --minify --flatten \
         -o jsonpath='{{.clusters[0].cluster.certificate-authority-data}}' | base64 -d > {CA}"
    );
    from.leave("kubeconfig", "the CA of a cluster is a file here", fix);
}

/// The address of a kcp, and the workspace that the URL of a kubeconfig names.
fn split(server: &ServerUrl) -> (String, Option<String>) {
    match server.path().strip_prefix("/clusters/") {
        Some(rest) => {
            let workspace = rest.split_once('/').map_or(rest, |(workspace, _)| workspace);
            (server.without_path().text().to_owned(), Some(workspace.to_owned()))
        }
        None => (server.text().to_owned(), None),
    }
}
