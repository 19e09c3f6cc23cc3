//! Reading kubeconfig files: for sources, for the gateway's own credentials and for local mode.
//!
//! Files are merged as kubectl does: of each name the first file wins, and the first `current-context` counts. A context
//! is looked at only when it is asked for, so that one broken context does not hide the others. No secret is ever in a
//! Debug text or an error.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Endpoint, Secret};

mod environment;
mod files;
mod server;
mod user;
mod yaml;

pub use environment::Environment;
pub use files::{MAX_FILE, check_certificates, read_bounded, same_certificates, same_endpoint};
pub use server::ServerUrl;
pub use user::{ExecConfig, User};

/// One or more kubeconfig files, merged.
#[derive(Debug, Default)]
pub struct Kubeconfig {
    files: Vec<PathBuf>,
    contexts: Vec<(String, Held<yaml::RawContext>)>,
    clusters: BTreeMap<String, Held<yaml::RawCluster>>,
    users: BTreeMap<String, Held<yaml::RawUser>>,
    current: Option<String>,
}

/// A part of a kubeconfig with the file that it is from.
#[derive(Debug)]
struct Held<T> {
    file: Arc<Path>,
    raw: T,
}

/// A context, with its cluster read and checked.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name in the file.
    pub name: String,
    /// The file that defines it.
    pub file: PathBuf,
    /// Where it goes.
    pub cluster: ClusterInfo,
    /// Name of the user, for [`Kubeconfig::user`].
    pub user: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
}

/// The cluster of a context.
#[derive(Clone)]
pub struct ClusterInfo {
    /// The server.
    pub server: ServerUrl,
    /// PEM certificates; `None` = the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Name expected in its certificate.
    pub tls_server_name: Option<String>,
    /// `insecure-skip-tls-verify`.
    pub insecure: bool,
    /// A proxy; its URL may hold a password.
    pub proxy_url: Option<Secret>,
}

impl ClusterInfo {
    /// The endpoint, without the proxy.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            server: self.server.text().to_owned(),
            ca: self.ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
            insecure: self.insecure,
        }
    }
}

impl fmt::Debug for ClusterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterInfo")
            .field("endpoint", &self.endpoint())
            .field("proxy", &self.proxy_url.is_some())
            .finish()
    }
}

/// Why a kubeconfig cannot be used. Never holds a value out of the file but names.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a kubeconfig.
    #[error("{}:{line}:{column}: not a kubeconfig as kubectl writes it", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
    },
    /// No file has this context or user.
    #[error("no {what} {name:?} in {}", list(files))]
    Absent {
        /// "context" or "user".
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        files: Vec<PathBuf>,
    },
    /// A context or user is broken.
    #[error("{}: {what} {name:?}: {why}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// "context" or "user".
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong, in words.
        why: String,
    },
    /// Several contexts are of the wanted server, with different users: which one is meant cannot be told.
    #[error("{}: several contexts of server {server} name different users", list(files))]
    SeveralUsers {
        /// The files.
        files: Vec<PathBuf>,
        /// The wanted server.
        server: String,
    },
    /// No context leads to the wanted server with the wanted CA.
    #[error("no context in {} has server {server} with the same CA", list(files))]
    NoSuchEndpoint {
        /// Where it was looked for.
        files: Vec<PathBuf>,
        /// The wanted server.
        server: String,
    },
}

fn list(files: &[PathBuf]) -> String {
    let shown: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    if shown.is_empty() { "any kubeconfig".to_owned() } else { shown.join(", ") }
}

impl Kubeconfig {
    /// Reads one file.
    ///
    /// # Errors
    /// When it cannot be read, has more than [`MAX_FILE`] bytes, or is not a kubeconfig.
    pub fn read(file: &Path) -> Result<Self, KubeconfigError> {
        let unreadable = |source| KubeconfigError::Read { file: file.to_owned(), source };
        let bytes = read_bounded(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable(io::Error::other("not UTF-8")))?;
        Self::parse(&text, file)
    }

    /// Reads and merges a list of files; like kubectl it passes over those that do not exist.
    ///
    /// # Errors
    /// As [`Kubeconfig::read`], for the first file that is broken.
    pub fn read_all(files: &[PathBuf]) -> Result<Self, KubeconfigError> {
        let mut merged = Self::default();
        for file in files {
            match Self::read(file) {
                Ok(next) => merged.merge(next),
                Err(KubeconfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(merged)
    }

    /// Reads the text of `file`, against whose folder relative paths in it are resolved.
    ///
    /// # Errors
    /// When it is not a kubeconfig.
    pub fn parse(text: &str, file: &Path) -> Result<Self, KubeconfigError> {
        let raw = yaml::parse(text).map_err(|at| KubeconfigError::Yaml {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
        })?;
        let from: Arc<Path> = file.into();
        let mut read = Self {
            files: vec![file.to_owned()],
            current: raw.current.filter(|name| !name.is_empty()),
            ..Self::default()
        };
        for named in raw.contexts {
            if read.held(&named.name).is_none() {
                read.contexts.push((named.name, Held { file: from.clone(), raw: named.context }));
            }
        }
        for named in raw.clusters {
            read.clusters.entry(named.name).or_insert_with(|| Held { file: from.clone(), raw: named.cluster });
        }
        for named in raw.users {
            read.users.entry(named.name).or_insert_with(|| Held { file: from.clone(), raw: named.user });
        }
        Ok(read)
    }

    fn merge(&mut self, next: Self) {
        self.files.extend(next.files);
        for (name, held) in next.contexts {
            if self.held(&name).is_none() {
                self.contexts.push((name, held));
            }
        }
        for (name, held) in next.clusters {
            self.clusters.entry(name).or_insert(held);
        }
        for (name, held) in next.users {
            self.users.entry(name).or_insert(held);
        }
        self.current = self.current.take().or(next.current);
    }

    fn held(&self, context: &str) -> Option<&Held<yaml::RawContext>> {
        self.contexts.iter().find(|(name, _)| name == context).map(|(_, held)| held)
    }

    /// The files that were read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Names of all contexts, in the order of the files.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.iter().map(|(name, _)| name.as_str())
    }

    /// The current context's name.
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// A context, its cluster checked and its CA read.
    ///
    /// # Errors
    /// When there is none of that name, or it is broken.
    pub fn context(&self, name: &str) -> Result<Context, KubeconfigError> {
        let held = self.held(name).ok_or_else(|| self.absent("context", name))?;
        let broken = |why: String| KubeconfigError::Broken {
            file: held.file.to_path_buf(),
            what: "context",
            name: name.to_owned(),
            why,
        };
        let wanted = held.raw.cluster.as_deref().unwrap_or_default();
        let cluster =
            self.clusters.get(wanted).ok_or_else(|| broken(format!("its cluster {wanted:?} is not there")))?;
        let cluster = cluster_info(cluster).map_err(broken)?;
        Ok(Context {
            name: name.to_owned(),
            file: held.file.to_path_buf(),
            cluster,
            user: held.raw.user.clone().filter(|user| !user.is_empty()),
            namespace: held.raw.namespace.clone().filter(|namespace| !namespace.is_empty()),
        })
    }

    /// A user, with its certificate and key read.
    ///
    /// # Errors
    /// When there is none of that name, or it is broken.
    pub fn user(&self, name: &str) -> Result<User, KubeconfigError> {
        let held = self.users.get(name).ok_or_else(|| self.absent("user", name))?;
        let broken =
            |why| KubeconfigError::Broken { file: held.file.to_path_buf(), what: "user", name: name.to_owned(), why };
        user::user(held).map_err(broken)
    }

    /// The context whose cluster is `endpoint` itself: server, CA, TLS name, and whether its certificate is checked at
    /// all. For the gateway's credentials: a credential is never taken for another server than the cluster's own.
    ///
    /// # Errors
    /// When there is none, or when several name different users.
    pub fn context_for(&self, endpoint: &Endpoint) -> Result<Context, KubeconfigError> {
        let mut found: Option<Context> = None;
        for context in self.contexts().filter_map(|name| self.context(name).ok()) {
            if !same_endpoint(&context.cluster.endpoint(), endpoint) {
                continue;
            }
            if found.as_ref().is_some_and(|first| first.user != context.user) {
                let server = endpoint.server.clone();
                return Err(KubeconfigError::SeveralUsers { files: self.files.clone(), server });
            }
            found = found.or(Some(context));
        }
        found.ok_or_else(|| KubeconfigError::NoSuchEndpoint {
            files: self.files.clone(),
            server: endpoint.server.clone(),
        })
    }

    fn absent(&self, what: &'static str, name: &str) -> KubeconfigError {
        KubeconfigError::Absent { what, name: name.to_owned(), files: self.files.clone() }
    }
}

fn cluster_info(held: &Held<yaml::RawCluster>) -> Result<ClusterInfo, String> {
    let raw = &held.raw;
    let server = raw.server.as_ref().ok_or("its cluster has no server")?;
    let server = ServerUrl::parse(server.expose()).map_err(|why| format!("server: {why}"))?;
    let ca = bytes(
        held,
        "certificate-authority",
        raw.certificate_authority_data.as_ref(),
        raw.certificate_authority.as_deref(),
    )?;
    if let Some(ca) = &ca {
        check_certificates(ca).map_err(|why| format!("certificate-authority: {why}"))?;
    }
    Ok(ClusterInfo {
        server,
        ca: ca.map(Arc::from),
        tls_server_name: raw.tls_server_name.clone().filter(|name| !name.is_empty()),
        insecure: raw.insecure_skip_tls_verify.unwrap_or(false),
        proxy_url: raw.proxy_url.clone().filter(|url| !url.expose().is_empty()),
    })
}

/// Inline data, which wins, or a file's content.
fn bytes<T>(held: &Held<T>, key: &str, data: Option<&Secret>, path: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data.filter(|data| !data.expose().is_empty()) {
        let packed: String = data.expose().split_ascii_whitespace().collect();
        return STANDARD.decode(packed).map(Some).map_err(|_| format!("{key}-data: not base64"));
    }
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    let path = beside(&held.file, path);
    read_bounded(&path).map(Some).map_err(|error| format!("{key}: {} cannot be read: {error}", path.display()))
}

/// `path`, taken from the folder of `file`.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}

#[cfg(test)]
mod tests;
