//! `none`: a discovered cluster that no rule binds. The local caller sees it, with how to bind it; no call goes there.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{CompileContext, Credential, CredentialError, Draft, Minting, Step, Strategy};
use crate::inventory::Entry;
use crate::model::{Caller, Principal, Problem, Reach, RealmName, Way};

#[derive(Debug)]
struct Unbound;

#[expect(clippy::unnecessary_wraps, reason = "the signature that all strategies share")]
pub(super) fn compile(_entry: &Entry, _context: &CompileContext) -> Result<Draft, Vec<Problem>> {
    Ok(Draft {
        reach: Reach::by([RealmName::local()], &Way::Unbound, "the operator binds it with a [[bind]] rule"),
        digest: [0; 32],
        build: Box::new(|_key| Arc::new(Unbound)),
    })
}

impl Strategy for Unbound {
    fn credential<'a>(
        &'a self,
        _caller: &'a Caller,
        _minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async { Err(CredentialError::NotReachable { strategy: "none" }) })
    }

    fn explain(&self, _principal: &Principal) -> Vec<Step> {
        let bind = "no call goes there: add a [[bind]] rule that matches it, or a [clusters.*] entry, to say with which credential it is used";
        vec![Step::here(bind)]
    }
}
