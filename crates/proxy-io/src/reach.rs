//! How backends are reached, as far as that is not the dialogue's concern.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// How one backend is reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The UDP ports that media is received on: an even one and the next for each track. `None`:
    /// the kernel chooses.
    pub ports: Option<RangeInclusive<u16>>,
    /// Where groups are joined. `None`: on the interface that the RTSP connection goes by.
    pub interface: Option<Interface>,
    /// Who is believed to be the backend, with `rtsps`.
    pub tls: TlsOptions,
}

/// A network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// By its name, such as `eth0`.
    Name(String),
    /// By one of its addresses.
    Address(IpAddr),
}

impl From<&str> for Interface {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Who is believed to be a backend that is reached over TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// What makes its certificate good.
    pub trust: Trust,
    /// The name that is asked for (SNI, RFC 6066 section 3) and that the certificate must have.
    /// `None`: the host in the URL. Other hosts, after a redirect, go by their own.
    pub name: Option<String>,
}

/// What makes a certificate good.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// A chain to an authority that the system trusts, the right name, the right time.
    #[default]
    System,
    /// The same with these authorities instead.
    Authorities(Authorities),
    /// It is one of these, whoever signed it and whatever its name and time.
    Pinned(Vec<Fingerprint>),
    /// Nothing: whoever answers is believed. Each such connection is a warning in the log.
    Anything,
}

/// Certificates of authorities, at least one.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

/// Why a file holds no authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// The text is no PEM.
    #[error("it is no PEM file: {0}")]
    Malformed(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// A certificate cannot be that of an authority.
    #[error("certificate {number} in it cannot be an authority's: {why}")]
    Unusable {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
}

impl Authorities {
    /// Reads the certificates of a PEM file (RFC 7468).
    ///
    /// # Errors
    /// See [`AuthoritiesError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| AuthoritiesError::Malformed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        let mut store = rustls::RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            store
                .add(certificate.clone())
                .map_err(|error| AuthoritiesError::Unusable { number, why: error.to_string() })?;
        }
        Ok(Self(certificates.into()))
    }

    pub(crate) fn store(&self) -> rustls::RootCertStore {
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(self.0.iter().cloned());
        store
    }
}

/// The SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Reads 64 hexadecimal digits, with or without colons between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (high, low) = (digits.next().flatten(), digits.next().flatten());
            let pair = high.zip(low).ok_or(NotAFingerprint)?;
            *byte = u8::try_from(pair.0 * 16 + pair.1).map_err(|_| NotAFingerprint)?;
        }
        if digits.next().is_some() { Err(NotAFingerprint) } else { Ok(Self(bytes)) }
    }
}

/// The text is not the SHA-256 of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 fingerprint has 64 hexadecimal digits")]
pub struct NotAFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them() {
        let plain = Fingerprint::of(b"").to_string();
        assert_eq!(plain, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let pairs: Vec<String> =
            plain.as_bytes().chunks(2).map(|p| String::from_utf8_lossy(p).to_uppercase()).collect();
        assert_eq!(pairs.join(":").parse(), Ok(Fingerprint::of(b"")));
        for wrong in ["", "e3b0", &plain[1..], &format!("{plain}0"), &plain.replace('e', "x")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotAFingerprint), "{wrong}");
        }
    }

    #[test]
    fn files_without_authorities_are_told_apart() {
        assert!(matches!(Authorities::from_pem(b"hello"), Err(AuthoritiesError::Empty)));
        let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Authorities::from_pem(nonsense).expect_err("no certificate");
        assert!(matches!(error, AuthoritiesError::Unusable { number: 1, .. }), "{error}");
    }

    #[test]
    fn an_interface_is_named_or_one_of_its_addresses() {
        assert_eq!(Interface::from("eth0"), Interface::Name("eth0".to_owned()));
        let address = "fe80::1".parse().expect("an address");
        assert_eq!(Interface::from("fe80::1"), Interface::Address(address));
    }
}
