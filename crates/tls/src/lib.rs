//! Whom adapters trust when they connect over TLS, decided in one place.
//!
//! This crate must never know what is spoken on the connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Who may vouch for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Those in this file of PEM certificates, or the system's if there is none.
    Authorities(Option<&'a Path>),
    /// Nobody needs to: any certificate will do. Whoever only listens learns
    /// nothing, whoever stands in between is not kept out.
    Anyone,
}

/// Why TLS can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The certificates can't be read.
    #[error("the certificates in {} can't be used: {said}", path.display())]
    Certificates {
        /// Their file.
        path: PathBuf,
        /// Why.
        said: String,
    },
    /// The library refuses.
    #[error("TLS can't be set up: {0}")]
    Broken(String),
}

/// What a client's connections are made with.
///
/// # Errors
///
/// [`TlsError::Certificates`] if the file, or the system's bundle, can't be read
/// or holds no certificate.
pub fn client(trust: Trust<'_>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Broken(error.to_string()))?;
    let builder = match trust {
        Trust::Authorities(file) => builder.with_root_certificates(roots(file)?),
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => system_bundle()?,
    };
    let unusable = |said: String| TlsError::Certificates {
        path: path.clone(),
        said,
    };
    let bytes = fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold one that this library can't use; others serve.
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn system_bundle() -> Result<PathBuf, TlsError> {
    SYSTEM_BUNDLES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(|| TlsError::Certificates {
            path: PathBuf::from(SYSTEM_BUNDLES[0]),
            said: "the system has no bundle of certificates; name a CA file".to_owned(),
        })
}

/// Takes any certificate; signatures are still checked, since without them there
/// is no connection at all.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
