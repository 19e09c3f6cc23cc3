//! What a node's kubelet says: logs of its services, files below `/var/log`, and its stats. Only the fixed paths below
//! `nodes/<name>/proxy` that the send site takes for reading; nothing a caller wrote stands in them unchecked.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use url::form_urlencoded;

use super::client::ClusterClient;
use super::send::Ask;
use crate::model::{Failure, NameError, names};

/// Longest service name or path of a file, in bytes.
const MAX_QUERY: usize = 512;
/// Folders above a file, and the file, at most.
const MAX_DEPTH: usize = 16;

/// A log of a node, by a checked name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLog(Which);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// A service of the node, as `kubelet`.
    Service(String),
    /// A file below `/var/log`, without a leading slash; empty, or with a slash at its end, a folder.
    File(String),
}

impl NodeLog {
    /// Reads `kubelet` (a service), `/kubelet.log` or `/var/log/kubelet.log` (a file), or `/`,
    /// `/containers/` (a folder: the names of files).
    ///
    /// # Errors
    /// For anything that could lead elsewhere: `.`, `..`, empty segments, `%`, `?`, `#`, `\`, spaces, control characters.
    pub fn parse(query: &str) -> Result<Self, NameError> {
        let wrong = || NameError::new("query", query, "a service as kubelet, or a file of /var/log as /kubelet.log");
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.@:+=,".contains(&c);
        let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(plain);
        let below = query.strip_prefix("/var/log").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = below.map(|rest| rest.strip_prefix('/').unwrap_or(rest)).or_else(|| query.strip_prefix('/'));
        let which = match path {
            Some("") => Which::File(String::new()),
            Some(path) => {
                let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
                let plain = path.matches('/').count() < MAX_DEPTH && segments.all(segment);
                plain.then(|| Which::File(path.to_owned())).ok_or_else(wrong)?
            }
            None if segment(query) => Which::Service(query.to_owned()),
            None => return Err(wrong()),
        };
        if query.len() <= MAX_QUERY { Ok(Self(which)) } else { Err(wrong()) }
    }

    /// True for a file or a folder.
    pub fn is_file(&self) -> bool {
        !matches!(self.0, Which::Service(_))
    }

    /// Path and query below the node; `tail` is for services, files have none.
    fn path(&self, node: &str, tail: u32) -> Result<String, Failure> {
        let base = format!("{}/logs", proxy(node)?);
        Ok(match &self.0 {
            Which::File(path) => format!("{base}/{path}"),
            Which::Service(name) => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("query", name).append_pair("tailLines", &tail.to_string());
                // Without the slash, a kubelet answers with a redirect.
                format!("{base}/?{}", query.finish())
            }
        })
    }
}

/// What a kubelet answered for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeText {
    /// Text; `cut` is true when it begins in the middle.
    Log {
        /// The text; bytes that are no UTF-8 are replaced.
        text: String,
        /// True when the file has more before it.
        cut: bool,
    },
    /// Names of files and folders: what kubelets also answer that do not know the logs of services.
    Files(Vec<String>),
    /// Something that is no text.
    Binary,
}

impl ClusterClient {
    /// A log of a node: its newest `tail` lines of a service, or the newest `bytes` of a file, where the kubelet can.
    ///
    /// # Errors
    /// When the node's name is not valid; the API server's or kubelet's answer when it is no log, or no answer.
    pub async fn node_log(&self, node: &str, log: &NodeLog, tail: u32, bytes: u64) -> Result<NodeText, Failure> {
        let last = log.is_file().then_some(bytes);
        let ask = Ask { accept: "*/*", cluster_scoped: true, last, ..Ask::get(log.path(node, tail)?) };
        let reply = self.request(&ask).await?;
        let header = |name| reply.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if header(CONTENT_TYPE).starts_with("text/html") {
            return Ok(NodeText::Files(files(&String::from_utf8_lossy(&reply.body))));
        }
        if reply.body.contains(&0) {
            return Ok(NodeText::Binary);
        }
        let part = reply.head.status == StatusCode::PARTIAL_CONTENT && !header(CONTENT_RANGE).starts_with("bytes 0-");
        let from = reply.body.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        let cut = part || (log.is_file() && from > 0);
        let text = String::from_utf8_lossy(reply.body.get(from..).filter(|_| log.is_file()).unwrap_or(&reply.body));
        Ok(NodeText::Log { text: text.into_owned(), cut })
    }

    /// The stats of a node and its pods, as its kubelet writes them (JSON, Summary API).
    ///
    /// # Errors
    /// As [`ClusterClient::node_log`].
    pub async fn node_stats(&self, node: &str) -> Result<Bytes, Failure> {
        let ask = Ask { cluster_scoped: true, ..Ask::get(format!("{}/stats/summary", proxy(node)?)) };
        Ok(self.request(&ask).await?.body)
    }
}

/// `/api/v1/nodes/<node>/proxy`. A `:` would name another port of the node.
fn proxy(node: &str) -> Result<String, Failure> {
    let checked = names::object(node).ok().filter(|node| !node.contains(':'));
    let node = checked.ok_or_else(|| {
        Failure::arguments(NameError::new("node name", node, "as resources_list of Node shows it").to_string())
    })?;
    Ok(format!("/api/v1/nodes/{node}/proxy"))
}

/// The links of a folder's page, as Go's file server writes it.
fn files(html: &str) -> Vec<String> {
    let links = html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.filter(|name| !name.is_empty() && name.len() <= MAX_QUERY).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{NodeLog, files, proxy};
    use crate::model::Access;
    use crate::pool::classify::classify;

    fn path(query: &str) -> Option<String> {
        NodeLog::parse(query).ok().map(|log| log.path("n-1", 5).unwrap())
    }

    #[test]
    fn services_and_files_have_fixed_paths() {
        let base = "/api/v1/nodes/n-1/proxy/logs";
        for (query, expected) in [
            ("kubelet", "/?query=kubelet&tailLines=5"),
            ("foo@bar:1", "/?query=foo%40bar%3A1&tailLines=5"),
            ("/kubelet.log", "/kubelet.log"),
            ("/var/log/pods/shop_web-1_4f/app/0.log", "/pods/shop_web-1_4f/app/0.log"),
            ("/", "/"),
            ("/var/log", "/"),
            ("/var/log/", "/"),
            ("/containers/", "/containers/"),
            ("/var/logs/x", "/var/logs/x"),
        ] {
            assert_eq!(path(query), Some(format!("{base}{expected}")), "{query}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_logs() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/..",
            "/../x",
            "/a/../../etc/passwd",
            "/./x",
            "/var/log/../../etc/passwd",
            "//etc/passwd",
            "/a//b",
            "/a//",
            "//",
            "/../",
            "/./",
            "kubelet/",
            "/%2e%2e/x",
            "%2e%2e",
            "/%2fetc",
            "/a%00",
            "https://other.example/x",
            "etc/passwd",
            "kubelet?query=x",
            "kubelet&tailLines=1",
            "/kubelet.log?query=x",
            "/kubelet.log#x",
            "/a\\b",
            "/a b",
            "/a\nb",
            "/a;b",
            "/ä",
            &format!("/{}", "a/".repeat(20)),
            &"a".repeat(513),
        ] {
            assert_eq!(path(bad), None, "{bad:?}");
        }
        for bad in ["", "..", "a/b", "a%2fb", "n:9100", "https:n:1", "n?x", "~"] {
            assert!(proxy(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_names_in_a_folder_are_read() {
        let page = "<pre>\n<a href=\"containers/\">containers/</a>\n<a href=\"kubelet.log\">kubelet.log</a>\n</pre>";
        assert_eq!(files(page), ["containers/", "kubelet.log"]);
        assert!(files("<p>no").is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_a_read_of_logs(query in any::<String>(), like in "[a-z/.%?&#:]{0,24}", tail in any::<u32>()) {
            for query in [query, like] {
                let Ok(log) = NodeLog::parse(&query) else { continue };
                let path = log.path("n-1", tail).unwrap();
                prop_assert!(path.starts_with("/api/v1/nodes/n-1/proxy/logs"));
                let operation = classify(&http::Method::GET, &path).unwrap();
                prop_assert!(operation.access == Some(Access::Read) && operation.name.as_deref() == Some("n-1"));
                prop_assert!(operation.resource == "nodes" && operation.subresource.as_deref() == Some("proxy"));
            }
        }
    }
}
