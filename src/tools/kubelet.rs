//! Failures whose cause is a node: the object that was asked for is there, but its kubelet is not.

use crate::model::{Failure, FailureKind};

/// What API servers say when a kubelet does not answer them.
const UNREACHED: [&str; 9] = [
    "dial tcp",
    "no such host",
    "connection refused",
    "no route to host",
    "i/o timeout",
    "error trying to reach service",
    "No agent available",
    // The node has not said where its kubelet is.
    "no preferred addresses found",
    ":10250",
];

/// Says that the node is what is missing, where the API server's answer is about a node and not about what was asked of
/// it. `needed` says what for, as "the log of a pod".
pub(super) fn blame(failure: Failure, needed: &str) -> Failure {
    match failure.kind {
        FailureKind::NotFound if failure.cause.contains("nodes \"") => node_missing(failure, needed),
        FailureKind::Cluster if failure.code == "cluster_error" && unreached(&failure.cause) => Failure {
            code: "kubelet_unreachable",
            hint: Some(format!("The node's kubelet is what does not answer: {needed} is had from it alone")),
            ..failure
        },
        FailureKind::NotFound
        | FailureKind::Cluster
        | FailureKind::Arguments
        | FailureKind::UnknownTarget
        | FailureKind::UnknownTool
        | FailureKind::Denied
        | FailureKind::SignIn
        | FailureKind::Credential
        | FailureKind::Refused
        | FailureKind::Unreachable
        | FailureKind::Overloaded
        | FailureKind::Internal => failure,
    }
}

/// Says that the node is what is missing.
pub(super) fn node_missing(failure: Failure, needed: &str) -> Failure {
    let hint = Some(format!("The node is what is missing: {needed} is had from it alone"));
    Failure { code: "node_not_found", hint, ..failure }
}

fn unreached(cause: &str) -> bool {
    UNREACHED.iter().any(|words| cause.contains(words))
}

#[cfg(test)]
mod tests {
    use super::blame;
    use crate::model::{Failure, FailureKind};

    #[test]
    fn the_node_is_named_where_it_is_what_is_missing() {
        let code = |kind, code, cause: &str| blame(Failure::new(kind, code, cause), "the log of a pod").code;
        let (missing, broken) = (FailureKind::NotFound, FailureKind::Cluster);
        assert_eq!(code(missing, "not_found", "nodes \"node-1\" not found"), "node_not_found");
        assert_eq!(code(missing, "not_found", "pods \"web-1\" not found"), "not_found");
        let refused = "Get \"https://10.0.0.1:10250/x\": dial tcp 10.0.0.1:10250: connect: connection refused (500)";
        assert_eq!(code(broken, "cluster_error", refused), "kubelet_unreachable");
        assert_eq!(code(broken, "cluster_error", "a container name must be specified (400)"), "cluster_error");
        assert_eq!(code(FailureKind::Refused, "forbidden", "nodes \"n\" is forbidden"), "forbidden");
        let said = blame(Failure::new(missing, "not_found", "nodes \"n\" not found"), "the log of a pod").to_string();
        assert!(said.ends_with("The node is what is missing: the log of a pod is had from it alone"), "{said}");
    }
}
