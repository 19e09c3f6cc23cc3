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
        let view = client.workspaces();
        let under = under.map(str::trim).filter(|under| !under.trim_matches([':', '/']).is_empty());
        let (below, look) = match under {
            None => (None, looked(&view, client).await?),
            Some(under) => {
                let arguments = |error: NameError| Failure::arguments(error.to_string());
                let start = WorkspacePath::parse(&target.below(&[])).map_err(arguments)?;
                let path = start.below(under).map_err(arguments)?;
                let (below, look) = under_path(client, &view, &path).await?;
                (Some(below), look)
            }
        };
        let here = Here::of(below.as_ref().unwrap_or(client))?;
        match look {
            Look::Children(_) => {}
            Look::Closed => return Err(closed(&here)),
            Look::Refused => return Err(outside(&here)),
        }
        Ok(Self { target: client, below, here, view, look })
    }

    /// A client of it.
    pub(super) fn client(&self) -> &ClusterClient {
        self.below.as_ref().unwrap_or(self.target)
    }
}

/// The workspace at `path`, and what is in it. One that was found earlier and refuses now may have been made anew.
async fn under_path(
    client: &ClusterClient,
    view: &View,
    path: &WorkspacePath,
) -> Result<(ClusterClient, Look), Failure> {
    let found = client.find(path).await?;
    let below = client.at(&found, Some(path))?;
    let look = looked(view, &below).await?;
    if !matches!(look, Look::Refused) {
        return Ok((below, look));
    }
    let now = client.find_again(path).await?;
    if now == found {
        return Ok((below, look));
    }
    let below = client.at(&now, Some(path))?;
    let look = looked(view, &below).await?;
    Ok((below, look))
}

async fn looked(view: &View, client: &ClusterClient) -> Result<Look, Failure> {
    view.look(client).await.map_err(|failure| failure.doing("listing workspaces"))
}
