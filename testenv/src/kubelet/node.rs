//! What a kubelet says of its node: log files and statistics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The most lines that a query of a service's log may ask for.
const MAX_TAIL: usize = 100_000;

/// The files below `/var/log` of a node, and its statistics.
#[derive(Clone, Debug, Default)]
pub struct NodeFiles {
    /// Texts by path, such as `kubelet.log` or `containers/web.log`. `<service>.log` is also the journal of a service.
    pub logs: BTreeMap<String, String>,
    /// The document of `stats/summary`.
    pub summary: Value,
}

/// An answer of the kubelet's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Answer {
    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    /// The whole answer on a connection that ends with it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { status, content_type, body } = self;
        let reason = http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
        format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            reason.unwrap_or_default(),
            body.len()
        )
        .into_bytes()
    }
}

impl NodeFiles {
    /// The answer to a request with this head; `None` when it is not about the node.
    pub(super) fn answer(&self, head: &[u8]) -> Option<Answer> {
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next()?).into_owned();
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let url = url::Url::parse("https://node/").ok()?.join(target).ok()?;
        let (path, query): (&str, Vec<(String, String)>) = (url.path(), url.query_pairs().into_owned().collect());
        let file = path.strip_prefix("/logs").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if path != "/stats/summary" && file.is_none() {
            return None;
        }
        if method != "GET" {
            return Some(Answer::text(405, "Method Not Allowed"));
        }
        Some(match file {
            None => Answer { status: 200, content_type: "application/json", body: self.summary.to_string() },
            Some(file) if query.is_empty() => self.file(file.trim_start_matches('/')),
            Some(_) => self.query(&query),
        })
    }

    /// A file, or the list of a folder as a file server has it.
    fn file(&self, path: &str) -> Answer {
        if let Some(text) = self.logs.get(path) {
            return Answer::text(200, text);
        }
        let folder = path.trim_end_matches('/');
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inside = self.logs.keys().filter_map(|name| name.strip_prefix(&folder));
        let names: BTreeSet<&str> = inside.map(|rest| rest.split_inclusive('/').next().unwrap_or(rest)).collect();
        if names.is_empty() {
            return Answer::text(404, "404 page not found\n");
        }
        let names = names.iter().map(|name| format!("<a href=\"{name}\">{name}</a>\n"));
        let body = format!("<!doctype html>\n<pre>\n{}</pre>\n", names.collect::<String>());
        Answer { status: 200, content_type: "text/html; charset=utf-8", body }
    }

    /// The log query of a kubelet (`NodeLogQuery`): one file without options, or services.
    fn query(&self, query: &[(String, String)]) -> Answer {
        let named =
            |name: &'static str| query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
        let (files, services): (Vec<&str>, Vec<&str>) =
            named("query").filter(|value| !value.trim().is_empty()).partition(|value| value.contains(['/', '\\']));
        let tail = named("tailLines").next().map(str::parse::<usize>);
        match (files.as_slice(), services.as_slice(), tail) {
            (_, _, Some(Err(_))) => Answer::text(400, "tailLines: Invalid value\n"),
            (_, _, Some(Ok(lines))) if lines > MAX_TAIL => {
                Answer::text(400, "tailLines: Invalid value: must be between 0 and 100000, inclusive\n")
            }
            ([], [], _) => Answer::text(400, "query: Required value: cannot be empty with options\n"),
            ([_], [], Some(_)) => Answer::text(400, "query: Invalid value: cannot specify file with options\n"),
            ([file], [], None) => match self.logs.get(file.trim_start_matches('/')) {
                Some(text) => Answer::text(200, text),
                None => Answer::text(400, &format!("query: Invalid value: {file:?}: no such file or directory\n")),
            },
            ([], services, tail) => {
                let tail = tail.and_then(Result::ok);
                Answer::text(200, &services.iter().map(|service| self.service(service, tail)).collect::<String>())
            }
            _ => Answer::text(400, "query: Invalid value: cannot specify a file and service\n"),
        }
    }

    /// The last `tail` lines of the log of a service, or all.
    fn service(&self, name: &str, tail: Option<usize>) -> String {
        let file = [name.to_owned(), format!("{name}.log"), format!("{name}/{name}.log")];
        let Some(text) = file.iter().find_map(|file| self.logs.get(file)) else {
            return format!("\nlog not found for {name}\n");
        };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let skipped = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        lines.into_iter().skip(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(target: &str) -> Option<(u16, String)> {
        let logs = [("kubelet.log", "one\ntwo\nthree\n"), ("containers/web.log", "web\n")];
        let logs = logs.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let files = NodeFiles { logs, summary: json!({"node": {"nodeName": "node-a"}}) };
        let answer = files.answer(format!("GET {target} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes())?;
        Some((answer.status, answer.body))
    }

    #[test]
    fn files_and_folders_are_served() {
        assert_eq!(ask("/logs/kubelet.log").unwrap(), (200, "one\ntwo\nthree\n".to_owned()));
        let (_, list) = ask("/logs/").unwrap();
        assert!(list.contains(">kubelet.log<") && list.contains(">containers/<"), "{list}");
        assert!(ask("/logs/containers/").unwrap().1.contains(">web.log<"));
        assert_eq!(ask("/logs/nothing").unwrap().0, 404);
        assert!(ask("/stats/summary").unwrap().1.contains("node-a"));
        assert_eq!(ask("/containerLogs/shop/web/app"), None);
        assert_eq!(ask("/logstash"), None);
    }

    #[test]
    fn services_are_queried_by_name() {
        assert_eq!(ask("/logs/?query=kubelet&tailLines=2").unwrap(), (200, "two\nthree\n".to_owned()));
        assert_eq!(ask("/logs/?query=kubelet").unwrap().1, "one\ntwo\nthree\n");
        assert_eq!(ask("/logs/?query=%2Fcontainers%2Fweb.log").unwrap(), (200, "web\n".to_owned()));
        assert_eq!(ask("/logs/?query=%2Fkubelet.log&tailLines=2").unwrap().0, 400);
        assert!(ask("/logs/?query=docker").unwrap().1.contains("log not found for docker"));
        assert_eq!(ask("/logs/?query=kubelet&tailLines=many").unwrap().0, 400);
        assert_eq!(ask("/logs/?tailLines=1").unwrap().0, 400);
    }
}
