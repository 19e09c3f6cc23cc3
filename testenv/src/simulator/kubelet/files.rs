//! `/var/log` of a node as a kubelet shows it: the file server of Go, and log queries when they are on.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};

use super::container::ContainerLog;
use super::journal::Query;
use crate::simulator::reply::{Reply, bytes_reply, page_not_found, text_reply};
use crate::simulator::request::Call;

/// The log files of one node and the journals of its units.
#[derive(Default)]
pub(super) struct NodeFiles {
    /// By path below `/var/log`; empty folders end with `/`.
    files: BTreeMap<String, String>,
    journals: BTreeMap<String, ContainerLog>,
    pub(super) query_is_off: bool,
}

impl NodeFiles {
    pub(super) fn write(&mut self, path: &str, text: &str) {
        self.files.insert(path.trim_start_matches('/').to_owned(), text.to_owned());
    }

    pub(super) fn journal(&mut self, unit: &str) -> &ContainerLog {
        self.journals.entry(unit.to_owned()).or_default()
    }

    /// Answers for `path` below `/logs/`.
    pub(super) fn serve(&self, path: &str, call: &Call) -> Reply {
        if self.query_is_off {
            return self.file(path);
        }
        let query = match Query::parse(call) {
            Ok(None) => return self.file(path),
            Ok(Some(_)) if !path.is_empty() => {
                return text_reply(StatusCode::NOT_ACCEPTABLE, "path not allowed in query mode\n");
            }
            Ok(Some(query)) => query,
            Err(errors) => return text_reply(StatusCode::BAD_REQUEST, &format!("{errors}\n")),
        };
        if let Err(errors) = query.validate(|file| self.exists(file)) {
            return text_reply(StatusCode::NOT_ACCEPTABLE, &format!("{errors}\n"));
        }
        match query.files.first() {
            Some(file) => self.file(file.trim_start_matches('/')),
            None => {
                let text = query.copy(&self.journals, |name| self.files.get(name).map(String::as_str));
                bytes_reply(StatusCode::OK, "text/plain;charset=UTF-8", text.into())
            }
        }
    }

    fn exists(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        self.files.contains_key(path) || self.is_folder(path)
    }

    fn is_folder(&self, path: &str) -> bool {
        let inside = format!("{}/", path.trim_end_matches('/'));
        path.trim_end_matches('/').is_empty() || self.files.keys().any(|name| name.starts_with(&inside))
    }

    fn file(&self, path: &str) -> Reply {
        let bare = path.trim_end_matches('/');
        let base = bare.rsplit('/').next().unwrap_or_default();
        match (self.files.get(bare), path.ends_with('/') || path.is_empty()) {
            (Some(text), false) => text_reply(StatusCode::OK, text),
            (Some(_), true) => redirect(&format!("../{base}")),
            (None, true) if self.is_folder(bare) => self.listing(bare),
            (None, false) if self.is_folder(bare) => redirect(&format!("{base}/")),
            (None, _) => page_not_found(),
        }
    }

    /// As Go's `http.FileServer` lists a folder.
    fn listing(&self, folder: &str) -> Reply {
        let inside = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names = self.files.keys().filter_map(|name| name.strip_prefix(&inside)).filter(|name| !name.is_empty());
        let names: BTreeSet<&str> = names.map(|name| name.split_inclusive('/').next().unwrap_or(name)).collect();
        let mut page =
            String::from("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
        for name in names {
            page.push_str(&format!("<a href=\"{name}\">{name}</a>\n"));
        }
        page.push_str("</pre>\n");
        bytes_reply(StatusCode::OK, "text/html; charset=utf-8", page.into())
    }
}

/// What Go's router answers for a folder without its slash: the same, with it.
pub(super) fn moved(path: &str, call: &Call) -> Reply {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&call.query);
    let query = query.finish();
    redirect(&if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

fn redirect(location: &str) -> Reply {
    let mut reply = text_reply(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(location) = HeaderValue::from_str(location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}
