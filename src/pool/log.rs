//! Logs of containers, as text inside a bound of bytes, at once or for a time.

use std::time::Duration;

use url::form_urlencoded;

use super::client::{ClusterClient, collection};
use super::reply::clean;
use super::send::Ask;
use super::stream::End;
use crate::model::{ApiResource, Failure, chain, names};

/// The kubelet answers plain text, which an API server negotiates only behind JSON for its errors.
const ACCEPT: &str = "application/json, */*";

/// Which part of a container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// The container; `None` = the only one, or what the API server takes for the default.
    pub container: Option<String>,
    /// The container before the last restart.
    pub previous: bool,
    /// Newest lines, at most.
    pub tail: u32,
    /// Lines of the last so many seconds only.
    pub since: Option<u64>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Bytes, at most. The server cuts at the end: where the lines asked for are longer, the newest ones are missing.
    pub limit_bytes: u64,
}

impl ClusterClient {
    /// The log of one container; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// When a name is not valid; the API server's answer when it is no log, or no answer.
    pub async fn log(
        &self,
        pods: &ApiResource,
        namespace: &str,
        pod: &str,
        request: &LogRequest,
    ) -> Result<String, Failure> {
        let ask = Ask { accept: ACCEPT, ..Ask::get(path(pods, namespace, pod, request)?) };
        let reply = self.request(&ask).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }
}

/// How a log is followed.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// For how long.
    pub span: Duration,
    /// Is told what comes, as it comes: any part of any line.
    pub heard: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// A log that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What came, in whole lines; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Why no more came.
    pub end: FollowEnd,
}

/// Why a log is not followed any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowEnd {
    /// The time is over.
    Time,
    /// The time is over, and not even an answer began: nothing was logged, or nobody reads it.
    Silent,
    /// The call has no time left to follow it any longer.
    Call,
    /// As many bytes came as were asked for.
    Full,
    /// The server ended it in order, as it does when the container has ended.
    Closed,
    /// The credential ended.
    Expired,
    /// The connection broke; says how.
    Cut(String),
}

impl ClusterClient {
    /// The log of one container, and what is added to it in its time. It ends early when `request.limit_bytes` have come;
    /// dropping the future ends the request.
    ///
    /// # Errors
    /// When a name is not valid; the API server's answer when it is no log, or no answer.
    pub async fn follow(
        &self,
        pods: &ApiResource,
        namespace: &str,
        pod: &str,
        request: &LogRequest,
        follow: Follow<'_>,
    ) -> Result<Followed, Failure> {
        let path = format!("{}&follow=true", path(pods, namespace, pod, request)?);
        let mut stream = match self.stream(&Ask { accept: ACCEPT, ..Ask::get(path) }, follow.span).await? {
            Ok(stream) => stream,
            Err(end) => return Ok(Followed { text: String::new(), end: unbegun(end) }),
        };
        let limit = usize::try_from(request.limit_bytes).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let end = loop {
            match stream.next().await {
                Ok(part) => {
                    let part = part.get(..limit - bytes.len()).unwrap_or(&part);
                    (follow.heard)(part);
                    bytes.extend_from_slice(part);
                }
                Err(End::Closed) if bytes.len() < limit => break FollowEnd::Closed,
                Err(End::Time) => break FollowEnd::Time,
                Err(End::Call) => break FollowEnd::Call,
                Err(End::Expired) => break FollowEnd::Expired,
                Err(End::Cut(error)) => break FollowEnd::Cut(clean(&chain(&error))),
                Err(End::Closed) => break FollowEnd::Full,
            }
            if bytes.len() >= limit {
                break FollowEnd::Full;
            }
        };
        // A line that is not whole may hold the beginning of something that would be masked.
        if end != FollowEnd::Closed {
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        }
        Ok(Followed { text: String::from_utf8_lossy(&bytes).into_owned(), end })
    }
}

/// Why a log is not followed any longer of which not even an answer began.
fn unbegun(end: End) -> FollowEnd {
    match end {
        End::Time => FollowEnd::Silent,
        End::Call => FollowEnd::Call,
        End::Expired => FollowEnd::Expired,
        End::Closed => FollowEnd::Closed,
        End::Cut(error) => FollowEnd::Cut(clean(&chain(&error))),
    }
}

/// `/api/v1/namespaces/a/pods/p/log?…`, every segment checked.
fn path(pods: &ApiResource, namespace: &str, pod: &str, request: &LogRequest) -> Result<String, Failure> {
    let pod = names::object(pod).map_err(|error| Failure::arguments(error.to_string()))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(container) = &request.container {
        query.append_pair("container", container);
    }
    query.append_pair("tailLines", &request.tail.to_string());
    query.append_pair("limitBytes", &request.limit_bytes.to_string());
    if let Some(since) = request.since {
        query.append_pair("sinceSeconds", &since.to_string());
    }
    for (name, wanted) in [("previous", request.previous), ("timestamps", request.timestamps)] {
        if wanted {
            query.append_pair(name, "true");
        }
    }
    Ok(format!("{}/{pod}/log?{}", collection(pods, Some(namespace))?, query.finish()))
}

#[cfg(test)]
mod tests {
    use super::{End, FollowEnd, LogRequest, path, unbegun};
    use crate::model::{Access, ApiResource};
    use crate::pool::classify::classify;

    #[test]
    fn what_never_began_ended_for_a_reason_too() {
        assert_eq!(unbegun(End::Time), FollowEnd::Silent);
        assert_eq!(unbegun(End::Call), FollowEnd::Call);
        assert_eq!(unbegun(End::Expired), FollowEnd::Expired);
    }

    #[test]
    fn a_log_is_read_and_nothing_else() {
        let pods = ApiResource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            singular: "pod".into(),
            kind: "Pod".into(),
            short_names: vec![],
            namespaced: true,
            verbs: vec![],
        };
        let request = LogRequest {
            container: Some("app&follow=true".into()),
            previous: true,
            tail: 5,
            since: Some(600),
            timestamps: false,
            limit_bytes: 100,
        };
        let found = path(&pods, "a", "web-1", &request).unwrap();
        assert_eq!(
            found,
            "/api/v1/namespaces/a/pods/web-1/log?container=app%26follow%3Dtrue&tailLines=5&limitBytes=100&sinceSeconds=600&previous=true"
        );
        let operation = classify(&http::Method::GET, &found).unwrap();
        assert_eq!((operation.access, operation.verb), (Some(Access::Read), "get"));
        assert_eq!((operation.subresource.as_deref(), operation.namespace.as_deref()), (Some("log"), Some("a")));
        assert!(path(&pods, "a", "../secrets", &request).is_err());
        assert!(path(&pods, "a/b", "web-1", &request).is_err());
    }
}
