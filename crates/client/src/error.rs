//! Everything that can go wrong with a call, with what to do about it.

use std::time::Duration;

use collective_api::Problem;
use collective_core::Code;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused it.
    #[error("{}", refusal(problem))]
    Refused {
        /// What it said.
        problem: Box<Problem>,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The server can't be reached, or the connection broke.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// What broke.
        reason: String,
        /// Whether the request went out, so that it may have been carried out.
        sent: bool,
    },
    /// The server didn't answer in time. The request may have been carried out.
    #[error("no answer from {url} within {}s", after.as_secs_f64())]
    Timeout {
        /// The server's address.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// What answered isn't what this client understands.
    #[error("{url} answered what can't be understood (status {status}): {what}")]
    Protocol {
        /// The address that was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        what: String,
    },
    /// The client can't be made like this.
    #[error("{what}")]
    InvalidOptions {
        /// What is wrong.
        what: String,
        /// What to do next.
        hint: String,
    },
    /// The request itself can't be written down.
    #[error("the request can't be sent: {what}")]
    Unsendable {
        /// What is wrong with it.
        what: String,
    },
}

impl ClientError {
    /// The server's code, if it refused the call with one that this version knows.
    pub fn code(&self) -> Option<Code> {
        match self {
            ClientError::Refused { problem, .. } => Code::from_text(&problem.code),
            _ => None,
        }
    }

    /// Whether the server refused the call with this code.
    pub fn is(&self, code: Code) -> bool {
        self.code() == Some(code)
    }

    /// What the server said, if it refused the call.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            ClientError::Refused { problem, .. } => problem.hint.as_deref(),
            ClientError::Unreachable { sent: false, .. } => {
                Some("check that the server runs and that the address is right")
            }
            ClientError::Unreachable { sent: true, .. } | ClientError::Timeout { .. } => {
                Some("it may have been carried out all the same: look before you send it again")
            }
            ClientError::Protocol { .. } => {
                Some("check that the address is a Collective server's, of the same version")
            }
            ClientError::InvalidOptions { hint, .. } => Some(hint),
            ClientError::Unsendable { .. } => None,
        }
    }

    /// Whether trying later can help: the server is away, busy or stopping.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
            ClientError::Protocol { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            ClientError::Refused { problem, .. } => {
                matches!(problem.status, 429 | 503 | 504 | 507)
            }
            ClientError::InvalidOptions { .. } | ClientError::Unsendable { .. } => false,
        }
    }

    /// The exit code of the CLI: that of the server's code, 6 for no server, 2 for bad options.
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Refused { problem, .. } => {
                Code::from_text(&problem.code).unwrap_or(Code::Internal)
            }
            ClientError::Unreachable { .. } => Code::Unavailable,
            ClientError::Timeout { .. } => Code::Timeout,
            ClientError::Protocol { .. } => Code::Internal,
            ClientError::InvalidOptions { .. } | ClientError::Unsendable { .. } => {
                Code::InvalidField
            }
        }
        .exit_code()
    }
}

fn refusal(problem: &Problem) -> String {
    match &problem.field {
        Some(field) => format!("{field}: {}", problem.detail),
        None => problem.detail.clone(),
    }
}

/// An error and what caused it, in one line, without what repeats itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// What lies at the bottom of an error: `connection refused` rather than all that it passed through.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    let text = last.to_string();
    // The number of an operating system's error helps nobody who reads the sentence.
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
