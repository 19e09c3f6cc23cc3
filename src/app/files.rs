//! Files that the program keeps or reads for itself: the local token and the seal keys.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::LocalToken;
use crate::config::Environment;
use crate::kubeconfig::read_bounded;
use crate::model::{Problem, Secret};
use crate::output::Seal;

/// Why the local token cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LocalTokenError {
    /// Neither `XDG_STATE_HOME` nor a home folder is known.
    #[error("there is no state folder: set XDG_STATE_HOME or HOME")]
    NoFolder,
    /// The file cannot be read or written.
    #[error("{} cannot be used", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("{} can be read by others; remove it, and a new token is made", .0.display())]
    Mode(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The local token: kept in `$XDG_STATE_HOME/kubeferry/local-token` (or below `~/.local/state`), mode 0600, made at the
/// first start and stable from then on.
pub(super) fn local_token(environment: &Environment) -> Result<LocalToken, LocalTokenError> {
    let state = environment.get("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let state =
        state.or_else(|| environment.home().map(|home| home.join(".local/state"))).ok_or(LocalTokenError::NoFolder)?;
    let file = state.join("kubeferry").join("local-token");
    let failed = |source| LocalTokenError::File { file: file.clone(), source };
    let token = match read(&file) {
        Ok(token) if !token.is_empty() => token,
        Ok(_) => make(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&file)?,
        Err(error) => return Err(failed(error)),
    };
    let mode = fs::metadata(&file).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(LocalTokenError::Mode(file));
    }
    Ok(LocalToken { token: Secret::new(token), file })
}

fn read(file: &Path) -> io::Result<String> {
    let bytes = read_bounded(file)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn make(file: &Path) -> Result<String, LocalTokenError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_unspecified| LocalTokenError::Random)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let write = || {
        if let Some(folder) = file.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        writeln!(opened, "{token}")
    };
    write().map_err(|source| LocalTokenError::File { file: file.to_owned(), source })?;
    Ok(token)
}

/// The seal keys: 32 bytes each, base64 or raw. The first seals, all open; none = a random one for this process.
pub(super) fn seal(files: &[PathBuf]) -> Result<Seal, Problem> {
    const FIX: &str = "give files of 32 random bytes, raw or base64, as from: head -c 32 /dev/urandom | base64";
    let problem = |what: String| Problem::new("server.seal_key_files", what, FIX);
    let mut keys = Vec::new();
    for file in files {
        let bytes =
            read_bounded(file).map_err(|error| problem(format!("{} cannot be read: {error}", file.display())))?;
        keys.push(key(&bytes).ok_or_else(|| problem(format!("{} does not hold 32 bytes", file.display())))?);
    }
    Seal::new(keys).map_err(|error| problem(error.to_string()))
}

fn key(bytes: &[u8]) -> Option<[u8; 32]> {
    use base64::engine::general_purpose::STANDARD;
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
    decoded.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{LocalTokenError, key, local_token};
    use crate::config::Environment;

    #[test]
    fn the_local_token_is_stable_and_private() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::new(|_name: &str| None::<String>, Some(home.path().to_owned()));
        let first = local_token(&environment).unwrap();
        let again = local_token(&environment).unwrap();
        assert_eq!(first.token.expose(), again.token.expose());
        assert_eq!(std::fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&first.file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(local_token(&environment), Err(LocalTokenError::Mode(_))));
    }

    #[test]
    fn seal_keys_are_32_bytes() {
        assert!(key(&[7; 32]).is_some());
        assert!(key(b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").is_some());
        assert!(key(b"short").is_none());
    }
}
