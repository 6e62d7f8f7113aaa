//! Encryption of connections.

use collective_core::ports::StoreError;
use collective_tls::Trust;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{PgOptions, TlsMode};

/// What opens encrypted connections as the options say: as libpq, `prefer` and
/// `require` without a CA file take any certificate.
pub(super) fn connector(options: &PgOptions) -> Result<MakeRustlsConnect, StoreError> {
    let trust = match (&options.ca_file, options.tls) {
        (Some(file), _) => Trust::Authorities(Some(file)),
        (None, TlsMode::VerifyFull) => Trust::Authorities(None),
        (None, _) => Trust::Anyone,
    };
    let config = collective_tls::client(trust)
        .map_err(|error| StoreError::Unavailable(format!("TLS to PostgreSQL: {error}")))?;
    Ok(MakeRustlsConnect::new(config))
}
