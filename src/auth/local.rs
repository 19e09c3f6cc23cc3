//! The caller of local mode: the person at this machine, or whoever stands behind an accepted unauthenticated listener.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use super::{AuthError, Outcome, bearer_token};
use crate::model::key::digest;
use crate::model::{Admission, Caller, Principal, RealmName, Secret, SubjectToken};

/// The issuer of the local principal.
const ISSUER: &str = "kubeferry:local";

/// What is accepted without a realm.
#[derive(Debug, Clone)]
pub enum LocalMode {
    /// Nothing.
    Off,
    /// HTTP on loopback with the local token.
    Token {
        /// The token in the state folder.
        token: Secret,
    },
    /// HTTP from these addresses without any token: the principal is shared.
    Unauthenticated {
        /// Peers of the socket that are accepted; nobody else is.
        allow: Vec<IpRange>,
        /// Whether writes were accepted too; policy reads it.
        writes: bool,
    },
    /// No HTTP: stdio and the CLI.
    Stdio,
}

/// A range of IP addresses in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    base: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address. `None` for anything else, bits behind the prefix included.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|c| c.is_ascii_digit()) => {
                prefix.parse().ok().filter(|prefix| *prefix <= most)?
            }
            Some(_) => return None,
            None => most,
        };
        let range = Self { base, prefix };
        (number(base) & !range.mask() == 0).then_some(range)
    }

    /// Whether `address` is in the range; an IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && (number(address) ^ number(self.base)) & self.mask() == 0
    }

    /// The prefix as bits at the top of 128.
    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }
}

/// The address at the top of 128 bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl LocalMode {
    /// The scheme over HTTP.
    pub(super) fn check(&self, header: Option<&HeaderValue>, peer: Option<IpAddr>) -> Outcome {
        match self {
            Self::Off | Self::Stdio => Outcome::NotRequested,
            Self::Token { token } => match bearer_token(header) {
                // Digests of equal length are compared, so that the time tells neither the length nor a prefix.
                Ok(given)
                    if bool::from(digest(given.expose().as_bytes()).ct_eq(&digest(token.expose().as_bytes()))) =>
                {
                    Outcome::Authenticated(person())
                }
                Ok(_) => {
                    Outcome::Failed(AuthError::invalid("this is not the local token; kubeferry prints it at start"))
                }
                Err(error) => Outcome::Failed(error),
            },
            Self::Unauthenticated { allow, .. } => {
                if peer.is_some_and(|peer| allow.iter().any(|range| range.contains(peer))) {
                    Outcome::Authenticated(anyone())
                } else {
                    Outcome::Failed(AuthError::ClientNotAllowed)
                }
            }
        }
    }

    /// The caller of stdio and the CLI. A local token or an address guards HTTP only.
    pub(super) fn caller(&self) -> Option<Caller> {
        match self {
            Self::Off => None,
            Self::Token { .. } | Self::Unauthenticated { .. } | Self::Stdio => Some(person()),
        }
    }
}

/// The person at this machine.
fn person() -> Caller {
    caller("local", false)
}

/// Several people, of whom we know nothing.
fn anyone() -> Caller {
    caller("unauthenticated", true)
}

fn caller(sub: &str, shared: bool) -> Caller {
    let principal = Principal {
        realm: RealmName::local(),
        iss: ISSUER.to_owned(),
        sub: sub.to_owned(),
        username: sub.to_owned(),
        groups: Vec::new(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        azp: None,
        issued: None,
        expires: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared,
    };
    Caller::new(Arc::new(principal), SubjectToken::none())
}

#[cfg(test)]
mod tests {
    use super::IpRange;

    #[test]
    fn ranges_contain_what_they_say() {
        let inside = |range: &str, address: &str| IpRange::parse(range).unwrap().contains(address.parse().unwrap());
        assert!(
            inside("10.0.0.0/8", "10.255.0.1")
                && inside("10.0.0.0/8", "::ffff:10.1.1.1")
                && inside("127.0.0.1", "127.0.0.1")
        );
        assert!(inside("0.0.0.0/0", "8.8.8.8") && inside("fd00::/8", "fd12::1") && inside("::/0", "2606::1"));
        assert!(
            !inside("10.0.0.0/8", "11.0.0.1") && !inside("127.0.0.1", "127.0.0.2") && !inside("0.0.0.0/0", "fd00::1")
        );
        assert!(!inside("::/0", "10.0.0.1") && !inside("fd00::/8", "fe80::1"));
        for bad in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/", "x", "::1/0", "fd00::/129"]
        {
            assert!(IpRange::parse(bad).is_none(), "{bad}");
        }
    }
}
