//! Who is served over stdio: the person at this machine, or whoever the token in a file was issued to. The file outlives
//! its token: whoever puts a new one there need not start us again.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::LiveSource;
use crate::auth::AuthError;
use crate::model::{Caller, Secret, chain};

/// A token file is read up to this, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;
/// Time to look at the file and to verify a new token; a realm that answers no question about keys takes half of it.
const LONGEST: Duration = Duration::from_secs(10);

/// The caller of one stdio connection.
#[derive(Debug)]
pub struct Person {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    caller: Caller,
    /// The file that `caller` was read from; `None` = not known.
    file: Option<Stamp>,
}

/// Tells a file from the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

#[derive(Debug, thiserror::Error)]
enum PersonError {
    #[error("the token file cannot be read")]
    File(#[from] io::Error),
    #[error("the token in the file is not accepted")]
    Token(#[from] AuthError),
}

impl Person {
    /// `caller`, and from then on whoever the token in `file` is issued to, where there is a file.
    pub fn new(caller: Caller, file: Option<PathBuf>) -> Self {
        Self { file, known: Mutex::new(Known { caller, file: None }) }
    }

    /// Who calls now. A file that changed, or whose token has ended, is read and its token verified as at the door; while
    /// that fails the caller of before stays, whose token may have ended.
    pub(super) async fn caller(&self, live: &LiveSource) -> Caller {
        let mut known = self.known.lock().await;
        if let Some(file) = &self.file {
            match timeout(LONGEST, known.renewed(file, live)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(new))) => *known = new,
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "--token-file: the token of before is used"),
                Err(_elapsed) => tracing::warn!("--token-file: no new token in time; the one of before is used"),
            }
        }
        known.caller.clone()
    }
}

impl Known {
    async fn renewed(&self, file: &Path, live: &LiveSource) -> Result<Option<Self>, PersonError> {
        let stamp = Stamp::of(file).await?;
        let ended = self.caller.principal().expires.is_some_and(|ends| ends <= SystemTime::now());
        if !ended && self.file == Some(stamp) {
            return Ok(None);
        }
        let auth = live.load().auth.clone();
        let caller = auth.bearer(read_token(file).await?).await?;
        Ok(Some(Self { caller, file: Some(stamp) }))
    }
}

impl Stamp {
    async fn of(file: &Path) -> io::Result<Self> {
        let found = tokio::fs::metadata(file).await?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(Self { inode: found.ino(), size: found.size(), modified })
    }
}

/// The token in a file, without the white space around it.
///
/// # Errors
/// When the file cannot be read.
pub async fn read_token(file: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    tokio::fs::File::open(file).await?.take(MAX_TOKEN).read_to_string(&mut text).await?;
    Ok(Secret::new(text.trim()))
}
