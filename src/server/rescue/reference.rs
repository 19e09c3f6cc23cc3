//! docs/reference/errors.md: the code of every failure, in one list that is held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::reference::{cell, hold};

/// Code, kind, what it means, what to do.
const CODES: &[[&str; 4]] = &[
    ["ambiguous_target", "arguments", "several clusters have this short name", "use one of the names in the answer"],
    [
        "answer_too_large",
        "cluster",
        "the API server's answer is over `limits.cluster_answer_bytes`",
        "narrow it by namespace, labelSelector or limit",
    ],
    [
        "audience_unavailable",
        "credential",
        "the realm does not give our client the cluster's audience",
        "give our client the scope that brings it, and name the scope",
    ],
    [
        "audience_unknown",
        "credential",
        "the realm has no client with the id that is asked for as audience",
        "create it there",
    ],
    ["cancelled", "overloaded", "the client went away", "nothing"],
    [
        "cannot_impersonate",
        "credential",
        "kubeferry's own user there lacks an RBAC verb of impersonation, which the answer names",
        "operator: apply `clusters/impersonator.yaml` or `clusters/impersonator-constrained.yaml` there",
    ],
    [
        "client_credentials",
        "credential",
        "the secret, key or token file of our client at a realm cannot be read or used",
        "operator: check `[realms.<name>.client]` and the file",
    ],
    [
        "client_refused",
        "credential",
        "the realm does not accept our client",
        "operator: check id, auth and the secret or key",
    ],
    [
        "clock_skew",
        "credential",
        "the clocks of two realms differ",
        "set the clocks, or allow a skew at the identity provider",
    ],
    ["cluster_busy", "overloaded", "the API server answers 429", "wait as long as `retry_after_ms` says"],
    ["cluster_error", "cluster", "the API server answers an error that has no code of its own", "read its message"],
    [
        "cluster_out_of_reach",
        "denied",
        "the cluster is advertised, and the caller's realm has no way to it",
        "do the step that the answer names",
    ],
    [
        "cluster_queue_full",
        "overloaded",
        "`limits.cluster_in_flight` requests are under way there, and none ended in time",
        "call again, or raise the limit",
    ],
    [
        "cluster_rejected_credential",
        "refused",
        "the API server answers 401 to the credential",
        "operator: compare the API server's authentication with the cluster's strategy and audiences",
    ],
    [
        "cluster_timeout",
        "unreachable",
        "no answer within `limits.cluster_first_byte` or `limits.cluster_answer`",
        "ask for less, or call again",
    ],
    ["cluster_unbound", "denied", "a source found it and no rule binds it", "operator: write a `[[bind]]` rule"],
    [
        "cluster_unreachable",
        "unreachable",
        "no connection: name, TCP or TLS; or the breaker is open",
        "operator: `kubeferry doctor`",
    ],
    ["configuration_changed", "cluster", "the cluster's configuration was changed while the call ran", "call again"],
    ["connection_broke", "unreachable", "the connection ended before the answer was whole", "call again"],
    ["credential_expired", "credential", "the credential ended while the call ran", "call again"],
    [
        "credential_timeout",
        "credential",
        "no credential could be had within the call's time",
        "operator: look at the credential plugin or the realm",
    ],
    ["deadline", "unreachable", "the call's time is over", "ask for less at once, or raise `limits.call_deadline`"],
    [
        "deadline_exceeded",
        "unreachable",
        "the time of the call is over, and it gave no part of an answer",
        "ask for less at once: one cluster, one namespace, a smaller limit",
    ],
    ["exchange_denied", "credential", "the realm does not let our client exchange the token", "ask who runs the realm"],
    ["exchange_disabled", "credential", "token exchange is switched off at our client", "switch it on there"],
    [
        "exchange_refused",
        "credential",
        "the realm refused in words that are not known",
        "read them, and ask who runs the realm",
    ],
    ["expired", "cluster", "the list changed too much since its first page (410)", "list from the beginning"],
    ["forbidden", "refused", "the API server's RBAC says no (403)", "ask for the permission on that cluster"],
    [
        "grant_audience",
        "credential",
        "the grant is not for the other realm alone",
        "`request.audience` of the link is that realm's issuer, exactly",
    ],
    ["grant_disabled", "credential", "the JWT authorization grant is switched off at our client", "switch it on there"],
    [
        "grant_lifetime",
        "credential",
        "the grant lives too long, or waited too long",
        "shorten the life of our client's tokens, or raise the other realm's maximum",
    ],
    [
        "grant_refused",
        "credential",
        "the other realm refused the grant in words that are not known",
        "read them, and ask who runs that realm",
    ],
    [
        "grant_replayed",
        "credential",
        "the other realm says that it saw the grant before",
        "call again; if it stays, report it",
    ],
    [
        "grant_signature",
        "credential",
        "the other realm cannot verify the grant",
        "let its identity provider read the home realm's keys",
    ],
    ["grant_unsupported", "credential", "the realm does not offer the grant", "another strategy, or enable it there"],
    [
        "identity_mismatch",
        "denied",
        "the API server takes the caller for somebody else than `expect_username` or the template says",
        "operator: compare both with the API server's authentication",
    ],
    ["internal", "internal", "a mistake of kubeferry", "look up the request id in the log, and report it"],
    ["invalid_arguments", "arguments", "an argument is missing, unknown or malformed", "mend it as the answer says"],
    [
        "kind_not_served",
        "not_found",
        "the cluster or workspace does not serve this kind",
        "`api_resources_list`, or a near name of the answer",
    ],
    ["kubelet_unreachable", "cluster", "the kubelet of the node does not answer the API server", "look at the node"],
    ["metrics_not_installed", "not_found", "the cluster has no metrics API", "ask its operator for metrics-server"],
    ["metrics_unavailable", "cluster", "the metrics API does not work", "its APIService says why"],
    [
        "no_credential",
        "credential",
        "the credential for the cluster cannot be had (`sign_in` when the caller's own token has ended)",
        "operator: `kubeferry doctor` looks at kubeferry's own credentials",
    ],
    ["no_target", "unknown_target", "the caller reaches no cluster at all", "`clusters_list` shows what is missing"],
    [
        "node_not_found",
        "not_found",
        "the node is not there, and only it has what was asked for",
        "look where the pod runs",
    ],
    ["not_exchanged", "credential", "the realm gave the caller's own token back", "ask who runs the realm"],
    ["not_found", "not_found", "the object is not there (404)", "check name, namespace and kind"],
    ["overloaded", "overloaded", "`limits.requests_in_flight` calls are under way", "call again in a second"],
    [
        "policy",
        "denied",
        "a hard limit of `[policy]`, or a rule, which is named",
        "ask an operator; calling again will not help",
    ],
    [
        "realm_redirects",
        "credential",
        "the token endpoint answers a redirect, which is not followed",
        "operator: check `issuer` or `discovery_url`",
    ],
    [
        "realm_unavailable",
        "unreachable",
        "the realm gives no answer",
        "call again; other realms' clusters are not affected",
    ],
    [
        "realm_unusable",
        "credential",
        "an address or a document of the realm is refused, as one on another host, or no token endpoint",
        "operator: check `[realms.<name>]`; `kubeferry doctor` says more",
    ],
    [
        "redirect",
        "cluster",
        "the server answers a redirect, which is not followed",
        "operator: write the URL of the API server itself",
    ],
    [
        "requester_not_in_audience",
        "credential",
        "our client is not in the audience of the caller's token",
        "add an audience mapper for our client to a scope of the client that people sign in with",
    ],
    [
        "scope_not_allowed",
        "credential",
        "our client may not have the scope",
        "give it to our client as an optional scope",
    ],
    [
        "scope_wider",
        "credential",
        "the token has a scope that was not asked for",
        "check profile and scope, and ask who runs the realm",
    ],
    [
        "sign_in_again",
        "sign_in",
        "the realm does not accept the caller's token any more: ended, revoked, or the account is disabled",
        "sign in again",
    ],
    [
        "subject_changed",
        "credential",
        "the other realm names another account for the caller than before",
        "ask who runs that realm; a reload forgets the first one",
    ],
    ["subject_disabled", "credential", "the caller's account at the other realm is disabled", "enable it there"],
    [
        "subject_incomplete",
        "credential",
        "the caller's account at the other realm must first do something, as set a password",
        "sign in there once",
    ],
    [
        "subject_not_linked",
        "credential",
        "the caller has no linked account at the other realm",
        "link it; the answer has the request",
    ],
    ["subject_token_type", "credential", "the token is no access token", "sign in with an access token"],
    ["target_needed", "arguments", "several clusters could be meant", "name one in `cluster`"],
    [
        "tls_setup",
        "credential",
        "TLS to the cluster cannot be set up, as with a client key that does not fit its certificate",
        "operator: check `ca_file`, `tls_server_name` and the client certificate",
    ],
    [
        "token_audience",
        "credential",
        "an issued token is not for the cluster alone",
        "name a scope that brings exactly that audience",
    ],
    [
        "token_issuer",
        "credential",
        "an issued token names another issuer",
        "check `issuer`, and ask who runs the realm",
    ],
    ["token_lifetime", "credential", "an issued token has ended, or says no end", "compare the clocks"],
    ["token_subject", "credential", "an issued token is of another subject, or of none", "ask who runs the realm"],
    [
        "too_fast",
        "overloaded",
        "more than `limits.caller_calls_per_second`, after a burst of `limits.caller_burst`",
        "wait as long as `retry_after_ms` says; ask for more at once",
    ],
    [
        "too_many_calls",
        "overloaded",
        "`limits.caller_in_flight` calls of the caller are under way",
        "wait for their answers",
    ],
    [
        "trust_missing",
        "credential",
        "the other realm does not trust the home realm, or not for our client",
        "create, enable or allow the identity provider there",
    ],
    [
        "unexpected_answer",
        "cluster",
        "the answer is not what an API server answers",
        "operator: look at what stands between kubeferry and the cluster",
    ],
    [
        "unknown_target",
        "unknown_target",
        "there is no such cluster or workspace for this caller",
        "`clusters_list`, or a near name of the answer",
    ],
    ["unknown_tool", "unknown_tool", "there is no such tool for this caller; a JSON-RPC error", "`tools/list`"],
    [
        "unusable_answer",
        "credential",
        "the token endpoint's success is not what was asked for",
        "check `profile`, and ask who runs the realm",
    ],
    [
        "workspace_mount",
        "not_found",
        "the workspace is a mount of another server, where no credential is sent",
        "operator: add the mount's target as a cluster of its own",
    ],
    ["workspace_not_ready", "not_found", "the workspace is being made or deleted, or unavailable", "call again later"],
    [
        "workspace_unreachable",
        "cluster",
        "the shard of the workspace does not answer, or something before it",
        "call again later",
    ],
    [
        "workspace_unresolved",
        "not_found",
        "a workspace of the path is not there, or the caller cannot read it",
        "use its logical cluster name",
    ],
    [
        "workspaces_not_listed",
        "refused",
        "the caller may enter the workspace, but not list the workspaces in it",
        "address one by its logical cluster name, or ask for the verb list on workspaces",
    ],
];

/// Helpers that take a code, by their name, and how many there are with such a parameter: a new one belongs here.
const HELPERS: (&str, usize) = ("failure|refusal|leaf", 4);

/// The product's sources, without tests.
fn sources() -> Vec<String> {
    let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.extend((name != "tests").then_some(path));
            } else if !matches!(name.as_str(), "tests" | "contract" | "floors" | "reference" | "codes") {
                let text = fs::read_to_string(&path).unwrap();
                texts.push(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned());
            }
        }
    }
    texts
}

/// Every code that is written in the sources, with its kinds where they stand beside it.
fn written() -> BTreeMap<String, BTreeSet<String>> {
    let with_kind = Regex::new(r#"FailureKind::(\w+),\s*"([a-z]+(?:_[a-z]+)*)""#).unwrap();
    let by_helper = format!(r#"\b(?:{})\(\s*(?:\w+,\s*)*"([a-z]+(?:_[a-z]+)*)""#, HELPERS.0);
    let by_helper = Regex::new(&by_helper).unwrap();
    let by_field = Regex::new(r#"\bcode: "([a-z]+(?:_[a-z]+)*)""#).unwrap();
    // `Failure::new(kind, "…", …)`, where a match decided on the kind.
    let by_variable = Regex::new(r#"Failure::new\(\s*\w+,\s*"([a-z]+(?:_[a-z]+)*)""#).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in sources() {
        for captures in with_kind.captures_iter(&text) {
            let kind = captures[1].chars().enumerate().fold(String::new(), |mut word, (index, c)| {
                if c.is_ascii_uppercase() && index > 0 {
                    word.push('_');
                }
                word.push(c.to_ascii_lowercase());
                word
            });
            found.entry(captures[2].to_owned()).or_default().insert(kind);
        }
        for pattern in [&by_helper, &by_field, &by_variable] {
            for captures in pattern.captures_iter(&text) {
                found.entry(captures[1].to_owned()).or_default();
            }
        }
    }
    found
}

#[test]
fn the_list_has_every_code_of_the_sources_with_its_kind() {
    let mut written = written();
    // Codes of refused credentials stand in a list of their own.
    for code in crate::pool::credential::codes() {
        written.entry(code.to_owned()).or_default();
    }
    let listed: BTreeMap<&str, &str> = CODES.iter().map(|[code, kind, ..]| (*code, *kind)).collect();
    assert!(CODES.is_sorted() && listed.len() == CODES.len(), "in order, and once each");
    let missing: Vec<_> = written.keys().filter(|code| !listed.contains_key(code.as_str())).collect();
    assert!(missing.is_empty(), "add to CODES: {missing:?}");
    let gone: Vec<_> = listed.keys().filter(|code| !written.contains_key(**code)).collect();
    assert!(gone.is_empty(), "no source has {gone:?}");
    for (code, kinds) in written {
        assert!(kinds.iter().all(|kind| kind == listed[code.as_str()]), "{code}: {kinds:?}");
    }
    // A function with such a parameter would hide codes from the patterns above.
    let takes = Regex::new(r"fn (\w+)\([^)]*\bcode: &'static str[^)]*\)\s*->\s*(?:Self|Failure)").unwrap();
    let takers: Vec<String> = sources()
        .iter()
        .flat_map(|text| takes.captures_iter(text).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    let known = takers.iter().filter(|name| matches!(name.as_str(), "new" | "refusal" | "leaf" | "wrong")).count();
    assert_eq!((takers.len(), known), (HELPERS.1, HELPERS.1), "{takers:?}");
}

#[test]
fn reference_errors() {
    let mut page = String::from(
        "# Errors\n\nThe `code` of a failed call, as its structured answer and the log have it. `kind` says whose fault it is and is the\n\
         `outcome` in [metrics](metrics.md); failed calls are results with `isError`, and only `unknown_tool` and malformed\n\
         requests are JSON-RPC errors. Where the answer itself names a next step, that one counts.\n\n\
         | code | kind | meaning | what to do |\n|---|---|---|---|\n",
    );
    for [code, kind, meaning, fix] in CODES {
        page.push_str(&format!("| `{code}` | `{kind}` | {} | {} |\n", cell(meaning), cell(fix)));
    }
    page.push_str(
        "\n## What realms say\n\nThe texts are those of Keycloak; where a row has none, the error code of RFC 6749 or RFC 8693 decides. `{…}` is filled in\n\
         the answer.\n\n| step | the realm says | code | fix |\n|---|---|---|---|\n",
    );
    for [step, says, code, fix] in crate::pool::credential::refusals() {
        page.push_str(&format!("| {step} | {says} | {code} | {} |\n", cell(&fix)));
    }
    page.push_str(
        "\n## At the door\n\nBefore there is a call, HTTP statuses say what is wrong, with the same word in `error` of the body:\n\n\
         | status | error | meaning |\n|---|---|---|\n\
         | 400 | `invalid_request` | more than one credential, or a token at the wrong place |\n\
         | 401 | `unauthorized`, `invalid_token` | no token, or one that is not accepted; `WWW-Authenticate` says where to sign in |\n\
         | 403 | `insufficient_scope`, `access_denied`, `forbidden` | a scope is missing; the client is not allowed; `Host` or `Origin` is not allowed |\n\
         | 503 | `temporarily_unavailable`, `overloaded` | a realm's keys cannot be had; too much at once. `Retry-After` says when to come back |\n",
    );
    hold("errors", &page);
}
