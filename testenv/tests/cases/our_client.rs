//! How our own client shows who it is at a realm, and what becomes of its files.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures::future::try_join_all;
use testenv::crossing::{CLIENT, Crossing};
use testenv::realm::{Algorithm, AuthMethod, Authentication, SigningKey, TokenBuilder};
use testenv::world::RESOURCE;

use crate::lab::case::Case;
use crate::lab::crossing::Fleet;
use crate::lab::exchanges::{Exchanges, decoded};

/// The client at corp in the configuration of the fleet.
const AT_CORP: &str = "id = \"fed-proxy\"\nauth = \"client_secret_basic\"\nsecret_file = \"corp.secret\"";

/// A fleet whose client at corp is another, and is configured so.
async fn with_client<'a>(
    case: &'a Case,
    id: &str,
    auth: Authentication,
    configured: &str,
) -> anyhow::Result<Exchanges<'a>> {
    let crossing = Crossing::start().await?;
    crossing.realms.change_client("corp", CLIENT, |client| {
        id.clone_into(&mut client.id);
        client.auth = auth;
    });
    let configured = format!("id = {id:?}\n{configured}");
    let fleet = Fleet::logging(case, crossing, "trace", |text| {
        assert!(text.contains(AT_CORP), "{text}");
        text.replacen(AT_CORP, &configured, 1)
    });
    Exchanges::of(case, fleet.await?)
}

/// C16: in the header and in the form.
pub async fn c16_any_character_in_id_and_secret_arrives(case: &Case) -> anyhow::Result<()> {
    let (id, secret) = ("fed:proxy % + ü/é", "p:% + ü space&x=y%20~*\u{1f511}");
    for (word, method) in [("client_secret_basic", AuthMethod::Basic), ("client_secret_post", AuthMethod::Post)] {
        let auth = Authentication::Secret(secret.to_owned());
        let configured = format!("auth = \"{word}\"\nsecret_file = \"corp.secret\"");
        let corp = with_client(case, id, auth, &configured).await?;
        corp.replace("corp.secret", &format!("{secret}\n"))?;
        case.remember(secret);
        let token = corp.fleet.crossing.realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, id]).mint();
        corp.serves(&corp.fleet.client(&token).await?, "corp-1").await?;
        let grants = corp.fleet.crossing.realms.grants("corp");
        let [grant] = grants.as_slice() else { anyhow::bail!("{word}: one request, not {grants:?}") };
        assert_eq!((grant.status, grant.method, grant.client.as_deref()), (200, Some(method), Some(id)), "{grant:?}");
    }
    Ok(())
}

/// C17: a hundred callers at once.
pub async fn c17_each_request_has_an_assertion_of_its_own(case: &Case) -> anyhow::Result<()> {
    const CALLERS: usize = 100;
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).with_thumbprint();
        let auth = Authentication::PrivateKeyJwt(vec![key.jwk()]);
        let pem = key.private_pem();
        let file = case.write("corp-client.pem", &pem)?;
        let configured = format!(
            "auth = \"private_key_jwt\"\nkey_file = \"{}\"\n\n[limits]\ncaller_in_flight = 200",
            file.display()
        );
        let corp = with_client(case, CLIENT, auth, &configured).await?;
        pem.lines().filter(|line| line.len() == 64).for_each(|line| case.remember(line));
        let clients = try_join_all((0..CALLERS).map(async |_| corp.fleet.alice().await)).await?;
        corp.clear();
        try_join_all(clients.iter().map(|client| corp.serves(client, "corp-1"))).await?;
        let (mut ids, exchanged) = (BTreeSet::new(), corp.exchanged());
        assert_eq!(exchanged.len(), CALLERS);
        for one in &exchanged {
            let [header, claims] = decoded(&one.form["client_assertion"])?;
            assert_eq!(header["typ"], "client-authentication+jwt");
            assert_eq!(header["alg"], algorithm.name());
            assert_eq!(
                claims["aud"],
                corp.fleet.crossing.realms.issuer("corp").as_str(),
                "the issuer, and nothing beside it"
            );
            assert_eq!((&claims["iss"], &claims["sub"]), (&CLIENT.into(), &CLIENT.into()));
            let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
            assert!(life.is_some_and(|life| (1..=60).contains(&life)), "{claims}");
            assert!(!one.form.contains_key("client_secret"), "{:?}", one.form.keys());
            ids.insert(claims["jti"].to_string());
        }
        assert_eq!(ids.len(), CALLERS, "no id twice");
    }
    Ok(())
}

/// C18: as a kubelet projects a service account token, readable for all and replaced by rename.
pub async fn c18_a_projected_token_is_read_for_each_request(case: &Case) -> anyhow::Result<()> {
    let (issuer, account) = ("https://kubernetes.default.svc", "system:serviceaccount:mcp:kubeferry");
    let key = SigningKey::generate(Algorithm::Rs256);
    let keys = vec![key.jwk()];
    let auth = Authentication::Federated { issuer: issuer.to_owned(), subject: account.to_owned(), keys };
    let folder = case.folder().to_owned();
    let file = folder.join("token");
    let configured = format!("auth = \"federated_file\"\ntoken_file = \"{}\"", file.display());
    let corp = with_client(case, CLIENT, auth, &configured).await?;
    let audience = corp.fleet.crossing.realms.issuer("corp");
    let project = || {
        let token = TokenBuilder::new(issuer, key.clone(), account, 3600).audience(&audience).mint();
        case.remember(&token);
        replace(&folder, "token", &token).map(|()| token)
    };
    for time in ["first", "rotated"] {
        let token = project()?;
        corp.clear();
        corp.works("corp-1").await?;
        let sent: Vec<_> = corp.exchanged().iter().map(|one| one.form["client_assertion"].clone()).collect();
        assert!(sent == [token], "the {time} token is the one that is shown");
    }
    for (what, why) in [("empty", "the file is empty"), ("gone", "cannot be read"), ("a folder", "cannot be read")] {
        match what {
            "empty" => replace(&folder, "token", "\n")?,
            "gone" => std::fs::remove_file(&file)?,
            _ => std::fs::create_dir(&file)?,
        }
        corp.clear();
        let refused = corp.refused("corp-1", "client_credentials").await?;
        assert!(refused.text.contains("[realms.corp.client]"), "{what}: {}", refused.text);
        assert!(!refused.text.contains(&file.display().to_string()), "{what}: no path of ours: {}", refused.text);
        assert_eq!(corp.fleet.exchanges(), 0, "{what}: nothing is sent");
        let log = corp.fleet.ferry.log();
        let told = log.lines().any(|line| line.contains("projected token") && line.contains(why));
        assert!(told, "{what}: the operator reads what and why");
    }
    std::fs::remove_dir(&file)?;
    project()?;
    corp.clear();
    corp.works("corp-1").await
}

/// Replaces a file as `rename` does it, readable for all.
fn replace(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let new = folder.join(format!(".{name}.new"));
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
    Ok(std::fs::rename(&new, folder.join(name))?)
}

/// I17: of each way to show who we are, at three realms.
pub async fn i17_a_rotated_secret_counts_for_the_next_request(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let works = async |cluster: &str| {
        let client = corp.fleet.alice().await?;
        let called = corp.call(&client, cluster).await?;
        anyhow::ensure!(!called.is_error, "{cluster}: {}", called.text);
        anyhow::Ok(())
    };
    let refused = async |cluster: &str| {
        let client = corp.fleet.alice().await?;
        let called = corp.call(&client, cluster).await?;
        let code = called.structured.map(|twin| twin["code"].clone()).unwrap_or_default();
        anyhow::ensure!(called.is_error && code == "client_refused", "{cluster}: {} {code}", called.text);
        anyhow::Ok(())
    };
    let realms = &corp.fleet.crossing.realms;
    for cluster in ["corp-1", "plant-1", "lake-1"] {
        works(cluster).await?;
    }
    let new = ["a:new%secret+of/corp", "a:new&secret=of+lake"];
    new.iter().for_each(|secret| case.remember(secret));
    for (cluster, realm, secret) in [("corp-1", "corp", new[0]), ("lake-1", "lake", new[1])] {
        realms.set_secret(realm, CLIENT, secret);
        refused(cluster).await?;
        corp.replace(&format!("{realm}.secret"), secret)?;
        works(cluster).await?;
    }
    let key = SigningKey::generate(Algorithm::Es256).with_thumbprint();
    let auth = Authentication::PrivateKeyJwt(vec![key.jwk()]);
    realms.change_client("plant", CLIENT, |client| client.auth = auth);
    refused("plant-1").await?;
    corp.replace("plant-client.pem", &key.private_pem())?;
    works("plant-1").await?;
    let starts = corp.fleet.ferry.log().lines().filter(|line| line.contains("\"listening\"")).count();
    assert_eq!(starts, 1, "the same program all the time");
    Ok(())
}
