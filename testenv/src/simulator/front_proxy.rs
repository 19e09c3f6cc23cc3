//! What a kcp-front-proxy answers where a shard would answer something else. It looks for the workspace before anything:
//! one that it does not know is forbidden to everybody, in words of its own.

use http::StatusCode;

use super::authn::bearer;
use super::kcp::Elsewhere;
use super::rbac::{Attributes, User};
use super::reply::{Outcome, Refusal, Reply, page_not_found, text_reply};
use super::request::Call;
use super::server::Peer;

/// The answer for a reference that leads to no logical cluster; `path` is the whole path of the request.
pub(super) fn elsewhere(elsewhere: &Elsewhere, verb: &str, path: &str) -> Outcome<Reply> {
    match elsewhere {
        // It goes to the mount's URL by its own mappings, where no other server is: nothing is forwarded.
        Elsewhere::Mount(_) => Ok(page_not_found()),
        Elsewhere::NotReady => Ok(not_available()),
        Elsewhere::UnknownPath | Elsewhere::UnknownName | Elsewhere::BadSyntax => {
            let attributes = Attributes { verb: verb.to_owned(), path: path.to_owned(), ..Attributes::default() };
            Err(Refusal::forbidden("", &attributes, "workspace access not permitted"))
        }
    }
}

/// The answer to a path that is in no workspace: its own health, to everybody.
pub(super) fn outside(path: &str) -> Reply {
    match path {
        "/readyz" | "/livez" => text_reply(StatusCode::OK, "ok"),
        _ => page_not_found(),
    }
}

/// The owner of a client certificate as the shard hears of them: never as a master. A request without any credential is
/// nobody's, not even an anonymous one: the shard sees the proxy's own certificate and no user.
pub(super) fn passed_on(call: &Call, peer: &Peer) -> Outcome<Option<User>> {
    let Some(mut user) = peer.certificate.clone() else {
        return if bearer(&call.headers).is_some() { Ok(None) } else { Err(Refusal::unauthorized()) };
    };
    user.groups.retain(|group| group != "system:masters");
    Ok(Some(user))
}

/// The answer for a mount whose target is not ready.
pub(super) fn not_available() -> Reply {
    text_reply(StatusCode::SERVICE_UNAVAILABLE, "Not available.\n")
}
