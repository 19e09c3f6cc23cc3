//! Ports for programs that must be told theirs.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

/// A TCP port on 127.0.0.1 that nothing listens on, never given twice by this process.
///
/// Ports come from below the range that Linux gives to outgoing connections (32768 and up), so no client takes one
/// before its server does, and each test process begins at another place.
///
/// # Errors
/// When every port of the range is taken.
pub fn free() -> anyhow::Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);

    let spread = u64::from(std::process::id()) * 61 % u64::from(COUNT);
    let spread = u16::try_from(spread).expect("a remainder of COUNT fits");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (spread + step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {FIRST} on");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        assert_ne!(free().unwrap(), free().unwrap());
    }
}
