//! `local`: the kubeconfig user of the person at this machine (token, certificate, exec plugin). Only in local mode,
//! where the caller is that person.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::shared::KubeconfigUser;
use super::{CompileContext, Credential, CredentialError, Draft, Minting, Step, Strategy, problem};
use crate::inventory::Entry;
use crate::model::{Caller, ClusterKey, KeyHasher, Principal, Problem, Reach, RealmName, Way};

#[derive(Debug)]
struct Local {
    key: ClusterKey,
    user: KubeconfigUser,
}

pub(super) fn compile(entry: &Entry, context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    if !context.local_mode() {
        let fix = "use it without [realms.*] only; with realms, impersonate or passthrough carry the caller's identity";
        return Err(vec![problem(entry, "strategy", "strategy \"local\" works in local mode only", fix)]);
    }
    let Some(local) = &entry.settings.local else {
        let fix = "discover the cluster with a [[sources]] entry of type \"kubeconfig\"";
        return Err(vec![problem(entry, "strategy", "strategy \"local\" needs a kubeconfig context", fix)]);
    };
    let (files, name) = (local.files.clone(), local.context.clone());
    let paths = files.iter().map(|file| file.as_os_str().as_encoded_bytes());
    let digest = KeyHasher::new("local").list("files", paths).field("context", &name).finish();
    let endpoint = entry.endpoint.clone();
    let way = Way::Local;
    Ok(Draft {
        reach: Reach::by([RealmName::local()], &way, "it is used by the person at the gateway's machine only"),
        digest,
        build: Box::new(move |key| {
            let user = KubeconfigUser::context(files, name, endpoint);
            Arc::new(Local { key, user })
        }),
    })
}

impl Strategy for Local {
    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        _minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            if !caller.principal().is_local() {
                return Err(CredentialError::NotReachable { strategy: "local" });
            }
            self.user.credential(self.key).await
        })
    }

    fn explain(&self, _principal: &Principal) -> Vec<Step> {
        let read = "the kubeconfig's user for this context is read, and its plugin run if it has one";
        let kept = "read again after 60 s; a plugin's credential 15 s before it ends";
        let checked = ["the kubeconfig still names the same server and CA".to_owned()];
        vec![Step::here(read).kept(kept).checked(checked), Step::cluster("it goes as kubectl would send it")]
    }

    fn rejected(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.user.forget())
    }
}
