//! TLS with the broker: whose certificates are trusted, and the check that may
//! be switched off.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::error::Trouble;
use super::options::TlsOptions;

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whether an error is one of TLS and not of the network.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// What makes a plain connection a secure one.
pub(super) fn connector(tls: &TlsOptions) -> Result<TlsConnector, Trouble> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |error: rustls::Error| Trouble::Broken {
        said: error.to_string(),
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let config = if tls.verify {
        config.with_root_certificates(roots(tls)?)
    } else {
        config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// The certificates that are trusted.
fn roots(tls: &TlsOptions) -> Result<RootCertStore, Trouble> {
    let path = match &tls.ca_file {
        Some(path) => path.clone(),
        None => system_bundle()?,
    };
    let unreadable = |said: String| Trouble::Certificates {
        path: path.clone(),
        said,
    };
    let bytes = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold one that this library can't use; others serve.
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(unreadable("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn system_bundle() -> Result<PathBuf, Trouble> {
    SYSTEM_BUNDLES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(|| Trouble::Certificates {
            path: PathBuf::from(SYSTEM_BUNDLES[0]),
            said: "the system has no bundle of certificates; name a CA file".to_owned(),
        })
}

/// Takes any certificate, as whoever switched the check off wanted; signatures
/// are still checked, since without them there is no connection at all.
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
