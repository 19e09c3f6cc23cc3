//! Names: of clusters, realms and Kubernetes objects. All of them are checked before any URL is built; nothing is ever
//! percent-encoded into a path.

use std::fmt;
use std::sync::Arc;

/// Why a name is refused. The message shows the grammar; it quotes the beginning of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given} is not valid: {grammar}")]
pub struct NameError {
    /// What kind of name it should have been, as "cluster name".
    pub what: &'static str,
    /// What was given, quoted, cut and with control characters escaped.
    pub given: String,
    /// What is allowed, in words.
    pub grammar: &'static str,
}

impl NameError {
    /// A refusal of `given`.
    pub fn new(what: &'static str, given: &str, grammar: &'static str) -> Self {
        Self { what, given: quote(given), grammar }
    }
}

/// Quotes foreign text for a message: about 32 characters of it, control and non-ASCII characters escaped.
pub fn quote(text: &str) -> String {
    const MOST: usize = 32;
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= MOST {
            shown.push('…');
            break;
        }
        shown.extend(c.escape_default());
    }
    format!("\"{shown}\"")
}

/// A cluster's name: `[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?`, optionally followed by `@` and a source name of the same
/// grammar (DESIGN 4).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Arc<str>);

const CLUSTER_GRAMMAR: &str = "use a-z, 0-9, '-' and '.', at most 63 characters, optionally @<source>";

impl ClusterName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When `text` is outside the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (short, source) = match text.split_once('@') {
            Some((short, source)) => (short, Some(source)),
            None => (text, None),
        };
        let fits = is_label(short, 63, true) && source.is_none_or(|source| is_label(source, 63, true));
        if fits { Ok(Self(text.into())) } else { Err(NameError::new("cluster name", text, CLUSTER_GRAMMAR)) }
    }

    /// The name that a foreign one (`arn:aws:eks:…`, `kind-dev`, `Prod_EU`) becomes: lower case, each run of other
    /// characters a `-`, cut to 63; `cluster` when nothing is left. The original stays an alias.
    pub fn slug(foreign: &str) -> Self {
        let mut slug = String::new();
        for c in foreign.chars() {
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9' | '.') => slug.push(c),
                _ if slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
        }
        let cut: String = slug.trim_matches(['-', '.']).chars().take(63).collect();
        let trimmed = cut.trim_end_matches(['-', '.']);
        Self(if trimmed.is_empty() { "cluster" } else { trimmed }.into())
    }

    /// This name with `@source`: what a discovered cluster whose short name is taken is called.
    #[must_use]
    pub fn at(&self, source: &Self) -> Self {
        Self(format!("{}@{}", self.short(), source.short()).into())
    }

    /// The part before `@`.
    pub fn short(&self) -> &str {
        self.0.split('@').next().unwrap_or(&self.0)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A realm's name: `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`. `local` is the built-in realm of local mode.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(Arc<str>);

impl RealmName {
    /// The built-in realm of local mode; `[realms.local]` is refused.
    pub const LOCAL: &'static str = "local";

    /// Checks and takes a name.
    ///
    /// # Errors
    /// When `text` is outside the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_label(text, 63, false) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::new(
                "realm name",
                text,
                "lower-case letters, digits and '-', 1 to 63 characters, starting and ending with a letter or digit",
            ))
        }
    }

    /// The built-in realm of local mode.
    pub fn local() -> Self {
        Self(Self::LOCAL.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// `[a-z0-9]([-a-z0-9]{0,max-2}[a-z0-9])?`, with dots inside where `dots`.
pub(super) fn is_label(text: &str, max: usize, dots: bool) -> bool {
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= max
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-' || (dots && *c == b'.'))
}

/// Checks a namespace: an RFC 1123 label of at most 63 characters.
///
/// # Errors
/// When `text` is anything else.
pub fn namespace(text: &str) -> Result<&str, NameError> {
    let grammar = "lower-case letters, digits and '-', 1 to 63 characters (RFC 1123 label)";
    if is_label(text, 63, false) { Ok(text) } else { Err(NameError::new("namespace", text, grammar)) }
}

/// Checks an object name by the API server's own rule for path segments, and stricter: no `/`, `%`, `?`, `#`, `\`,
/// no white space or control characters, not `.` or `..`, at most 253 characters. (RBAC names may contain `:`.)
///
/// # Errors
/// When `text` is anything else.
pub fn object(text: &str) -> Result<&str, NameError> {
    let grammar =
        "1 to 253 printable ASCII characters without '/', '%', '?', '#', '\\', '*', '~' alone, spaces; not '.' or '..'";
    let allowed =
        |c: u8| c.is_ascii_graphic() && !matches!(c, b'/' | b'%' | b'?' | b'#' | b'\\' | b'*' | b'"' | b'<' | b'>');
    let fits = (1..=253).contains(&text.len()) && !matches!(text, "." | ".." | "~") && text.bytes().all(allowed);
    if fits { Ok(text) } else { Err(NameError::new("object name", text, grammar)) }
}

/// Whether a label is one of kcp itself, by its domain.
pub fn is_of_kcp(label: &str) -> bool {
    label.split_once('/').is_some_and(|(domain, _)| domain == "kcp.io" || domain.ends_with(".kcp.io"))
}

/// Checks an API group (`""` is the core group): an RFC 1123 subdomain of at most 253 characters.
///
/// # Errors
/// When `text` is anything else.
pub fn group(text: &str) -> Result<&str, NameError> {
    let fits = text.is_empty() || (is_label(text, 253, true) && !text.contains(".."));
    if fits { Ok(text) } else { Err(NameError::new("API group", text, "a DNS name, as apps or networking.k8s.io")) }
}

/// Checks an API version, as `v1` or `v1beta1`.
///
/// # Errors
/// When `text` is anything else.
pub fn version(text: &str) -> Result<&str, NameError> {
    let fits = is_label(text, 63, false);
    if fits { Ok(text) } else { Err(NameError::new("API version", text, "as v1 or v1beta1")) }
}

/// Checks a resource's plural name, with at most one subresource behind `/` refused: `[a-z0-9.-]`, at most 253.
///
/// # Errors
/// When `text` is anything else.
pub fn plural(text: &str) -> Result<&str, NameError> {
    let fits = is_label(text, 253, true) && !text.contains("..");
    if fits { Ok(text) } else { Err(NameError::new("resource", text, "a plural name in lower case, as pods")) }
}

/// At most `most` of `candidates` that look like `wanted`, best first: those that contain it or are contained in it,
/// then those within a third of its length by edit distance.
pub fn near<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let wanted: String = wanted.chars().take(80).collect::<String>().to_lowercase();
    let mut scored: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let contained = !wanted.is_empty() && (candidate.contains(&wanted) || wanted.contains(candidate));
            let distance = strsim::damerau_levenshtein(&wanted, candidate);
            let close = distance <= 1 + wanted.len().max(candidate.len()) / 3;
            (contained || close).then_some((if contained { 0 } else { distance }, candidate))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{ClusterName, RealmName, namespace, near, object, plural, quote};

    #[test]
    fn labels_of_kcp_are_known_by_their_domain() {
        for (label, of_kcp) in [("kcp.io/x", true), ("a.kcp.io/x", true), ("mykcp.io/x", false), ("kcp.io", false)] {
            assert_eq!(super::is_of_kcp(label), of_kcp, "{label}");
        }
    }

    #[test]
    fn cluster_names_follow_the_grammar() {
        for good in ["a", "prod-fra-3", "p.q", "x@kubeconfig", &"a".repeat(63)] {
            assert!(ClusterName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", ".a", "A", "a_b", "a@", "@b", "a@b@c", "a/b", "ä", "a b", "a\n", &"a".repeat(64)] {
            assert!(ClusterName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn foreign_names_become_slugs() {
        assert_eq!(ClusterName::slug("arn:aws:eks:eu-1:42:cluster/Prod").as_str(), "arn-aws-eks-eu-1-42-cluster-prod");
        assert_eq!(ClusterName::slug("///").as_str(), "cluster");
        let name = ClusterName::slug("kind-dev");
        assert_eq!(name.at(&ClusterName::slug("home")).as_str(), "kind-dev@home");
    }

    #[test]
    fn names_that_could_change_a_url_are_refused() {
        for bad in [
            "../x",
            "..",
            ".",
            "a/b",
            "a%2fb",
            "a?b",
            "a#b",
            "a*",
            "*",
            "~",
            "a\0",
            "a\nb",
            "",
            "a\\b",
            &"a".repeat(10_240),
        ] {
            assert!(object(bad).is_err(), "{bad:?}");
            assert!(namespace(bad).is_err(), "{bad:?}");
            assert!(plural(bad).is_err(), "{bad:?}");
        }
        assert!(object("system:kcp:admin").is_ok());
        assert!(RealmName::parse("corp").is_ok());
    }

    #[test]
    fn near_names_are_few_and_close() {
        let names = ["plant-1", "plant-2", "corp-1", "kcp-eu"];
        assert_eq!(near("plant1", names, 5), ["plant-1", "plant-2"]);
        assert!(near("zzz", names, 5).is_empty());
        assert_eq!(quote("a\n").as_str(), "\"a\\n\"");
    }

    proptest! {
        #[test]
        fn every_slug_is_a_cluster_name(foreign in any::<String>()) {
            prop_assert!(ClusterName::parse(ClusterName::slug(&foreign).as_str()).is_ok());
        }
    }
}
