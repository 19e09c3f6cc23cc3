//! The listener: is its address free, or are we there already; does its certificate fit what clients call.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpListener;
use url::Url;

use super::Finding;
use super::certificate::validity;
use crate::config::{Config, ServerConfig, TlsFiles};
use crate::kubeconfig::read_bounded;
use crate::model::{Endpoint, chain};
use crate::pool::{Limits, presence};
use crate::server::{self, Tls};

const ABOUT: &str = "listener";
/// Time for our own server's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What is asked of whoever has our port, and what only kubeferry says there.
const READY: (&str, &str) = ("/readyz?verbose", "[+]configuration generation ");
const METRICS: (&str, &str) = ("/metrics", "kubeferry_build_info");
/// A certificate that ends within this should be replaced.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const DAY: u64 = 24 * 60 * 60;

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let server = &config.server;
    let mut findings = vec![address("server.listen", server.listen, server.tls.is_some(), READY).await];
    if let Some(metrics) = server.metrics_listen {
        findings.push(address("server.metrics_listen", metrics, false, METRICS).await);
    }
    findings.extend(server.resource.as_deref().and_then(resource));
    if let Some(files) = &server.tls {
        findings.extend(certificate(files, &names(server)));
        let pair = Tls { cert_file: files.cert_file.clone(), key_file: files.key_file.clone() };
        if let Err(error) = server::check_certificate(&pair).await {
            let fix = "name a certificate and its own key in server.tls";
            findings.push(Finding::failed(ABOUT, chain(&error), fix));
        }
    }
    findings
}

/// Free, ours, or somebody else's.
async fn address(key: &str, address: SocketAddr, tls: bool, (path, mark): (&str, &str)) -> Finding {
    let taken = match TcpListener::bind(address).await {
        Ok(_free) => return Finding::ok(ABOUT, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => error,
        Err(error) => {
            let fix = format!("write an address of this machine in {key}, and a port that this user may open");
            return Finding::failed(ABOUT, format!("{address} cannot be had: {error}"), fix);
        }
    };
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let scheme = if tls { "https" } else { "http" };
    let own = SocketAddr::new(host, address.port());
    // Whether the certificate is right is looked at in its file; here it only matters who answers.
    let endpoint = Endpoint { server: format!("{scheme}://{own}"), ca: None, tls_server_name: None, insecure: true };
    match presence(&endpoint, path, ANSWER, Limits::default()).await {
        Ok(found) if found.text.contains(mark) && found.status.is_success() => {
            Finding::ok(ABOUT, format!("kubeferry serves on {address}"))
        }
        Ok(found) if found.text.contains(mark) => {
            let fix = "wait for its end, or look into its log";
            Finding::warning(ABOUT, format!("kubeferry on {address} answers {} to {path}", found.status), fix)
        }
        _ => {
            let fix = format!("stop the other program, or write another port in {key}");
            Finding::failed(ABOUT, format!("{address} is taken by another program ({taken})"), fix)
        }
    }
}

/// What clients call us: the host of the resource, and the allowed hosts.
fn names(server: &ServerConfig) -> Vec<String> {
    let resource = server.resource.as_deref().and_then(|text| Url::parse(text).ok());
    let resource = resource.as_ref().and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
    let allowed = server.allowed_hosts.iter().map(|host| match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.contains(':') => name.to_owned(),
        _ => host.trim_matches(['[', ']']).to_owned(),
    });
    let mut names: Vec<String> = resource.into_iter().chain(allowed).collect();
    names.sort();
    names.dedup();
    names
}

fn resource(text: &str) -> Option<Finding> {
    let url = Url::parse(text).ok()?;
    if url.path().trim_end_matches('/').ends_with("/mcp") {
        return None;
    }
    let said = format!("server.resource {text} does not end in /mcp");
    Some(Finding::warning(ABOUT, said, "write the URL of the endpoint itself; clients compare it with what they call"))
}

fn certificate(files: &TlsFiles, names: &[String]) -> Vec<Finding> {
    let file = files.cert_file.display();
    let broken = |why: String| {
        vec![Finding::failed(ABOUT, format!("{file}: {why}"), "name a PEM certificate in server.tls.cert_file")]
    };
    let pem = match read_bounded(&files.cert_file) {
        Ok(pem) => pem,
        Err(error) => return broken(error.to_string()),
    };
    let Some(Ok(leaf)) = CertificateDer::pem_slice_iter(&pem).next() else {
        return broken("holds no certificate".into());
    };
    let Ok(parsed) = ParsedCertificate::try_from(&leaf) else { return broken("cannot be read".into()) };
    let mut findings = vec![expiry(&file.to_string(), validity(&leaf), SystemTime::now())];
    for name in names {
        let fits = ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !fits {
            let said = format!("{file} is not for {name}, by which clients come");
            findings.push(Finding::failed(ABOUT, said, format!("have a certificate issued with the DNS name {name}")));
        }
    }
    findings
}

fn expiry(file: &str, valid: Option<(SystemTime, SystemTime)>, now: SystemTime) -> Finding {
    let Some((begins, ends)) = valid else {
        return Finding::warning(
            ABOUT,
            format!("{file}: its end cannot be read"),
            "look at it with openssl x509 -enddate",
        );
    };
    let fix = "replace the files of server.tls; they are taken up without a restart";
    if begins > now {
        let fix = "look at the clock of this machine, or replace the files of server.tls";
        return Finding::failed(ABOUT, format!("{file} is not valid yet"), fix);
    }
    match ends.duration_since(now) {
        Err(_ended) => Finding::failed(ABOUT, format!("{file} has expired"), fix),
        Ok(left) if left < SOON => {
            Finding::warning(ABOUT, format!("{file} expires in {} days", left.as_secs() / DAY), fix)
        }
        Ok(left) => Finding::ok(ABOUT, format!("{file} is valid for {} days", left.as_secs() / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tokio::net::TcpListener;

    use super::super::Level::{Failed, Ok, Warning};
    use super::{METRICS, READY, TlsFiles, address, certificate, expiry, names, resource};
    use crate::config::ServerConfig;

    #[tokio::test]
    async fn a_port_is_free_or_taken_by_a_stranger() {
        crate::auth::install_crypto();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = taken.local_addr().unwrap();
        let served = tokio::spawn(async move {
            while let Result::Ok((stream, _)) = taken.accept().await {
                drop(stream);
            }
        });
        let found = address("server.listen", at, false, READY).await;
        assert_eq!(found.level, Failed, "{found:?}");
        assert!(found.said.contains("another program") && found.fix.contains("server.listen"), "{found:?}");
        served.abort();
        let none = "192.0.2.1:1".parse().unwrap();
        assert_eq!(address("server.listen", none, false, READY).await.level, Failed, "no address of this machine");
        let free = address("server.listen", "127.0.0.1:0".parse().unwrap(), false, READY).await;
        assert_eq!(free.level, Ok, "{free:?}");
    }

    #[tokio::test]
    async fn another_program_that_answers_is_not_ours() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        crate::auth::install_crypto();
        for (body, level) in [("go_info 1", Failed), ("kubeferry_build_info 1", Ok)] {
            let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = taken.local_addr().unwrap();
            let served = tokio::spawn(async move {
                while let Result::Ok((mut stream, _)) = taken.accept().await {
                    drop(stream.read(&mut [0; 4096]).await);
                    let head = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\nconnection: close\r\ncontent-length";
                    drop(stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await);
                }
            });
            assert_eq!(address("server.metrics_listen", at, false, METRICS).await.level, level, "{body}");
            assert_eq!(address("server.listen", at, false, READY).await.level, Failed, "{body}");
            served.abort();
        }
    }

    #[test]
    fn a_certificate_must_be_for_every_name_that_clients_use() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["mcp.example.com".to_owned()]).unwrap();
        let files = TlsFiles { cert_file: folder.path().join("c.pem"), key_file: folder.path().join("k.pem") };
        std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
        let server = ServerConfig {
            resource: Some("https://mcp.example.com/mcp".to_owned()),
            allowed_hosts: vec!["mcp.example.com:8443".to_owned(), "other.example".to_owned(), "[::1]".to_owned()],
            ..ServerConfig::default()
        };
        let names = names(&server);
        assert_eq!(names, ["::1", "mcp.example.com", "other.example"]);
        let found = certificate(&files, &names);
        let levels: Vec<_> = found.iter().map(|found| found.level).collect();
        assert_eq!(levels, [Ok, Failed, Failed], "{found:?}");
        assert!(
            found[2].said.contains("other.example") && found[2].fix.contains("DNS name other.example"),
            "{found:?}"
        );
        std::fs::write(&files.cert_file, "nothing").unwrap();
        assert_eq!(certificate(&files, &names)[0].level, Failed);
    }

    #[test]
    fn ends_and_resources() {
        let now = SystemTime::now();
        let after = |days: u64| Some(now + Duration::from_secs(days * 86_400 + 60));
        for (ends, level) in
            [(Some(now - Duration::from_secs(1)), Failed), (after(3), Warning), (after(90), Ok), (None, Warning)]
        {
            assert_eq!(expiry("c.pem", ends.map(|ends| (SystemTime::UNIX_EPOCH, ends)), now).level, level);
        }
        let soon = after(3).map(|ends| (now, ends));
        assert!(expiry("c.pem", soon, now).said.contains("3 days"));
        let early = after(3).zip(after(90));
        assert!(
            expiry("c.pem", early, now).level == Failed && expiry("c.pem", early, now).said.contains("not valid yet")
        );
        assert!(resource("https://a.example/mcp").is_none() && resource("https://a.example/mcp/").is_none());
        assert_eq!(resource("https://a.example/").unwrap().level, Warning);
    }
}
