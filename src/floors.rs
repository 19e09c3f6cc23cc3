//! The floor test: modules import from lower floors only, never from a sibling; crates of the protocols stop where
//! DESIGN 3 says; secrets are exposed in few places; files stay small. The table here, in `lib.rs` and in
//! `docs/architecture.md` is one and the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: &[(&str, usize)] = &[
    ("app", 7),
    ("setup", 7),
    ("config", 6),
    ("server", 5),
    ("dispatch", 4),
    ("tools", 3),
    ("pool", 2),
    ("auth", 1),
    ("inventory", 1),
    ("policy", 1),
    ("output", 1),
    ("model", 0),
    ("realm", 0),
    ("kubeconfig", 0),
    ("hub", 0),
    ("telemetry", 0),
];

/// Crate → modules (or files) that may name it.
const STOPS: &[(&str, &[&str])] = &[
    ("rmcp", &["server/mcp", "server/stdio", "server/sessions"]),
    ("axum", &["server"]),
    ("hyper::server", &["server"]),
    ("hyper_util::server", &["server"]),
    ("jsonwebtoken", &["auth", "pool/credential"]),
    ("kube", &["pool", "hub"]),
    ("prometheus_client", &["telemetry"]),
    ("governor", &["server/limits"]),
];

/// Where a secret's text may be taken out.
const EXPOSE: &[&str] = &["auth", "pool/credential", "kubeconfig", "model/secret", "app/files", "setup/keycloak"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file with its path below `src`, without the extension.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().with_extension("").to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "the sources were found");
    files
}

/// A file's text without comments and without its inline tests.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The top-level modules that `code` names after `crate::`, in a path or in a brace group over several lines.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.push(ident(rest));
            continue;
        };
        let mut depth = 0;
        for part in group.split_inclusive([',', '{', '}']) {
            if depth == 0 {
                names.push(ident(part.trim_start()));
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            if depth < 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn below(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| name == *place || name.starts_with(&format!("{place}/")))
}

#[test]
fn imports_go_downward_only() {
    let floors: BTreeMap<&str, usize> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let module = name.split('/').next().unwrap_or_default();
        let Some(floor) = floors.get(module) else {
            assert!(
                matches!(module, "lib" | "main" | "commands" | "floors" | "reference"),
                "{name} has no floor: add it to the table"
            );
            continue;
        };
        for import in imports(&code(&text)) {
            // `model` is the ground: plain data that siblings share.
            let ground = import == "model" && module != "model";
            let allowed = ground || import == module || floors.get(import.as_str()).is_some_and(|below| below < floor);
            if floors.contains_key(import.as_str()) && !allowed {
                wrong.push(format!("{name} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "upward or sideways imports: {wrong:#?}");
}

#[test]
fn every_module_of_the_library_has_a_floor() {
    let lib = fs::read_to_string(root().join("lib.rs")).unwrap();
    let modules: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut floors: Vec<&str> = FLOORS.iter().map(|(module, _)| *module).collect();
    floors.sort_unstable();
    assert_eq!(modules, floors);
    let page = fs::read_to_string(root().parent().unwrap().join("docs/architecture.md")).unwrap();
    for module in modules {
        assert!(page.contains(&format!("`{module}`")), "docs/architecture.md says nothing of {module}");
    }
}

#[test]
fn crates_stop_where_they_should() {
    for (name, text) in sources() {
        let code = code(&text);
        for (krate, places) in STOPS {
            let names_it = code
                .match_indices(&format!("{krate}::"))
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            let test_only = name.ends_with("/tests") || name.contains("/tests/") || name.ends_with("/contract");
            assert!(!names_it || test_only || below(&name, places) || name == "floors", "{name} names {krate}");
        }
    }
}

#[test]
fn secrets_are_exposed_in_few_places() {
    for (name, text) in sources() {
        let exposes = code(&text).contains(".expose()") || code(&text).contains("Secret::expose");
        assert!(!exposes || below(&name, EXPOSE) || name == "floors", "{name} takes a secret's text out");
    }
}

#[test]
fn files_stay_small() {
    let mut lines: Vec<(usize, String)> =
        sources().into_iter().map(|(name, text)| (code(&text).lines().count(), name)).collect();
    lines.sort();
    let (median, _) = lines[lines.len() / 2];
    assert!(median <= 150, "the median file has {median} lines");
    let long: Vec<_> = lines.iter().filter(|(count, name)| *count > 450 && !name.contains("tests")).collect();
    assert!(long.is_empty(), "think about splitting {long:?}");
}

#[test]
fn the_scanner_sees_groups_over_several_lines() {
    let code = "use crate::{\n    auth::{A, B},\n    model,\n};\nfn f() { crate::pool::x() }";
    assert_eq!(imports(code), ["auth", "model", "pool"]);
}
