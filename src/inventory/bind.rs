//! `[[bind]]` rules: what the operator says about discovered clusters.

use std::collections::BTreeMap;

use crate::kubeconfig::ServerUrl;
use crate::model::{PathTrust, Tier};

use super::entry::ClusterSettings;
use super::source::Discovered;

/// One rule. The first that matches a discovered cluster binds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindRule {
    /// Dotted path of its table, `bind[0]`.
    pub origin: String,
    /// Which clusters it is about.
    pub matches: BindMatch,
    /// Keep a cluster bound when its server or CA changes.
    pub follow_changes: bool,
    /// How a credential is had.
    pub settings: ClusterSettings,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// The operator's tier.
    pub tier: Tier,
    /// Shown to callers who cannot reach it.
    pub advertise: bool,
    /// For a kcp: whether paths are resolved first.
    pub paths: PathTrust,
}

/// Conditions of a rule; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindMatch {
    /// Name of the source.
    pub source: Option<String>,
    /// Glob over the foreign name: `*` any text, `?` one character.
    pub name: Option<String>,
    /// The host of the parsed server URL, whole, lower case; an IPv6 address without brackets.
    pub host: Option<String>,
    /// The port of the parsed server URL, 443 when none is written.
    pub port: Option<u16>,
    /// The path of the foreign server URL, whole, without a trailing slash: `/clusters/root:org`.
    pub path: Option<String>,
}

impl BindMatch {
    /// Whether all conditions hold. A rule without any condition matches nothing.
    pub fn fits(&self, found: &Discovered) -> bool {
        let Ok(server) = ServerUrl::parse(&found.endpoint.server) else { return false };
        let foreign_path =
            found.entry.first().map_or_else(|| server.path().to_owned(), |workspace| format!("/clusters/{workspace}"));
        let conditions = [
            self.source.as_ref().map(|source| *source == found.source),
            self.name.as_ref().map(|pattern| glob(pattern, &found.foreign)),
            self.host.as_ref().map(|host| host == server.host()),
            self.port.map(|port| port == server.port()),
            self.path.as_ref().map(|path| path.trim_end_matches('/') == foreign_path),
        ];
        conditions.iter().any(Option::is_some) && conditions.iter().flatten().all(|holds| *holds)
    }
}

/// Matches `*` and `?`, in time linear in both lengths for each star.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(c) if *c == '?' || text.get(pos) == Some(c) => {
                at += 1;
                pos += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    at = after + 1;
                    pos = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text) in
            [("kind-*", "kind-dev"), ("*", ""), ("a?c", "abc"), ("*-*-x", "a-b-c-x"), ("**", "z"), ("a*b*c", "a-b-b-c")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("kind-*", "akind-x"), ("", "x"), ("a?c", "ac"), ("*x", "xy"), ("a", "A")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(100), &"a".repeat(99)));
    }
}
