//! Where a walk starts: the target of the call, or a workspace below it.

use std::sync::Arc;

use super::place::{Here, closed, outside};
use crate::model::names::NameError;
use crate::model::{Failure, WorkspacePath};
use crate::pool::ClusterClient;
use crate::pool::workspaces::{Look, View};

/// A workspace that can be walked down from.
pub(super) struct Start<'a> {
    target: &'a ClusterClient,
    below: Option<ClusterClient>,
    /// Where it lies.
    pub(super) here: Here,
    /// What the caller has seen of this kcp.
    pub(super) view: Arc<View>,
    /// Its children.
    pub(super) look: Look,
}

impl<'a> Start<'a> {
    /// The target of `client`, or what lies `under` it, with its children.
    ///
    /// # Errors
    /// When the caller may not enter it, or not list what is in it.
    pub(super) async fn find(client: &'a ClusterClient, under: Option<&str>) -> Result<Self, Failure> {
        let target = Here::of(client)?;
        let under = under.map(str::trim).filter(|under| !under.trim_matches([':', '/']).is_empty());
        let below = match under {
            None => None,
            Some(under) => {
                let arguments = |error: NameError| Failure::arguments(error.to_string());
                let start = WorkspacePath::parse(&target.below(&[])).map_err(arguments)?;
                let path = start.below(under).map_err(arguments)?;
                let cluster = client.find(&path).await?;
                Some(client.at(&cluster, Some(&path))?)
            }
        };
        let start = below.as_ref().unwrap_or(client);
        let here = Here::of(start)?;
        let view = client.workspaces();
        let look = match view.look(start).await.map_err(|failure| failure.doing("listing workspaces"))? {
            look @ Look::Children(_) => look,
            Look::Closed => return Err(closed(&here)),
            Look::Refused => return Err(outside(&here)),
        };
        Ok(Self { target: client, below, here, view, look })
    }

    /// A client of it.
    pub(super) fn client(&self) -> &ClusterClient {
        self.below.as_ref().unwrap_or(self.target)
    }
}
