//! Configurations that change while the program serves.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testenv::apiserver::{Credential, kubeconfig};
use testenv::ferry::Ferry;
use testenv::mcp::raw;
use testenv::poll::{self, pause};
use testenv::simulator::{Fault, Rule, SimConfig, Simulator, token_digest};

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;

/// What a reload takes on a busy machine, the look at the files included.
const RELOADED: Duration = Duration::from_secs(15);
/// Longer than changes are gathered for: a second reload for the same change would have come.
const SETTLED: Duration = Duration::from_millis(900);

/// A configuration of the row's own folder, which changes.
pub struct Place<'a> {
    case: &'a Case,
    /// What was written first.
    pub text: String,
}

impl<'a> Place<'a> {
    /// The world's configuration, with the files that it names.
    pub fn new(case: &'a Case) -> anyhow::Result<Self> {
        for file in std::fs::read_dir(case.world.folder())? {
            let path = file?.path();
            let wanted = path.extension().is_some_and(|ending| ending == "pem" || ending == "kubeconfig");
            if let (true, Some(name)) = (wanted, path.file_name()) {
                std::fs::copy(&path, case.folder().join(name))?;
            }
        }
        let place = Self { case, text: case.world.config_text() };
        place.write(&place.text)?;
        Ok(place)
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.case.folder().join("kubeferry.toml")
    }

    /// Replaces the configuration as `rename` does it.
    pub fn write(&self, text: &str) -> anyhow::Result<()> {
        self.case.write("kubeferry.toml", text).map(drop)
    }
}

/// The log's lines with this beginning of a message.
pub fn lines(ferry: &Ferry, message: &str) -> Vec<Value> {
    let lines = ferry.log();
    let read = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    read.filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
}

/// Waits for the reload after `before` others, and for no other.
async fn reloaded(ferry: &Ferry, before: usize) -> anyhow::Result<()> {
    let done = || lines(ferry, "reloaded").len();
    poll::until("a reload", RELOADED, || async {
        if done() > before { Ok(()) } else { Err(format!("{} reloads", done())) }
    })
    .await?;
    pause(SETTLED).await;
    anyhow::ensure!(done() == before + 1, "one reload, not {}", done() - before);
    Ok(())
}

async fn ready(ferry: &Ferry) -> anyhow::Result<String> {
    let reply = raw::get(&format!("{}/readyz?verbose", ferry.base()), &[]).await?;
    anyhow::ensure!(reply.status == 200, "a broken file is no reason to restart us: {}", reply.text);
    Ok(reply.text)
}

async fn metric(ferry: &Ferry, name: &str) -> anyhow::Result<String> {
    let reply = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?;
    let sample = reply.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    sample.ok_or_else(|| anyhow::anyhow!("no {name} in {}", reply.text))
}

/// K01: each mistake is written in place, as an editor or a full disk leaves it.
pub async fn k01_a_broken_file_keeps_the_last_good_generation(case: &Case) -> anyhow::Result<()> {
    let place = Place::new(case)?;
    let ferry = case.ferry_of(&place.file()).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let lines_of = |text: &str| text.lines().count();
    let cut = place.text.find("[clusters.dev]").expect("the world has a cluster dev") + "[clusters.dev]\nserv".len();
    let accent = format!("{}\n# né", place.text);
    let twice = format!("{}\n[clusters.corp-1]\nserver = \"https://127.0.0.1:1\"\n", place.text);
    let wrong = format!("{}\n[clusters.new]\nserver = \"http://127.0.0.1:1\"\nstrategy = \"none\"\n", place.text);
    let broken: [(&str, &[u8], Option<usize>); 5] = [
        ("cut in the middle of a key", &place.text.as_bytes()[..cut], Some(lines_of(&place.text[..cut]))),
        ("empty", b"", None),
        ("cut in the middle of a character", &accent.as_bytes()[..accent.len() - 1], None),
        ("a cluster twice", twice.as_bytes(), Some(lines_of(&place.text) + 2)),
        ("a server without TLS", wrong.as_bytes(), Some(lines_of(&place.text) + 3)),
    ];
    for (number, (what, bytes, line)) in broken.into_iter().enumerate() {
        std::fs::write(place.file(), bytes)?;
        let refused = || lines(&ferry, "reload failed");
        poll::until(&format!("{what} to be refused"), RELOADED, || async {
            if refused().len() > number { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await?;
        pause(SETTLED).await;
        let refused = refused();
        assert_eq!(refused.len(), number + 1, "{what}: one line: {refused:?}");
        let first = refused[number]["first"].as_str().unwrap_or_default();
        let place_of = line.map_or_else(|| "kubeferry.toml".to_owned(), |line| format!("kubeferry.toml:{line}"));
        assert!(first.contains(&place_of), "{what}: where it is ({place_of}): {first}");
        let said = ready(&ferry).await?;
        assert!(said.contains("generation 1") && said.contains("reload failed"), "{what}: {said}");
        assert_eq!(metric(&ferry, "kubeferry_reload_failed").await?, "1", "{what}");
        good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
        good(&client, "namespaces_list", json!({"cluster": "dev"})).await?;
    }
    place.write(&format!("{}\n# mended\n", place.text))?;
    reloaded(&ferry, 0).await?;
    assert!(!ready(&ferry).await?.contains("reload failed"));
    assert_eq!(metric(&ferry, "kubeferry_reload_failed").await?, "0");
    Ok(())
}

/// K02.
pub async fn k02_each_way_of_changing_files_is_one_reload(case: &Case) -> anyhow::Result<()> {
    let place = Place::new(case)?;
    let folder = case.folder();
    let read_only = format!("{}\n[policy]\nread_only = true\n", place.text);
    // As a ConfigMap is mounted: a link to a file behind a link to a folder.
    let mounted = folder.join("mounted");
    let mount = |version: &str, text: &str| -> anyhow::Result<()> {
        std::fs::create_dir_all(mounted.join(version))?;
        std::fs::write(mounted.join(version).join("kubeferry.toml"), text)?;
        for name in std::fs::read_dir(folder)?.flatten().map(|file| file.file_name()) {
            if name.to_string_lossy().ends_with(".pem") || name.to_string_lossy().ends_with(".kubeconfig") {
                std::fs::copy(folder.join(&name), mounted.join(version).join(&name))?;
                drop(std::os::unix::fs::symlink(PathBuf::from("..data").join(&name), mounted.join(&name)));
            }
        }
        std::os::unix::fs::symlink(version, mounted.join("..data_tmp"))?;
        std::fs::rename(mounted.join("..data_tmp"), mounted.join("..data"))?;
        Ok(())
    };
    mount("..v1", &place.text)?;
    std::os::unix::fs::symlink("..data/kubeferry.toml", mounted.join("kubeferry.toml"))?;
    std::fs::create_dir(folder.join("conf.d"))?;
    let (ferry, mounting) =
        (case.ferry_of(&place.file()).await?, case.ferry_of(&mounted.join("kubeferry.toml")).await?);

    place.write(&read_only)?;
    mount("..v2", &read_only)?;
    let (renamed, swapped) = futures::join!(reloaded(&ferry, 0), reloaded(&mounting, 0));
    renamed?;
    swapped?;
    for (name, tier) in [("10-one.toml", "one"), ("20-two.toml", "two"), ("30-three.toml", "three")] {
        let text = format!("[clusters.corp-1]\nlabels = {{ order = \"{tier}\" }}\n");
        std::fs::write(folder.join("conf.d").join(name), text)?;
    }
    reloaded(&ferry, 1).await?;
    assert_eq!(lines(&ferry, "reload failed").len() + lines(&mounting, "reload failed").len(), 0);
    let client = case.client(&ferry, "corp", "alice").await?;
    let listed = good(&client, "clusters_list", json!({})).await?;
    assert!(listed.text.contains("order=three"), "the last file wins: {}", listed.text);
    Ok(())
}

/// K03: the call in flight is answered only when its cluster is gone.
pub async fn k03_a_removed_cluster_ends_its_calls_and_takes_no_new_ones(case: &Case) -> anyhow::Result<()> {
    // The reload has to come before the deadlines of the call that it must not end.
    const PATIENCE: &str = "\n[limits]\ncluster_first_byte = \"2m\"\ncluster_answer = \"2m\"\n";
    let place = Place::new(case)?;
    let simulator = case.simulator().await?;
    let toml = case.cluster("corp-2", simulator.url(), simulator.ca_pem())?;
    place.write(&format!("{}{toml}{PATIENCE}", place.text))?;
    let ferry = case.ferry_of(&place.file()).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let question = json!({"cluster": "corp-2"});
    good(&client, "namespaces_list", question.clone()).await?;
    simulator.inject("/api/v1/namespaces?", Fault::Hold, Some(1));
    let ended = AtomicBool::new(false);
    let in_flight = async {
        let answered = good(&client, "namespaces_list", question.clone()).await;
        ended.store(true, Ordering::Relaxed);
        answered
    };
    let removed = async {
        poll::until("the call to be decided", RELOADED, || async {
            let decided = lines(&ferry, "decided").len();
            if decided >= 2 { Ok(()) } else { Err(format!("{decided} calls")) }
        })
        .await?;
        place.write(&format!("{}{PATIENCE}", place.text))?;
        reloaded(&ferry, 0).await?;
        let failed = bad(&client, "namespaces_list", question.clone()).await?;
        let twin = failed.structured.clone().unwrap_or_default();
        anyhow::ensure!(twin["code"] == "unknown_target", "{}", failed.text);
        anyhow::ensure!(failed.text.contains("corp-1"), "near names: {}", failed.text);
        anyhow::ensure!(!ended.load(Ordering::Relaxed), "the call was in flight when its cluster was gone");
        simulator.heal();
        anyhow::Ok(())
    };
    let (listed, ()) = futures::try_join!(in_flight, removed)?;
    assert!(listed.text.contains("default"), "{}", listed.text);
    Ok(())
}

/// A cluster where the gateway shows `token` and impersonates.
async fn gateway_cluster(case: &Case, name: &str, token: &str) -> anyhow::Result<(Simulator, String)> {
    let simulator = Simulator::start(SimConfig::kubernetes().token(token, "gateway", &[])).await?;
    let impersonate =
        Rule::user("gateway").verbs(&["impersonate"]).resources(&["users", "groups", "userextras", "uids"]);
    simulator.cluster().allow(impersonate.api_groups(&["*"])).allow(Rule::user("alice").reads_everything());
    let text = kubeconfig("moving", simulator.url(), simulator.ca_pem(), Credential::Token(token));
    let credentials = case.write(&format!("{name}.kubeconfig"), &text)?;
    let ca = case.write(&format!("{name}-ca.pem"), simulator.ca_pem())?;
    let toml = format!(
        "\n[clusters.moving]\nserver = \"{}\"\nca_file = \"{}\"\nstrategy = \"impersonate\"\nrealms = [\"corp\"]\n\
         gateway_credentials = {{ kubeconfig = \"{}\" }}\nimpersonate = {{ user = \"{{username}}\" }}\n",
        simulator.url(),
        ca.display(),
        credentials.display()
    );
    Ok((simulator, toml))
}

/// K04: another server with another CA and another credential under the same name, while calls run.
pub async fn k04_a_changed_cluster_gets_new_connections_and_its_own_credential(case: &Case) -> anyhow::Result<()> {
    let place = Place::new(case)?;
    let (tokens, calls) = (["gateway-token-before", "gateway-token-after"], AtomicUsize::new(0));
    let (before, old) = gateway_cluster(case, "before", tokens[0]).await?;
    let (after, new) = gateway_cluster(case, "after", tokens[1]).await?;
    place.write(&format!("{}{old}", place.text))?;
    let ferry = case.ferry_of(&place.file()).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let question = json!({"cluster": "moving"});
    good(&client, "namespaces_list", question.clone()).await?;
    let over = AtomicBool::new(false);
    let load = async {
        while !over.load(Ordering::Relaxed) {
            good(&client, "namespaces_list", question.clone()).await?;
            calls.fetch_add(1, Ordering::Relaxed);
            pause(Duration::from_millis(30)).await;
        }
        anyhow::Ok(())
    };
    let change = async {
        place.write(&format!("{}{new}", place.text))?;
        reloaded(&ferry, 0).await?;
        let all_before = before.requests();
        before.clear_requests();
        let counted = calls.load(Ordering::Relaxed);
        poll::until("calls to the new server", RELOADED, || async {
            let now = calls.load(Ordering::Relaxed);
            if now > counted + 5 { Ok(()) } else { Err(format!("{now} calls")) }
        })
        .await?;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(all_before)
    };
    let ((), all_before) = futures::try_join!(load, change)?;
    assert!(before.requests().is_empty(), "the old server is left alone: {:?}", before.requests());
    for (server, requests, token) in [("before", all_before, tokens[0]), ("after", after.requests(), tokens[1])] {
        assert!(!requests.is_empty(), "{server} was asked");
        let own = Some(token_digest(token));
        let foreign: Vec<_> = requests.iter().filter(|request| request.bearer != own).collect();
        assert!(foreign.is_empty(), "{server} saw another credential than its own: {foreign:?}");
    }
    let log = ferry.log();
    assert!(!tokens.iter().any(|token| log.contains(token)), "a credential in the log");
    Ok(())
}
