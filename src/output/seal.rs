//! Sealed texts: what kubeferry hands to a caller to get it back unread and unchanged (continue handles, plans).
//!
//! AES-256-GCM with a random 96-bit nonce. The associated data binds a text to its purpose, caller, tool, target and
//! arguments, so that it opens for the same question of the same person only. Replicas that share keys need no memory.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::model::key::KeyHasher;
use crate::model::{Failure, Principal};

use super::page::{Form, Page};

/// How long a continue handle opens. API servers keep a list's snapshot for 5 to 15 minutes.
pub const HANDLE_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Longest continue handle, in bytes of base64url.
pub const MAX_HANDLE: usize = 512;

const CONTINUE: &str = "kubeferry continue v1";

/// The keys that seal and open.
pub struct Seal {
    keys: Vec<LessSafeKey>,
}

/// Why a text was not sealed or opened. It does not say which part was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key opens it here: another key, purpose, caller or question, or not one of our texts.
    #[error("not a text that was sealed for this")]
    Unknown,
    /// The system's random generator or the cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

/// What a sealed text belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// Whose text it is, by (`iss`, `sub`).
    pub principal: &'a Principal,
    /// The tool.
    pub tool: &'a str,
    /// The target as resolved; empty without one.
    pub target: &'a str,
    /// The call's arguments, without the sealed text itself.
    pub arguments: &'a Map<String, Value>,
}

impl Seal {
    /// A ring of keys: the first seals, all of them open. An empty ring becomes a random one.
    ///
    /// # Errors
    /// When the system gives no random bytes or the cipher refuses a key.
    pub fn new(keys: Vec<[u8; 32]>) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Self::random();
        }
        let key = |bytes: [u8; 32]| UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new);
        let keys = keys.into_iter().map(key).collect::<Result<_, _>>().map_err(|_| SealError::Cipher)?;
        Ok(Self { keys })
    }

    /// A ring of one random key: what it sealed opens until the process ends.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, SealError> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| SealError::Cipher)?;
        Self::new(vec![key])
    }

    /// Seals `plaintext` for `label` and `bound`: base64url without padding.
    ///
    /// # Errors
    /// When the system gives no random bytes or the cipher fails.
    pub fn seal(&self, label: &str, bound: &Bound<'_>, plaintext: &[u8]) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::Cipher)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Cipher)?;
        let mut body = plaintext.to_vec();
        let aad = Aad::from(bound.digest(label));
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .map_err(|_| SealError::Cipher)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &body].concat()))
    }

    /// Opens a text that [`Seal::seal`] made for the same label and binding.
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open(&self, label: &str, bound: &Bound<'_>, text: &str) -> Result<Vec<u8>, SealError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Unknown)?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Unknown)?;
        let digest = bound.digest(label);
        let opened = self.keys.iter().find_map(|key| {
            let mut body = body.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            key.open_in_place(nonce, Aad::from(digest), &mut body).ok().map(|plain| plain.to_vec())
        });
        opened.ok_or(SealError::Unknown)
    }

    /// A continue handle: where the next page starts. `None` when it would be longer than [`MAX_HANDLE`] (or the cipher
    /// failed): then the list cannot be continued and must be narrowed.
    pub fn continue_handle(&self, bound: &Bound<'_>, next: &Page, now: SystemTime) -> Option<String> {
        let expires = (now + HANDLE_LIFETIME).duration_since(UNIX_EPOCH).ok()?.as_secs();
        let plain = pack(expires, next)?;
        self.seal(CONTINUE, bound, &plain).ok().filter(|handle| handle.len() <= MAX_HANDLE)
    }

    /// Opens a continue handle of the same caller and the same question; the page keeps `limit`.
    ///
    /// # Errors
    /// One answer for a handle of another caller or question and for a damaged one, another for an expired one.
    pub fn open_continue(&self, bound: &Bound<'_>, handle: &str, limit: u32, now: SystemTime) -> Result<Page, Failure> {
        let foreign = || {
            Failure::arguments("this continue handle is not for this call")
                .hint("Repeat the call that gave it, with the same arguments and continue, or leave continue out to start again")
        };
        if handle.len() > MAX_HANDLE {
            return Err(foreign());
        }
        let plain = self.open(CONTINUE, bound, handle).map_err(|_| foreign())?;
        let (expires, page) = unpack(&plain, limit).ok_or_else(foreign)?;
        if now.duration_since(UNIX_EPOCH).is_ok_and(|now| now.as_secs() < expires) {
            Ok(page)
        } else {
            Err(Failure::arguments("this continue handle has expired").hint("Leave continue out to start again"))
        }
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({} keys)", self.keys.len())
    }
}

impl Bound<'_> {
    fn digest(&self, label: &str) -> [u8; 32] {
        // serde_json's maps are sorted, so equal arguments give equal bytes.
        let arguments = serde_json::to_vec(self.arguments).unwrap_or_default();
        KeyHasher::new(label)
            .field("iss", &self.principal.iss)
            .field("sub", &self.principal.sub)
            .field("tool", self.tool)
            .field("target", self.target)
            .field("arguments", arguments)
            .finish()
    }
}

/// Expiry, offset, rows before, form, whether the token was base64url, token. API servers' tokens are base64url of JSON;
/// without that layer a quarter fits more.
fn pack(expires: u64, page: &Page) -> Option<Vec<u8>> {
    let mut plain = expires.to_be_bytes().to_vec();
    plain.extend(u32::try_from(page.offset).ok()?.to_be_bytes());
    plain.extend(page.before.to_be_bytes());
    plain.push(match page.form {
        Form::Fresh => 0,
        Form::Rows => 1,
        Form::Groups => 2,
    });
    let token = page.token.as_deref();
    let raw = token.and_then(|token| URL_SAFE_NO_PAD.decode(token).ok());
    let (packed, bytes) = match (token, raw) {
        (None, _) => (0, Vec::new()),
        (Some(_), Some(raw)) => (1, raw),
        (Some(token), None) => (2, token.as_bytes().to_vec()),
    };
    plain.push(packed);
    plain.extend(bytes);
    Some(plain)
}

fn unpack(plain: &[u8], limit: u32) -> Option<(u64, Page)> {
    let (expires, rest) = plain.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (before, rest) = rest.split_first_chunk()?;
    let (form, rest) = rest.split_first()?;
    let form = match form {
        0 => Form::Fresh,
        1 => Form::Rows,
        2 => Form::Groups,
        _ => return None,
    };
    let (packed, token) = rest.split_first()?;
    let token = match packed {
        0 => None,
        1 => Some(URL_SAFE_NO_PAD.encode(token)),
        _ => Some(String::from_utf8(token.to_vec()).ok()?),
    };
    let offset = usize::try_from(u32::from_be_bytes(*offset)).ok()?;
    Some((u64::from_be_bytes(*expires), Page { limit, token, offset, before: u64::from_be_bytes(*before), form }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use serde_json::{Map, Value, json};

    use super::{Bound, HANDLE_LIFETIME, MAX_HANDLE, Seal, SealError, URL_SAFE_NO_PAD};
    use crate::model::{Admission, Principal, RealmName};
    use crate::output::{Form, Page};
    use base64::Engine as _;

    fn principal(iss: &str, sub: &str) -> Principal {
        Principal {
            realm: RealmName::parse("corp").unwrap(),
            iss: iss.into(),
            sub: sub.into(),
            username: "alice".into(),
            groups: vec![],
            scopes: vec![],
            audiences: vec![],
            azp: None,
            issued: None,
            expires: None,
            token_digest: [0; 32],
            admission: Admission::Full,
            roles: None,
            shared: false,
        }
    }

    fn arguments(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_handle_opens_for_the_same_question_of_the_same_person_only() {
        let seal = Seal::random().unwrap();
        let now = SystemTime::now();
        let alice = principal("https://a", "1");
        let args = arguments(&json!({"kind": "Pod", "namespace": "a"}));
        let bound = Bound { principal: &alice, tool: "resources_list", target: "c1", arguments: &args };
        let page = Page { limit: 50, token: Some("abc+/=".into()), offset: 7, before: 500, form: Form::Groups };
        let handle = seal.continue_handle(&bound, &page, now).unwrap();
        assert_eq!(seal.open_continue(&bound, &handle, 50, now).unwrap(), page);
        assert!(!handle.contains("abc"));

        let others = [principal("https://b", "1"), principal("https://a", "2"), principal("https://a1", "")];
        let other_args = arguments(&json!({"kind": "Pod", "namespace": "b"}));
        let mut foreign: Vec<Bound<'_>> = others.iter().map(|principal| Bound { principal, ..bound }).collect();
        foreign.push(Bound { tool: "namespaces_list", ..bound });
        foreign.push(Bound { target: "c2", ..bound });
        foreign.push(Bound { arguments: &other_args, ..bound });
        for bound in foreign {
            let failure = seal.open_continue(&bound, &handle, 50, now).unwrap_err();
            assert!(failure.cause.contains("not for this call"), "{bound:?}");
        }
        let late = seal.open_continue(&bound, &handle, 50, now + HANDLE_LIFETIME + Duration::from_secs(1)).unwrap_err();
        assert!(late.cause.contains("expired"));
        assert_eq!(seal.open("another purpose", &bound, &handle), Err(SealError::Unknown));
        assert!(Seal::random().unwrap().open_continue(&bound, &handle, 50, now).is_err());
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let alice = principal("i", "s");
        let args = Map::new();
        let bound = Bound { principal: &alice, tool: "t", target: "", arguments: &args };
        let (old, new) = ([1; 32], [2; 32]);
        let before = Seal::new(vec![old]).unwrap().seal("l", &bound, b"x").unwrap();
        let ring = Seal::new(vec![new, old]).unwrap();
        assert_eq!(ring.open("l", &bound, &before).unwrap(), b"x");
        let after = ring.seal("l", &bound, b"x").unwrap();
        assert!(Seal::new(vec![old]).unwrap().open("l", &bound, &after).is_err());
        assert_ne!(after, ring.seal("l", &bound, b"x").unwrap(), "every nonce is new");
        assert_eq!(format!("{ring:?}"), "Seal(2 keys)");
    }

    #[test]
    fn a_token_that_is_too_long_gives_no_handle() {
        let seal = Seal::random().unwrap();
        let alice = principal("i", "s");
        let args = Map::new();
        let bound = Bound { principal: &alice, tool: "t", target: "", arguments: &args };
        let page = |length: usize| Page { token: Some("A".repeat(length)), ..Page::first(1) };
        assert!(
            seal.continue_handle(&bound, &page(440), SystemTime::now())
                .is_some_and(|handle| handle.len() <= MAX_HANDLE)
        );
        assert_eq!(seal.continue_handle(&bound, &page(600), SystemTime::now()), None);
    }

    proptest! {
        #[test]
        fn handles_round_trip_and_no_changed_one_opens(token: Option<String>, offset: u32, before: u64, at: usize, flip in 1_u8..) {
            let seal = Seal::random().unwrap();
            let alice = principal("i", "s");
            let args = Map::new();
            let bound = Bound { principal: &alice, tool: "t", target: "", arguments: &args };
            let form = [Form::Fresh, Form::Rows, Form::Groups][offset as usize % 3];
            let page = Page { limit: 9, token, offset: offset as usize, before, form };
            let now = SystemTime::now();
            if let Some(handle) = seal.continue_handle(&bound, &page, now) {
                prop_assert!(handle.len() <= MAX_HANDLE);
                prop_assert_eq!(seal.open_continue(&bound, &handle, 9, now).unwrap(), page);
                let mut bytes = URL_SAFE_NO_PAD.decode(&handle).unwrap();
                let at = at % bytes.len();
                bytes[at] ^= flip;
                prop_assert!(seal.open_continue(&bound, &URL_SAFE_NO_PAD.encode(bytes), 9, now).is_err());
            }
        }

        #[test]
        fn foreign_texts_do_not_open(text in any::<String>()) {
            let alice = principal("i", "s");
            let args = Map::new();
            let bound = Bound { principal: &alice, tool: "t", target: "", arguments: &args };
            prop_assert!(Seal::random().unwrap().open_continue(&bound, &text, 9, SystemTime::now()).is_err());
        }
    }
}
