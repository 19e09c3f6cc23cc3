//! A realm: its discovery document, its keys, and its clock.

use std::time::{Duration, SystemTime};

use super::{Finding, SKEW};
use crate::model::{chain, names};
use crate::realm::{Algorithm, RawJwk, RealmConfig, RealmReader};

/// Time for the request that tells the realm's clock.
const CLOCK: Duration = Duration::from_secs(5);

pub(super) async fn check(config: &RealmConfig) -> Vec<Finding> {
    let about = format!("realm {}", config.name);
    let key = format!("realms.{}", config.name);
    let reader = match RealmReader::new(config) {
        Ok(reader) => reader,
        Err(error) => return vec![Finding::failed(&about, chain(&error), format!("correct [{key}]"))],
    };
    let keys = match reader.keys().await {
        Ok(keys) => keys,
        Err(error) => {
            let fix = format!("compare {key}.issuer with the iss of a token and with the realm's discovery document");
            return vec![Finding::failed(&about, chain(&error), fix)];
        }
    };
    let mut findings = vec![algorithms(&about, &key, &config.algorithms, &keys)];
    if config.jwks_file.is_none() {
        findings.extend(clock(&about, &reader).await);
    }
    findings
}

/// Whether each algorithm has a key that could have signed with it.
fn algorithms(about: &str, key: &str, wanted: &[Algorithm], keys: &[RawJwk]) -> Finding {
    let signs = |algorithm: &&Algorithm| keys.iter().any(|key| fits(key, **algorithm));
    let (there, missing): (Vec<&Algorithm>, Vec<&Algorithm>) = wanted.iter().partition(signs);
    let words = |algorithms: &[&Algorithm]| algorithms.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ");
    if there.is_empty() {
        let offered: Vec<String> = keys.iter().filter_map(|key| key.alg.as_deref().map(names::quote)).collect();
        let offered = if offered.is_empty() { "none that is named".to_owned() } else { offered.join(", ") };
        let said = format!("no key signs with {}; the realm's keys are for {offered}", words(&missing));
        return Finding::failed(about, said, format!("write the realm's algorithm in {key}.algorithms"));
    }
    // The usual pair is a default; one of the two is enough.
    Finding::ok(about, format!("issuer as configured, keys for {}", words(&there)))
}

fn fits(key: &RawJwk, algorithm: Algorithm) -> bool {
    let family = match algorithm {
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => ("RSA", None),
        Algorithm::Es256 => ("EC", Some("P-256")),
        Algorithm::Es384 => ("EC", Some("P-384")),
        Algorithm::EdDsa => ("OKP", Some("Ed25519")),
    };
    let named = key.alg.as_deref().is_none_or(|word| Algorithm::parse(word) == Some(algorithm));
    let curve = family.1.is_none_or(|curve| key.crv.as_deref() == Some(curve));
    key.kty == family.0 && curve && named && key.usage.as_deref().is_none_or(|usage| usage == "sig")
}

/// Compares the realm's clock, by the `Date` header of an answer, with ours.
async fn clock(about: &str, reader: &RealmReader) -> Option<Finding> {
    let (metadata, client) = (reader.metadata().await.ok()?, reader.client().ok()?);
    // Its address was checked with the discovery document.
    let answer = tokio::time::timeout(CLOCK, client.get(&metadata.jwks_uri).send()).await.ok()?.ok()?;
    let theirs = http_date(answer.headers().get(http::header::DATE)?.to_str().ok()?)?;
    let ours = SystemTime::now();
    let skew = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).ok()?;
    // The header has whole seconds.
    (skew > SKEW + Duration::from_secs(1)).then(|| {
        let said = format!("its clock and ours differ by {} s", skew.as_secs());
        Finding::failed(about, said, "set both by NTP: beyond 30 s good tokens are refused")
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    super::certificate::date(&format!("{year}{month:02}{day}{}Z", time.replace(':', "")))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Level::{Failed, Ok};
    use super::{Algorithm, RawJwk, algorithms, http_date};

    #[test]
    fn dates_of_http() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(UNIX_EPOCH + Duration::from_secs(784_111_777)));
        assert_eq!(http_date("06 Nov 1994"), None);
    }

    #[test]
    fn a_realm_needs_a_key_for_one_of_its_algorithms() {
        let key = |json: &str| serde_json::from_str::<RawJwk>(json).unwrap();
        let rsa = key(r#"{"kty": "RSA", "use": "sig", "alg": "RS256"}"#);
        let enc = key(r#"{"kty": "RSA", "use": "enc", "alg": "RSA-OAEP"}"#);
        let p256 = key(r#"{"kty": "EC", "crv": "P-256"}"#);
        let of = |wanted: &[Algorithm], keys: &[RawJwk]| algorithms("realm r", "realms.r", wanted, keys);
        let both = [Algorithm::Rs256, Algorithm::Es256];
        assert_eq!(of(&both, std::slice::from_ref(&rsa)).level, Ok);
        assert!(of(&both, &[p256]).said.ends_with("keys for ES256"));
        let wrong = of(&[Algorithm::Ps256, Algorithm::Es384], &[rsa, enc]);
        assert_eq!((wrong.level, wrong.fix.contains("realms.r.algorithms")), (Failed, true), "{wrong:?}");
        assert_eq!(of(&both, &[]).level, Failed);
    }
}
