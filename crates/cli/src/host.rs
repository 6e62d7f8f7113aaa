//! A server in this process, on a data folder.
//!
//! The folder's lock sees to it that there is one server per folder; the note
//! `server.json` says where it listens, and `token` lets its user in.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use collective_client::{Client, ClientError, ClientOptions, Token};
use collective_core::ports::{Entropy, StoreError};
use collective_core::{Code, Rejection};
use collective_server::{Server, ServerError, ServerOptions};
use collective_service::access::hash_secret;
use collective_service::keys::new_secret;
use collective_service::{Hub, reaper, relay};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connect::read_token;
use crate::engine::{Engine, Running};
use crate::errors::CliError;
use crate::folder::{DataFolder, ServerNote};
use crate::when;
use crate::world::SystemEntropy;

/// What an administrator's token starts with, so that one that leaks is recognised.
const TOKEN_PREFIX: &str = "ca_";

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostOptions {
    /// Where it listens, and its bounds.
    pub(crate) server: ServerOptions,
    /// What it stands on.
    pub(crate) engine: Engine,
}

/// Why a server didn't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The data folder can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database that servers share can't be used.
    #[error(transparent)]
    Database(StoreError),
    /// A setting can't be used.
    #[error("{0}")]
    Setting(String),
    /// It can't listen.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What was committed before can't be taken up again.
    #[error("the data can't be taken up again: {0}")]
    Recover(Rejection),
    /// The token or the note can't be written or read.
    #[error(transparent)]
    Folder(#[from] Box<CliError>),
}

impl StartError {
    /// The code that decides the exit code.
    pub(crate) fn code(&self) -> Code {
        match self {
            StartError::Store(StoreError::InUse { .. }) => Code::WrongState,
            StartError::Store(error) | StartError::Database(error) => {
                Rejection::from(error.clone()).code()
            }
            StartError::Setting(_) => Code::InvalidField,
            StartError::Server(_) | StartError::Folder(_) => Code::Unavailable,
            StartError::Recover(rejection) => rejection.code(),
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            StartError::Store(StoreError::InUse { .. }) => {
                "one server per folder: use the one that runs, or name another folder with --data"
            }
            StartError::Store(StoreError::SchemaTooNew { .. }) => {
                "use the binary that wrote the folder, or a newer one"
            }
            StartError::Store(StoreError::Full) => "free some space, then start again",
            StartError::Store(StoreError::Corrupt(_)) => {
                "put a sound copy of the folder in its place, or name another folder with --data"
            }
            StartError::Store(_) => "see that the folder is yours and can be written to",
            StartError::Database(StoreError::SchemaTooNew { .. }) => {
                "use the binary that migrated the database, or a newer one"
            }
            StartError::Database(_) => {
                "see that PostgreSQL runs, and what the settings say: collective config show"
            }
            StartError::Setting(_) => "mend the setting, then start again",
            StartError::Server(ServerError::Listen { source, .. }) => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "something listens there already: choose another port with --listen, 0 for any"
                }
                _ => "choose an address of this machine with --listen",
            },
            StartError::Recover(rejection) => return rejection.hint_text().map(str::to_owned),
            StartError::Folder(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}

/// A server that runs in this process.
pub(crate) struct Host {
    note: ServerNote,
    token: Token,
    folder: DataFolder,
    engine: Running,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    reaping: JoinHandle<()>,
    relaying: JoinHandle<()>,
}

impl Host {
    /// Starts a server on the folder. It answers when this returns.
    pub(crate) async fn start(
        folder: DataFolder,
        options: HostOptions,
    ) -> Result<Self, StartError> {
        // From here on the lock is held, so that nobody else writes token or note.
        let engine = options.engine.start(folder.path()).await?;
        let token = own_token(&folder.token_file()).map_err(Box::new)?;
        let hub = Hub::new(engine.ports.clone(), Some(hash_secret(token.reveal())));
        hub.recover().await.map_err(StartError::Recover)?;
        let server = Server::bind(options.server, hub.clone()).await?;
        let note = ServerNote {
            url: format!("http://{}", reachable(server.local_addr())),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: when::now(),
        };
        write_note(&folder.server_file(), &note).map_err(Box::new)?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone().cancelled_owned()));
        let reaping = tokio::spawn(reaper::run(hub.clone(), stop.clone().cancelled_owned()));
        let relaying = tokio::spawn(relay::run(hub, stop.clone().cancelled_owned()));
        Ok(Self {
            note,
            token,
            folder,
            engine,
            stop,
            serving,
            reaping,
            relaying,
        })
    }

    /// What it says of itself.
    pub(crate) fn note(&self) -> &ServerNote {
        &self.note
    }

    /// A client with the administrator's token.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        Client::new(ClientOptions::new(&self.note.url, self.token.clone()))
    }

    /// Stops: answers what is in flight, closes the store, takes the note away.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for (what, ended) in [
            ("server", self.serving.await),
            ("reaper", self.reaping.await),
            ("relay", self.relaying.await),
        ] {
            if let Err(error) = ended {
                tracing::error!(%error, what, "a part of the server ended badly");
            }
        }
        // While the lock is still held, the note can't be another server's.
        if let Err(error) = std::fs::remove_file(self.folder.server_file()) {
            tracing::warn!(%error, "the note of where the server listens stays behind");
        }
        self.engine.close().await;
    }
}

/// The administrator's token of the folder; made if there is none.
fn own_token(path: &Path) -> Result<Token, CliError> {
    if path.exists() {
        return read_token(path);
    }
    let entropy = SystemEntropy;
    let text = format!(
        "{TOKEN_PREFIX}{}",
        new_secret([entropy.secret(), entropy.secret()])
    );
    write_private(path, format!("{text}\n").as_bytes())?;
    Ok(Token::new(text))
}

fn write_note(path: &Path, note: &ServerNote) -> Result<(), CliError> {
    let text = serde_json::to_vec_pretty(note)?;
    write_private(path, &text)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(|error| CliError::file(format!("can't write {}", path.display()), error))
}

/// The address as one that can be called: "any address" is no place to go to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = own_token(&path).unwrap();
        assert!(made.reveal().starts_with("ca_") && made.reveal().len() == 46);
        assert_eq!(own_token(&path).unwrap(), made);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_address_that_means_any_is_called_on_loopback() {
        for (listened, called) in [
            ("0.0.0.0:7420", "127.0.0.1:7420"),
            ("[::]:7420", "[::1]:7420"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(listened.parse().unwrap()).to_string(), called);
        }
    }

    #[tokio::test]
    async fn one_folder_has_one_server_and_is_free_again_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::find(Some(folder.path())).unwrap();
        let first = Host::start(data.clone(), HostOptions::default())
            .await
            .unwrap();
        let Err(refused) = Host::start(data.clone(), HostOptions::default()).await else {
            panic!("two servers share a folder");
        };
        assert!(
            matches!(refused, StartError::Store(StoreError::InUse { .. })),
            "{refused:?}"
        );
        assert_eq!(data.server().unwrap().as_ref(), Some(first.note()));
        first.client().unwrap().status().await.unwrap();
        first.stop().await;
        assert_eq!(data.server().unwrap(), None);
        let second = Host::start(data, HostOptions::default()).await.unwrap();
        second.stop().await;
    }
}
