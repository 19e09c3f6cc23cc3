//! The section of calls that cross realms.

use super::{push, spread};
use crate::bench::goals::Unit;
use crate::bench::report::Report;
use crate::bench::target::Who;

const INTRODUCTION: &str = "\n## Across realms\n\n\
Callers of one realm at clusters of three: by `exchange` where the cluster trusts the callers' own realm, by `chain` (leg 1 \
there, leg 2 at the cluster's realm) where it trusts another. Each cold call has a token that was never shown before. Where \
nothing else is said, realms are Rust servers, which answer in less than a millisecond, and clusters are simulators behind \
recording relays. The call that passes its token on goes to the same server as the one by `chain`.\n\n\
Keycloak here is a real one, with two realms and an API server that trusts each. Its times are those of kubeferry's requests, \
as `kubeferry_exchange_duration_seconds` counts them, at an otherwise idle Keycloak beside everything else on this machine.\n\n\
1,000 callers × 50 clusters are more tokens than the cache of 32 MiB holds. A second round in the \
same order shows how many of the first one are still there: as many calls as the realm was not asked again for. Clusters are \
one simulator under many names.\n\n";

const ROWS: &[(&str, &str, Unit)] = &[
    ("warm-plain-p50-us", "warm call, own token passed on, p50", Unit::Micros),
    ("warm-plant-1-p50-us", "warm call by `chain`, p50", Unit::Micros),
    ("cold-exchange-us", "cold call by `exchange`", Unit::Micros),
    ("cold-chain-us", "cold call by `chain`", Unit::Micros),
    ("five-wall-ms", "5 cold clusters at once, realms take 100 ms for each token", Unit::Millis),
    ("five-sum-ms", "the same calls one after the other", Unit::Millis),
    ("keycloak-exchange-p50-ms", "Keycloak: exchange, p50", Unit::Millis),
    ("keycloak-exchange-p95-ms", "the same, p95", Unit::Millis),
    ("keycloak-leg-1-p50-ms", "Keycloak: leg 1 of a chain, p50", Unit::Millis),
    ("keycloak-leg-1-p95-ms", "the same, p95", Unit::Millis),
    ("keycloak-leg-2-p50-ms", "Keycloak: leg 2 of a chain, p50", Unit::Millis),
    ("keycloak-leg-2-p95-ms", "the same, p95", Unit::Millis),
    ("keycloak-cold-exchange-p50-ms", "Keycloak and kube-apiserver: cold call by `exchange`, p50", Unit::Millis),
    ("keycloak-cold-exchange-p95-ms", "the same, p95", Unit::Millis),
    ("keycloak-cold-chain-p50-ms", "Keycloak and kube-apiserver: cold call by `chain`, p50", Unit::Millis),
    ("keycloak-cold-chain-p95-ms", "the same, p95", Unit::Millis),
    ("keycloak-warm-exchange-ms", "the same kube-apiservers: warm call by `exchange`, p50", Unit::Millis),
    ("keycloak-warm-chain-ms", "warm call by `chain`, p50", Unit::Millis),
    ("capacity-tokens", "1,000 callers × 50 clusters: tokens issued in the first round", Unit::Count),
    ("capacity-token-bytes", "bytes of a token", Unit::Count),
    ("capacity-grown-mb", "memory that the first round added", Unit::Mb),
    ("capacity-hit-percent", "calls of the second round that found their token", Unit::Percent),
    ("capacity-kept-mb", "weight of these in the cache", Unit::Mb),
    ("capacity-first-rate", "calls per second of the first round", Unit::PerSecond),
    ("capacity-second-rate", "calls per second of the second round", Unit::PerSecond),
];

pub(super) fn section(page: &mut String, report: &Report) {
    page.push_str(INTRODUCTION);
    page.push_str("| figure | kubeferry |\n|---|---|\n");
    for (key, title, unit) in ROWS {
        let shown = report.number(key, Who::Ferry).map_or_else(|| "–".to_owned(), |value| spread(value, *unit));
        push(page, &format!("| {title} | {shown} |"));
    }
}
