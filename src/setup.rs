//! Setting up a realm for kubeferry: the configuration says what should be there, an identity provider's own API says
//! what is. One realm alone gets what callers and `exchange` need; a pair gets what `chain` needs as well.
//!
//! [`wanted()`] reads the configuration into plain data that no provider is named in. A [`Provider`] makes its own objects
//! of that, prints them for a person, or compares them with the realm and mends what differs. Nothing is ever deleted,
//! and neither people nor their links are touched. A further provider is one file below `setup/` and one line in
//! [`PROVIDERS`].

mod keycloak;
mod wanted;

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;

use crate::model::{Problem, RealmName, Secret};
use crate::realm::RealmError;

pub use self::wanted::{Access, Asked, Grant, Home, Part, Side, Target, wanted};

/// All providers, by the word of `--provider`.
pub const PROVIDERS: &[&dyn Provider] = &[&keycloak::Keycloak];

/// An identity provider whose realms can be set up.
pub trait Provider: Sync {
    /// The word of `--provider`.
    fn name(&self) -> &'static str;

    /// The steps for the realms of `sides` as text; contacts nobody.
    ///
    /// # Errors
    /// When the configuration cannot be set up at this provider, or a key file cannot be read.
    fn print(&self, sides: &[Side], sign_in: &SignIn) -> Result<String, SetupError>;

    /// Looks at everything that a [`Self::sync`] of these sides needs, files included; contacts nobody.
    ///
    /// # Errors
    /// When the configuration cannot be set up at this provider, or a file cannot be used.
    fn prepare(&self, sides: &[Side], admin: &AdminAccess) -> Result<(), SetupError>;

    /// Compares one realm with what is wanted, and with `apply` mends it. `tell` hears of each thing as it is done.
    ///
    /// # Errors
    /// When the realm does not answer, or refuses; what was told until then is done.
    fn sync<'a>(
        &'a self,
        side: &'a Side,
        admin: &'a AdminAccess,
        apply: bool,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<(), SetupError>>;

    /// Where the administrators' API of a realm is by default; one sign-in serves all realms of one such place.
    ///
    /// # Errors
    /// When the issuer is none of this provider.
    fn place(&self, side: &Side) -> Result<String, SetupError>;
}

/// Hears of each thing.
pub type Tell<'a> = &'a mut (dyn FnMut(Line) + Send);

/// How the printed steps sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Where the administrators' API is; `None` = on the issuer's own server.
    pub url: Option<String>,
    /// Who.
    pub user: String,
    /// The realm of this account.
    pub realm: String,
}

/// How an administrator signs in.
#[derive(Debug, Clone)]
pub struct AdminAccess {
    /// Where the administrators' API is; `None` = on the issuer's own server.
    pub url: Option<String>,
    /// With what.
    pub login: AdminLogin,
}

/// What an administrator signs in with.
#[derive(Debug, Clone)]
pub enum AdminLogin {
    /// Name and password, in the provider's own realm for administrators or the one named.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
        /// The realm of this account.
        realm: String,
    },
    /// An access token that somebody else obtained.
    Token(Secret),
}

/// What was found or done with one thing in a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which realm.
    pub realm: RealmName,
    /// What was found or done.
    pub state: State,
    /// The thing, as `client kubeferry`.
    pub what: String,
    /// More about it, in words; may be empty. Texts of the realm in it are foreign.
    pub detail: String,
}

/// What was found or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Left,
    /// Not there.
    Missing,
    /// There, but otherwise.
    Differs,
    /// Made just now.
    Created,
    /// Mended just now.
    Changed,
    /// Otherwise than it should be, and not ours to change.
    ByHand,
    /// What is being done now: for the person who waits.
    Working,
}

impl State {
    /// The first word of its line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::ByHand => "by hand",
            Self::Working => "working",
        }
    }

    /// True when the realm is not (or was not, with a run that may not change it) as it should be.
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Missing | Self::Differs | Self::ByHand)
    }
}

/// Why a realm cannot be set up. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration does not say enough, or something that this provider cannot do.
    #[error("the configuration cannot be set up")]
    Problems(Vec<Problem>),
    /// The command line does not fit.
    #[error("{0}")]
    Usage(String),
    /// A file with a secret or a key.
    #[error("the {what} {} cannot be used", file.display())]
    File {
        /// What it holds.
        what: &'static str,
        /// Its path.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The realm's configuration cannot work, or its address is refused.
    #[error("the realm cannot be asked")]
    Realm(#[source] RealmError),
    /// No whole answer in time.
    #[error(
        "realm {realm}: no answer to {request}; is --admin-url right, and does ca_file name the CA of that server?"
    )]
    Unanswered {
        /// Which realm.
        realm: RealmName,
        /// Method and address.
        request: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The realm said no.
    #[error("realm {realm}: {request} was answered {status}{said}; {fix}")]
    Refused {
        /// Which realm.
        realm: RealmName,
        /// Method and path, or what was tried.
        request: String,
        /// The HTTP status.
        status: u16,
        /// What the realm said, scrubbed, with a leading colon; may be empty.
        said: String,
        /// The next step.
        fix: String,
    },
    /// An answer that is not what the API promises.
    #[error("realm {realm}: the answer to {request} cannot be used: {why}")]
    Answer {
        /// Which realm.
        realm: RealmName,
        /// Method and path.
        request: String,
        /// What is wrong.
        why: String,
    },
}

/// The secret that a file holds: its first and only line.
///
/// # Errors
/// When `bytes` are no text, empty, or more than a line.
pub fn secret(what: &'static str, file: &Path, bytes: Vec<u8>) -> Result<Secret, SetupError> {
    let wrong = |why: &str| {
        Err(SetupError::File { what, file: file.to_owned(), source: std::io::Error::other(why.to_owned()) })
    };
    let Ok(text) = String::from_utf8(bytes) else { return wrong("it is not text") };
    match text.trim_end_matches(['\r', '\n']) {
        "" => wrong("it is empty"),
        text if text.contains(char::is_control) => wrong("it has more than one line, or another control character"),
        text => Ok(Secret::new(text)),
    }
}

impl SetupError {
    /// True when the command line, the configuration or a file of it is to be mended, and not the realm.
    pub fn is_mistake(&self) -> bool {
        matches!(self, Self::Problems(_) | Self::Usage(_) | Self::File { .. })
            || matches!(self, Self::Realm(RealmError::Config { .. }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::secret;

    #[test]
    fn a_secret_is_one_line() {
        let read = |text: &str| secret("token", Path::new("f"), text.as_bytes().to_owned());
        assert_eq!(read("a b\r\n").unwrap().expose(), "a b");
        for text in ["", "\n", "one\ntwo", "a\u{0}b", "tab\tbed"] {
            assert!(read(text).unwrap_err().is_mistake(), "{text:?}");
        }
        assert!(secret("token", Path::new("f"), vec![0xff]).is_err());
    }
}
