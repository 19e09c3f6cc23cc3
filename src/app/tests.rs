use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::reload::summary;
use super::{App, AppError, Mode};
use crate::config::{Environment, Origin};
use crate::model::ClusterName;

const MAIN: &str = "[clusters.own]\nserver = \"https://own.example\"\nstrategy = \"none\"\n[[sources]]\ntype = \"kubeconfig\"\npaths = [\"kubeconfig\"]\n";

/// A kubeconfig with one context of each name, at one server.
fn kubeconfig(names: &[&str], server: &str) -> String {
    let contexts: String = names.iter().map(|name| format!("- {{name: {name}, context: {{cluster: c}}}}\n")).collect();
    format!("contexts:\n{contexts}clusters:\n- {{name: c, cluster: {{server: '{server}'}}}}\n")
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(main: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write("main.toml", main);
        place.write("kubeconfig", &kubeconfig(&["one"], "https://one.example"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn start(&self) -> App {
        let origin = Origin { file: Some(self.path("main.toml")), listen: None };
        App::start(&origin, &Environment::of(&[], None), Mode::Check).await.unwrap()
    }
}

fn names(app: &App) -> Vec<String> {
    app.live().load().inventory.iter().map(|cluster| cluster.name.to_string()).collect()
}

async fn refusal(app: &App) -> String {
    match app.reload().await {
        Err(AppError::Problems(lines)) => lines,
        other => panic!("the reload was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_reload_publishes_all_and_drops_the_old_generation_with_its_last_call() {
    let place = Place::new(MAIN);
    let app = place.start().await;
    assert_eq!((app.live().load().generation, names(&app)), (1, vec!["one".to_owned(), "own".to_owned()]));
    let call = app.live().load_full();
    let old = Arc::downgrade(&call);
    place.write("kubeconfig", &kubeconfig(&["one", "two"], "https://one.example"));
    std::fs::create_dir(place.path("conf.d")).unwrap();
    place.write(
        "conf.d/1.toml",
        "[policy]\nread_only = true\n[clusters.more]\nserver = \"https://m.example\"\nstrategy = \"none\"\n",
    );
    assert_eq!(app.reload().await.unwrap(), 2);
    assert_eq!(names(&app), ["more", "one", "own", "two"]);
    // The call sees what it saw.
    assert!(call.inventory.get(&ClusterName::parse("two").unwrap()).is_none());
    assert!(Arc::ptr_eq(&call.seal, &app.live().load().seal), "handles open after a reload");
    drop(call);
    assert!(old.upgrade().is_none());
    assert!(app.live().load().status.troubles().is_empty());
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_generation_and_says_so() {
    let place = Place::new(MAIN);
    let app = place.start().await;
    let main = place.path("main.toml");
    place.write("main.toml", &format!("{MAIN}[policy]\nread_onyl = true\nenabled_tools = [\"no_such_tool\"]\n"));
    let (mistakes, first) = summary(&app.reload().await.unwrap_err());
    assert_eq!(mistakes, 2);
    assert!(first.starts_with(&format!("{}:8: policy.read_onyl: unknown key", main.display())), "{first}");
    let live = app.live().load_full();
    assert_eq!((live.generation, names(&app).len()), (1, 2));
    assert_eq!(live.status.troubles(), ["reload failed 0 s ago: 2 mistakes, see the log"]);
    for broken in ["a = \n", "", "[[sources]]\ntype = \"kubeconfig\"\npaths = [\"gone\"]\n"] {
        place.write("main.toml", broken);
        assert!(!refusal(&app).await.is_empty(), "{broken:?}");
    }
    std::fs::write(&main, [0xff, 0xfe]).unwrap();
    let unreadable = app.reload().await.unwrap_err();
    assert!(matches!(unreadable, AppError::Config(_)));
    assert_eq!(summary(&unreadable), (1, format!("the configuration {} cannot be read: not UTF-8", main.display())));
    place.write("main.toml", MAIN);
    // No number was used up.
    assert_eq!(app.reload().await.unwrap(), 2);
    assert!(app.live().load().status.troubles().is_empty());
}

#[tokio::test]
async fn a_broken_kubeconfig_takes_no_cluster_away() {
    let place = Place::new(MAIN);
    let app = place.start().await;
    place.write("kubeconfig", "contexts: [{name: [\n");
    let lines = refusal(&app).await;
    assert!(lines.contains("source kubeconfig") && lines.contains("kubeconfig:"), "{lines}");
    place.write("kubeconfig", "");
    assert!(refusal(&app).await.contains("kubeconfig is empty"));
    assert_eq!(names(&app), ["one", "own"]);
    place.write("kubeconfig", &kubeconfig(&["two"], "https://one.example"));
    app.reload().await.unwrap();
    assert_eq!(names(&app), ["own", "two"]);
}

#[tokio::test]
async fn what_cannot_change_live_waits_for_a_restart() {
    let place = Place::new(MAIN);
    let app = place.start().await;
    place.write("main.toml", &format!("{MAIN}[server]\nlisten = \"127.0.0.1:9\"\n"));
    assert_eq!(app.reload().await.unwrap(), 2);
    assert_eq!(app.live().load().status.troubles(), ["restart needed for server.listen"]);
    assert_eq!(app.server().listen.port(), 8080);
    let realm = "[server]\nresource = \"https://mcp.example/mcp\"\nhome_realms = [\"corp\"]\n[realms.corp]\nissuer = \"https://kc.example\"\n";
    place.write("main.toml", &format!("{MAIN}{realm}"));
    assert!(refusal(&app).await.contains("kubeferry was started without realms"));
    let app = place.start().await;
    place.write("main.toml", MAIN);
    assert!(refusal(&app).await.contains("there is no realm any more"));
    assert!(!app.live().load().auth.home_issuers().is_empty());
}

#[tokio::test]
async fn pins_of_bound_clusters_outlive_reloads_and_refusals() {
    let bound =
        format!("{MAIN}[[bind]]\nmatch = {{ name = \"one\" }}\nstrategy = \"none\"\nlabels = {{ bound = \"yes\" }}\n");
    let place = Place::new(&bound);
    let app = place.start().await;
    let is_bound = |app: &App| {
        let live = app.live().load_full();
        live.inventory.get(&ClusterName::parse("one").unwrap()).is_some_and(|one| one.labels.contains_key("bound"))
    };
    assert!(is_bound(&app));
    // A refused configuration without the rule must not make the next one forget the pin.
    place.write("main.toml", &format!("{MAIN}nonsense = 1\n"));
    refusal(&app).await;
    place.write("main.toml", &bound);
    place.write("kubeconfig", &kubeconfig(&["one"], "https://elsewhere.example"));
    app.reload().await.unwrap();
    assert!(!is_bound(&app), "its server changed");
    place.write("kubeconfig", &kubeconfig(&["one"], "https://one.example"));
    app.reload().await.unwrap();
    assert!(is_bound(&app));
}

async fn until(app: &App, generation: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while app.live().load().generation < generation {
        assert!(Instant::now() < deadline, "generation {generation} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Long enough for another reload, if one were to come.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(900)).await;
}

fn mount(folder: &Path, version: &str, text: &str) {
    std::fs::create_dir_all(folder.join(version)).unwrap();
    std::fs::write(folder.join(version).join("main.toml"), text).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn changes_of_files_lead_to_one_reload_each() {
    let place = Place::new(MAIN);
    let app = Arc::new(place.start().await);
    let stop = CancellationToken::new();
    let task = tokio::spawn(Arc::clone(&app).follow(false, stop.clone()));
    // An atomic rename, right after the start.
    place.write("next", &format!("{MAIN}[policy]\nread_only = true\n"));
    std::fs::rename(place.path("next"), place.path("main.toml")).unwrap();
    until(&app, 2).await;
    // Several writes in place, of several files.
    for names in [&["one"][..], &["one", "two"]] {
        place.write("kubeconfig", &kubeconfig(names, "https://one.example"));
        place.write("main.toml", MAIN);
    }
    until(&app, 3).await;
    // A folder that was not there, and later a file in it.
    std::fs::create_dir(place.path("conf.d")).unwrap();
    until(&app, 4).await;
    place.write("conf.d/1.toml", "[policy]\nread_only = true\n");
    until(&app, 5).await;
    // Files that are none of ours.
    place.write("other", "x");
    settle().await;
    assert_eq!(app.live().load().generation, 5);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_config_map_swap_is_one_reload() {
    let place = Place::new(MAIN);
    std::fs::remove_file(place.path("main.toml")).unwrap();
    mount(place.folder.path(), "..v1", MAIN);
    symlink("..data/main.toml", place.path("main.toml")).unwrap();
    let app = Arc::new(place.start().await);
    let stop = CancellationToken::new();
    let task = tokio::spawn(Arc::clone(&app).follow(false, stop.clone()));
    for (version, generation) in [("..v2", 2), ("..v3", 3)] {
        mount(place.folder.path(), version, &format!("# {version}\n{MAIN}"));
        until(&app, generation).await;
        settle().await;
        assert_eq!(app.live().load().generation, generation);
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}
