//! How a Keycloak is started: a folder of its own, its certificate, and what Java is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::pki::{Ca, LOOPBACK, Leaf};
use crate::process::files;

/// Java in `JAVA_HOME`, else in `PATH`.
pub(super) fn java() -> PathBuf {
    let given: Option<OsString> = std::env::var_os("JAVA_HOME").filter(|given| !given.is_empty());
    given.map_or_else(|| "java".into(), |given| Path::new(&given).join("bin/java"))
}

/// A home of its own: the program is shared, what it writes is not.
pub(super) fn folder(home: &Path, realms: &[(&str, &str)]) -> anyhow::Result<TempDir> {
    let folder = files::folder("keycloak")?;
    for name in ["lib", "providers", "themes"] {
        let shared = home.join(name);
        std::os::unix::fs::symlink(&shared, folder.path().join(name))
            .with_context(|| format!("linking {}", shared.display()))?;
    }
    let import = folder.path().join("data/import");
    for new in [&import, &folder.path().join("conf"), &folder.path().join("tmp")] {
        std::fs::create_dir_all(new).with_context(|| format!("creating {}", new.display()))?;
    }
    for (name, text) in realms {
        let parsed: Value = serde_json::from_str(text).with_context(|| format!("reading realm {name}"))?;
        ensure!(parsed["realm"] == *name, "the file of realm {name} is that of {}", parsed["realm"]);
        let file = import.join(format!("{name}-realm.json"));
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(folder)
}

/// What `bin/kc.sh start` would give to Java, which runs without that shell between: a shell that is killed leaves Java
/// behind.
pub(super) fn args(folder: &TempDir, program: &Path, port: u16, ca: &Ca) -> anyhow::Result<Vec<String>> {
    let Leaf { cert_pem, key_pem } = ca.server(LOOPBACK);
    let cert = files::write(folder, "server.crt", &cert_pem)?;
    let key = files::write(folder, "server.key", &key_pem)?;
    // Realms fetch each other's keys from the same server.
    let trusted = files::write(folder, "ca.crt", ca.pem())?;
    let home = folder.path().display();
    let opened = ["java.util", "java.util.concurrent", "java.security", "java.lang"];
    let mut args: Vec<String> = opened.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")).into();
    args.extend(["-Xms64m", "-Xmx384m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC"].map(str::to_owned));
    // Compiled once and lightly: half of the processor time until it is ready, and calls that take three times as long.
    args.push("-XX:TieredStopAtLevel=1".to_owned());
    args.extend(["-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Dfile.encoding=UTF-8"].map(str::to_owned));
    args.extend([
        format!("-Djava.io.tmpdir={home}/tmp"),
        format!("-Dkc.home.dir={home}"),
        format!("-Djboss.server.config.dir={home}/conf"),
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager".to_owned(),
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
         io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
            .to_owned(),
        "-Dpicocli.disable.closures=true".to_owned(),
        "-cp".to_owned(),
        program.display().to_string(),
        "io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned(),
    ]);
    args.extend(
        ["start", "--optimized", "--import-realm", "--cache=local", "--http-host=127.0.0.1"].map(str::to_owned),
    );
    args.extend([
        format!("--hostname=https://127.0.0.1:{port}"),
        format!("--https-port={port}"),
        format!("--https-certificate-file={cert}"),
        format!("--https-certificate-key-file={key}"),
        format!("--truststore-paths={trusted}"),
    ]);
    Ok(args)
}
