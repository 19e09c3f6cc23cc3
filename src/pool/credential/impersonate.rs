//! `impersonate`: the gateway's own credential plus `Impersonate-*` headers from a template over the caller's verified
//! identity. For clusters that know no identity provider, as Kind. What the API server makes of it is checked by a
//! SelfSubjectReview once per caller, before anything else is sent.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::header::HeaderName;

use super::expectation::reserved;
use super::shared::KubeconfigUser;
use super::template::{Template, TemplateError};
use super::{
    Acts, CompileContext, Credential, CredentialError, Draft, Expectation, Minting, Step, Strategy, problem,
    required_realms,
};
use crate::inventory::{Entry, ImpersonateSettings};
use crate::model::{Caller, ClusterKey, KeyHasher, Principal, Problem, Reach, RealmName, Way};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
/// The group of what is impersonated beside users and groups.
const AUTHENTICATION: &str = "authentication.k8s.io";

#[derive(Debug)]
struct Impersonate {
    key: ClusterKey,
    realms: Vec<RealmName>,
    gateway: KubeconfigUser,
    template: Templates,
}

#[derive(Debug, Clone)]
struct Templates {
    user: Template,
    groups: Option<Template>,
    uid: Option<Template>,
    extra: Vec<(String, HeaderName, Template)>,
}

impl Templates {
    /// Keys of templates that do not tell the realms apart.
    fn merging(&self) -> impl Iterator<Item = &'static str> {
        let user = [("impersonate.user", Some(&self.user))];
        let others = [("impersonate.groups", self.groups.as_ref()), ("impersonate.uid", self.uid.as_ref())];
        let written = user.into_iter().chain(others).filter_map(|(key, template)| Some((key, template?)));
        written.filter(|(_, template)| !template.tells_realms_apart()).map(|(key, _)| key)
    }
}

/// What the template makes of one caller.
struct Person {
    user: String,
    groups: Vec<String>,
    uid: Option<String>,
    extra: Vec<(String, HeaderName, String)>,
}

pub(super) fn compile(entry: &Entry, _context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    let mut problems = Vec::new();
    let realms = required_realms(entry).unwrap_or_else(|missing| {
        problems.extend(missing);
        Vec::new()
    });
    let settings = entry.settings.impersonate.clone().unwrap_or_default();
    let templates = templates(entry, &settings).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        None
    });
    let Some(kubeconfig) = entry.settings.gateway_kubeconfig.clone() else {
        let fix =
            "write gateway_credentials = { kubeconfig = \"…\" }: a kubeconfig with a context of this server and CA";
        problems.push(problem(entry, "gateway_credentials", "missing", fix));
        return Err(problems);
    };
    let endpoint = entry.endpoint.clone();
    let gateway = KubeconfigUser::gateway(kubeconfig, endpoint);
    let gateway_digest = gateway.digest().unwrap_or_else(|error| {
        let fix = "give a kubeconfig that has a context with this cluster's server and CA, and a user with a token, or a certificate, and nothing beside it";
        problems.push(problem(entry, "gateway_credentials", crate::model::chain(&error), fix));
        [0; 32]
    });
    if let Some(templates) = templates.as_ref().filter(|_| realms.len() > 1) {
        problems.extend(templates.merging().map(|key| {
            let what = "callers of several realms would be taken for one another";
            problem(entry, key, what, "name {realm} in it, as \"{realm}:{username}\"")
        }));
    }
    let (Some(templates), true) = (templates, problems.is_empty()) else { return Err(problems) };
    let digest = KeyHasher::new("impersonate")
        .field("gateway", gateway_digest)
        .field("user", &settings.user)
        .optional("groups", settings.groups.as_deref())
        .optional("uid", settings.uid.as_deref())
        .list("extra", settings.extra.iter().map(|(key, value)| format!("{key}={value}")))
        .finish();
    let names: Vec<&str> = realms.iter().map(RealmName::as_str).collect();
    let missing = format!("sign in at realm {}", names.join(" or "));
    Ok(Draft {
        reach: Reach::by(realms.clone(), &Way::Impersonate, missing),
        digest,
        build: Box::new(move |key| Arc::new(Impersonate { key, realms, gateway, template: templates })),
    })
}

fn templates(entry: &Entry, settings: &ImpersonateSettings) -> Result<Option<Templates>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut read = |key: &str, parsed: Result<Template, TemplateError>| {
        let wrong = |error: TemplateError| problems.push(problem(entry, key, error.to_string(), error.fix()));
        parsed.map_err(wrong).ok()
    };
    let user = read("impersonate.user", Template::parse_personal(&settings.user));
    let groups = settings.groups.as_ref().map(|text| read("impersonate.groups", Template::parse(text, true)));
    let uid = settings.uid.as_ref().map(|text| read("impersonate.uid", Template::parse_personal(text)));
    let values: Vec<_> = settings
        .extra
        .iter()
        .map(|(key, text)| (key.clone(), read(&format!("impersonate.extra.{key}"), Template::parse(text, false))))
        .collect();
    let mut extra = Vec::new();
    for (key, template) in values {
        match (extra_header(&key), template) {
            (Some(header), Some(template)) => extra.push((key, header, template)),
            (None, _) => {
                let fix = "use a lower-case key below a domain of your own, as example.com/client";
                problems.push(problem(entry, &format!("impersonate.extra.{key}"), "this key is refused", fix));
            }
            (Some(_), None) => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(user.map(|user| Templates { user, groups: groups.flatten(), uid: uid.flatten(), extra }))
}

/// `Impersonate-Extra-<key>`, percent-encoded where a header name cannot hold a character; `None` for a refused key.
fn extra_header(key: &str) -> Option<HeaderName> {
    let lower = key.bytes().all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase());
    if key.is_empty() || key.len() > 128 || reserved(key) || !lower {
        return None;
    }
    let encoded: String = key
        .bytes()
        .map(|c| match c {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(c).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    HeaderName::try_from(format!("impersonate-extra-{encoded}")).ok()
}

impl Impersonate {
    fn person(&self, principal: &Principal) -> Result<Person, CredentialError> {
        let fill = |template: &Template| template.fill(principal, None);
        let groups = self
            .template
            .groups
            .as_ref()
            .map(|template| principal.groups.iter().map(|group| template.fill(principal, Some(group))).collect());
        let person = Person {
            user: fill(&self.template.user),
            groups: groups.unwrap_or_default(),
            uid: self.template.uid.as_ref().map(fill),
            extra: self.template.extra.iter().map(|(key, name, t)| (key.clone(), name.clone(), fill(t))).collect(),
        };
        check("a user", &person.user)?;
        for group in &person.groups {
            check("a group", group)?;
        }
        Ok(person)
    }
}

/// Refuses names that only the control planes may use, and names that a header could change.
fn check(what: &'static str, name: &str) -> Result<(), CredentialError> {
    let why = if name.is_empty() || name.trim() != name {
        "it is empty or has white space at an end"
    } else if name.to_ascii_lowercase().starts_with("system:") {
        "names that begin with system: belong to the control planes"
    } else if name.len() > 1024 {
        "it has more than 1024 bytes"
    } else {
        return Ok(());
    };
    Err(CredentialError::Template { what: format!("{what} {}", crate::model::names::quote(name)), why })
}

impl Strategy for Impersonate {
    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        _minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            let principal = caller.principal();
            if !self.realms.contains(&principal.realm) {
                return Err(CredentialError::NotReachable { strategy: "impersonate" });
            }
            let person = self.person(principal)?;
            let mut credential = self.gateway.credential(self.key).await?.with(USER, &person.user)?;
            for group in &person.groups {
                credential = credential.with(GROUP, group)?;
            }
            if let Some(uid) = &person.uid {
                credential = credential.with(UID, uid)?;
            }
            for (_, name, value) in person.extra {
                credential = credential.with(name, &value)?;
            }
            let ends = [credential.expires, principal.expires].into_iter().flatten().min();
            Ok(credential.until(ends))
        })
    }

    fn explain(&self, principal: &Principal) -> Vec<Step> {
        let own = Step::here("kubeferry's own credential for this cluster is read from its kubeconfig")
            .kept("read again after 60 s, or when the cluster refuses it");
        let sent = match self.person(principal) {
            Err(refused) => Step::here(format!("then the call ends: {refused}")),
            Ok(person) => {
                let user = [format!("Impersonate-User: {}", person.user)];
                let groups = person.groups.iter().map(|group| format!("Impersonate-Group: {group}"));
                let uid = person.uid.iter().map(|uid| format!("Impersonate-Uid: {uid}"));
                let extra = person.extra.iter().map(|(key, _, value)| format!("Impersonate-Extra {key}: {value}"));
                let headers: Vec<String> = user.into_iter().chain(groups).chain(uid).chain(extra).collect();
                Step::cluster(format!("it goes with {}", headers.join(", "))).checked([
                    "the API server lets kubeferry impersonate".to_owned(),
                    "SelfSubjectReview says the same user, uid, groups and extra".to_owned(),
                ])
            }
        };
        vec![own, sent]
    }

    fn gateway(&self) -> Option<BoxFuture<'_, Result<Credential, CredentialError>>> {
        Some(Box::pin(self.gateway.credential(self.key)))
    }

    fn acts(&self) -> Vec<Acts> {
        let acts = |group, resource, subresource| Acts { group, resource, subresource };
        let Templates { groups, uid, extra, .. } = &self.template;
        let mut all = vec![acts("", "users", None)];
        all.extend(groups.as_ref().map(|_| acts("", "groups", None)));
        all.extend(uid.as_ref().map(|_| acts(AUTHENTICATION, "uids", None)));
        all.extend(extra.iter().map(|(key, ..)| acts(AUTHENTICATION, "userextras", Some(key.clone()))));
        all
    }

    fn rejected(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.gateway.forget())
    }

    fn expects(&self, principal: &Principal) -> Result<Option<Expectation>, CredentialError> {
        let person = self.person(principal)?;
        Ok(Some(Expectation {
            username: Some(person.user),
            uid: Some(person.uid.unwrap_or_default()),
            groups: Some(person.groups),
            extra: Some(person.extra.into_iter().map(|(key, _, value)| (key, value)).collect()),
        }))
    }
}
