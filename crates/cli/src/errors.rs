//! Everything that ends a command early, what to do about it, and the exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | a task that was run or waited for is dead, cancelled or discarded |
//! | 2 | usage or bad input |
//! | 3 | not found |
//! | 4 | refused by a rule, or a conflict |
//! | 5 | not allowed |
//! | 6 | no server, or not able now |
//! | 7 | the time to wait was over before it ended |
//! | 70 | a bug of ours |
//! | 130 | interrupted |
//!
//! The codes of refusals come from core's table ([`Code::exit_code`]).

use std::path::PathBuf;

use collective_api::Problem;
use collective_client::ClientError;
use collective_config::Mistakes;
use collective_core::{Code, Rejection};
use collective_runner::preset::PresetError;
use collective_runner::worker::WorkerError;
use collective_stack::StackError;
use collective_team::Problems;

use crate::host::StartError;

/// A task that was run or waited for didn't succeed.
pub(crate) const NOT_SUCCEEDED: u8 = 1;
/// The time to wait was over.
pub(crate) const NOT_ENDED: u8 = 7;
/// Interrupted: 128 and the number of SIGINT, as shells count.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A rule refused it before anything was sent.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// No server runs on the data folder.
    #[error("no server runs on {}", folder.display())]
    NoServer {
        /// The folder.
        folder: PathBuf,
    },
    /// A server ran on the data folder and is gone.
    #[error("the server on {} is gone: {reason}", folder.display())]
    ServerGone {
        /// The folder.
        folder: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The embedded server didn't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A team file has mistakes.
    #[error(transparent)]
    Team(#[from] Problems),
    /// The settings of a server have mistakes.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The user's own presets have mistakes.
    #[error("{}", lines(.0))]
    Presets(Vec<PresetError>),
    /// An agent can't work.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A file can't be read or written.
    #[error("{what}: {}", system(source))]
    File {
        /// What was to be done, on what.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The arguments don't go together, or a value can't be read.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do next.
        hint: String,
    },
    /// It was carried out, and the outcome is not what was hoped for.
    #[error("{what}")]
    Outcome {
        /// What the outcome is.
        what: String,
        /// What to do next.
        hint: Option<String>,
        /// The exit code.
        exit: u8,
    },
    /// A person didn't want to wait for an orderly end.
    #[error("{what}")]
    CutShort {
        /// What was left undone.
        what: &'static str,
        /// What to do next.
        hint: Option<&'static str>,
        /// The exit code.
        exit: u8,
    },
    /// Whoever read the output went away.
    #[error("nobody reads the output any more")]
    ReaderGone,
    /// Standard output can't be written to.
    #[error("the output can't be written: {0}")]
    Write(std::io::Error),
    /// Something that can't happen did.
    #[error("{0}")]
    Bug(String),
}

impl CliError {
    /// A value or a combination of arguments that isn't allowed.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        CliError::Usage {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// A file that can't be read or written.
    pub(crate) fn file(what: impl Into<String>, source: std::io::Error) -> Self {
        CliError::File {
            what: what.into(),
            source,
        }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::Client(error) => error.exit_code(),
            CliError::Refused(rejection) => rejection.code().exit_code(),
            CliError::NoServer { .. } | CliError::ServerGone { .. } => {
                Code::Unavailable.exit_code()
            }
            CliError::Start(error) => error.code().exit_code(),
            CliError::Team(_) | CliError::Config(_) | CliError::Presets(_) => {
                Code::InvalidField.exit_code()
            }
            CliError::Worker(WorkerError::Refused { error, .. }) => error.exit_code(),
            CliError::File { .. } | CliError::Usage { .. } => Code::InvalidField.exit_code(),
            CliError::Outcome { exit, .. } | CliError::CutShort { exit, .. } => *exit,
            CliError::ReaderGone => 0,
            CliError::Write(_) => Code::Unavailable.exit_code(),
            CliError::Bug(_) => Code::Internal.exit_code(),
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            CliError::Client(ClientError::Unreachable { sent: false, .. }) => Some(
                "check the address, or start a server on this machine with `collective up`"
                    .to_owned(),
            ),
            CliError::Client(error) if error.is(Code::Unauthenticated) => Some(
                error
                    .hint()
                    .unwrap_or("name a key's file with --token-file, or set COLLECTIVE_TOKEN")
                    .to_owned(),
            ),
            CliError::Client(error) => error.hint().map(str::to_owned),
            CliError::Refused(rejection) => rejection.hint_text().map(str::to_owned),
            CliError::NoServer { .. } | CliError::ServerGone { .. } => {
                Some("start one with `collective up`, or name one with --server URL".to_owned())
            }
            CliError::Start(error) => error.hint(),
            CliError::Worker(WorkerError::Refused { error, .. }) => error.hint().map(str::to_owned),
            CliError::Presets(_) => {
                Some("mend your own presets, or move them out of their folder".to_owned())
            }
            CliError::Usage { hint, .. } => Some(hint.clone()),
            CliError::Outcome { hint, .. } => hint.clone(),
            CliError::CutShort { hint, .. } => hint.map(str::to_owned),
            CliError::Bug(_) => Some("this is a bug: please report it".to_owned()),
            // Each mistake of a file has its own.
            CliError::Team(_)
            | CliError::Config(_)
            | CliError::File { .. }
            | CliError::ReaderGone
            | CliError::Write(_) => None,
        }
    }

    /// The same as the API's JSON.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            CliError::Client(ClientError::Refused { problem, .. }) => return (**problem).clone(),
            CliError::Client(error) => match error {
                ClientError::Timeout { .. } => Code::Timeout,
                ClientError::Unreachable { .. } => Code::Unavailable,
                ClientError::Protocol { .. } | ClientError::Refused { .. } => Code::Internal,
                ClientError::InvalidOptions { .. } | ClientError::Unsendable { .. } => {
                    Code::InvalidField
                }
            },
            CliError::Refused(rejection) => rejection.code(),
            CliError::NoServer { .. } | CliError::ServerGone { .. } | CliError::Write(_) => {
                Code::Unavailable
            }
            CliError::Start(error) => error.code(),
            CliError::Team(_) | CliError::Config(_) | CliError::Presets(_) => Code::InvalidField,
            CliError::Worker(WorkerError::Refused { error, .. }) => {
                error.code().unwrap_or(Code::Unavailable)
            }
            CliError::File { .. } | CliError::Usage { .. } => Code::InvalidField,
            CliError::Outcome { .. } | CliError::CutShort { .. } => Code::WrongState,
            CliError::ReaderGone | CliError::Bug(_) => Code::Internal,
        };
        let mut rejection = Rejection::new(code, self.to_string());
        if let Some(hint) = self.hint() {
            rejection = rejection.hint(hint);
        }
        Problem::from(&rejection)
    }
}

fn lines(errors: &[PresetError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What the system says, without its number: the sentence is what helps.
fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

impl From<std::io::Error> for CliError {
    /// For writing to standard output only; files are named.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            CliError::ReaderGone
        } else {
            CliError::Write(error)
        }
    }
}

impl From<StackError> for CliError {
    fn from(error: StackError) -> Self {
        if matches!(error, StackError::Interrupted) {
            return CliError::Outcome {
                what: error.to_string(),
                hint: None,
                exit: INTERRUPTED,
            };
        }
        let rejection = Rejection::new(error.code(), error.to_string());
        CliError::Refused(match error.hint() {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        })
    }
}

impl From<serde_json::Error> for CliError {
    /// For values of ours; what people write is told with its place.
    fn from(error: serde_json::Error) -> Self {
        CliError::Bug(format!("a value can't be written as JSON: {error}"))
    }
}
