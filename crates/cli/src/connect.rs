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
use collective_client::{Client, ClientOptions, Token};
use collective_core::TeamName;

use crate::errors::CliError;
use crate::folder::{DataFolder, ServerNote};

/// Longest key's file that is read: a key has about 80 characters.
const MAX_TOKEN_LEN: usize = 4_096;

/// Where the server is, and who calls.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServerArgs {
    /// The server's address, or COLLECTIVE_URL [default: the server on the data folder]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// A file with the key, or COLLECTIVE_TOKEN_FILE; COLLECTIVE_TOKEN may hold the key itself
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The team, for an administrator's key, or COLLECTIVE_TEAM [default: default]
    #[arg(long, global = true, value_name = "TEAM")]
    team: Option<TeamName>,
    /// The data folder, or COLLECTIVE_DATA [default: ~/.local/share/collective]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// A server as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its address.
    pub(crate) url: String,
    /// The key to call it with.
    pub(crate) token: Option<Token>,
    /// Whether it was found by the note in the data folder.
    pub(crate) by_note: bool,
}

impl ServerArgs {
    /// The data folder.
    pub(crate) fn folder(&self) -> Result<DataFolder, CliError> {
        let data = self
            .data
            .clone()
            .or_else(|| path_variable("COLLECTIVE_DATA"));
        DataFolder::find(data.as_deref())
    }

    /// The server that was named, if one was.
    pub(crate) fn named_server(&self) -> Option<String> {
        self.server.clone().or_else(|| variable("COLLECTIVE_URL"))
    }

    /// The server and the key.
    pub(crate) fn find(&self) -> Result<Found, CliError> {
        let token = self.token()?;
        if let Some(url) = self.named_server() {
            let token = match token {
                Some(token) => Some(token),
                None => self.folder_token_for(&url)?,
            };
            return Ok(Found {
                url,
                token,
                by_note: false,
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
            by_note: true,
        })
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.client_of(&self.find()?)
    }

    /// A client of a server that was found.
    pub(crate) fn client_of(&self, found: &Found) -> Result<Client, CliError> {
        Ok(Client::new(ClientOptions {
            url: found.url.clone(),
            token: found.token.clone(),
            team: self.team()?,
            // Whoever called us, an agent's task first of all, may keep a trace.
            traceparent: variable("TRACEPARENT"),
            // A person waits: no server is said soon, a busy one gets its time.
            retry: RetryLimits {
                patience: Duration::from_secs(3),
                ..RetryLimits::default()
            },
            ..ClientOptions::anonymous("")
        })?)
    }

    fn team(&self) -> Result<Option<TeamName>, CliError> {
        match (&self.team, variable("COLLECTIVE_TEAM")) {
            (Some(team), _) => Ok(Some(team.clone())),
            (None, Some(text)) => Ok(Some(TeamName::new(&text)?)),
            (None, None) => Ok(None),
        }
    }

    fn token(&self) -> Result<Option<Token>, CliError> {
        let file = self.token_file.clone();
        if let Some(path) = file.or_else(|| path_variable("COLLECTIVE_TOKEN_FILE")) {
            return read_token(&path).map(Some);
        }
        Ok(variable("COLLECTIVE_TOKEN").map(Token::new))
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

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    (!value.trim().is_empty()).then_some(value)
}

/// A variable that names a file or folder.
pub(crate) fn path_variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
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
