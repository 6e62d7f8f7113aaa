//! Everything that ends a command early, and what to do about it.

use std::io;
use std::path::PathBuf;

use collective_core::Code;

/// Why a command ended early. No message repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No folder above holds the compose files.
    #[error("no compose files at or above {}", from.display())]
    NoProject {
        /// Where the search began.
        from: PathBuf,
    },
    /// A program isn't installed, or can't be started.
    #[error("can't start {program}: {source}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// Neither form of Compose is there.
    #[error("Docker Compose is not installed")]
    NoCompose,
    /// A command failed.
    #[error("`{call}` failed ({ending}){}", told(said))]
    Failed {
        /// The command, as it can be typed.
        call: String,
        /// Its exit code or signal.
        ending: String,
        /// The end of what it said.
        said: String,
    },
    /// A command took too long and was ended.
    #[error("`{call}` didn't end within {seconds} s{}", told(said))]
    TimedOut {
        /// The command, as it can be typed.
        call: String,
        /// Its limit.
        seconds: u64,
        /// The end of what it said.
        said: String,
    },
    /// A command said something that can't be read.
    #[error("can't read what `{call}` says: {what}")]
    Garbled {
        /// The command.
        call: String,
        /// What is wrong.
        what: String,
    },
    /// What a command gives can't be kept, or what it gets can't be read.
    #[error("`{call}`: the stream broke: {source}")]
    Stream {
        /// The command.
        call: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file can't be read or written.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of variables is there already.
    #[error("{} is there already; it is never overwritten", path.display())]
    EnvExists {
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong with what was asked for.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do next.
        hint: String,
    },
    /// The state of the stack doesn't allow it.
    #[error("{what}")]
    WrongState {
        /// What stands in the way.
        what: String,
        /// What to do next.
        hint: String,
    },
    /// A person changed their mind.
    #[error("interrupted")]
    Interrupted,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(String),
}

impl StackError {
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn wrong_state(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::WrongState {
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            what,
            path: path.into(),
            source,
        }
    }

    /// What kind of refusal it is.
    pub fn code(&self) -> Code {
        match self {
            Self::NoProject { .. } => Code::NotFound,
            Self::EnvExists { .. } => Code::AlreadyExists,
            Self::WrongState { .. } => Code::WrongState,
            Self::Usage { .. } | Self::File { .. } => Code::InvalidField,
            Self::TimedOut { .. } => Code::Timeout,
            Self::NotStarted { .. }
            | Self::NoCompose
            | Self::Failed { .. }
            | Self::Garbled { .. }
            | Self::Interrupted
            | Self::Stream { .. }
            | Self::NoRandomness(_) => Code::Unavailable,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProject { .. } => {
                Some("go into the folder of the project, or name it with --dir".to_owned())
            }
            Self::NotStarted { program, .. } if program == "docker" => {
                Some("install Docker 20.10 or newer, and put `docker` on the PATH".to_owned())
            }
            Self::NoCompose => Some(
                "install the Compose plugin (`docker compose`), or docker-compose 1.29".to_owned(),
            ),
            Self::EnvExists { .. } => Some(
                "look at it with `collective stack check`; to begin anew, move it away first"
                    .to_owned(),
            ),
            Self::Usage { hint, .. } | Self::WrongState { hint, .. } => Some(hint.clone()),
            Self::Failed { said, .. } => known_cause(said).map(str::to_owned),
            _ => None,
        }
    }
}

/// What helps, where the engine's own words don't say it.
fn known_cause(said: &str) -> Option<&'static str> {
    if said.contains("Cannot connect to the Docker daemon")
        || said.contains("docker daemon is not running")
    {
        Some("start the Docker engine, then try again")
    } else if said.contains("permission denied") && said.contains("docker") {
        Some("only root and the group `docker` may talk to the engine: use sudo, or join the group")
    } else {
        None
    }
}

fn told(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}
