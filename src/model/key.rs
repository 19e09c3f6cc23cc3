//! Keys of caches and guards: SHA-256 over length-prefixed fields, so that no two lists of fields collide.

use std::fmt;

use sha2::{Digest, Sha256};

/// Digest of everything that decides where and how a credential goes to one cluster: name, server, CA, TLS name,
/// realm and client, strategy, link, audiences, scopes, templates, digest of a gateway credential.
///
/// Two inventory entries with the same key are the same destination; a change of any part is another destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// The raw digest, for use inside other keys.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<KeyHasher> for ClusterKey {
    fn from(hasher: KeyHasher) -> Self {
        Self(hasher.finish())
    }
}

impl fmt::Display for ClusterKey {
    /// The first six bytes in hex: enough to tell two keys apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({self})")
    }
}

/// Hashes a list of fields, each with its tag and its length, so that moving a byte from one field to the next gives
/// another digest.
#[derive(Clone)]
pub struct KeyHasher(Sha256);

impl KeyHasher {
    /// Starts a key of one kind; keys of different kinds never collide.
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).field("kind", kind)
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, tag: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [tag.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds a list: its length, then each item.
    #[must_use]
    pub fn list<I>(self, tag: &str, items: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let items: Vec<_> = items.into_iter().collect();
        let counted = self.field(tag, (items.len() as u64).to_be_bytes());
        items.into_iter().fold(counted, |hasher, item| hasher.field(tag, item))
    }

    /// Adds a field that may be absent; absent differs from empty.
    #[must_use]
    pub fn optional(self, tag: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.field(tag, [1]).field(tag, value),
            None => self.field(tag, [0]),
        }
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::KeyHasher;

    fn key(fields: &[Vec<u8>]) -> [u8; 32] {
        KeyHasher::new("test").list("field", fields).finish()
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_key() {
        let ab_c = KeyHasher::new("t").field("x", "ab").field("x", "c").finish();
        let a_bc = KeyHasher::new("t").field("x", "a").field("x", "bc").finish();
        assert_ne!(ab_c, a_bc);
        let absent = KeyHasher::new("t").optional("x", None::<&str>).finish();
        let empty = KeyHasher::new("t").optional("x", Some("")).finish();
        assert_ne!(absent, empty);
    }

    proptest! {
        #[test]
        fn keys_are_equal_only_for_equal_fields(a in any::<Vec<Vec<u8>>>(), b in any::<Vec<Vec<u8>>>()) {
            assert_eq!(key(&a) == key(&b), a == b);
        }
    }
}
