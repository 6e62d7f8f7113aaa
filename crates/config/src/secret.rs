//! What must not be seen: it is used, never printed, and can come from a file.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Longest secret: a URL with a password is far shorter, a wrong file often longer.
const MAX_SECRET_LEN: u64 = 4 * 1024;
/// The permission bits that let everybody on the machine read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// A password, or a URL that may hold one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for whoever logs in with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a secret's file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It can't be read.
    #[error("the file {path} can't be read: {source}")]
    Unreadable { path: String, source: io::Error },
    /// There is nothing in it.
    #[error("the file {0} is empty")]
    Empty(String),
    /// It is longer than any secret.
    #[error("the file {0} is longer than {MAX_SECRET_LEN} bytes")]
    TooLong(String),
    /// It isn't text.
    #[error("the file {0} is not UTF-8")]
    NotText(String),
}

/// A secret out of a file.
pub(crate) struct FromFile {
    pub(crate) secret: Secret,
    /// Whether everybody on the machine can read it.
    pub(crate) readable_by_all: bool,
}

/// Reads a secret; the line break that editors leave at its end isn't part of it.
pub(crate) fn from_file(path: &Path) -> Result<FromFile, FileError> {
    let shown = || path.display().to_string();
    let unreadable = |source| FileError::Unreadable {
        path: shown(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SECRET_LEN {
        return Err(FileError::TooLong(shown()));
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText(shown()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(FileError::Empty(shown()));
    }
    Ok(FromFile {
        secret: Secret::new(text),
        readable_by_all: mode & READABLE_BY_ALL != 0,
    })
}
