//! `pods_log` with `follow`: every way in which it ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::wire::World;
use crate::output::Progress;
use crate::policy::Namespaces;

const PODS: &str = "/api/v1/namespaces/shop/pods";

async fn world() -> World {
    let log = |pod: &str| format!("{PODS}/{pod}/log");
    let state = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let done =
        json!({"metadata": {"name": "done"}, "status": {"containerStatuses": [{"name": "app", "state": state}]}});
    let forbidden = json!({"kind": "Status", "message": "pods \"no\" is forbidden"}).to_string();
    let text = "boot\nGET / 200\nGET / 200\nerror eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLWhlcmU\n";
    let answers = [
        (log("open"), 200, format!("{text}token eyJhbGciOiJSUzI1NiJ9.eyJz")),
        (log("done"), 200, format!("{text}the last")),
        (log("cut"), 200, text.to_owned()),
        (log("long"), 200, "0123456789abcde\n".repeat(100)),
        (log("no"), 403, forbidden),
        (format!("{PODS}/done"), 200, done.to_string()),
    ];
    let answers: Vec<(&str, u16, String)> =
        answers.iter().map(|(path, status, body)| (path.as_str(), *status, body.clone())).collect();
    World::new(&answers, Namespaces::default()).await
}

async fn follow(world: &World, pod: &str, more: Value) -> Result<String, String> {
    let mut args = json!({"name": pod, "namespace": "shop", "follow": "1s"});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.call("pods_log", args).await.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn a_log_is_followed_to_its_end_or_for_its_time() {
    let world = world().await;
    let started = Instant::now();
    let open = follow(&world, "open", json!({})).await.unwrap();
    assert_eq!(open, "# followed for 1 s\nboot\nGET / 200 (x2)\nerror <masked token>", "no part of a line");
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&started.elapsed()));
    let grep = follow(&world, "open", json!({"grep": "zzz"})).await.unwrap();
    assert_eq!(grep, "# followed for 1 s\nno line of pod open matches");
    assert_eq!(world.asked("tailLines=10&limitBytes=8192&follow=true"), 1);

    let started = Instant::now();
    let done = follow(&world, "done", json!({"follow": "20s", "tail": 3})).await.unwrap();
    assert!(done.starts_with("# the stream ended: container exited with 1 (Error)\n"), "{done}");
    assert!(done.ends_with("\nthe last"), "{done}");
    let cut = follow(&world, "cut", json!({"follow": "20s"})).await.unwrap();
    assert!(cut.starts_with("# the stream was cut by the API server: ") && cut.contains("\nboot\n"), "{cut}");
    let full = follow(&world, "long", json!({"follow": "20s", "limitBytes": 256})).await.unwrap();
    assert!(full.starts_with("# followed until 256 bytes had come: limitBytes allows more\n"), "{full}");
    assert!(full.ends_with("0123456789abcde (x16)"), "{full}");
    let refused = follow(&world, "no", json!({"follow": "20s"})).await.unwrap_err();
    assert!(refused.contains("is forbidden") && refused.contains("get on pods/log in namespace shop"), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(10), "none of these waits");
}

#[tokio::test]
async fn streams_have_places_of_their_own() {
    let world = world().await;
    let short = futures::future::join_all((0..20).map(|_| follow(&world, "open", json!({})))).await;
    assert!(short.iter().all(Result::is_ok), "they wait a moment for a place: {short:?}");
    let long = json!({"follow": "5s"});
    let many = futures::future::join_all((0..20).map(|_| follow(&world, "open", long.clone()))).await;
    let (followed, refused): (Vec<_>, Vec<_>) = many.into_iter().partition(Result::is_ok);
    assert_eq!((followed.len(), refused.len()), (16, 4));
    assert!(refused[0].as_ref().unwrap_err().contains("too many"), "{refused:?}");
    assert!(follow(&world, "open", json!({})).await.is_ok(), "they are given back");
}

#[tokio::test]
async fn one_call_follows_four_pods_and_reads_the_others_once() {
    let pods: Vec<Value> = (0..6).map(|at| json!({"metadata": {"name": format!("web-{at}")}})).collect();
    let log = |at: usize| format!("{PODS}/web-{at}/log");
    let mut answers = vec![(PODS.to_owned(), 200, json!({"kind": "PodList", "items": pods}).to_string())];
    answers.extend((0..6).map(|at| (log(at), 200, format!("line of {at}\n"))));
    let answers: Vec<(&str, u16, String)> =
        answers.iter().map(|(path, status, body)| (path.as_str(), *status, body.clone())).collect();
    let world = World::new(&answers, Namespaces::default()).await;
    let args = json!({"labelSelector": "app=web", "namespace": "shop", "follow": "1s"});
    let text = world.call("pods_log", args).await.unwrap();
    assert!(text.starts_with("# 4 of 6 pods are followed, the others were read once\n"), "{text}");
    assert!((0..6).all(|at| text.contains(&format!("web-{at}: line of {at}"))), "{text}");
    assert_eq!((world.asked("follow=true"), world.asked("/log?")), (4, 6));
    assert_eq!(text.matches(": followed for 1 s").count(), 4, "{text}");
}

#[tokio::test]
async fn a_log_that_is_followed_says_how_much_has_come() {
    let world = world().await;
    let (progress, mut steps) = Progress::heard();
    let args = json!({"name": "open", "namespace": "shop", "follow": "1s"});
    let (followed, step) = tokio::join!(world.call_heard("pods_log", args, progress), steps.next());
    assert!(followed.is_ok(), "{followed:?}");
    assert_eq!((step.done, step.total, step.message.as_str()), (4, None, "4 lines so far"));
}
