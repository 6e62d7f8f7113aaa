//! Finds the server and the key.
//!
//! In this order: `--server` or `COLLECTIVE_URL` with `--token-file`,
//! `COLLECTIVE_TOKEN_FILE` or `COLLECTIVE_TOKEN`; else the server that runs on
//! the data folder, with the token that lies there. A key never stands in the
//! arguments, where every user of the machine could read it; and the folder's
//! own token is only ever sent to the folder's own server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use collective_client::retry::RetryLimits;
use collective_client::{Client, ClientError, ClientOptions, Token};
use collective_core::TeamName;

use crate::errors::CliError;
use crate::folder::{DataFolder, ServerNote};

/// The variable that holds a key itself. Not an argument: see above.
pub(crate) const TOKEN_VARIABLE: &str = "COLLECTIVE_TOKEN";
/// Longest key's file that is read: a key has about 80 characters.
const MAX_TOKEN_LEN: usize = 4_096;

/// Where the server is, and who calls.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServerArgs {
    /// The server's address [default: the server that runs on the data folder]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "COLLECTIVE_URL",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    /// A file with the key; COLLECTIVE_TOKEN may hold the key itself
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "COLLECTIVE_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// The team, for an administrator's key
    #[arg(
        long,
        global = true,
        value_name = "TEAM",
        env = "COLLECTIVE_TEAM",
        hide_env_values = true
    )]
    pub(crate) team: Option<TeamName>,
    /// The data folder [default: ~/.local/share/collective]
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "COLLECTIVE_DATA",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
}

/// A server as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its address.
    pub(crate) url: String,
    /// The key to call it with.
    pub(crate) token: Option<Token>,
}

impl ServerArgs {
    /// The data folder.
    pub(crate) fn folder(&self) -> Result<DataFolder, CliError> {
        DataFolder::find(self.data.as_deref())
    }

    /// The server and the key.
    pub(crate) fn find(&self) -> Result<Found, CliError> {
        let token = self.token()?;
        if let Some(url) = &self.server {
            let token = match token {
                Some(token) => Some(token),
                None => self.folder_token_for(url)?,
            };
            return Ok(Found {
                url: url.clone(),
                token,
            });
        }
        let folder = self.folder()?;
        let note = folder.server()?.ok_or_else(|| CliError::NoServer {
            folder: folder.path().to_owned(),
        })?;
        if !note.process_lives() {
            return Err(CliError::ServerGone {
                folder: folder.path().to_owned(),
                reason: format!("process {} doesn't run any more", note.pid),
            });
        }
        let token = match token {
            Some(token) => token,
            None => read_token(&folder.token_file())?,
        };
        Ok(Found {
            url: note.url,
            token: Some(token),
        })
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let found = self.find()?;
        Ok(self.client_of(&found)?)
    }

    /// A client of a server that was found.
    pub(crate) fn client_of(&self, found: &Found) -> Result<Client, ClientError> {
        Client::new(ClientOptions {
            url: found.url.clone(),
            token: found.token.clone(),
            team: self.team.clone(),
            // A person waits: no server is said soon, a busy one gets its time.
            retry: RetryLimits {
                patience: Duration::from_secs(3),
                ..RetryLimits::default()
            },
            ..ClientOptions::anonymous("")
        })
    }

    fn token(&self) -> Result<Option<Token>, CliError> {
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(Token::new(text))),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(CliError::usage(
                format!("{TOKEN_VARIABLE} is not a key"),
                "a key has letters, digits, `_` and `-` only",
            )),
        }
    }

    /// The folder's token, if `url` is the folder's own server.
    fn folder_token_for(&self, url: &str) -> Result<Option<Token>, CliError> {
        let folder = self.folder()?;
        let same = |note: &ServerNote| {
            note.url.trim_end_matches('/') == url.trim_end_matches('/') && note.process_lives()
        };
        match folder.server() {
            Ok(Some(note)) if same(&note) => read_token(&folder.token_file()).map(Some),
            _ => Ok(None),
        }
    }
}

/// Reads a key's file.
pub(crate) fn read_token(path: &std::path::Path) -> Result<Token, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::file(format!("can't read the key in {}", path.display()), error)
    })?;
    let token = Token::new(&text);
    let bad = |what: &str| {
        CliError::usage(
            format!("{} {what}", path.display()),
            "a key's file holds one line that starts with `ca_` or `ck_`",
        )
    };
    if text.len() > MAX_TOKEN_LEN {
        return Err(bad("is too long for a key"));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if token.reveal().is_empty() || !token.reveal().chars().all(fine) {
        return Err(bad("holds no key"));
    }
    Ok(token)
}
