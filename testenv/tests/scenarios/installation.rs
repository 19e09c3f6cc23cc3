//! `clusters/install` is applied to a real API server as the guide to kcp says, and what its pods would find mounted is a
//! configuration that serves.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testenv::apiserver::{ApiServer, ApiServerConfig};
use testenv::etcd::Etcd;
use testenv::ferry::{self, Ferry};
use testenv::pki::Ca;
use testenv::process::port;

use crate::lab::bench::secret_file;
use crate::lab::guide::{Block, blocks_of};
use crate::lab::walk::Machine;

const GUIDE: &str = include_str!("../../../docs/guides/kcp.md");
/// The manifests that the guide applies.
const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clusters/install");

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real control planes: scripts/test"]
async fn the_manifests_are_taken_and_their_pods_would_serve() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(ApiServerConfig::new("install", &etcd)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("guide");
    for file in ["keycloak-ca.pem", "kcp-ca.pem"] {
        std::fs::write(folder.path().join(file), ca.pem()).unwrap();
    }
    std::fs::create_dir(folder.path().join("clusters")).unwrap();
    std::os::unix::fs::symlink(INSTALL, folder.path().join("clusters/install")).unwrap();
    let kubeconfig = secret_file(folder.path(), "install.kubeconfig", &server.kubeconfig()).unwrap();
    let applied: Vec<(&str, Block)> = blocks_of(GUIDE)
        .into_iter()
        .filter(|block| ["sh keys", "sh install"].contains(&block.kind.as_str()))
        .map(|block| ("install", Block { kind: "sh".to_owned(), ..block }))
        .collect();
    assert_eq!(applied.len(), 2, "the guide makes keys, and installs once");
    let machine = Machine { folder: folder.path(), kubeconfig: kubeconfig.into() };
    machine.follow(&applied).await.unwrap();

    let deployment = server.get("/apis/apps/v1/namespaces/kubeferry/deployments/kubeferry").await.unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let root = folder.path().join("root");
    mount(&server, pod, &root).await.unwrap();
    rights_are_none(&server, pod).await.unwrap();

    // The configuration as the pod has it, with every path below our root.
    let config = container["args"][2].as_str().unwrap();
    let config = root.join(config.trim_start_matches('/'));
    let text = std::fs::read_to_string(&config).unwrap();
    let ours = text.replace("\"/", &format!("\"{}/", root.display()));
    assert_ne!(ours, text, "it names mounted files");
    std::fs::write(&config, ours).unwrap();
    let ran = ferry::run(&["--config", &config.display().to_string(), "config", "check"], &[], None).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let metrics = format!("127.0.0.1:{}", port::free().unwrap());
    let ferry = Ferry::start(Some(&config), &[("KUBEFERRY_SERVER_METRICS_LISTEN", &metrics)]).await.unwrap();
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        let answer = reqwest::get(format!("{}{path}", ferry.base())).await.unwrap();
        assert_eq!(answer.status(), 200, "{probe} {path}");
    }
    addresses_agree(&server, container, &text).await.unwrap();
}

/// Writes what the pod would find at its mount paths below `root`.
async fn mount(server: &ApiServer, pod: &Value, root: &Path) -> anyhow::Result<()> {
    for mounted in pod["containers"][0]["volumeMounts"].as_array().context("nothing is mounted")? {
        let path = mounted["mountPath"].as_str().context("a mount without a path")?;
        ensure!(mounted["subPath"].is_null(), "{path}: what is mounted by subPath never changes");
        let folder = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&folder)?;
        let mut volumes = pod["volumes"].as_array().into_iter().flatten();
        let volume = volumes.find(|volume| volume["name"] == mounted["name"]).context("a mount without a volume")?;
        let sources = volume["projected"]["sources"].as_array().cloned().unwrap_or_else(|| vec![volume.clone()]);
        for source in sources {
            let (kind, name) = match (&source["configMap"]["name"], &source["secret"]["name"]) {
                (Value::String(name), _) => ("configmaps", name),
                (_, Value::String(name)) => ("secrets", name),
                _ => anyhow::bail!("no test knows the volume {source}"),
            };
            let object = server.get(&format!("/api/v1/namespaces/kubeferry/{kind}/{name}")).await?;
            for (key, value) in object["data"].as_object().with_context(|| format!("{name} has no data"))? {
                let value = value.as_str().context("no text")?;
                let bytes = if kind == "secrets" { STANDARD.decode(value)? } else { value.as_bytes().to_vec() };
                std::fs::write(folder.join(key), bytes)?;
            }
        }
    }
    Ok(())
}

/// Nothing of the cluster is lent to the pod, and nothing of the node.
async fn rights_are_none(server: &ApiServer, pod: &Value) -> anyhow::Result<()> {
    for kind in ["roles", "rolebindings"] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/kubeferry/{kind}");
        let made = server.get(&path).await?;
        ensure!(made["items"].as_array().is_some_and(Vec::is_empty), "{made}");
    }
    ensure!(pod["automountServiceAccountToken"] == false, "{pod}");
    // What the policy "restricted" asks of a pod, and a file system that nobody writes.
    let all = &pod["securityContext"];
    ensure!(all["runAsNonRoot"] == true && all["seccompProfile"]["type"] == "RuntimeDefault", "{all}");
    let own = &pod["containers"][0]["securityContext"];
    let alone = own["allowPrivilegeEscalation"] == false && own["readOnlyRootFilesystem"] == true;
    ensure!(alone && own["capabilities"] == json!({"drop": ["ALL"]}), "{own}");
    Ok(())
}

/// The host of the configuration is the Ingress's and the certificate's; the ports are those that the configuration listens on.
async fn addresses_agree(server: &ApiServer, container: &Value, config: &str) -> anyhow::Result<()> {
    let ingress = "/apis/networking.k8s.io/v1/namespaces/kubeferry/ingresses/kubeferry";
    let ingress = &server.get(ingress).await?["spec"];
    let host = ingress["rules"][0]["host"].as_str().context("the Ingress has no host")?;
    ensure!(config.contains(&format!("= \"https://{host}/mcp\"")), "{host} is not the host of server.resource");
    let tls = &ingress["tls"][0];
    ensure!(tls["hosts"] == json!([host]), "{tls}");
    let certificate = std::fs::read_to_string(Path::new(INSTALL).join("certificate.yaml"))?;
    let secret = tls["secretName"].as_str().context("the Ingress ends no TLS")?;
    for line in [format!("  secretName: {secret}"), format!("  - {host}")] {
        ensure!(certificate.lines().any(|found| found == line), "{line:?} is not in the Certificate");
    }
    for port in container["ports"].as_array().context("no ports")? {
        let listen = format!("listen = \"0.0.0.0:{}\"", port["containerPort"]);
        let spaces = config.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        ensure!(spaces.into_iter().any(|line| line.contains(&listen)), "nothing has {listen}");
    }
    let service = server.get("/api/v1/namespaces/kubeferry/services/kubeferry").await?;
    let backend = &ingress["rules"][0]["http"]["paths"][0]["backend"]["service"];
    ensure!(
        backend["name"] == "kubeferry" && backend["port"]["name"] == service["spec"]["ports"][0]["name"],
        "{backend}"
    );
    ensure!(service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"], "{service}");
    Ok(())
}
