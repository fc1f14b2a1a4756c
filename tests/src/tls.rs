//! Certificates of tests: `media/tls/make.sh` makes them.

use std::path::PathBuf;
use std::process::Command;

use test_camera::TlsIdentity;

/// A server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Of our authority, for localhost, camera.test and loopback's addresses.
    Camera,
    /// Of our authority, for other.test.
    Other,
    /// Its own authority, for alone.test: what cameras make for themselves.
    Alone,
}

impl Certificate {
    fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Other => "other",
            Self::Alone => "alone",
        }
    }

    /// What a camera needs to show it.
    ///
    /// # Panics
    /// If the files are not there.
    #[must_use]
    pub fn identity(self) -> TlsIdentity {
        let read = |ending: &str| {
            std::fs::read(file(&format!("{}.{ending}", self.name()))).expect("a file of the tests")
        };
        TlsIdentity { certificates: read("pem"), key: read("key") }
    }

    /// The files with the certificate and its key.
    #[must_use]
    pub fn files(self) -> [String; 2] {
        ["pem", "key"]
            .map(|ending| file(&format!("{}.{ending}", self.name())).display().to_string())
    }

    /// Its SHA-256, as openssl tells it.
    ///
    /// # Panics
    /// If there is no openssl.
    #[must_use]
    pub fn fingerprint(self) -> String {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(file(&format!("{}.pem", self.name())))
            .output()
            .expect("openssl");
        let text = String::from_utf8_lossy(&output.stdout);
        text.rsplit('=').next().unwrap_or_default().trim().to_owned()
    }
}

/// The file with our authority.
#[must_use]
pub fn authority() -> String {
    file("ca.pem").display().to_string()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/media/tls")).join(name)
}
