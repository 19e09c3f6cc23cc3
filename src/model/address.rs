//! Addresses: `<cluster>` or, for a kcp, `<cluster>:<place>` (DESIGN 4).

use std::fmt;
use std::sync::Arc;

use super::names::{ClusterName, NameError, is_label};

const PLACE_GRAMMAR: &str =
    "use a path as root:org:team, or a logical cluster name as 2gr4s8eyy3n1rqtl: a-z, 0-9 and '-', joined by ':'";
/// What is said of words that mean something elsewhere, most of all to `kubectl ws`.
const HOME: &str =
    "a home workspace is named by its logical cluster, as 2gr4s8eyy3n1rqtl: a read of '~' would make one";
const PREVIOUS: &str = "no call knows of a previous workspace: name it, in full or relative to from";
const WILDCARD: &str = "'*' would be many workspaces: name one; kcp_workspaces_find looks through many";
const VIRTUAL: &str = "this is a path of a URL or a virtual workspace: name a workspace, as root:org:team";
const ELSEWHERE: &str =
    "a path with ':' before it begins at the top, and this one is not below where the call goes: name it in cluster";
const SYSTEM: &str = "workspaces that begin with system belong to kcp itself";
/// Segments of a workspace path, at most.
const MAX_SEGMENTS: usize = 32;

/// A canonical workspace path: `root`, or `root:…`, or segments below a logical cluster name; 1 to 32 segments.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspacePath(Arc<str>);

impl WorkspacePath {
    /// Checks and takes a path.
    ///
    /// # Errors
    /// When `text` is outside the grammar, or begins with `system`, whose workspaces belong to kcp itself.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refused = || refused("workspace", text);
        if text.len() > MAX_SEGMENTS * 64 {
            return Err(refused());
        }
        let segments: Vec<&str> = text.split(':').collect();
        let fits = segments.len() <= MAX_SEGMENTS && segments.iter().all(|segment| is_label(segment, 63, false));
        if fits && segments.first() != Some(&"system") { Ok(Self(text.into())) } else { Err(refused()) }
    }

    /// The segments, first to last.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(':')
    }

    /// Whether it begins at `root`. Such a path is canonical: a segment can be renamed by nobody. What begins with the name
    /// of a logical cluster says nothing of what is above.
    pub fn is_from_root(&self) -> bool {
        self.segments().next() == Some("root")
    }

    /// The path of the workspace that holds this one; `None` for a single segment.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(':').map(|(parent, _)| Self(parent.into()))
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or(&self.0)
    }

    /// The path of the child `name`.
    ///
    /// # Errors
    /// When the name is outside the grammar or the path would be too deep.
    pub fn child(&self, name: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{self}:{name}"))
    }

    /// The path of what lies below: names joined by `:` or `/`; with a `:` before them, from the top.
    ///
    /// # Errors
    /// When `text` is outside the grammar, is empty, begins at the top and is not below, or the path would be too deep.
    pub fn below(&self, text: &str) -> Result<Self, NameError> {
        if is_url(text) {
            return Err(refused("workspace", text));
        }
        let names = text.trim_matches([':', '/']).replace('/', ":");
        if text.starts_with(':') && Self::parse(&names).is_ok() {
            let below = names.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with(':'));
            return if below { Self::parse(&names) } else { Err(NameError::new("workspace", text, ELSEWHERE)) };
        }
        Self::parse(&format!("{self}:{names}")).map_err(|_error| refused("workspace", text))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a logical cluster: one segment. Created ones have 16 characters, homes 12, `root` is its own name; the
/// length says nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogicalCluster(Arc<str>);

impl LogicalCluster {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When `text` is not a single segment.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_label(text, 63, false) && text != "system" {
            Ok(Self(text.into()))
        } else {
            Err(refused("logical cluster name", text))
        }
    }

    /// The root workspace, whose path and name are the same.
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where inside a cluster a call goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The whole cluster: everything but a kcp.
    Whole,
    /// A workspace by its logical cluster name; `root` too.
    Name(LogicalCluster),
    /// A workspace by its path of two segments or more.
    Path(WorkspacePath),
}

impl Place {
    /// Reads the part behind the cluster's name. A single segment is a logical cluster name.
    ///
    /// # Errors
    /// When `text` is outside the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let path = WorkspacePath::parse(text)?;
        if path.parent().is_none() { LogicalCluster::parse(text).map(Self::Name) } else { Ok(Self::Path(path)) }
    }

    /// Reads a place relative to `from`: `..`, `..:x`, `team:a`, `.`; also kubectl-ws notation with `/` for `:`, a leading
    /// `:` for an absolute path and one `:` at the end. Without `from` only absolute places are read.
    ///
    /// # Errors
    /// When `text` is outside the grammar, climbs above the top, or is relative without a `from`.
    pub fn relative(text: &str, from: Option<&WorkspacePath>) -> Result<Self, NameError> {
        let as_written = |_error| refused("workspace", text);
        if is_url(text) {
            return Err(refused("workspace", text));
        }
        let colons = text.replace('/', ":");
        // `root:` is `root`; nothing but `:` is the root as well.
        let colons =
            colons.strip_suffix(':').filter(|rest| !rest.is_empty() && !rest.ends_with(':')).unwrap_or(&colons);
        if let Some(absolute) = colons.strip_prefix(':') {
            return Self::parse(if absolute.is_empty() { "root" } else { absolute }).map_err(as_written);
        }
        let Some(from) = from.filter(|_| colons != "root" && !colons.starts_with("root:")) else {
            return Self::parse(colons).map_err(as_written);
        };
        let above = || NameError::new("workspace", text, "'..' climbs above the top of this path");
        let mut segments: Vec<&str> = from.segments().collect();
        for part in colons.split(':') {
            match part {
                "." => {}
                // The top is left by nothing: what follows would be read as a logical cluster's name.
                ".." if segments.len() < 2 => return Err(above()),
                ".." => drop(segments.pop()),
                part => segments.push(part),
            }
        }
        Self::parse(&segments.join(":")).map_err(as_written)
    }

    /// The workspace path, where this place is given as one; `root` counts.
    pub fn path(&self) -> Option<WorkspacePath> {
        match self {
            Self::Whole => None,
            Self::Name(name) => (name == &LogicalCluster::root()).then(|| WorkspacePath("root".into())),
            Self::Path(path) => Some(path.clone()),
        }
    }

    /// The canonical path of the workspace, as far as the place tells it.
    pub fn canonical(&self) -> Option<WorkspacePath> {
        self.path().filter(WorkspacePath::is_from_root)
    }
}

/// What a caller writes to name a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The cluster.
    pub cluster: ClusterName,
    /// The place in it.
    pub place: Place,
}

impl Address {
    /// Reads `<cluster>` or `<cluster>:<place>`.
    ///
    /// # Errors
    /// When either part is outside its grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            None => Ok(Self { cluster: ClusterName::parse(text)?, place: Place::Whole }),
            Some((cluster, place)) => {
                let cluster = ClusterName::parse(cluster)?;
                Ok(Self { cluster, place: Place::parse(place)? })
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Whole => write!(f, "{}", self.cluster),
            Place::Name(name) => write!(f, "{}:{name}", self.cluster),
            Place::Path(path) => write!(f, "{}:{path}", self.cluster),
        }
    }
}

/// A refusal of `text`, with what to write instead.
fn refused(what: &'static str, text: &str) -> NameError {
    let has = |segment: &str| text.split([':', '/']).any(|part| part == segment);
    let grammar = match text {
        _ if has("~") => HOME,
        _ if has("-") => PREVIOUS,
        _ if has("*") => WILDCARD,
        _ if is_url(text) => VIRTUAL,
        _ if text == "system" || text.starts_with("system:") => SYSTEM,
        _ => PLACE_GRAMMAR,
    };
    NameError::new(what, text, grammar)
}

/// A path below which kcp serves workspaces or virtual ones: as one of workspaces it would be another thing.
fn is_url(text: &str) -> bool {
    let path = text.strip_prefix('/').unwrap_or(text);
    ["services/", "clusters/"].iter().any(|root| path.starts_with(root)) || text.contains("://")
}

macro_rules! prints_as_its_text {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
prints_as_its_text!(WorkspacePath, LogicalCluster);

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::{Address, Place, WorkspacePath};

    #[test]
    fn addresses_read_and_print() {
        for text in [
            "prod-fra-3",
            "kcp-eu:root",
            "kcp-eu:root:org:team",
            "kcp-eu:2gr4s8eyy3n1rqtl",
            "a@b:root:x",
            "k:name:child",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert!(matches!(Address::parse("kcp:root").unwrap().place, Place::Name(_)));
        assert!(matches!(Address::parse("kcp:root:a").unwrap().place, Place::Path(_)));
    }

    #[test]
    fn what_could_change_a_url_is_refused() {
        for bad in [
            "kcp:",
            "kcp::a",
            "kcp:root:",
            "kcp:root:..%2f",
            "kcp:root:%2e%2e",
            "kcp:root:a/../../clusters/root",
            "kcp:*",
            "kcp:system:admin",
            "kcp:system",
            "kcp:~",
            "kcp:root:a?x",
            "kcp:root#",
            "kcp:root\\a",
            "kcp:ro\u{43e}t",
            "kcp:root:a b",
            "kcp:root:\0",
            "kcp:Root",
            "../kcp",
            "kcp/root",
            "",
            ":",
            ":root",
            "user:x:y z",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Address::parse(&format!("kcp:{}", "a".repeat(10_240))).is_err());
        assert!(Address::parse(&format!("kcp:root{}", ":a".repeat(32))).is_err());
    }

    #[test]
    fn relative_places_need_a_from() {
        let from = WorkspacePath::parse("root:org:team").unwrap();
        let read = |text: &str| Place::relative(text, Some(&from)).unwrap().path().map(|path| path.to_string());
        assert_eq!(read("..").as_deref(), Some("root:org"));
        assert_eq!(read("a/b").as_deref(), Some("root:org:team:a:b"));
        assert_eq!(read("..:x").as_deref(), Some("root:org:x"));
        assert_eq!(read(":root:z").as_deref(), Some("root:z"));
        assert_eq!(read("root:z").as_deref(), Some("root:z"));
        assert!(Place::relative("..:..:..:..", Some(&from)).is_err());
        assert!(Place::relative("..:..:..:team", Some(&from)).is_err());
        assert!(Place::relative("..", None).is_err());
    }

    #[test]
    fn what_lies_below_may_be_written_from_the_top() {
        let org = WorkspacePath::parse("root:org").unwrap();
        for text in ["team:a", "team/a", "/team/a/", "team:a:", ":root:org:team:a", ":root/org/team/a"] {
            assert_eq!(org.below(text).unwrap().as_str(), "root:org:team:a", "{text}");
        }
        for elsewhere in [":root:org", ":root:orgs:team", ":root", ":team"] {
            let refused = org.below(elsewhere).unwrap_err().to_string();
            assert!(refused.contains("name it in cluster"), "{refused}");
        }
        assert!(org.below(":root:~").unwrap_err().to_string().contains("home workspace"));
    }

    #[test]
    fn the_notation_of_kubectl_ws_is_read_or_answered() {
        let from = WorkspacePath::parse("root:org:team").unwrap();
        let path = |text: &str, from| Place::relative(text, from).unwrap().path().map(|path| path.to_string());
        for (text, absolute) in [(":", "root"), ("/", "root"), ("root:", "root"), ("root/", "root"), (":root:", "root")]
        {
            assert_eq!(path(text, None).as_deref(), Some(absolute), "{text}");
            assert_eq!(path(text, Some(&from)).as_deref(), Some(absolute), "{text}");
        }
        assert_eq!(path("../a/", Some(&from)).as_deref(), Some("root:org:a"));
        assert_eq!(path("services", Some(&from)).as_deref(), Some("root:org:team:services"), "a name as any other");
        for (text, said) in [
            ("~", "home workspace"),
            ("root:~", "home workspace"),
            ("-", "previous workspace"),
            ("*", "many workspaces"),
            ("root:*", "many workspaces"),
            ("/services/apiexport/root/x", "virtual workspace"),
            ("services/apiexport/root/x/clusters/*", "many workspaces"),
            ("/clusters/root:a", "a path of a URL"),
            ("https://kcp/clusters/root", "a path of a URL"),
            ("system:admin", "belong to kcp itself"),
            ("root::", "use a path as root:org:team"),
            ("::", "use a path as root:org:team"),
        ] {
            for from in [None, Some(&from)] {
                if from.is_some() && text.starts_with("system") {
                    continue;
                }
                let refused = Place::relative(text, from).unwrap_err().to_string();
                assert!(refused.contains(said), "{text}: {refused}");
            }
            if !text.starts_with("system") && !text.ends_with(':') {
                let refused = from.below(text).unwrap_err().to_string();
                assert!(refused.contains(said), "{text}: {refused}");
            }
            if !text.contains("//") {
                let refused = Address::parse(&format!("kcp:{text}")).unwrap_err().to_string();
                assert!(refused.contains(said), "{text}: {refused}");
            }
        }
    }

    proptest! {
        /// Whatever is accepted consists of nothing but the grammar's characters, and reads back as itself.
        #[test]
        fn an_accepted_address_is_safe_in_a_url(text in prop_oneof![any::<String>(), "[a-z0-9]{1,2}[a-z0-9:@./%?#*~ \\\\-]{0,4}[a-z0-9]"]) {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(address.to_string(), text.clone());
                prop_assert!(text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.:@".contains(&c)));
            }
        }

        #[test]
        fn a_workspace_path_stays_below_its_prefix(segments in proptest::collection::vec("[a-z0-9%/.?#*~ -]{0,6}", 1..6)) {
            let text = segments.join(":");
            if let Ok(path) = WorkspacePath::parse(&text) {
                let url = url::Url::parse(&format!("https://h/clusters/{path}/api/v1")).unwrap();
                prop_assert_eq!(url.path(), format!("/clusters/{text}/api/v1"));
                prop_assert_eq!(url.path_segments().map(Iterator::count), Some(4));
                prop_assert!(url.query().is_none() && url.fragment().is_none());
            }
        }
    }
}
