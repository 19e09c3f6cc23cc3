//! The configuration: parsed here and nowhere else, everything checked, everything reported at once.
//!
//! One TOML file with its `conf.d`, and variables of the environment over them (`layers`). `read` is the typed reader that
//! records problems, `places` knows the line of every key, `view` shows what counts, and each table has its own module. Problems that other modules find later (a strategy's missing audience, say) are given by dotted key
//! path, and [`report`] finds their line as well.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::inventory::SourceConfig;
use crate::model::Problem;

mod clusters;
mod import;
mod layers;
mod limits;
mod places;
mod policy;
mod read;
mod realms;
mod schema;
mod server;
mod settings;
mod sources;
mod urls;
mod view;

pub use crate::kubeconfig::Environment;
pub use import::{ImportError, Imported, Left, import};
pub use places::{Place, SourceMap};
pub use schema::schema;
pub use settings::{
    Config, DefaultSource, DeniedSettings, GatewaySettings, LimitSettings, LinkSettings, PolicySettings, STRATEGIES,
    ServerConfig, TlsFiles,
};
pub use view::view;

use layers::Text;

/// The token of a pod's service account.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file given on the command line; `None` = `$KUBEFERRY_CONFIG`, and without that none.
    pub file: Option<PathBuf>,
    /// An address that takes the place of `server.listen`; the same rules hold for it.
    pub listen: Option<SocketAddr>,
}

/// A configuration that was read.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What it says. To be used only when `problems` is empty: a broken part is left out.
    pub config: Config,
    /// Where each key stands.
    pub map: SourceMap,
    /// Every mistake that was found.
    pub problems: Vec<Problem>,
    /// The configuration's own files: the main one, then those of `conf.d`; empty when there is none.
    pub files: Vec<PathBuf>,
    /// What a change of means that the configuration should be read again: its own files, the folder `conf.d`, the files
    /// that it names and those of its sources. They need not exist.
    pub watched: Vec<PathBuf>,
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The environment of this process.
pub fn environment() -> Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the environment is read; everything else gets a value"
    )]
    let lookup = |name: &str| std::env::var(name).ok();
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = set.filter_map(|(name, _)| name.into_string().ok()).collect();
    Environment::new(lookup, std::env::home_dir().filter(|home| !home.as_os_str().is_empty())).with_names(names)
}

/// Reads and checks the configuration.
///
/// # Errors
/// When a file is named that cannot be read. Everything else is in [`Loaded::problems`].
pub fn load(origin: &Origin, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut loaded = read(origin, environment)?;
    if let Some(listen) = origin.listen {
        let Config { server, .. } = &mut loaded.config;
        server.listen = listen;
        loaded.problems.retain(|problem| problem.key != "server.listen");
        let (local, server) = (loaded.config.is_local(), &loaded.config.server);
        if let Some((what, fix)) = server::refused_listener(server, local, server.tls.is_some()) {
            loaded.problems.push(Problem::new("--listen", what, fix));
        }
    }
    Ok(loaded)
}

fn read(origin: &Origin, environment: &Environment) -> Result<Loaded, ConfigError> {
    Ok(evaluate(&texts(origin, environment)?, environment))
}

/// The files with their texts; none when no configuration is named.
fn texts(origin: &Origin, environment: &Environment) -> Result<Vec<Text>, ConfigError> {
    let named = origin.file.clone().or_else(|| environment.get("KUBEFERRY_CONFIG").map(PathBuf::from));
    named.map_or_else(|| Ok(Vec::new()), |file| layers::read(&file))
}

/// Checks the text of `file`, from whose folder relative paths start.
pub fn parse(text: &str, file: &Path, environment: &Environment) -> Loaded {
    evaluate(&[Text { file: file.to_owned(), text: text.to_owned() }], environment)
}

/// Merges the layers and checks the result. Relative paths start at the folder of the first file.
fn evaluate(texts: &[Text], environment: &Environment) -> Loaded {
    let mut loaded = Loaded { files: texts.iter().map(|text| text.file.clone()).collect(), ..Loaded::default() };
    loaded.watched =
        loaded.files.iter().cloned().chain(loaded.files.first().map(|main| layers::folder(main))).collect();
    let mut document = match layers::merge(texts, &mut loaded.map) {
        Ok(document) => document,
        Err(problems) => {
            loaded.problems = problems;
            return loaded;
        }
    };
    let problems = layers::variables(&mut document, environment, &mut loaded.map);
    let folder = texts.first().and_then(|text| text.file.parent()).unwrap_or_else(|| Path::new(""));
    let sink = read::Sink::new(folder, environment);
    loaded.config = config(&document, &sink);
    let sources = loaded.config.sources.iter().flat_map(|source| source.open().watched_files());
    loaded.watched.extend(sources.chain(sink.named_files()));
    loaded.problems = sink.into_problems();
    loaded.problems.extend(problems);
    loaded
}

fn config(document: &DeTable<'_>, sink: &read::Sink<'_>) -> Config {
    let mut root = read::Table::new("", Some(document), sink);
    let mut known = realms::Known::default();
    let realms = realms::realms(&mut root, &mut known);
    let links = realms::links(&mut root, &mut known);
    let clusters = clusters::clusters(&mut root, &known);
    let sources = sources::sources(&mut root);
    let binds = sources::binds(&mut root, &known, &sources);
    let settings = clusters.iter().map(|entry| &entry.settings).chain(binds.iter().map(|rule| &rule.settings));
    let passthrough = settings.into_iter().any(|settings| settings.strategy == "passthrough");
    let server = server::server(&mut root, &known, passthrough);
    let gateway = server::gateway(&mut root);
    let policy = policy::policy(&mut root, &known, &clusters, &sources);
    let limits = limits::limits(&mut root);
    let nothing = known.is_local() && !root.has("clusters") && !root.has("sources");
    root.done();
    let mut config =
        Config { server, gateway, realms, links, clusters, sources, binds, policy, limits, default_source: None };
    if nothing {
        default_source(&mut config, sink);
    }
    config
}

/// The kubeconfig files that kubectl would read, else the pod's service account.
fn default_source(config: &mut Config, sink: &read::Sink<'_>) {
    let files = sink.environment.kubeconfig_files();
    if files.iter().any(|file| file.exists()) {
        config.sources = vec![SourceConfig::Kubeconfig { name: "kubeconfig".to_owned(), paths: files }];
        config.default_source = Some(DefaultSource::Kubeconfig);
    } else if sink.environment.get("KUBERNETES_SERVICE_HOST").is_some() && Path::new(SERVICE_ACCOUNT_TOKEN).exists() {
        config.default_source = Some(DefaultSource::InCluster);
    } else {
        let looked: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let looked = if looked.is_empty() { "KUBECONFIG, no home folder".to_owned() } else { looked.join(", ") };
        sink.report(
            "clusters",
            format!("no cluster is configured, and there is no kubeconfig (looked for {looked}) and no service account of a pod"),
            "set KUBECONFIG, or write a configuration with [clusters.<name>] and name it with --config",
        );
    }
}

/// All problems, one line each as `file:line: key: what; fix` (`environment NAME: …` for a variable), sorted by place.
pub fn report(problems: &[Problem], map: &SourceMap) -> String {
    let mut lines: Vec<_> = problems.iter().map(|problem| (map.place(&problem.key), problem)).collect();
    lines.sort_by(|(a, first), (b, second)| {
        a.cmp(b).then_with(|| first.key.cmp(&second.key)).then_with(|| first.what.cmp(&second.what))
    });
    let mut text = String::new();
    for (place, problem) in lines {
        if let Some(place) = place {
            text.push_str(&format!("{place}: "));
        }
        let said = place.is_some_and(|place| *place == Place::Variable(problem.key.clone()));
        if !problem.key.is_empty() && !said {
            text.push_str(&format!("{}: ", problem.key));
        }
        text.push_str(&format!("{}; {}\n", problem.what, problem.fix));
    }
    text
}

#[cfg(test)]
mod tests;
