//! What was asked: the record that tests read. No token is in it, only digests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many requests are kept; the oldest go first.
const KEPT: usize = 200_000;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Counts up per accepted connection, from 1.
    pub connection: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Who the credential belongs to; nobody when it was refused or never looked at.
    pub requestor: Option<String>,
    /// As whom the request was decided: the impersonated user, or the requestor.
    pub user: Option<String>,
    /// SHA-256 of the bearer value in lower-case hex, whether it was good or not.
    pub bearer: Option<String>,
    /// `Impersonate-*` headers: lower-case name and value, in the order received.
    pub impersonation: Vec<(String, String)>,
    /// True when a kcp mount forwarded it before any authentication.
    pub forwarded: bool,
    /// The status of the answer.
    pub status: u16,
}

/// The records of a simulator, oldest first.
#[derive(Default)]
pub(super) struct Log {
    records: Mutex<VecDeque<RequestRecord>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A request under way, until this is dropped.
pub(super) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Log {
    /// Counts a request from when its head was read to its answer.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    /// The most requests that were under way at a time.
    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, record: RequestRecord) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.clear();
        self.most.store(self.under_way.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
