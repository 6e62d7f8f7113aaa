//! The data folder: where it is, and what it says of the server that runs on it.

use std::path::{Path, PathBuf};

use collective_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::CliError;

/// The file that says where the server of a folder listens.
const SERVER_FILE: &str = "server.json";
/// The file with the administrator's token.
const TOKEN_FILE: &str = "token";

/// A data folder. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataFolder(PathBuf);

/// What a running server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerNote {
    /// Its address.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
    /// When it started.
    pub(crate) started_at: Timestamp,
}

impl DataFolder {
    /// The folder that was named, or the usual one (XDG Base Directory Specification).
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, CliError> {
        if let Some(path) = named {
            let absolute = std::path::absolute(path)
                .map_err(|error| CliError::file(format!("the folder {}", path.display()), error))?;
            return Ok(Self(absolute));
        }
        let variable = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let data = variable("XDG_DATA_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
            .ok_or_else(|| {
                CliError::usage(
                    "there is no home folder to keep data in",
                    "name a folder with --data, or set HOME",
                )
            })?;
        Ok(Self(data.join("collective")))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The administrator's token's file.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.0.join(TOKEN_FILE)
    }

    /// The file that says where the server listens.
    pub(crate) fn server_file(&self) -> PathBuf {
        self.0.join(SERVER_FILE)
    }

    /// What the server that runs, or ran, says of itself.
    pub(crate) fn server(&self) -> Result<Option<ServerNote>, CliError> {
        let path = self.server_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(CliError::file(
                    format!("can't read {}", path.display()),
                    error,
                ));
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            CliError::usage(
                format!("{} can't be understood: {error}", path.display()),
                "stop the server of this folder, if one runs, and remove the file",
            )
        })
    }
}

impl ServerNote {
    /// Whether its process is still there. A process of another user counts.
    pub(crate) fn process_lives(&self) -> bool {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        match pid.map(rustix::process::test_kill_process) {
            Some(Ok(()) | Err(rustix::io::Errno::PERM)) => true,
            Some(Err(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_is_told_from_one_that_lives() {
        let mut note = ServerNote {
            url: "http://127.0.0.1:1".to_owned(),
            pid: std::process::id(),
            version: "0".to_owned(),
            started_at: Timestamp::default(),
        };
        assert!(note.process_lives());
        for gone in [0, u32::MAX] {
            note.pid = gone;
            assert!(!note.process_lives(), "{gone}");
        }
    }
}
