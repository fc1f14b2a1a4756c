//! TLS towards backends: who is believed, and what is said when somebody is not.

use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, BytesMut};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;

use crate::reach::{Fingerprint, TlsOptions, Trust};

/// What is read of a connection at once, before it is decrypted.
const READ: usize = 32 * 1024;

/// The TLS of one connection to a backend.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: ClientConnection,
    verifier: Arc<Verifier>,
    name: String,
    raw: BytesMut,
}

impl Tls {
    /// Whether [`Tls::new`] has to read the system's authorities first, which is not for a thread
    /// that serves others.
    pub(crate) fn is_slow(options: &TlsOptions) -> bool {
        matches!(options.trust, Trust::System) && SYSTEM.get().is_none()
    }

    /// Prepares a connection.
    ///
    /// # Errors
    /// In words: no authorities, or a name that is none.
    pub(crate) fn new(options: &TlsOptions, host: &str) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier::new(&options.trust, &provider)?);
        let name = options.name.clone().unwrap_or_else(|| host.to_owned());
        let server = ServerName::try_from(name.clone())
            .map_err(|_| format!("{name:?} cannot be a name in a certificate; set `tls_name`"))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), server)
            .map_err(|error| format!("TLS: {error}"))?;
        Ok(Self { connection, verifier, name, raw: BytesMut::new() })
    }

    /// Shakes hands over a connection that stands. Gives the fingerprint of a certificate that
    /// was believed without being looked at.
    pub(crate) async fn handshake(&mut self, tcp: &TcpStream) -> io::Result<Option<Fingerprint>> {
        let mut plain = BytesMut::new();
        let mut outgoing = Vec::new();
        loop {
            self.take_outgoing(&mut (&mut outgoing).writer());
            while !outgoing.is_empty() {
                tcp.writable().await?;
                match tcp.try_write(&outgoing) {
                    Ok(written) => drop(outgoing.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if !self.connection.is_handshaking() {
                let seen = *self.verifier.seen.lock();
                return Ok(seen.filter(|_| matches!(self.verifier.judge, Judge::Anybody)));
            }
            tcp.readable().await?;
            match self.receive(tcp, &mut plain) {
                Ok((0, _)) => {
                    let why = "it closed the connection instead of speaking TLS";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    // The alert that tells the other side why.
                    self.take_outgoing(&mut (&mut outgoing).writer());
                    let _written = tcp.try_write(&outgoing);
                    return Err(error);
                }
            }
        }
    }

    /// Reads once and decrypts what came to the end of `plain`; says how many bytes of the
    /// connection that were, 0 at its end, and whether that was all there was.
    pub(crate) fn receive(
        &mut self,
        tcp: &TcpStream,
        plain: &mut BytesMut,
    ) -> io::Result<(usize, bool)> {
        self.raw.clear();
        self.raw.reserve(READ);
        let room = self.raw.capacity();
        let read = tcp.try_read_buf(&mut self.raw)?;
        let mut rest: &[u8] = &self.raw;
        while !rest.is_empty() {
            if self.connection.read_tls(&mut rest)? == 0 {
                break;
            }
            let state = self.connection.process_new_packets();
            let state = state.map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, self.verifier.words(&error, &self.name))
            })?;
            let ready = state.plaintext_bytes_to_read();
            if ready > 0 {
                let start = plain.len();
                plain.resize(start + ready, 0);
                let room = plain.get_mut(start..).unwrap_or_default();
                let taken = self.connection.reader().read(room)?;
                plain.truncate(start + taken);
            }
            if state.peer_has_closed() {
                return Ok((0, true));
            }
        }
        Ok((read, read < room))
    }

    /// Encrypts bytes to the end of `outgoing`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], outgoing: &mut BytesMut) {
        while !bytes.is_empty() {
            let Ok(taken) = self.connection.writer().write(bytes) else { return };
            self.take_outgoing(&mut outgoing.writer());
            match bytes.get(taken..) {
                Some(rest) if taken > 0 => bytes = rest,
                _ => return,
            }
        }
    }

    /// Says goodbye to the end of `outgoing`.
    pub(crate) fn close(&mut self, outgoing: &mut BytesMut) {
        self.connection.send_close_notify();
        self.take_outgoing(&mut outgoing.writer());
    }

    /// What TLS itself has to say, such as an answer to a change of keys.
    pub(crate) fn take_outgoing(&mut self, to: &mut impl Write) {
        // Memory takes all.
        while self.connection.wants_write() && self.connection.write_tls(to).is_ok() {}
    }
}

/// Judges certificates, and remembers the last one.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Fingerprint>>,
}

#[derive(Debug)]
enum Judge {
    Authorities(Arc<WebPkiServerVerifier>),
    Pins(Vec<Fingerprint>),
    Anybody,
}

impl Verifier {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let by = |roots: Arc<RootCertStore>| {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
                .build()
                .map(Judge::Authorities)
                .map_err(|error| error.to_string())
        };
        let judge = match trust {
            Trust::System => by(system()?)?,
            Trust::Authorities(authorities) => by(Arc::new(authorities.store()))?,
            Trust::Pinned(pins) => Judge::Pins(pins.clone()),
            Trust::Anything => Judge::Anybody,
        };
        Ok(Self { judge, provider: Arc::clone(provider), seen: Mutex::default() })
    }

    /// What is wrong, and what can be done about it.
    fn words(&self, error: &Error, name: &str) -> String {
        let Error::InvalidCertificate(wrong) = error else {
            return match error {
                Error::InvalidMessage(_) => "what answers there does not speak TLS: is it rtsp:// \
                                             instead of rtsps://, or another port?"
                    .to_owned(),
                other => format!("TLS: {other}"),
            };
        };
        let (what, advice) = match wrong {
            CertificateError::UnknownIssuer => (
                "is signed by nobody we trust".to_owned(),
                "name the file of its authority in `tls_ca`, or pin it with `tls_pin`",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (
                    format!("is not for {name}"),
                    "set `tls_name` to a name that it is for, or pin it with `tls_pin`",
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("has expired".to_owned(), "have it renewed, or pin it with `tls_pin`")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "is not valid yet".to_owned(),
                "look at the clocks of both hosts, or pin it with `tls_pin`",
            ),
            CertificateError::ApplicationVerificationFailure => (
                "is not the one in `tls_pin`".to_owned(),
                "if it was changed on purpose, change `tls_pin`",
            ),
            other => (
                format!("cannot be accepted ({})", Error::InvalidCertificate(other.clone())),
                "pin it with `tls_pin` if it is the right one",
            ),
        };
        match *self.seen.lock() {
            Some(seen) => format!("its certificate {what}: {advice}; its SHA-256 is {seen}"),
            None => format!("its certificate {what}: {advice}"),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(certificate);
        *self.seen.lock() = Some(seen);
        match &self.judge {
            Judge::Authorities(chain) => {
                chain.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            Judge::Pins(pins) if !pins.contains(&seen) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Judge::Pins(_) | Judge::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    // Whoever shows a certificate must have its key, however little is asked of it otherwise.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities that the system trusts, once they were read.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

fn system() -> Result<Arc<RootCertStore>, String> {
    let store = SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if store.is_empty() {
        return Err("this system has no authorities to verify certificates with: install \
                    ca-certificates, or use `tls_ca` or `tls_pin`"
            .to_owned());
    }
    Ok(Arc::clone(store))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::Acceptor;

    /// The name that is asked for at the beginning of a handshake.
    fn asked(host: &str, name: Option<&str>) -> Result<Option<String>, String> {
        let options = TlsOptions { trust: Trust::Anything, name: name.map(str::to_owned) };
        let mut hello = Vec::new();
        Tls::new(&options, host)?.take_outgoing(&mut hello);
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut hello.as_slice()).map_err(|error| error.to_string())?;
        let accepted = acceptor.accept().map_err(|(error, _)| error.to_string())?;
        let accepted = accepted.ok_or("half a message")?;
        Ok(accepted.client_hello().server_name().map(str::to_owned))
    }

    #[test]
    fn names_are_asked_for_and_addresses_are_not() {
        let name = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(asked("camera.example", None), name("camera.example"));
        assert_eq!(asked("10.0.0.1", Some("camera.example")), name("camera.example"));
        // RFC 6066 section 3: literal addresses are not permitted.
        assert_eq!(asked("10.0.0.1", None), Ok(None));
        assert_eq!(asked("2001:db8::1", None), Ok(None));
        assert!(asked("no name", None).is_err_and(|why| why.contains("tls_name")));
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(&Trust::Anything, &provider).expect("no files are needed");
        for (wrong, expected) in [
            (CertificateError::UnknownIssuer, "`tls_ca`"),
            (CertificateError::Expired, "renewed"),
            (CertificateError::NotValidYet, "clocks"),
            (CertificateError::NotValidForName, "is not for cam: set `tls_name`"),
            (CertificateError::ApplicationVerificationFailure, "change `tls_pin`"),
            (CertificateError::BadEncoding, "cannot be accepted"),
        ] {
            let words = verifier.words(&wrong.into(), "cam");
            assert!(words.starts_with("its certificate ") && words.contains(expected), "{words}");
        }
        *verifier.seen.lock() = Some(Fingerprint::of(b""));
        let words = verifier.words(&CertificateError::UnknownIssuer.into(), "cam");
        assert!(words.ends_with(&Fingerprint::of(b"").to_string()), "{words}");
    }
}
