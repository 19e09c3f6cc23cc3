//! Reading a request: its path, verb, query and the form of answer that it accepts.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Method};

use super::rbac::Attributes;

/// One request with its whole body, as the handlers see it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Percent-decoded; in a kcp, what follows `/clusters/<ref>`.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// The first value of a query parameter, if it is there and not empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// True for `dryRun=All`: answer as if it were done, and do nothing.
    pub(super) fn dry_run(&self) -> bool {
        self.parameter("dryRun") == Some("All")
    }

    /// What the authorizer is asked, after the rules of the real server's RequestInfo.
    pub(super) fn attributes(&self) -> Attributes {
        let mut a =
            Attributes { verb: self.method.as_str().to_lowercase(), path: self.path.clone(), ..Attributes::default() };
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        let mut rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                a.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                a.group = (*group).to_owned();
                a.version = (*version).to_owned();
                rest
            }
            _ => return a,
        };
        if let ["namespaces", namespace, tail @ ..] = rest {
            a.namespace = (*namespace).to_owned();
            // `namespaces/x`, `namespaces/x/status` are the namespace itself; all else lies in it.
            if !matches!(tail, [] | ["status" | "finalize", ..]) {
                rest = tail;
            }
        }
        let mut fields = rest.iter().map(|part| (*part).to_owned());
        a.resource = fields.next().unwrap_or_default();
        a.name = fields.next().unwrap_or_default();
        a.subresource = fields.next().unwrap_or_default();
        a.verb = self.verb(&a.name).to_owned();
        if a.name.is_empty() && matches!(a.verb.as_str(), "list" | "watch") {
            a.name = self.name_in_field_selector();
        }
        a
    }

    fn verb(&self, name: &str) -> &'static str {
        match (self.method.as_str(), name.is_empty()) {
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "deletecollection",
            ("DELETE", false) => "delete",
            ("GET" | "HEAD", _) if matches!(self.parameter("watch"), Some("true" | "1")) => "watch",
            ("GET" | "HEAD", true) => "list",
            ("GET" | "HEAD", false) => "get",
            _ => "",
        }
    }

    fn name_in_field_selector(&self) -> String {
        let selector = self.parameter("fieldSelector").unwrap_or_default();
        let name = selector.split(',').find_map(|term| term.strip_prefix("metadata.name="));
        name.unwrap_or_default().trim_start_matches('=').to_owned()
    }

    /// The form of answer this request prefers among those of a resource; `None` is 406.
    pub(super) fn form(&self) -> Option<Form> {
        self.clauses().iter().find_map(|clause| clause.form())
    }

    /// True when some clause of `Accept` names JSON, in whatever form.
    pub(super) fn accepts_json(&self) -> bool {
        self.clauses().iter().any(Clause::is_json)
    }

    /// `Some(true)` for aggregated discovery, `Some(false)` for plain, `None` for 406.
    pub(super) fn wants_aggregated(&self) -> Option<bool> {
        self.clauses().iter().find_map(|clause| {
            let parameters = (clause.parameter("as"), clause.parameter("g"), clause.parameter("v"));
            match parameters {
                _ if !clause.is_json() => None,
                (None, ..) => Some(false),
                (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => Some(true),
                _ => None,
            }
        })
    }

    /// The clauses of `Accept`, best first; no header accepts everything.
    fn clauses(&self) -> Vec<Clause> {
        let accept = self.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        let mut clauses: Vec<Clause> = accept.split(',').map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        clauses
    }
}

/// How an object or a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Table,
    Metadata,
    MetadataList,
}

struct Clause {
    media_type: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

impl Clause {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_lowercase();
        let parameters: Vec<(String, String)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let quality = parameters.iter().find(|(key, _)| key == "q").and_then(|(_, value)| value.parse().ok());
        Self { media_type, parameters, quality: quality.unwrap_or(1.0) }
    }

    fn is_json(&self) -> bool {
        matches!(self.media_type.as_str(), "application/json" | "application/*" | "*/*" | "")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn form(&self) -> Option<Form> {
        if !self.is_json() {
            return None;
        }
        let Some(kind) = self.parameter("as") else {
            return Some(Form::Plain);
        };
        let known = self.parameter("g") == Some("meta.k8s.io") && matches!(self.parameter("v"), Some("v1" | "v1beta1"));
        match kind {
            "Table" if known => Some(Form::Table),
            "PartialObjectMetadata" if known => Some(Form::Metadata),
            "PartialObjectMetadataList" if known => Some(Form::MetadataList),
            _ => None,
        }
    }
}

/// Decodes `%xx`; `None` when a sequence is malformed or the result is not UTF-8.
pub(super) fn percent_decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, target: &str, accept: &str) -> Call {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        Call {
            method: method.parse().unwrap(),
            path: path.into(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers,
            body: Bytes::new(),
        }
    }

    #[test]
    fn paths_become_attributes_as_in_the_real_server() {
        let cases = [
            ("GET", "/api/v1/namespaces/dev", "get  namespaces dev dev "),
            ("GET", "/api/v1/namespaces/dev/pods", "list  pods dev  "),
            ("GET", "/api/v1/pods?watch=true", "watch  pods   "),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Da", "list  pods  a "),
            ("GET", "/api/v1/namespaces/dev/pods/a/log", "get  pods dev a log"),
            ("POST", "/apis/apps/v1/namespaces/dev/deployments", "create apps deployments dev  "),
            ("DELETE", "/api/v1/nodes/n", "delete  nodes  n "),
            ("DELETE", "/api/v1/nodes", "deletecollection  nodes   "),
            ("GET", "/api/v1", "get     "),
            ("GET", "/apis/apps/v1", "get     "),
            ("GET", "/version", "get     "),
        ];
        for (method, target, expected) in cases {
            let a = call(method, target, "").attributes();
            let got = format!("{} {} {} {} {} {}", a.verb, a.group, a.resource, a.namespace, a.name, a.subresource);
            assert_eq!(got, expected, "{method} {target}");
        }
    }

    #[test]
    fn the_first_acceptable_clause_counts() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(call("GET", "/", table).form(), Some(Form::Table));
        assert_eq!(call("GET", "/", "").form(), Some(Form::Plain));
        let unknown = "application/json;as=Tree;v=v1;g=meta.k8s.io, application/json;q=0.5";
        assert_eq!(call("GET", "/", unknown).form(), Some(Form::Plain));
        let protobuf = "application/vnd.kubernetes.protobuf";
        assert_eq!(call("GET", "/", protobuf).form(), None);
        let weighted = "application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(call("GET", "/", weighted).form(), Some(Form::Table));
    }

    #[test]
    fn only_version_two_of_aggregated_discovery_is_known() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        let wants = |accept: &str| call("GET", "/apis", accept).wants_aggregated();
        assert_eq!(wants(v2), Some(true));
        assert_eq!(wants(&format!("{v2},application/json")), Some(true));
        assert_eq!(wants(&format!("{beta},application/json")), Some(false));
        assert_eq!(wants(beta), None);
        assert_eq!(wants(""), Some(false));
    }

    #[test]
    fn percent_sequences_are_decoded_or_refused() {
        assert_eq!(percent_decode("root%3Aorg-a/x").as_deref(), Some("root:org-a/x"));
        assert_eq!(percent_decode("a%2fb").as_deref(), Some("a/b"));
        assert_eq!(percent_decode("a%2"), None);
        assert_eq!(percent_decode("a%+1"), None);
        assert_eq!(percent_decode("%ff"), None);
    }
}
