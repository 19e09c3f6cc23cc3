//! `kubeferry realm setup`: what a realm must have for kubeferry, printed, compared or mended.

use std::io::{Read as _, Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use kubeferry::config::{self, Environment, Origin, SourceMap, load};
use kubeferry::model::{Secret, chain};
use kubeferry::output::scrub_text;
use kubeferry::setup::{
    AdminAccess, AdminLogin, Asked, Line, PROVIDERS, Part, Provider, SetupError, Side, SignIn, State, wanted,
};

use crate::{fail, print};

/// The realm could not be read or changed.
const FAILED: u8 = 3;
/// A file with a password or a token is read up to this, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// From where a client on a person's own machine registers.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

const EXAMPLES: &str = "\
The configuration says what should be there: realms, their client, links, and the clusters with audiences and scope.
Nothing is deleted; people and their links are not touched.

Examples:
  kubeferry -c kubeferry.toml realm setup --provider keycloak --home corp --target plant --print
  kubeferry -c kubeferry.toml realm setup --provider keycloak --home corp --target plant --check \\
      --admin-user admin --admin-password-file admin-password
  kubeferry -c kubeferry.toml realm setup --provider keycloak --home corp --login-client mcp-client --apply \\
      --admin-user admin --admin-password-file admin-password

Exit codes: 0 all is as it should be; 1 something differs (--check), or is left to do by hand (--apply);
2 wrong options or configuration; 3 a realm refused or did not answer.";

/// What to set up, how, and as whom.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Setup {
    /// The identity provider of the realms
    #[arg(long, value_parser = PossibleValuesParser::new(PROVIDERS.iter().map(|provider| provider.name())))]
    provider: String,
    /// The realm where people sign in, as it is named in the configuration
    #[arg(long, value_name = "REALM")]
    home: String,
    /// The realm that it is chained to, by a link of the configuration
    #[arg(long, value_name = "REALM")]
    target: Option<String>,
    /// Only this side of the pair, where each realm has administrators of its own
    #[arg(long, value_parser = ["home", "target"], requires = "target")]
    only: Option<String>,
    #[command(flatten)]
    mode: Mode,
    /// A client with which people sign in: its tokens will name us (may be repeated)
    #[arg(long, value_name = "CLIENT-ID")]
    login_client: Vec<String>,
    /// Let clients register themselves, from this machine's loopback and from --registration-host
    #[arg(long)]
    dynamic_registration: bool,
    /// A further host from which clients may register (may be repeated)
    #[arg(long, value_name = "HOST", requires = "dynamic_registration")]
    registration_host: Vec<String>,
    /// Where the target realm reads the keys of the home realm, if not at its public address
    #[arg(long, value_name = "URL", requires = "target")]
    jwks_url: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

/// What is done.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Mode {
    /// Print the steps, as commands that an administrator can run; contact nobody
    #[arg(long)]
    print: bool,
    /// Change what differs, and say each thing that was created, changed or left
    #[arg(long)]
    apply: bool,
    /// Say what differs; change nothing
    #[arg(long)]
    check: bool,
}

/// As whom.
#[derive(Debug, Args)]
struct Admin {
    /// Address of the administrators' API, if not the server of the issuer
    #[arg(long, value_name = "URL")]
    admin_url: Option<String>,
    /// Name of an administrator
    #[arg(long, value_name = "NAME", conflicts_with = "admin_token_file")]
    admin_user: Option<String>,
    /// A file with the password
    #[arg(long, value_name = "FILE", requires = "admin_user")]
    admin_password_file: Option<PathBuf>,
    /// The realm of this administrator
    #[arg(long, value_name = "REALM", default_value = "master")]
    admin_realm: String,
    /// A file with an administrator's access token
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

impl Admin {
    /// For the printed steps, which ask for the password themselves.
    fn sign_in(&self) -> Result<SignIn, SetupError> {
        if self.admin_password_file.is_some() || self.admin_token_file.is_some() {
            let reason = "--print signs nobody in: leave --admin-password-file and --admin-token-file out";
            return Err(SetupError::Usage(reason.to_owned()));
        }
        let user = self.admin_user.clone().unwrap_or_else(|| "admin".to_owned());
        Ok(SignIn { url: self.admin_url.clone(), user, realm: self.admin_realm.clone() })
    }

    fn access(&self) -> Result<AdminAccess, SetupError> {
        let login = match (&self.admin_user, &self.admin_password_file, &self.admin_token_file) {
            (Some(user), Some(file), _) => AdminLogin::Password {
                user: user.clone(),
                password: secret("administrator's password", file)?,
                realm: self.admin_realm.clone(),
            },
            (_, _, Some(file)) => AdminLogin::Token(secret("administrator's token", file)?),
            _ => {
                let reason =
                    "--check and --apply sign in: give --admin-user and --admin-password-file, or --admin-token-file";
                return Err(SetupError::Usage(reason.to_owned()));
            }
        };
        Ok(AdminAccess { url: self.admin_url.clone(), login })
    }
}

fn secret(what: &'static str, file: &Path) -> Result<Secret, SetupError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(MAX_SECRET).read_to_end(&mut bytes));
    read.map_err(|source| SetupError::File { what, file: file.to_owned(), source })?;
    kubeferry::setup::secret(what, file, bytes)
}

/// Runs it; the exit code is in the command's help.
pub async fn setup(origin: &Origin, environment: &Environment, setup: &Setup) -> ExitCode {
    let loaded = match load(origin, environment) {
        Ok(loaded) => loaded,
        Err(error) => return fail(2, &chain(&error)),
    };
    if !loaded.problems.is_empty() {
        return fail(2, config::report(&loaded.problems, &loaded.map).trim_end());
    }
    let hosts = LOOPBACK.into_iter().map(str::to_owned).chain(setup.registration_host.iter().cloned());
    let asked = Asked {
        home: setup.home.clone(),
        target: setup.target.clone(),
        login_clients: setup.login_client.clone(),
        registration_hosts: setup.dynamic_registration.then(|| hosts.collect()),
        jwks_url: setup.jwks_url.clone(),
    };
    let run = async {
        let mut sides = wanted(&loaded.config, &asked).map_err(SetupError::Problems)?;
        sides.retain(|side| match setup.only.as_deref() {
            Some("home") => matches!(side.part, Part::Home(_)),
            Some(_) => matches!(side.part, Part::Target(_)),
            None => true,
        });
        let provider = PROVIDERS.iter().find(|provider| provider.name() == setup.provider);
        let unknown = || SetupError::Usage(format!("there is no provider {}", setup.provider));
        let provider = *provider.ok_or_else(unknown)?;
        if setup.mode.print {
            if setup.admin.admin_url.is_some() {
                one_place(provider, &sides)?;
            }
            return provider.print(&sides, &setup.admin.sign_in()?).map(|text| print(&text));
        }
        sync(provider, &sides, setup).await
    };
    match run.await {
        Ok(code) => code,
        Err(error) => failed(&error, &loaded.map),
    }
}

fn failed(error: &SetupError, map: &SourceMap) -> ExitCode {
    if let SetupError::Problems(problems) = error {
        let (options, keys): (Vec<_>, Vec<_>) = problems.iter().cloned().partition(|one| one.key.starts_with("--"));
        // An option has no place in a file.
        let text = config::report(&options, &SourceMap::default()) + &config::report(&keys, map);
        return fail(2, text.trim_end());
    }
    fail(if error.is_mistake() { 2 } else { FAILED }, &scrub_text(&chain(error)))
}

async fn sync(provider: &dyn Provider, sides: &[Side], setup: &Setup) -> Result<ExitCode, SetupError> {
    let access = setup.admin.access()?;
    one_place(provider, sides)?;
    provider.prepare(sides, &access)?;
    let (mut drift, mut seen) = (0, 0);
    let apply = setup.mode.apply;
    for side in sides {
        let mut tell = |line: Line| {
            if line.state == State::Working {
                // Nothing is left to do when standard error is gone.
                drop(writeln!(stderr().lock(), "{}", shown(&line)));
                return;
            }
            seen += 1;
            drift += usize::from(line.state.is_drift());
            if apply || line.state != State::Left || !line.detail.is_empty() {
                print(&format!("{}\n", shown(&line)));
            }
        };
        provider.sync(side, &access, apply, &mut tell).await?;
    }
    let end = match (drift, apply) {
        (0, _) => format!("all {seen} things are as they should be"),
        (some, false) => format!("{some} of {seen} things differ; --apply mends them, except those marked `by hand`"),
        (some, true) => format!("{some} of {seen} things are left to do by hand"),
    };
    let printed = print(&format!("{end}\n"));
    Ok(if drift > 0 { ExitCode::from(1) } else { printed })
}

/// A password goes to one server only, and so do the steps that sign in at one.
fn one_place(provider: &dyn Provider, sides: &[Side]) -> Result<(), SetupError> {
    let places = sides.iter().map(|side| provider.place(side)).collect::<Result<Vec<_>, _>>()?;
    match places.iter().find(|place| **place != places[0]) {
        None => Ok(()),
        Some(other) => Err(SetupError::Usage(format!(
            "the realms are at {} and {other}, and an administrator's credential is for one of them: run this once with \
             --only home and once with --only target",
            places[0]
        ))),
    }
}

/// One line; texts of the realm are data.
fn shown(line: &Line) -> String {
    let detail = if line.detail.is_empty() { String::new() } else { format!(": {}", line.detail) };
    let text = format!("{:8} realm {}: {}{detail}", line.state.word(), line.realm, line.what);
    scrub_text(&text).replace(['\n', '\r'], " ")
}
