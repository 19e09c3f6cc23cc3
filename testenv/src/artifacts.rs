//! Where the programs of the real control planes and Keycloak are: given by the environment, or made by
//! `scripts/controlplanes`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A program that the lab starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The store of the Kubernetes API servers.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes controllers.
    KubeControllerManager,
    /// The Kubernetes scheduler.
    KubeScheduler,
    /// A kcp shard, with its store inside.
    Kcp,
    /// The proxy before several kcp shards.
    KcpFrontProxy,
    /// Nodes and pods without machines.
    Kwok,
    /// What serves metrics.k8s.io.
    MetricsServer,
    /// Keycloak, as Java runs it: a file two folders below its home.
    Keycloak,
}

impl Program {
    /// The program's file, looked for in this order:
    ///
    /// 1. the folder in `KUBEFERRY_LAB_KUBERNETES`, `…_KCP`, `…_KWOK`, `…_METRICS_SERVER` or
    ///    `…_KEYCLOAK`, which `scripts/controlplanes` prints;
    /// 2. `KUBEBUILDER_ASSETS` (a folder), `KCP_BIN`, `KWOK_BIN` or `METRICS_SERVER_BIN` (a folder, or the file itself),
    ///    `KEYCLOAK_HOME` (a folder);
    /// 3. the newest build in `KUBEFERRY_CACHE`, or in `target/controlplanes`.
    ///
    /// # Errors
    /// When the first folder that is named does not hold the program, or nothing was built yet.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        self.find(|variable| std::env::var_os(variable))
    }

    /// The name of the program's file in its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kcp => "kcp",
            Self::KcpFrontProxy => "kcp-front-proxy",
            Self::Kwok => "kwok",
            Self::MetricsServer => "metrics-server",
            Self::Keycloak => "lib/quarkus-run.jar",
        }
    }

    fn find(self, environment: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<PathBuf> {
        let value = |variable| environment(variable).filter(|value| !value.is_empty());
        let (module, variables) = self.module();
        let given = variables.iter().find_map(|variable| Some((*variable, PathBuf::from(value(variable)?))));
        let (origin, folder) = if let Some((variable, place)) = given {
            (variable.to_owned(), folder_of(place))
        } else {
            let cache = value("KUBEFERRY_CACHE").map_or_else(default_cache, PathBuf::from);
            ("the build folder".to_owned(), cache.join(module))
        };
        if !folder.join(self.name()).is_file() {
            bail!("there is no {} in {} ({origin}): run scripts/controlplanes", self.name(), folder.display());
        }
        // Only the folder's links are followed: a newer build may move them while a test runs, but the name of the
        // file tells the multi-call binary which program to be.
        let folder = folder.canonicalize().with_context(|| format!("resolving {}", folder.display()))?;
        Ok(folder.join(self.name()))
    }

    /// The module that the program is made from, and the variables that may name its folder instead.
    const fn module(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::Etcd | Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler => {
                ("kubernetes", ["KUBEFERRY_LAB_KUBERNETES", "KUBEBUILDER_ASSETS"])
            }
            Self::Kcp | Self::KcpFrontProxy => ("kcp", ["KUBEFERRY_LAB_KCP", "KCP_BIN"]),
            Self::Kwok => ("kwok", ["KUBEFERRY_LAB_KWOK", "KWOK_BIN"]),
            Self::MetricsServer => ("metrics-server", ["KUBEFERRY_LAB_METRICS_SERVER", "METRICS_SERVER_BIN"]),
            Self::Keycloak => ("keycloak", ["KUBEFERRY_LAB_KEYCLOAK", "KEYCLOAK_HOME"]),
        }
    }
}

fn folder_of(place: PathBuf) -> PathBuf {
    match place.parent() {
        Some(parent) if place.is_file() => parent.to_owned(),
        _ => place,
    }
}

fn default_cache() -> PathBuf {
    target().join("controlplanes")
}

/// The `target` folder of the workspace, where builds and logs of the lab go.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(variables: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
            Some(value.as_os_str().to_owned())
        }
    }

    #[test]
    fn the_environment_comes_before_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let (given, cache) = (folder.path().join("given"), folder.path().join("cache"));
        for place in [&given, &cache.join("kcp")] {
            std::fs::create_dir_all(place).unwrap();
            std::fs::write(place.join("kcp"), "").unwrap();
        }
        let find = |variables: &[(&str, &Path)]| Program::Kcp.find(environment(variables)).unwrap();
        let expected = given.join("kcp").canonicalize().unwrap();
        assert_eq!(find(&[("KUBEFERRY_CACHE", &cache), ("KCP_BIN", &given)]), expected);
        assert_eq!(find(&[("KCP_BIN", &given.join("kcp"))]), expected, "the file itself");
        let built = cache.join("kcp/kcp").canonicalize().unwrap();
        assert_eq!(find(&[("KUBEFERRY_CACHE", &cache)]), built);
    }

    #[test]
    fn a_missing_program_says_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = Program::Etcd.find(environment(&[("KUBEBUILDER_ASSETS", folder.path())])).unwrap_err().to_string();
        assert!(error.contains("KUBEBUILDER_ASSETS") && error.contains("scripts/controlplanes"), "{error}");
    }
}
