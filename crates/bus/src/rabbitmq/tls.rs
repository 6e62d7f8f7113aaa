//! TLS with the broker.

use std::io;
use std::sync::Arc;

use collective_tls::{TlsError, Trust};
use tokio_rustls::TlsConnector;

use super::error::Trouble;
use super::options::TlsOptions;

/// Whether an error is one of TLS and not of the network.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// What makes a plain connection a secure one.
pub(super) fn connector(tls: &TlsOptions) -> Result<TlsConnector, Trouble> {
    let trust = if tls.verify {
        Trust::Authorities(tls.ca_file.as_deref())
    } else {
        Trust::Anyone
    };
    let config = collective_tls::client(trust).map_err(|error| match error {
        TlsError::Certificates { path, said } => Trouble::Certificates { path, said },
        TlsError::Broken(said) => Trouble::Broken { said },
    })?;
    Ok(TlsConnector::from(Arc::new(config)))
}
