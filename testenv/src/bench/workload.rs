//! What is measured, as data.

use std::time::Duration;

use serde_json::{Value, json};

use super::backend::{NAME, NAMESPACES, PODS, namespace_of, team};
use super::door::Ask;
use super::load::Work;
use super::target::Who;

/// The largest `limit` that kubeferry takes.
const LARGEST_PAGE: usize = 500;

/// How much of everything a run does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For the page.
    pub name: &'static str,
    /// How often everything is measured; servers change places from round to round.
    pub rounds: usize,
    /// Before each cell.
    pub warm_up: Duration,
    /// Each cell.
    pub measure: Duration,
    /// Namespaces of the simulator by their number of pods; the last is the one for the memory of large lists.
    pub pods: &'static [usize],
    /// Callers with a token of their own.
    pub identities: usize,
    /// Calls before memory is looked at.
    pub calls: usize,
    /// Reloads under load.
    pub reloads: usize,
    /// Clusters in the configuration, for what many of them cost.
    pub clusters: usize,
    /// Starts for the cold start.
    pub starts: usize,
    /// Calls of a phase that only counts requests.
    pub counted: usize,
    /// Clusters of one realm, each reached by token exchange for all callers.
    pub exchanged: usize,
    /// Cold calls to each cluster of the real realms.
    pub legs: usize,
    /// How many workspaces.
    pub workspaces: Workspaces,
    /// Pods on the real API server.
    pub real_pods: usize,
    /// Rounds of cells that have not begun by then are left out.
    pub deadline: Duration,
    /// Time for all single numbers together; those that are not there by then are left out.
    pub singles: Duration,
}

/// How many workspaces a run makes.
#[derive(Clone, Copy, Debug)]
pub struct Workspaces {
    /// Workspaces in each of a tree of three levels.
    pub fan: usize,
    /// Workspaces in each level of the tree that is read in pages.
    pub many: [usize; 3],
    /// Parents whose children become known, and the children of each.
    pub known: [usize; 2],
    /// Callers who know all of them, after the first one.
    pub further: usize,
    /// Cold trees in a round.
    pub cold: usize,
    /// Teams of the organisation on the real kcp, two at least, and the workspaces in each.
    pub real: [usize; 2],
}

/// What `scripts/bench` does.
pub const FULL: Plan = Plan {
    name: "full",
    rounds: 3,
    warm_up: Duration::from_millis(500),
    measure: Duration::from_secs(2),
    pods: &[10, 100, 1_000, 10_000],
    identities: 1_000,
    calls: 5_000,
    reloads: 100,
    clusters: 10_000,
    counted: 100,
    starts: 10,
    exchanged: 50,
    legs: 60,
    workspaces: Workspaces { fan: 10, many: [25, 19, 20], known: [317, 316], further: 8, cold: 2, real: [9, 10] },
    real_pods: 1_000,
    deadline: Duration::from_secs(11 * 60),
    singles: Duration::from_secs(6 * 60),
};

/// What `scripts/bench --quick` does: everything once, for a first impression.
pub const QUICK: Plan = Plan {
    name: "quick",
    rounds: 1,
    warm_up: Duration::from_millis(200),
    measure: Duration::from_millis(800),
    reloads: 20,
    starts: 3,
    ..FULL
};

/// What the tests do: only whether it works.
pub const SMOKE: Plan = Plan {
    name: "smoke",
    warm_up: Duration::from_millis(10),
    measure: Duration::from_millis(40),
    pods: &[10, 150],
    identities: 4,
    calls: 20,
    reloads: 1,
    clusters: 1_500,
    counted: 8,
    exchanged: 3,
    legs: 3,
    workspaces: Workspaces { fan: 3, many: [6, 5, 4], known: [5, 40], further: 1, cold: 1, real: [2, 2] },
    starts: 1,
    ..QUICK
};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The simulator, without a server between.
    Direct,
    /// kubeferry and, if it is there, the peer, before the simulator.
    Simulator,
    /// The same before a real kube-apiserver.
    Real,
}

/// One row of the tables.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is called in the results.
    pub key: String,
    /// What it is called on the page.
    pub title: String,
    /// Who is asked.
    pub at: At,
    /// How many callers ask, each on a connection of its own.
    pub callers: usize,
    /// How many different tokens they show.
    pub tokens: usize,
    /// What every answer must hold.
    pub marker: String,
    /// Whether the peer is asked too.
    pub peer: bool,
    question: Question,
}

#[derive(Clone, Debug)]
enum Question {
    Namespaces,
    Tools,
    Pods { namespace: Option<String>, form: Form },
}

/// How kubeferry is to show pods. The peer has one form: a row for each pod, and all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it does without being asked: one page, long ones by workload.
    Unasked,
    /// One page with a row for each pod.
    Rows,
    /// All pages with a row for each pod, as few pages as there may be: what the peer does in one answer.
    Whole,
}

impl Workload {
    /// What is sent to `who`. The peer has no pages: its one answer is the whole list.
    #[must_use]
    pub fn work(&self, who: Who) -> Work {
        let ferry = who == Who::Ferry;
        let arguments = |mut arguments: Value| {
            if ferry {
                arguments["cluster"] = NAME.into();
            }
            arguments
        };
        match &self.question {
            Question::Tools => Work::Once(Ask::ToolsList),
            Question::Namespaces if self.at == At::Direct => {
                Work::Once(Ask::Get("/api/v1/namespaces?includeObject=None&limit=100".to_owned()))
            }
            Question::Namespaces => Work::Once(Ask::Call("namespaces_list", arguments(json!({})))),
            Question::Pods { namespace, form } => {
                let (tool, mut given) = match namespace {
                    Some(namespace) => ("pods_list_in_namespace", json!({"namespace": namespace})),
                    None => ("pods_list", json!({})),
                };
                if *form != Form::Unasked && ferry {
                    given["format"] = "table".into();
                }
                if *form == Form::Whole && ferry {
                    given["limit"] = LARGEST_PAGE.into();
                }
                let ask = Ask::Call(tool, arguments(given));
                if *form == Form::Whole && ferry { Work::Walk(ask) } else { Work::Once(ask) }
            }
        }
    }

    /// How many objects the whole list has.
    #[must_use]
    pub fn objects(&self, plan: &Plan) -> Option<usize> {
        match &self.question {
            Question::Tools => None,
            Question::Namespaces => Some(NAMESPACES),
            Question::Pods { namespace: None, .. } => Some(plan.real_pods),
            Question::Pods { namespace: Some(namespace), .. } => {
                plan.pods.iter().copied().find(|size| namespace_of(*size) == *namespace)
            }
        }
    }

    /// How many rows each call must bring.
    #[must_use]
    pub fn all_rows(&self, plan: &Plan) -> Option<usize> {
        matches!(self.question, Question::Pods { form: Form::Whole, .. }).then(|| self.objects(plan)).flatten()
    }

    /// The question whose whole answer, walked to its end, must name the same objects at both servers.
    #[must_use]
    pub fn names(&self, who: Who) -> Option<Ask> {
        match (&self.question, self.work(who)) {
            (Question::Tools, _) => None,
            (Question::Namespaces | Question::Pods { .. }, Work::Once(mut ask) | Work::Walk(mut ask)) => {
                if let (Ask::Call(_, arguments), Who::Ferry) = (&mut ask, who) {
                    // Every row by its name, however the answer is usually shown.
                    arguments["columns"] = "NAME".into();
                    arguments["limit"] = LARGEST_PAGE.into();
                }
                Some(ask)
            }
        }
    }
}

/// All rows of a plan, in the order in which they are measured.
#[must_use]
pub fn all(plan: &Plan) -> Vec<Workload> {
    let many = plan.identities;
    let mut rows = Vec::new();
    for callers in [1, 8] {
        rows.push(row("direct", "GET of 20 namespaces", At::Direct, (callers, 1), Question::Namespaces));
    }
    for (callers, tokens) in [(1, 1), (1, many), (8, 1), (8, many)] {
        rows.push(row("namespaces", "`namespaces_list`, 20", At::Simulator, (callers, tokens), Question::Namespaces));
    }
    rows.push(row("tools", "`tools/list`", At::Simulator, (1, 1), Question::Tools));
    let pods = |namespace, form| Question::Pods { namespace, form };
    for size in plan.pods {
        let here = Some(namespace_of(*size));
        let title = format!("`pods_list_in_namespace` of {size}, one answer");
        rows.push(row(&format!("pods-{size}"), &title, At::Simulator, (1, 1), pods(here.clone(), Form::Unasked)));
        if *size >= 100 {
            let title = format!("{title}, a row for each");
            rows.push(row(&format!("pods-{size}-rows"), &title, At::Simulator, (1, 1), pods(here, Form::Rows)));
        }
    }
    for (callers, tokens) in [(8, 1), (8, many)] {
        rows.push(row("namespaces", "`namespaces_list`, 20", At::Real, (callers, tokens), Question::Namespaces));
    }
    let forms = [
        ("pods", "one answer", Form::Unasked),
        ("pods-rows", "one answer, a row for each", Form::Rows),
        ("whole", "all of them, a row for each", Form::Whole),
    ];
    for (key, said, form) in forms {
        rows.push(row(key, &format!("`pods_list` of {}, {said}", plan.real_pods), At::Real, (8, 1), pods(None, form)));
    }
    rows
}

/// The list for the memory of many large lists at once.
#[must_use]
pub fn large(plan: &Plan) -> Workload {
    let size = plan.pods.last().copied().unwrap_or_default();
    let question = Question::Pods { namespace: Some(namespace_of(size)), form: Form::Whole };
    row("large", &format!("4 lists of {size} pods at once, to their ends"), At::Simulator, (4, 1), question)
}

fn row(key: &str, title: &str, at: At, (callers, tokens): (usize, usize), question: Question) -> Workload {
    let place = match at {
        At::Direct => "direct",
        At::Simulator => "simulator",
        At::Real => "real",
    };
    let marker = match &question {
        Question::Namespaces => team(0),
        Question::Tools => "namespaces_list".to_owned(),
        Question::Pods { .. } => PODS.to_owned(),
    };
    let people = if tokens == 1 { "one" } else { "many" };
    let key = format!("{place}/{key}/{callers}/{people}");
    let peer = !matches!(question, Question::Pods { form: Form::Rows, .. });
    Workload { key, title: title.to_owned(), at, callers, tokens, marker, peer, question }
}
