//! Rows of table E that need no realm: a strategy that counts and waits as told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::{Kept, Minting};
use crate::model::{Admission, Caller, ClusterKey, KeyHasher, Principal, Reach, RealmName, Secret, SubjectToken, Way};
use crate::pool::credential::{Compiled, Credential, CredentialError, Strategy};

/// Mints when it gets a permit; counts each attempt.
#[derive(Debug)]
struct Slow {
    key: ClusterKey,
    begun: AtomicUsize,
    permits: Semaphore,
    /// What an issued credential has before it, and whether there is one.
    life: Mutex<Result<Duration, ()>>,
}

impl Strategy for Slow {
    fn explain(&self, _principal: &Principal) -> Vec<super::super::Step> {
        Vec::new()
    }

    fn credential<'a>(
        &'a self,
        caller: &'a Caller,
        _minting: &'a Minting,
    ) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(async move {
            let number = self.begun.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            match *self.life.lock().unwrap() {
                Ok(life) => {
                    let credential = Credential::bearer(self.key, &format!("{}-{number}", caller.principal().sub))?;
                    Ok(credential.until(Some(SystemTime::now() + life)))
                }
                Err(()) => Err(CredentialError::SubjectExpired),
            }
        })
    }

    fn is_minted(&self) -> bool {
        true
    }
}

fn setup(name: &str) -> (Arc<Slow>, Arc<Compiled>, Kept) {
    let key = ClusterKey::from(KeyHasher::new(name));
    let slow = Slow {
        key,
        begun: AtomicUsize::new(0),
        permits: Semaphore::new(0),
        life: Mutex::new(Ok(Duration::from_secs(300))),
    };
    let slow = Arc::new(slow);
    let strategy: Arc<dyn Strategy> = slow.clone();
    let corp = RealmName::parse("corp").unwrap();
    let reach = Reach::by([corp], &Way::Exchange, "sign in".to_owned());
    let compiled = Compiled { reach, key, strategy, name: "exchange", expect_username: None, number: 0 };
    (slow, Arc::new(compiled), Kept::new(Arc::new(Minting::default())))
}

fn caller(iss: &str, sub: &str, token: &str) -> Caller {
    let principal = Principal {
        realm: RealmName::parse("corp").unwrap(),
        iss: iss.into(),
        sub: sub.into(),
        username: sub.into(),
        groups: vec![],
        scopes: vec![],
        audiences: vec![],
        azp: None,
        expires: Some(SystemTime::now() + Duration::from_secs(300)),
        issued: None,
        token_digest: crate::model::key::digest(token.as_bytes()),
        admission: Admission::Full,
        roles: None,
        shared: false,
    };
    Caller::new(Arc::new(principal), SubjectToken::bearer(Secret::new(token)))
}

fn alice() -> Caller {
    caller("https://corp.example", "alice", "t1")
}

fn shown(credential: &Credential) -> String {
    let (_, value) = credential.headers.first().unwrap();
    value.to_str().unwrap().to_owned()
}

async fn until(count: &AtomicUsize, wanted: usize) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while count.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn e01_a_hundred_at_once_share_one_exchange() {
    let (slow, compiled, kept) = setup("c1");
    let alice = alice();
    let all = futures::future::join_all((0..100).map(|_| kept.credential(&compiled, &alice)));
    slow.permits.add_permits(100);
    let all = all.await;
    assert!(all.iter().all(|one| shown(one.as_ref().unwrap()) == "Bearer alice-0"));
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn e02_to_e05_only_equal_authority_shares() {
    let (slow, compiled, kept) = setup("c1");
    let (slow_2, compiled_2, _) = setup("c2");
    slow.permits.add_permits(100);
    slow_2.permits.add_permits(100);
    let (corp, acme) = ("https://corp.example", "https://acme.example");
    let callers = [
        caller(corp, "alice", "t1"),
        caller(acme, "alice", "t1"),
        caller(corp, "alice", "t2"),
        // The boundary of two fields moved.
        caller(corp, "alicet", "1"),
        caller("https://corp.exampl", "ealice", "t1"),
    ];
    for _ in 0..2 {
        for caller in &callers {
            kept.credential(&compiled, caller).await.unwrap();
        }
        kept.credential(&compiled_2, &callers[0]).await.unwrap();
    }
    assert_eq!(slow.begun.load(Ordering::SeqCst), callers.len(), "once for each, twice for none");
    assert_eq!(slow_2.begun.load(Ordering::SeqCst), 1, "another cluster has its own");
}

#[tokio::test]
async fn e08_a_credential_without_much_life_is_used_once() {
    let (slow, compiled, kept) = setup("c1");
    slow.permits.add_permits(100);
    *slow.life.lock().unwrap() = Ok(Duration::from_secs(15));
    for wanted in 1..4 {
        kept.credential(&compiled, &alice()).await.unwrap();
        assert_eq!(slow.begun.load(Ordering::SeqCst), wanted);
    }
}

#[tokio::test]
async fn e09_a_refused_entry_is_replaced_once_in_ten_seconds() {
    let (slow, compiled, kept) = setup("c1");
    slow.permits.add_permits(100);
    let first = kept.credential(&compiled, &alice()).await.unwrap();
    assert!(kept.rejected(&compiled, &alice(), &first).await, "a new one may be tried");
    assert!(kept.rejected(&compiled, &alice(), &first).await, "by all who were refused with it");
    let second = kept.credential(&compiled, &alice()).await.unwrap();
    assert_eq!(shown(&second), "Bearer alice-1");
    assert!(kept.rejected(&compiled, &alice(), &first).await, "who comes late takes what is there");
    assert_eq!(shown(&kept.credential(&compiled, &alice()).await.unwrap()), "Bearer alice-1");
    assert!(!kept.rejected(&compiled, &alice(), &second).await, "but it is not replaced again at once");
    assert_eq!(shown(&kept.credential(&compiled, &alice()).await.unwrap()), "Bearer alice-1");
    assert_eq!(slow.begun.load(Ordering::SeqCst), 2);
    let bob = caller("https://corp.example", "bob", "t9");
    let of_bob = kept.credential(&compiled, &bob).await.unwrap();
    assert!(kept.rejected(&compiled, &bob, &of_bob).await, "others are not held to it");
}

#[tokio::test]
async fn what_was_issued_before_a_sign_out_is_not_used_after_it_is_known() {
    let (slow, compiled, kept) = setup("c1");
    let (gone, compiled_2, _) = setup("c2");
    slow.permits.add_permits(100);
    gone.permits.add_permits(100);
    let bob = caller("https://corp.example", "bob", "t9");
    kept.credential(&compiled, &alice()).await.unwrap();
    kept.credential(&compiled, &bob).await.unwrap();
    *gone.life.lock().unwrap() = Err(());
    assert!(kept.credential(&compiled_2, &alice()).await.is_err(), "another cluster's exchange shows it");
    assert_eq!(shown(&kept.credential(&compiled, &alice()).await.unwrap()), "Bearer alice-2", "asked for anew");
    assert_eq!(shown(&kept.credential(&compiled, &bob).await.unwrap()), "Bearer bob-1", "others keep theirs");
    assert_eq!(shown(&kept.credential(&compiled, &alice()).await.unwrap()), "Bearer alice-2", "and that is kept");
}

#[tokio::test]
async fn e11_a_follower_takes_over_when_the_leader_goes_away() {
    let (slow, compiled, kept) = setup("c1");
    let kept = Arc::new(kept);
    let spawn = || {
        let (kept, compiled) = (Arc::clone(&kept), Arc::clone(&compiled));
        tokio::spawn(async move { kept.credential(&compiled, &alice()).await.map(|credential| shown(&credential)) })
    };
    let leader = spawn();
    until(&slow.begun, 1).await;
    let follower = spawn();
    tokio::task::yield_now().await;
    leader.abort();
    until(&slow.begun, 2).await;
    slow.permits.add_permits(1);
    assert_eq!(follower.await.unwrap().unwrap(), "Bearer alice-1");
}

#[tokio::test]
async fn what_was_under_way_at_a_sign_out_serves_nobody_later() {
    let (slow, compiled, kept) = setup("c1");
    let (gone, compiled_2, _) = setup("c2");
    gone.permits.add_permits(1);
    *gone.life.lock().unwrap() = Err(());
    let alice = alice();
    let mut under_way = Box::pin(kept.credential(&compiled, &alice));
    assert!(futures::poll!(&mut under_way).is_pending());
    assert!(kept.credential(&compiled_2, &alice).await.is_err());
    slow.permits.add_permits(2);
    assert_eq!(shown(&under_way.await.unwrap()), "Bearer alice-0");
    assert_eq!(shown(&kept.credential(&compiled, &alice).await.unwrap()), "Bearer alice-1");
}

#[tokio::test]
async fn e12_a_failure_is_given_to_all_who_wait_and_not_kept_longer_than_five_seconds() {
    let (slow, compiled, kept) = setup("c1");
    *slow.life.lock().unwrap() = Err(());
    let alice = alice();
    let all = futures::future::join_all((0..20).map(|_| kept.credential(&compiled, &alice)));
    slow.permits.add_permits(100);
    assert!(all.await.iter().all(Result::is_err));
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1);
    assert!(kept.credential(&compiled, &alice).await.is_err());
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1, "a moment later it is the same failure");
    *slow.life.lock().unwrap() = Ok(Duration::from_secs(300));
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    kept.credential(&compiled, &alice).await.unwrap();
}

#[tokio::test]
async fn e15_the_cache_is_bounded_by_bytes() {
    let (slow, compiled, kept) = setup("c1");
    slow.permits.add_permits(1 << 20);
    let kept = Kept { entries: super::entries(64 * 1024), ..kept };
    for number in 0..1_000 {
        kept.credential(&compiled, &caller("https://corp.example", &format!("user-{number}"), "t")).await.unwrap();
    }
    kept.entries.run_pending_tasks().await;
    assert!(kept.entries.weighted_size() <= 64 * 1024, "{}", kept.entries.weighted_size());
    assert!(kept.entries.entry_count() > 10);
}

#[tokio::test]
async fn e13_what_is_compiled_anew_finds_nothing_of_before() {
    let (slow, compiled, kept) = setup("c1");
    slow.permits.add_permits(100);
    kept.credential(&compiled, &alice()).await.unwrap();
    let Compiled { reach, key, strategy, .. } = &*compiled;
    let (reach, key, strategy) = (reach.clone(), *key, Arc::clone(strategy));
    let again = Arc::new(Compiled { reach, key, strategy, name: "exchange", expect_username: None, number: 1 });
    assert_eq!(shown(&kept.credential(&again, &alice()).await.unwrap()), "Bearer alice-1");
    assert_eq!(slow.begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn e16_a_clock_that_jumps_back_makes_no_credential_last_longer() {
    let (slow, compiled, kept) = setup("c1");
    slow.permits.add_permits(100);
    // It was issued an hour "later": by the clock of then it has 2 s beyond the margin, by that of now an hour more.
    let then = SystemTime::now() + Duration::from_secs(3600);
    let credential = Credential::bearer(slow.key, "issued-before-the-jump").unwrap();
    let entry = super::Entry::new(credential.until(Some(then + super::MARGIN + Duration::from_secs(2))), then);
    kept.entries.insert(super::key(&compiled, &alice()), Arc::new(entry)).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(kept.left(&compiled, &alice()).await, None);
    assert_eq!(shown(&kept.credential(&compiled, &alice()).await.unwrap()), "Bearer alice-0");
}

#[tokio::test]
async fn e08_a_credential_for_once_serves_those_who_wait_and_nobody_else() {
    let key = ClusterKey::from(KeyHasher::new("c1"));
    let credential = Credential::bearer(key, "t").unwrap().until(Some(SystemTime::now() + Duration::from_secs(300)));
    let entry = |once| super::Entry::new(credential.clone().once(once), SystemTime::now());
    assert!(entry(true).life.is_zero() && !entry(false).life.is_zero());
}
