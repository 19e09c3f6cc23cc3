//! What an API server's answer means for the caller: errors in words, bounded and cleaned, with the next step.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;

use super::transport::{Reply, TransportError};
use crate::model::{Failure, FailureKind, chain};
use crate::policy::Operation;

/// At most this many characters of a foreign text are repeated.
const QUOTED: usize = 200;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    kind: String,
    message: String,
    reason: String,
}

/// What became of a request, as metrics say it: a status that API servers are known to give, the class of another, or
/// why there is no answer. A closed set, whatever a server answers.
pub(super) fn code(outcome: Result<StatusCode, &TransportError>) -> &'static str {
    match outcome {
        Ok(status) => match status.as_u16() {
            200 => "200",
            201 => "201",
            202 => "202",
            400 => "400",
            401 => "401",
            403 => "403",
            404 => "404",
            409 => "409",
            410 => "410",
            422 => "422",
            429 => "429",
            500 => "500",
            502 => "502",
            503 => "503",
            504 => "504",
            other => match other / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            },
        },
        Err(TransportError::Connect(..)) => "connect",
        Err(TransportError::Broken(_) | TransportError::Body(_)) => "broken",
        Err(TransportError::Timeout(_)) => "timeout",
        Err(TransportError::TooLarge(_)) => "too_large",
    }
}

/// An answer that is not a success, as a failure. `operation` says what was asked.
pub(super) fn failure(reply: &Reply, operation: &Operation) -> Failure {
    let status = reply.head.status;
    let said = said(reply);
    let (kind, code, cause) = match status {
        StatusCode::UNAUTHORIZED => (
            FailureKind::Refused,
            "cluster_rejected_credential",
            "the API server does not accept the credential (401)".to_owned(),
        ),
        StatusCode::FORBIDDEN => {
            (FailureKind::Refused, "forbidden", said.unwrap_or_else(|| "forbidden (403)".to_owned()))
        }
        StatusCode::NOT_FOUND => {
            (FailureKind::NotFound, "not_found", said.unwrap_or_else(|| "not found (404)".to_owned()))
        }
        StatusCode::GONE => {
            (FailureKind::Cluster, "expired", "the list has changed too much since its first page (410)".to_owned())
        }
        StatusCode::TOO_MANY_REQUESTS => {
            (FailureKind::Overloaded, "cluster_busy", "the API server is busy (429)".to_owned())
        }
        status if status.is_redirection() => (
            FailureKind::Cluster,
            "redirect",
            format!("the server answered a redirect ({}), which is not followed", status.as_u16()),
        ),
        status => {
            let words = said.unwrap_or_else(|| "an answer that is no Kubernetes Status".to_owned());
            (FailureKind::Cluster, "cluster_error", format!("{words} ({})", status.as_u16()))
        }
    };
    let failure = Failure::new(kind, code, cause);
    let failure = match hint(status, operation) {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    match retry_after(reply) {
        Some(after) => failure.retry(after),
        None => failure,
    }
}

fn hint(status: StatusCode, operation: &Operation) -> Option<String> {
    match status {
        StatusCode::UNAUTHORIZED => Some(
            "Check that the cluster trusts the issuer and audience of this credential, and that it has not expired"
                .to_owned(),
        ),
        StatusCode::FORBIDDEN => {
            let subresource = operation.subresource.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
            let kind = format!("{}{subresource}", operation.resource);
            let place = operation
                .namespace
                .as_ref()
                .map_or_else(|| "at the cluster scope".to_owned(), |ns| format!("in namespace {ns}"));
            Some(format!("Ask for the RBAC verb {} on {kind} {place}", operation.verb))
                .filter(|_| !operation.resource.is_empty())
        }
        StatusCode::GONE => Some("Start again without continue".to_owned()),
        _ => None,
    }
}

/// The message of a Status, or the beginning of a plain text; markup is not repeated.
fn said(reply: &Reply) -> Option<String> {
    let content_type = reply.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = if content_type.starts_with("application/json") {
        let status: Status = serde_json::from_slice(&reply.body).unwrap_or_default();
        let message = if status.message.is_empty() { status.reason } else { status.message };
        (status.kind == "Status").then_some(message)
    } else if content_type.starts_with("text/plain") {
        Some(String::from_utf8_lossy(&reply.body).into_owned())
    } else {
        None
    };
    text.map(|text| clean(&text)).filter(|text| !text.is_empty())
}

/// One line of at most [`QUOTED`] characters without control characters.
pub(super) fn clean(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// `Retry-After` in seconds; dates are not used by API servers.
pub(super) fn retry_after(reply: &Reply) -> Option<Duration> {
    let seconds = reply.head.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// No answer, as a failure.
pub(super) fn unreachable(error: &TransportError) -> Failure {
    let failure = |code, cause: String| Failure::new(FailureKind::Unreachable, code, cause).because(error);
    match error {
        TransportError::Connect(source, limit) => {
            let why = tls_reason(source).unwrap_or_else(|| connect_reason(source, *limit));
            failure("cluster_unreachable", format!("cannot connect: {why}"))
                .hint("Check that the cluster is up and that its server and CA in the inventory are current")
        }
        TransportError::Broken(_) | TransportError::Body(_) => {
            failure("connection_broke", "the connection broke before the answer was complete".to_owned())
                .retry(Duration::from_secs(1))
        }
        TransportError::Timeout(after) => {
            let cause = format!("no answer within {} s", after.as_secs_f32());
            failure("cluster_timeout", cause).retry(Duration::from_secs(5))
        }
        TransportError::TooLarge(_) => Failure::new(FailureKind::Cluster, "answer_too_large", error.to_string())
            .hint("Narrow it with namespace, labelSelector or limit"),
    }
}

/// The reason in plain words when TLS is at fault.
fn tls_reason(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls) = error.downcast_ref::<rustls::Error>() {
            return Some(certificate_reason(rustls));
        }
        // The source of an io::Error is that of the error inside it, which would be passed over.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls' enum is open: what is not named here is said in its own words"
)]
fn certificate_reason(error: &rustls::Error) -> String {
    use rustls::CertificateError as Certificate;
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("TLS failed: {}", clean(&error.to_string()));
    };
    match why {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        Certificate::UnknownIssuer => {
            "its certificate is not signed by the CA in the inventory (was the cluster made anew?)".to_owned()
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        other => format!("its certificate is refused: {}", clean(&other.to_string())),
    }
}

fn connect_reason(error: &(dyn std::error::Error + 'static), limit: Duration) -> String {
    let chain = chain(error);
    let late = format!("no connection within {} s", limit.as_secs_f32());
    for (mark, words) in [
        ("Connection refused", "connection refused"),
        ("failed to lookup address", "the host name is unknown"),
        ("dns error", "the host name is unknown"),
        ("timed out", late.as_str()),
        ("deadline has elapsed", late.as_str()),
        ("unreachable", "no route to the host"),
        ("tcp connect error", "the TCP connection failed"),
    ] {
        if chain.contains(mark) {
            return words.to_owned();
        }
    }
    clean(&chain)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use std::time::Duration;

    use super::{clean, failure};
    use crate::model::FailureKind;
    use crate::pool::classify::classify;
    use crate::pool::transport::Reply;

    fn reply(status: u16, content_type: &str, body: &str) -> Reply {
        let response =
            http::Response::builder().status(status).header("content-type", content_type).header("retry-after", "7");
        let (head, ()) = response.body(()).unwrap().into_parts();
        Reply { head, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_status_is_said_in_its_own_words_and_html_is_not() {
        let list = classify(&http::Method::GET, "/api/v1/namespaces/a/pods").unwrap();
        let body = r#"{"kind":"Status","message":"pods is forbidden: User \"plant:alice\" cannot list"}"#;
        let forbidden = failure(&reply(403, "application/json", body), &list);
        assert_eq!(forbidden.kind, FailureKind::Refused);
        assert!(forbidden.cause.contains("plant:alice"));
        assert_eq!(forbidden.hint.as_deref(), Some("Ask for the RBAC verb list on pods in namespace a"));
        let html = failure(&reply(502, "text/html", "<html>secret</html>"), &list);
        assert!(!html.to_string().contains("secret"));
        assert_eq!(html.retry, Some(std::time::Duration::from_secs(7)));
        let redirect = failure(&reply(307, "text/html", ""), &list);
        assert_eq!(redirect.code, "redirect");
    }

    #[test]
    fn a_wrong_certificate_is_said_in_plain_words() {
        let rustls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let nested = std::io::Error::other(std::io::Error::other(rustls));
        assert!(super::tls_reason(&nested).unwrap().contains("not signed by the CA"));
        assert_eq!(super::tls_reason(&std::io::Error::other("x")), None);
    }

    #[test]
    fn what_dropped_every_packet_was_given_the_limit() {
        let elapsed = std::io::Error::new(std::io::ErrorKind::TimedOut, "tcp connect error: deadline has elapsed");
        for (millis, said) in [(3_000, "no connection within 3 s"), (500, "no connection within 0.5 s")] {
            assert_eq!(super::connect_reason(&elapsed, Duration::from_millis(millis)), said);
        }
        assert_eq!(
            super::connect_reason(&std::io::Error::other("tcp connect error: odd"), Duration::from_secs(3)),
            "the TCP connection failed"
        );
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(clean("a\n\u{1b}[31mb\t c"), "a [31mb c");
        assert_eq!(clean(&"x".repeat(1000)).chars().count(), 201);
    }
}
