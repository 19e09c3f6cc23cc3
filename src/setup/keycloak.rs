//! Keycloak, measured with 26.7: `plan` says what a realm must have, `print` writes it as commands, `admin` speaks to the
//! admin API, `sync` compares and mends with the bodies of `body`, `jwk` reads the public half of our key.

mod admin;
mod body;
mod diff;
#[cfg(test)]
mod fake;
mod jwk;
mod plan;
mod print;
mod sync;
#[cfg(test)]
mod tests;

use futures::future::BoxFuture;

use self::plan::Thing;
use super::{AdminAccess, Part, Provider, SetupError, Side, SignIn, Tell};
use crate::model::Problem;

/// The provider.
#[derive(Debug)]
pub(super) struct Keycloak;

impl Provider for Keycloak {
    fn name(&self) -> &'static str {
        "keycloak"
    }

    fn print(&self, sides: &[Side], sign_in: &SignIn) -> Result<String, SetupError> {
        print::script(sides, sign_in)
    }

    fn prepare(&self, sides: &[Side], access: &AdminAccess) -> Result<(), SetupError> {
        let plans = plans(sides)?;
        sides.iter().try_for_each(|side| admin::Admin::new(side, access).map(drop))?;
        plans.iter().flatten().try_for_each(|thing| match thing {
            Thing::Client(client) => body::readable(client.credential.as_ref()),
            Thing::Scope(_)
            | Thing::IdentityProvider(_)
            | Thing::RealmDefault { .. }
            | Thing::LoginClient { .. }
            | Thing::Policy(_) => Ok(()),
        })
    }

    fn sync<'a>(
        &'a self,
        side: &'a Side,
        access: &'a AdminAccess,
        apply: bool,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<(), SetupError>> {
        Box::pin(async move {
            let things = plan::plan(side).map_err(SetupError::Problems)?;
            let admin = admin::Admin::new(side, access)?;
            sync::run(&admin, &side.realm.name, things, apply, tell).await
        })
    }

    fn place(&self, side: &Side) -> Result<String, SetupError> {
        Ok(place(side)?.0.to_owned())
    }
}

/// What each of `sides` must have.
///
/// # Errors
/// With every part of the configuration that Keycloak has no way for.
fn plans(sides: &[Side]) -> Result<Vec<Vec<Thing>>, SetupError> {
    let mut problems = Vec::new();
    let plans = sides.iter().filter_map(|side| plan::plan(side).map_err(|found| problems.extend(found)).ok()).collect();
    if problems.is_empty() { Ok(plans) } else { Err(SetupError::Problems(problems)) }
}

/// The server's address and the realm's name there, out of the issuer.
fn place(side: &Side) -> Result<(&str, &str), SetupError> {
    let found = side.realm.issuer.rsplit_once("/realms/");
    found.filter(|(_, realm)| !realm.is_empty() && !realm.contains('/')).ok_or_else(|| {
        let key = format!("realms.{}.issuer", side.realm.name);
        let fix =
            "a realm of Keycloak has an issuer like https://keycloak.example/realms/corp; choose another --provider";
        SetupError::Problems(vec![Problem::new(key, "is no issuer of Keycloak", fix)])
    })
}

/// How a person is linked, which nothing but a person can decide.
fn linking(side: &Side) -> Option<String> {
    let Part::Target(target) = &side.part else { return None };
    let alias = plan::alias(&target.home);
    Some(format!(
        "each person of realm {home} who shall be known here is linked once to an account of this realm: identity provider \
         {alias}, userId = the claim sub of that person's tokens of realm {home}",
        home = target.home,
    ))
}
