//! Reading small files, and PEM certificates in them.

use crate::model::Endpoint;
use std::io::{self, Read as _};
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// A configuration file, a kubeconfig, or a file that one of them names may have this many bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file of at most [`MAX_FILE`] bytes.
///
/// # Errors
/// When it cannot be read, is no regular file or is larger.
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Asked first: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(io::Error::other("larger than 1 MiB")) } else { Ok(bytes) }
}

/// Checks that `pem` holds at least one certificate and nothing broken.
///
/// # Errors
/// In words, what is wrong.
pub fn check_certificates(pem: &[u8]) -> Result<(), &'static str> {
    match certificates(pem) {
        None => Err("broken PEM"),
        Some(found) if found.is_empty() => Err("holds no PEM certificate"),
        Some(_) => Ok(()),
    }
}

/// Whether two PEM texts hold the same certificates in the same order, whatever stands around them.
pub fn same_certificates(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one == other || certificates(one).is_some_and(|read| Some(read) == certificates(other))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether two endpoints are one and the same destination: server, certificates, TLS name, and whether the certificate is
/// checked at all.
pub fn same_endpoint(one: &Endpoint, other: &Endpoint) -> bool {
    one.server == other.server
        && one.tls_server_name == other.tls_server_name
        && one.insecure == other.insecure
        && same_certificates(one.ca.as_deref(), other.ca.as_deref())
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
