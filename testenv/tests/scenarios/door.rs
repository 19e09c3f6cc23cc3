//! Who comes in, and what a client without a good token learns.

use serde_json::json;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::realm::{Algorithm, SigningKey, TokenBuilder};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names, secret_file};
use crate::lab::scene::Scene;

/// Where the metadata is, as a client sees it.
const METADATA: &str = r#"resource_metadata="https://ferry.test/.well-known/oauth-protected-resource/mcp""#;

/// Missing, foreign, expired and malformed tokens.
pub async fn a_bad_token_is_challenged_and_no_cluster_sees_it(scene: &Scene) -> anyhow::Result<()> {
    // Whoever came in before leaves nothing open.
    let alice = scene.client("corp", "alice").await?;
    good(&alice, "clusters_list", json!({})).await?;
    let realms = &scene.world.realms;
    let corp = || realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, "corp-1"]);
    let stranger = SigningKey::generate(Algorithm::Es256);
    let foreign = TokenBuilder::new("https://evil.example/realms/corp", stranger.clone(), "alice", 300);
    let good_one = corp().mint();
    let tokens = [
        ("foreign issuer", foreign.audience(RESOURCE).mint()),
        ("another realm's issuer in the claims", corp().claim("iss", realms.issuer("acme")).mint()),
        ("a stranger's key", corp().key(stranger.clone()).mint()),
        ("a stranger's key under the realm's key id", corp().signed_by(stranger, Algorithm::Es256).mint()),
        ("expired", corp().aged(7200, 3600).mint()),
        ("not yet valid", corp().aged(-3600, 7200).mint()),
        ("without end", corp().without_claim("exp").mint()),
        ("another audience", corp().audience("https://other.example/mcp").mint()),
        ("another realm's cluster as audience", corp().audience("acme-1").mint()),
        ("no audience", corp().without_claim("aud").mint()),
        ("unsigned", corp().unsigned("none").mint()),
        ("HMAC", corp().hs256(b"secret").mint()),
        ("encrypted", corp().mint_encrypted()),
        ("cut", good_one.rsplit_once('.').map_or("", |(signed, _)| signed).to_owned()),
        ("no token", "hello".to_owned()),
        ("dots", "a.b.c".to_owned()),
        ("no JSON", corp().raw_payload("{").mint()),
        ("a claim twice", corp().duplicate_claim("sub", &json!("bob")).mint()),
        ("too long", corp().padded_to(24 * 1024).mint()),
    ];
    let url = scene.ferry.url();
    let question = json!({"cluster": "corp-1"});
    let mut all: Vec<(&str, Option<&str>)> = vec![("missing", None), ("empty", Some(""))];
    all.extend(tokens.iter().map(|(what, token)| (*what, Some(token.as_str()))));
    for (what, token) in all {
        if let Some(token) = token {
            scene.remember(token);
        }
        let reply = raw::tools_call(url, token, "namespaces_list", question.clone()).await?;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text);
        let challenge = reply.header("www-authenticate");
        assert!(challenge.starts_with("Bearer ") && challenge.contains(METADATA), "{what}: {challenge:?}");
        assert!(!reply.text.contains("team-a"), "{what}: {}", reply.text);
        scene.assert_no_secret(&format!("{challenge} {}", reply.text));
    }
    let twice = [("authorization", "Bearer x")];
    for (what, headers) in [
        ("Basic", &[("authorization", "Basic YWxpY2U6eA==")][..]),
        ("another header", &[("x-authorization", "Bearer x")]),
    ] {
        let reply = raw::post(url, None, headers, String::new()).await?;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text);
    }
    let query = format!("{url}?access_token={}", scene.token("corp", "alice"));
    let reply = raw::tools_call(&query, None, "namespaces_list", question.clone()).await?;
    assert!(matches!(reply.status.as_u16(), 400 | 401), "a token in the query: {} {}", reply.status, reply.text);
    let reply = raw::post(url, Some(&scene.token("corp", "alice")), &twice, String::new()).await?;
    assert_eq!(reply.status, 400, "two credentials: {}", reply.text);
    scene.assert_untouched("bad tokens");
    let listed = good(&alice, "namespaces_list", question).await?;
    assert!(listed.text.contains("team-a"), "a good token still works: {}", listed.text);
    Ok(())
}

/// Protected resource metadata, where the challenge points and at the root.
pub async fn the_metadata_lists_both_realms(scene: &Scene) -> anyhow::Result<()> {
    let issuers = json!([scene.world.realms.issuer("corp"), scene.world.realms.issuer("acme")]);
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let reply = raw::get(&format!("{}{path}", scene.ferry.base()), &[]).await?;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        let document = reply.json()?;
        assert_eq!(document["resource"], RESOURCE, "{path}");
        assert_eq!(document["authorization_servers"], issuers, "{path}");
        assert_eq!(document["bearer_methods_supported"], json!(["header"]), "{path}");
    }
    let other = raw::get(&format!("{}/.well-known/oauth-authorization-server", scene.ferry.base()), &[]).await?;
    assert_eq!(other.status, 404, "we are no authorization server: {}", other.text);
    Ok(())
}

/// As Kubernetes components have them; a probe comes with the address of a pod.
pub async fn health_answers(scene: &Scene) -> anyhow::Result<()> {
    for path in ["/livez", "/healthz", "/readyz"] {
        for headers in [&[][..], &[("host", "10.1.2.3:8080")]] {
            let reply = raw::get(&format!("{}{path}", scene.ferry.base()), headers).await?;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "ok"), "{path} {headers:?}");
        }
    }
    let verbose = raw::get(&format!("{}/readyz?verbose", scene.ferry.base()), &[]).await?;
    assert!(verbose.text.contains("realm corp") && verbose.text.contains("realm acme"), "{}", verbose.text);
    Ok(())
}

/// A page that rebinds its name to this machine gets nothing.
pub async fn a_wrong_host_is_refused(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let url = scene.ferry.url();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    for (headers, status) in [
        (&[("host", "evil.example")][..], 403),
        (&[("host", "ferry.test.evil.example")], 403),
        (&[("host", "ferry.test")], 200),
        (&[("origin", "https://evil.example")], 403),
    ] {
        let reply = raw::post(url, Some(&token), headers, body.clone()).await?;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text);
    }
    let metadata = format!("{}/.well-known/oauth-protected-resource", scene.ferry.base());
    assert_eq!(raw::get(&metadata, &[("host", "evil.example")]).await?.status, 403, "metadata");
    Ok(())
}

/// A token that opens the door only because one cluster takes it as it is, reaches that cluster and nothing else.
pub async fn a_token_for_one_cluster_reaches_that_one_only(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.world.token_for("corp", "alice", &["corp-1"]);
    scene.remember(&token);
    let alice = Client::http(scene.ferry.url(), Some(&token), Era::Modern).await?;
    let clusters = good(&alice, "clusters_list", json!({})).await?;
    assert_eq!(names(&clusters.text), ["corp-1"], "{}", clusters.text);
    // Its audience singles the cluster out.
    let listed = good(&alice, "namespaces_list", json!({})).await?;
    assert!(names(&listed.text).contains(&"team-a".to_owned()), "{}", listed.text);
    for (forbidden, unknown) in [("dev", "dex"), ("kcp-eu:root:org", "kcp-eq:root:org")] {
        let one = bad(&alice, "namespaces_list", json!({"cluster": forbidden})).await?;
        let other = bad(&alice, "namespaces_list", json!({"cluster": unknown})).await?;
        assert_eq!(one.text.replace(forbidden, "NAME"), other.text.replace(unknown, "NAME"));
    }
    for site in [&scene.world.dev, &scene.world.acme_1, &scene.world.kcp] {
        assert_eq!(site.tap.connections(), 0, "{} was not asked", site.name);
    }
    Ok(())
}

/// A token that the door takes with its leeway of 30 s, and that has ended for clusters: the answer is a 401 where a status
/// can still change, and a result that says so where it cannot.
pub async fn a_token_that_has_ended_at_a_cluster_is_sent_back_to_its_realm(scene: &Scene) -> anyhow::Result<()> {
    let world = scene.world;
    let ended = || {
        let token = world.realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, "corp-1"]);
        let token = token.aged(3605, 3600).mint();
        scene.remember(&token);
        token
    };
    let question = json!({"cluster": "corp-1"});
    let token = ended();
    let url = scene.ferry.url();
    let reply = raw::tools_call(url, Some(&token), "clusters_list", json!({})).await?;
    assert_eq!(reply.status, 200, "what needs no cluster is answered: {}", reply.text);
    for _ in 0..2 {
        let reply = raw::tools_call(url, Some(&token), "namespaces_list", question.clone()).await?;
        assert_eq!(reply.status, 401, "{}", reply.text);
        let challenge = reply.header("www-authenticate");
        assert!(challenge.contains(METADATA) && challenge.contains("invalid_token"), "{challenge:?}");
        assert!(reply.text.contains("expired"), "it says why: {}", reply.text);
        scene.assert_no_secret(&format!("{challenge} {}", reply.text));
    }

    let text = world.config_text().replacen("[server]\n", "[server]\nlegacy_sessions = true\n", 1);
    let ferry = Ferry::start(Some(&world.config_of(&text)), &[]).await?;
    let token = ended();
    let in_a_session = Client::http(ferry.url(), Some(&token), Era::Legacy).await?;
    let folder = tempfile::tempdir()?;
    let file = secret_file(folder.path(), "token", &ended())?.display().to_string();
    let config = world.config().display().to_string();
    let args = ["stdio", "--config", &config, "--token-file", &file];
    let over_stdio = Client::stdio(&args, &[], Era::Modern).await?;
    for client in [in_a_session, over_stdio] {
        let refused = bad(&client, "namespaces_list", question.clone()).await?;
        let code = refused.structured.map(|twin| twin["code"].clone());
        assert_eq!(code, Some(json!("sign_in_again")), "{}", refused.text);
        assert!(refused.text.contains("Sign in again"), "{}", refused.text);
        good(&client, "clusters_list", json!({})).await?;
    }
    scene.assert_untouched("tokens that have ended");
    Ok(())
}

/// A process over stdio outlives its token: what is in the file counts, once it is good.
pub async fn a_new_token_in_the_file_is_used_over_stdio(scene: &Scene) -> anyhow::Result<()> {
    let world = scene.world;
    let folder = tempfile::tempdir()?;
    let replace = |token: &str| -> anyhow::Result<String> {
        scene.remember(token);
        let new = secret_file(folder.path(), "new", token)?;
        let file = folder.path().join("token");
        std::fs::rename(new, &file)?;
        Ok(file.display().to_string())
    };
    let question = json!({"cluster": "corp-1"});
    let ended = world.realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, "corp-1"]).aged(3605, 3600);
    let file = replace(&ended.mint())?;
    let config = world.config().display().to_string();
    let args = ["stdio", "--config", &config, "--token-file", &file];
    let client = Client::stdio(&args, &[], Era::Modern).await?;
    let code = async || -> anyhow::Result<_> {
        let refused = bad(&client, "namespaces_list", question.clone()).await?;
        Ok(refused.structured.map(|twin| twin["code"].clone()))
    };
    assert_eq!(code().await?, Some(json!("sign_in_again")));
    replace("not.a.token")?;
    assert_eq!(code().await?, Some(json!("sign_in_again")), "what is not accepted changes nothing");
    replace(&scene.token("corp", "alice"))?;
    good(&client, "namespaces_list", question.clone()).await?;
    replace(&scene.token("corp", "bob"))?;
    let who = good(&client, "whoami", json!({})).await?.text;
    assert!(who.contains("bob") && !who.contains("alice"), "another file is another caller: {who}");
    Ok(())
}
