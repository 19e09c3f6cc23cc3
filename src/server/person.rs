//! Who is served over stdio: the person at this machine, or whoever the token in a file was issued to. The file outlives
//! its token: whoever puts a new one there need not start us again.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::LiveSource;
use crate::auth::AuthError;
use crate::model::{Caller, Secret, chain};

/// A token file is read up to this, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;
/// Time to read the file and to verify a new token; a realm that does not tell its keys takes half of it.
const LONGEST: Duration = Duration::from_secs(10);
/// A file that holds no token of use is read again after this, if it does not change before.
const AGAIN: Duration = Duration::from_secs(5);

/// The caller of one stdio connection.
#[derive(Debug)]
pub struct Person {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    caller: Caller,
    read: Option<Read>,
}

/// The last time that the file was read.
#[derive(Debug)]
struct Read {
    /// `None` = there was none that could be looked at.
    stamp: Option<Stamp>,
    at: Instant,
    /// Whether the caller came of it.
    good: bool,
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
    #[error("it cannot be read")]
    File(#[from] io::Error),
    #[error("its token is not accepted")]
    Token(#[from] AuthError),
    #[error("it was not read and verified in time")]
    Late(#[from] Elapsed),
}

impl Person {
    /// `caller`, and from then on whoever the token in `file` is issued to, where there is a file.
    pub fn new(caller: Caller, file: Option<PathBuf>) -> Self {
        Self { file, known: Mutex::new(Known { caller, read: None }) }
    }

    /// Who calls now. A file that changed, or whose token has ended, is read and its token verified as at the door; while
    /// that fails the caller of before stays, whose token may have ended.
    pub(super) async fn caller(&self, live: &LiveSource) -> Caller {
        let mut known = self.known.lock().await;
        if let Some(file) = &self.file {
            known.renew(file, live).await;
        }
        known.caller.clone()
    }
}

impl Known {
    async fn renew(&mut self, file: &Path, live: &LiveSource) {
        let stamp = timeout(LONGEST, Stamp::of(file)).await.ok().and_then(Result::ok);
        let ended = self.caller.principal().expires.is_some_and(|ends| ends <= SystemTime::now());
        let still = |read: &Read| read.stamp == stamp && ((read.good && !ended) || read.at.elapsed() < AGAIN);
        if self.read.as_ref().is_some_and(still) {
            return;
        }
        let auth = live.load().auth.clone();
        let read = async { Ok::<_, PersonError>(auth.bearer(read_token(file).await?).await?) };
        let read = timeout(LONGEST, read).await.unwrap_or_else(|late| Err(late.into()));
        self.read = Some(Read { stamp, at: Instant::now(), good: read.is_ok() });
        match read {
            Ok(caller) => self.caller = caller,
            Err(error) => tracing::warn!(error = chain(&error), "the token file: the token of before is used"),
        }
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
