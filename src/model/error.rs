//! What went wrong with one call, in the form that the whole house shares.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// A failed call, or one failed leg of it. Modules have their own error enums; at the edge of a module each becomes a
/// `Failure`, and `server::rescue` decides what the caller sees of it.
///
/// `doing`, `cause` and `hint` are for the caller, one line each, and never hold a secret or a name that this caller may
/// not see; `detail` goes to the log only.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// A stable code, `snake_case`, as `cluster_unreachable`.
    pub code: &'static str,
    /// The target's address, where there is one.
    pub target: Option<String>,
    /// What was being done, as "listing pods in namespace a".
    pub doing: String,
    /// Why it failed.
    pub cause: String,
    /// The next step: what to change, call or ask for.
    pub hint: Option<String>,
    /// When to try again; `None` = the same call will fail again.
    pub retry: Option<Duration>,
    /// The chain of causes, for the log.
    pub detail: Option<String>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The arguments: the caller can mend them.
    Arguments,
    /// The target does not exist for this caller (unknown and forbidden are the same).
    UnknownTarget,
    /// No tool of that name is callable by this caller.
    UnknownTool,
    /// A rule of kubeferry's policy.
    Denied,
    /// The person must sign in again, at the realm in the hint.
    SignIn,
    /// A credential could not be had from a realm.
    Credential,
    /// The cluster said no: 401 or 403.
    Refused,
    /// The object or the kind is not there.
    NotFound,
    /// The cluster answered with another error.
    Cluster,
    /// The cluster could not be reached, or not in time.
    Unreachable,
    /// Too many calls at once, or too fast.
    Overloaded,
    /// A mistake of kubeferry's own.
    Internal,
}

impl FailureKind {
    /// The word in metrics and structured answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::UnknownTarget => "unknown_target",
            Self::UnknownTool => "unknown_tool",
            Self::Denied => "denied",
            Self::SignIn => "sign_in",
            Self::Credential => "credential",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Cluster => "cluster",
            Self::Unreachable => "unreachable",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

impl Failure {
    /// A failure with its cause; add the rest with the builders.
    pub fn new(kind: FailureKind, code: &'static str, cause: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            target: None,
            doing: String::new(),
            cause: cause.into(),
            hint: None,
            retry: None,
            detail: None,
        }
    }

    /// A wrong argument.
    pub fn arguments(cause: impl Into<String>) -> Self {
        Self::new(FailureKind::Arguments, "invalid_arguments", cause)
    }

    /// A mistake of our own; `detail` goes to the log.
    pub fn internal(detail: impl Into<String>) -> Self {
        let failure = Self::new(FailureKind::Internal, "internal", "an internal error");
        Self { detail: Some(detail.into()), ..failure }
    }

    /// Says which target.
    #[must_use]
    pub fn target(mut self, address: impl Into<String>) -> Self {
        self.target = Some(address.into());
        self
    }

    /// Says what was being done, unless it is said already.
    #[must_use]
    pub fn doing(mut self, doing: impl Into<String>) -> Self {
        if self.doing.is_empty() {
            self.doing = doing.into();
        }
        self
    }

    /// Says the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }

    /// Adds detail for the log: the chain of an error.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        self.detail = Some(chain(error));
        self
    }
}

impl fmt::Display for Failure {
    /// One line: target, what was being done, why, what to do next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = &self.target {
            write!(f, "{target}: ")?;
        }
        if !self.doing.is_empty() {
            write!(f, "{}: ", self.doing)?;
        }
        f.write_str(&self.cause)?;
        match &self.hint {
            Some(hint) => write!(f, ". {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

/// An error and its sources in one line: `a: b: c`. Displays must not repeat their source.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Failure, chain};

    #[test]
    fn a_failure_is_one_line_with_its_next_step() {
        let failure = Failure::arguments("no such column").target("c1").doing("listing pods").hint("Leave it out");
        assert_eq!(failure.to_string(), "c1: listing pods: no such column. Leave it out");
        assert_eq!(chain(&failure), failure.to_string());
    }
}
