//! Logs of pods that run, at once and for a time, and of pods whose node is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

fn shop(mut question: Value) -> Value {
    question["cluster"] = "corp-1".into();
    question["namespace"] = "shop".into();
    question
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Newest lines, searched lines, and those of all pods of a workload.
pub async fn a_log_is_read_and_searched(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let newest = good(&alice, "pods_log", shop(json!({"name": "web-7d4b9c-aaaaa", "tail": 5}))).await?;
    assert_eq!(lines(&newest.text).len(), 5, "{}", newest.text);
    assert!(lines(&newest.text)[4].contains("ERROR cannot reach the database"), "the last of 200: {}", newest.text);
    let errors = good(&alice, "pods_log", shop(json!({"name": "web-7d4b9c-aaaaa", "grep": "ERROR"}))).await?;
    let found: usize = lines(&errors.text)
        .iter()
        .map(|line| line.rsplit_once("(x").and_then(|(_, times)| times.trim_end_matches(')').parse().ok()).unwrap_or(1))
        .sum();
    assert_eq!(found, 10, "{}", errors.text);
    let all = good(&alice, "pods_log", shop(json!({"name": "deployment/web", "tail": 3}))).await?;
    for pod in ["web-7d4b9c-aaaaa: ", "web-7d4b9c-bbbbb: "] {
        assert!(lines(&all.text).iter().any(|line| line.starts_with(pod)), "{}", all.text);
    }
    Ok(())
}

/// A log is followed for as long as it was asked for, and every answer says why it ended.
pub async fn a_log_is_followed_for_a_time(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let asked = Instant::now();
    let one = json!({"name": "web-7d4b9c-aaaaa", "container": "app", "follow": "2s", "tail": 3});
    let followed = good(&alice, "pods_log", shop(one)).await?;
    assert!((Duration::from_secs(2)..Duration::from_secs(15)).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    assert!(followed.text.starts_with("# followed for 2 s\n"), "{}", followed.text);
    assert!(followed.text.contains("request "), "{}", followed.text);
    let full = json!({"name": "web-7d4b9c-aaaaa", "follow": "20s", "tail": 100, "limitBytes": 512});
    let full = good(&alice, "pods_log", shop(full)).await?;
    assert!(full.text.starts_with("# followed until 512 bytes had come"), "{}", full.text);
    let several = json!({"labelSelector": "app=web", "follow": "1s", "tail": 1});
    let several = good(&alice, "pods_log", shop(several)).await?;
    for pod in ["web-7d4b9c-aaaaa", "web-7d4b9c-bbbbb"] {
        assert!(several.text.contains(&format!("# {pod}: followed for 1 s\n")), "{}", several.text);
    }
    for wrong in [json!({"name": "a", "follow": "31s"}), json!({"name": "a", "follow": "2s", "previous": true})] {
        let refused = bad(&alice, "pods_log", shop(wrong)).await?;
        assert!(refused.text.contains("follow"), "{}", refused.text);
    }
    Ok(())
}

/// A pod is there and its node is not: the answer says which of them.
pub async fn a_log_without_its_node_names_the_node(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for question in
        [json!({"name": "web-1"}), json!({"name": "deployment/web"}), json!({"name": "web-1", "follow": "5s"})]
    {
        let mut question = question;
        question["cluster"] = "corp-1".into();
        question["namespace"] = "team-a".into();
        let failed = bad(&alice, "pods_log", question.clone()).await?;
        assert!(failed.text.contains("node-1"), "{question}: {}", failed.text);
        assert!(failed.text.contains("The node is what is missing"), "{question}: {}", failed.text);
        assert_eq!(failed.structured.map(|twin| twin["code"].clone()), Some(json!("node_not_found")), "{question}");
    }
    let none = json!({"cluster": "corp-1", "namespace": "team-a", "name": "web-9"});
    let none = bad(&alice, "pods_log", none).await?;
    assert!(none.text.contains("web-9") && !none.text.contains("The node"), "{}", none.text);
    Ok(())
}
