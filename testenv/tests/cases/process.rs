//! The process itself: its end, its limits, what keeps it from starting.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use serde_json::json;
use testenv::ferry::{self, Ferry, Ran};
use testenv::mcp::raw;
use testenv::pki::{Ca, LOOPBACK};
use testenv::poll;
use testenv::simulator::Fault;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::lab::bench::good;
use crate::lab::case::Case;
use crate::lab::proc::holds;
use crate::lab::unit;

/// What the end of a process takes on a busy machine, when nothing is waited for.
const AT_ONCE: Duration = Duration::from_secs(3);

/// P02: a call that takes long is in flight; the second signal does not wait for it.
pub async fn p02_a_second_sigterm_ends_it_at_once(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let ferry = case.ferry(&case.cluster("slow", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    good(&client, "namespaces_list", json!({"cluster": "slow"})).await?;
    simulator.inject("", Fault::Hang, None);
    let token = case.token("corp", "alice");
    let call = raw::tools_call(ferry.url(), Some(&token), "namespaces_list", json!({"cluster": "slow"}));
    let stopped = async {
        poll::until("the call to be sent", Duration::from_secs(10), || async {
            let decided = ferry.log().lines().filter(|line| line.contains("\"decided\"")).count();
            if decided >= 2 { Ok(()) } else { Err(format!("{decided} calls")) }
        })
        .await?;
        ferry.signal("TERM").await?;
        poll::until("the drain to begin", Duration::from_secs(10), || async {
            if ferry.log().contains("draining") { Ok(()) } else { Err("not said".to_owned()) }
        })
        .await?;
        let asked = Instant::now();
        // The second one.
        let status = ferry.stop().await;
        anyhow::ensure!(asked.elapsed() < AT_ONCE, "took {:?}", asked.elapsed());
        anyhow::ensure!(status.code() == Some(130), "{status}");
        anyhow::Ok(())
    };
    let (cut, stopped) = futures::join!(call, stopped);
    stopped?;
    anyhow::ensure!(cut.is_err(), "nobody answered that call: {cut:?}");
    Ok(())
}

/// P09: nobody can bring a panic about from outside, so the unit test of that name plays it, against a tool that panics.
pub async fn p09_a_panic_fails_its_own_call_alone(_case: &Case) -> anyhow::Result<()> {
    unit::passes("server::mcp::tests::p09_a_panic_in_a_tool_fails_that_call_alone").await
}

/// P05: twice as many connections as files.
pub async fn p05_without_file_descriptors_it_recovers(case: &Case) -> anyhow::Result<()> {
    const FILES: u32 = 256;
    let ferry = case.keep(Ferry::start_with_open_files(&case.world.config(), &[], FILES).await?);
    let client = case.client(&ferry, "corp", "alice").await?;
    good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let before = holds(&ferry).await?;
    let address = ferry.base().trim_start_matches("http://").to_owned();
    let connect = || tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(&address));
    // Those that find the backlog full come to nothing.
    let open: Vec<TcpStream> =
        join_all((0..2 * FILES).map(|_| connect())).await.into_iter().filter_map(|done| done.ok()?.ok()).collect();
    poll::until("all files to be open", Duration::from_secs(10), || async {
        let files = holds(&ferry).await.map_err(|error| format!("{error:#}"))?.files;
        if files >= FILES as usize - 2 { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await?;
    // A connection that is there still serves, without opening a file.
    good(&client, "targets_list", json!({})).await?;
    drop(open);
    poll::until("new connections to be served", Duration::from_secs(20), || async {
        let reply = raw::get(&format!("{}/readyz", ferry.base()), &[]).await.map_err(|error| format!("{error:#}"))?;
        let fresh = case.client(&ferry, "corp", "alice").await.map_err(|error| format!("{error:#}"))?;
        good(&fresh, "namespaces_list", json!({"cluster": "corp-1"})).await.map_err(|error| format!("{error:#}"))?;
        if reply.status == 200 { Ok(()) } else { Err(reply.text) }
    })
    .await?;
    poll::until("files to be closed", Duration::from_secs(20), || async {
        let files = holds(&ferry).await.map_err(|error| format!("{error:#}"))?.files;
        if files < before.files + 16 { Ok(()) } else { Err(format!("{files} files, {} before", before.files)) }
    })
    .await?;
    let said = ferry.log().lines().filter(|line| line.contains("cannot accept a connection")).count();
    assert!((1..2_000).contains(&said), "the log says so, and is not filled with it: {said}");
    Ok(())
}

async fn run(args: &[&str]) -> anyhow::Result<Ran> {
    ferry::run(args, &[], None).await
}

/// P10.
pub async fn p10_a_wrong_configuration_is_said_with_its_line(case: &Case) -> anyhow::Result<()> {
    let toml = format!(
        "{}\n[clusters.wrong]\nserver = \"https://127.0.0.1:1\"\nstrategy = \"exchang\"\n",
        case.world.config_text()
    );
    let line = toml.lines().count();
    let file = case.world.config_of(&toml).display().to_string();
    for command in [&["serve"][..], &["config", "check"], &["stdio"]] {
        let ran = run(&[command, &["--config", &file]].concat()).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command:?}: {}", ran.stderr);
        let said = ran.stderr.lines().filter(|line| !line.starts_with('{')).count();
        assert_eq!(said, 1, "one mistake is one line: {}", ran.stderr);
        let says = format!("{file}:{line}: clusters.wrong.strategy: ");
        assert!(ran.stderr.starts_with(&says) && ran.stderr.contains("did you mean exchange?"), "{}", ran.stderr);
    }
    Ok(())
}

/// P11.
pub async fn p11_what_keeps_it_from_listening_is_one_line(case: &Case) -> anyhow::Result<()> {
    let taken = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = taken.local_addr()?.to_string();
    let (leaf, other) = (Ca::new("ours").server(LOOPBACK), Ca::new("other").server(LOOPBACK));
    case.write("tls.crt", &leaf.cert_pem)?;
    case.write("tls.key", &leaf.key_pem)?;
    case.write("other.key", &other.key_pem)?;
    case.write("no.crt", "no certificate")?;
    let text = case.world.config_text();
    let with = |server: &str| {
        let file = case.world.config_of(&text.replacen("[server]\n", &format!("[server]\n{server}\n"), 1));
        file.display().to_string()
    };
    let folder = case.folder().display();
    let tls =
        |cert: &str, key: &str| format!("tls = {{ cert_file = \"{folder}/{cert}\", key_file = \"{folder}/{key}\" }}");
    let ca = text.replace("\"corp-1-ca.pem\"", "\"no-such-ca.pem\"");
    let ca = case.world.config_of(&ca).display().to_string();
    for (what, file, listen, code, words) in [
        ("a port in use", with(""), address.as_str(), 1, &[address.as_str(), "in use"][..]),
        ("a certificate that is none", with(&tls("no.crt", "tls.key")), "127.0.0.1:0", 2, &["no.crt"]),
        ("a key of another certificate", with(&tls("tls.crt", "other.key")), "127.0.0.1:0", 2, &["tls.crt"]),
        ("a certificate that is not there", with(&tls("gone.crt", "tls.key")), "127.0.0.1:0", 2, &["gone.crt"]),
        ("a CA that is not there", ca, "127.0.0.1:0", 2, &["no-such-ca.pem"]),
    ] {
        let args = ["serve", "--config", &file, "--listen", listen];
        let ran = tokio::time::timeout(Duration::from_secs(10), run(&args)).await;
        let ran = ran.map_err(|_elapsed| anyhow::anyhow!("{what}: it serves"))??;
        assert!((1..=2).contains(&ran.code), "{what}: {} {}", ran.code, ran.stderr);
        assert_eq!(ran.code, code, "{what}: {}", ran.stderr);
        let said: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(said.len(), 1, "{what}: {}", ran.stderr);
        for word in words {
            assert!(said[0].contains(word), "{what} says {word}: {}", said[0]);
        }
    }
    Ok(())
}

/// How many HTTP requests were answered, the one that asks left out.
async fn answered(ferry: &Ferry) -> anyhow::Result<u64> {
    let figures = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?.text;
    let samples = figures.lines().filter(|line| line.starts_with("kubeferry_http_requests_total{"));
    Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// P12: scrapers that ask for some hundred megabytes of figures and never read, and some that hang up.
pub async fn p12_scrapers_that_do_not_read_cost_calls_nothing(case: &Case) -> anyhow::Result<()> {
    const ASKED: usize = 4_000;
    const BOUND: u64 = 8 << 10;
    let ferry = case.ferry("").await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let load = async || {
        let calls = (0..20).map(|_| async {
            let asked = Instant::now();
            good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await.map(|_| asked.elapsed())
        });
        try_join_all(calls).await
    };
    load().await?;
    let size = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?.text.len();
    let before = holds(&ferry).await?;
    let address = ferry.base().trim_start_matches("http://").to_owned();
    let ask = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(ASKED);
    let mut stuck = Vec::new();
    for number in 0..10 {
        let mut stream = TcpStream::connect(&address).await?;
        // Whoever does not read may not be able to write all of it either.
        drop(tokio::time::timeout(Duration::from_millis(500), stream.write_all(ask.as_bytes())).await);
        if number % 2 == 0 {
            stuck.push(stream);
        }
    }
    let wanted = size * ASKED * stuck.len();
    assert!(wanted as u64 > 10 * (BOUND << 10), "{wanted} bytes show nothing about memory");
    // Until nothing fits into any socket, they keep it busy; calls succeed all the same.
    load().await?;
    poll::until("the scrapers to be stuck", Duration::from_secs(40), || async {
        let before = answered(&ferry).await.map_err(|error| format!("{error:#}"))?;
        poll::pause(Duration::from_millis(500)).await;
        let more = answered(&ferry).await.map_err(|error| format!("{error:#}"))? - before;
        if more == 1 { Ok(()) } else { Err(format!("{more} answers in half a second")) }
    })
    .await?;
    for took in load().await? {
        assert!(took < Duration::from_secs(5), "took {took:?}");
    }
    let grown = holds(&ferry).await?.memory.saturating_sub(before.memory);
    assert!(grown < BOUND, "{grown} KiB more for {} scrapers that asked for {wanted} bytes", stuck.len());
    for stream in &stuck {
        let began = tokio::time::timeout(Duration::from_secs(5), stream.peek(&mut [0])).await??;
        assert_eq!(began, 1, "each is being answered");
    }
    Ok(())
}
