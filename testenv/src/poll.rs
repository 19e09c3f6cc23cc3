//! Waiting with a reason: a test never sleeps and hopes, it polls and says what it was waiting for.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls `f` every 50 ms until it answers `Ok` and returns that value.
///
/// `f` answers `Err(why)` while the thing is not there yet. A call that hangs is cut off at the deadline too.
///
/// # Errors
/// After `deadline`, naming `what` was awaited and the last reason.
pub async fn until<T, F, Fut>(what: &str, deadline: Duration, mut f: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + deadline;
    let mut last = None;
    loop {
        match timeout_at(end, f()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = Some(reason),
            Err(_) => {
                let reason = last.as_deref().unwrap_or("the first look did not finish");
                bail!("gave up on {what} after {deadline:?}: {reason}");
            }
        }
        let next = Instant::now() + PAUSE;
        if next >= end {
            bail!("gave up on {what} after {deadline:?}: {}", last.unwrap_or_default());
        }
        sleep_until(next).await;
    }
}

/// For the lab's own servers: a fault that is slow on purpose, or a listener that cannot accept now. Tests await a
/// condition with [`until`] instead.
#[expect(clippy::disallowed_methods, reason = "the one place where the lab sleeps")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_first_success() {
        let mut looks = 0;
        let value = until("three looks", Duration::from_secs(10), || {
            looks += 1;
            let seen = looks;
            async move { if seen == 3 { Ok(seen) } else { Err(format!("only {seen}")) } }
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }

    #[tokio::test]
    async fn names_what_was_awaited_and_the_last_reason() {
        let error =
            until::<(), _, _>("the moon", Duration::from_millis(120), || async { Err("still dark".to_owned()) })
                .await
                .unwrap_err()
                .to_string();
        assert!(error.contains("the moon") && error.contains("still dark"), "{error}");
    }

    #[tokio::test]
    async fn cuts_off_a_look_that_hangs() {
        let error = until::<(), _, _>("a reply", Duration::from_millis(60), std::future::pending)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("a reply") && error.contains("did not finish"), "{error}");
    }
}
