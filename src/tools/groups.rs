//! A long list of pods as one row per workload: how many of them are how, and which of them need a look.
//!
//! A Table has no owner references, so the workload is read from the pod's name: controllers append suffixes of a known
//! shape (`apimachinery/pkg/util/rand`).

use std::collections::HashMap;

use super::anomalies::{PodColumns, Verdict};
use crate::model::{Column, Row, Table};

/// Lists with more rows come in groups.
pub(super) const ABOVE: usize = 50;
/// Pods that a group names, at most.
const NAMED: usize = 5;
/// Bytes for the names of a group.
const NAMES: usize = 200;

/// Different statuses that a group counts, at most; what has another one is counted together.
const WORDS: usize = 16;

/// Groups in the order of their first pods, and how many pods each stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) table: Table,
    pub(super) sizes: Vec<usize>,
    /// Which groups have a pod that needs a look.
    pub(super) first: Vec<bool>,
    /// How many pods need a look.
    pub(super) odd: usize,
}

#[derive(Default)]
struct Group {
    namespace: Option<String>,
    label: String,
    pods: usize,
    /// Status words with how many pods have each.
    words: Vec<(Verdict, usize)>,
    /// Pods with further status words: how many need a look, and how many do not.
    others: (usize, usize),
    /// How many pods need a look.
    odd: usize,
    /// Names of some of them, with their word.
    named: Vec<(String, String)>,
}

/// The pods of a table in groups; `None` when its columns are not those of pods.
pub(super) fn of_pods(table: &Table) -> Option<Groups> {
    let columns = PodColumns::of(table)?;
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    for row in &table.rows {
        let name = row.cells.get(columns.name).map_or("", String::as_str);
        let at = *known.entry((row.namespace.as_deref(), workload(name))).or_insert_with(|| {
            groups.push(Group { namespace: row.namespace.clone(), label: name.to_owned(), ..Group::default() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.add(name, columns.verdict(&row.cells));
        }
    }
    let first = groups.iter().map(|group| group.odd > 0).collect();
    let odd = groups.iter().map(|group| group.odd).sum();
    let columns = ["PODS", "STATUS", "NOT WELL"].map(|name| Column { name: name.into(), priority: 0 });
    let sizes = groups.iter().map(|group| group.pods).collect();
    let table = Table {
        columns: columns.to_vec(),
        rows: groups.into_iter().map(Group::row).collect(),
        continue_token: table.continue_token.clone(),
        remaining: table.remaining,
    };
    Some(Groups { table, sizes, first, odd })
}

impl Groups {
    /// Whether they save enough to take the place of rows.
    pub(super) fn are_worth_it(&self) -> bool {
        self.sizes.len() * 2 <= self.sizes.iter().sum()
    }
}

impl Group {
    fn add(&mut self, name: &str, verdict: Verdict) {
        self.pods += 1;
        if self.pods == 2 {
            self.label = format!("{}-*", workload(name));
        }
        if verdict.odd {
            self.odd += 1;
            if self.named.len() < NAMED {
                self.named.push((name.to_owned(), verdict.word.clone()));
            }
        }
        let full = self.words.len() >= WORDS;
        match self.words.iter_mut().find(|(known, _)| *known == verdict) {
            Some((_, count)) => *count += 1,
            None if !full => self.words.push((verdict, 1)),
            None if verdict.odd => self.others.0 += 1,
            None => self.others.1 += 1,
        }
    }

    fn row(mut self) -> Row {
        self.words.sort_by_key(|(verdict, _)| !verdict.odd);
        let (odd, well) = self.others;
        let one_word = self.words.iter().filter(|(verdict, _)| verdict.odd).count() == 1 && odd == 0;
        let mut words: Vec<_> = self.words.iter().map(|(verdict, count)| format!("{count} {}", verdict.word)).collect();
        words.extend((odd > 0).then(|| format!("{odd} other, not well")));
        words.extend((well > 0).then(|| format!("{well} other")));
        let status = words.join(", ");
        let mut names = String::new();
        let mut shown = 0;
        for (name, word) in &self.named {
            let text = if one_word { name.clone() } else { format!("{name} ({word})") };
            if shown > 0 && names.len() + text.len() > NAMES {
                break;
            }
            names.push_str(if shown > 0 { ", " } else { "" });
            names.push_str(&text);
            shown += 1;
        }
        if shown < self.odd {
            names.push_str(&format!(", +{} more", self.odd - shown));
        }
        Row { namespace: self.namespace, cells: vec![self.label, status, names] }
    }
}

/// The part of a pod's name that its workload gave: `web` of `web-7d4b9c6f5d-x7k2p`, `db` of `db-0`.
fn workload(name: &str) -> &str {
    let Some((owner, last)) = name.rsplit_once('-').filter(|(owner, _)| !owner.is_empty()) else { return name };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if number(last) && last.len() <= 5 {
        return owner;
    }
    if !(last.len() == 5 && is_random(last)) {
        return name;
    }
    match owner.rsplit_once('-') {
        // A ReplicaSet's hash, or the time of a CronJob.
        Some((workload, hash)) if !workload.is_empty() => {
            let mixed = hash.bytes().any(|c| c.is_ascii_digit());
            let hashed = is_random(hash) && ((8..=10).contains(&hash.len()) || (mixed && (5..8).contains(&hash.len())));
            let timed = number(hash) && (8..=10).contains(&hash.len());
            if hashed || timed { workload } else { owner }
        }
        Some(_) | None => owner,
    }
}

/// Only characters that Kubernetes uses for random names: no vowels, and no digits that look like one.
fn is_random(text: &str) -> bool {
    text.bytes().all(|c| b"bcdfghjklmnpqrstvwxz2456789".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::{of_pods, workload};
    use crate::model::{Column, Row, Table};

    fn table(pods: impl IntoIterator<Item = (String, &'static str, &'static str, &'static str)>) -> Table {
        let columns = ["Name", "Ready", "Status", "Restarts", "Age"];
        let row = |(name, ready, status, restarts): (String, &str, &str, &str)| Row {
            namespace: Some("shop".into()),
            cells: vec![name, ready.into(), status.into(), restarts.into(), "5d".into()],
        };
        Table {
            columns: columns.map(|name| Column { name: name.into(), priority: 0 }).to_vec(),
            rows: pods.into_iter().map(row).collect(),
            ..Table::default()
        }
    }

    #[test]
    fn workloads_are_read_from_names() {
        for (name, wanted) in [
            ("web-7d4b9c6f5d-x7k2p", "web"),
            ("web-frontend-6799fc88d8-bcdfg", "web-frontend"),
            ("node-exporter-x7k2p", "node-exporter"),
            ("kube-proxy-x7k2p", "kube-proxy"),
            ("db-0", "db"),
            ("db-12", "db"),
            ("backup-28391040-x7k2p", "backup"),
            ("job-x7k2p", "job"),
            ("web", "web"),
            ("web-server", "web-server"),
            ("-x7k2p", "-x7k2p"),
            ("etcd-control-plane", "etcd-control-plane"),
            ("", ""),
        ] {
            assert_eq!(workload(name), wanted, "{name}");
        }
    }

    #[test]
    fn groups_say_how_many_are_how_and_name_those_that_need_a_look() {
        let web = |at: usize| format!("web-7d4b9c6f5d-x7k{}p", ["2", "4", "5", "6", "7", "8", "9", "b", "c"][at % 9]);
        let pods = (0..40).map(|at| (web(at), "1/1", "Running", "0"));
        let sick = (0..7).map(|at| (format!("db-{at}"), "0/1", "CrashLoopBackOff", "9 (1m ago)"));
        let mixed = [
            ("api-x7k2p", "0/1", "Pending", "0"),
            ("api-x7k4p", "0/1", "Running", "0"),
            ("api-x7k5p", "1/1", "Running", "2"),
        ];
        let alone = [("bare".to_owned(), "1/1", "Running", "0")];
        let mixed = mixed.map(|(name, ready, status, restarts)| (name.to_owned(), ready, status, restarts));
        let groups = of_pods(&table(pods.chain(sick).chain(mixed).chain(alone))).unwrap();
        let rows: Vec<String> = groups.table.rows.iter().map(|row| row.cells.join("|")).collect();
        assert_eq!(
            rows,
            [
                "web-*|40 Running|",
                "db-*|7 CrashLoopBackOff|db-0, db-1, db-2, db-3, db-4, +2 more",
                "api-*|1 Pending, 1 Running not ready, 1 Running restarted|api-x7k2p (Pending), api-x7k4p (Running not ready), api-x7k5p (Running restarted)",
                "bare|1 Running|",
            ]
        );
        assert_eq!((groups.sizes.as_slice(), groups.odd), (&[40, 7, 3, 1][..], 10));
        assert_eq!(groups.first, [false, true, true, false]);
        assert_eq!(groups.table.rows[0].namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn statuses_beyond_a_few_are_counted_together() {
        let words: Vec<&'static str> = (0..500).map(|at| &*format!("Odd{at}").leak()).collect();
        let running = [("db-0".to_owned(), "1/1", "Running", "0")];
        let pods = words.iter().enumerate().map(|(at, word)| (format!("db-{}", at + 1), "0/1", *word, "0"));
        let groups = of_pods(&table(pods.chain(running))).unwrap();
        let cells = &groups.table.rows[0].cells;
        assert!(
            cells[1].starts_with("1 Odd0, ") && cells[1].ends_with("1 Odd15, 484 other, not well, 1 other"),
            "{cells:?}"
        );
        assert!(cells[2].starts_with("db-1 (Odd0), ") && cells[2].ends_with(", +495 more"), "{cells:?}");
        assert_eq!((groups.sizes, groups.odd), (vec![501], 500));
    }

    #[test]
    fn pods_that_have_nothing_in_common_are_not_worth_groups() {
        let pods = |names: &[&str]| {
            table(names.iter().map(|name| ((*name).to_owned(), "1/1", "Running", "0")).collect::<Vec<_>>())
        };
        assert!(!of_pods(&pods(&["a", "b", "c"])).unwrap().are_worth_it());
        assert!(of_pods(&pods(&["a-0", "a-1", "c-0", "c-1"])).unwrap().are_worth_it());
        assert_eq!(of_pods(&Table::default()), None);
    }
}
