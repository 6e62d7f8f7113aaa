//! What can go wrong between a server and its broker, each in words that say
//! what to do next. No text holds a password.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use collective_core::ports::BusError;
use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use super::options::RabbitOptions;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there, or the network is in between.
    #[error("cannot reach RabbitMQ at {place}: {said}")]
    Unreachable {
        /// Host and port.
        place: String,
        /// The system's words.
        said: String,
    },
    /// The secure connection isn't one.
    #[error("no TLS with RabbitMQ at {place}: {said}; check its certificate and the CA file")]
    Tls {
        /// Host and port.
        place: String,
        /// What the certificate lacks.
        said: String,
    },
    /// The trusted certificates can't be had.
    #[error("cannot read certificates from {path}: {said}")]
    Certificates {
        /// Where they should be.
        path: PathBuf,
        /// The system's words.
        said: String,
    },
    /// User or password is wrong.
    #[error("RabbitMQ at {place} refuses the login of user `{user}`; check user and password")]
    Login {
        /// Host and port.
        place: String,
        /// Who wanted in.
        user: String,
    },
    /// The virtual host isn't there.
    #[error(
        "RabbitMQ at {place} has no virtual host `{vhost}`; make it: rabbitmqctl add_vhost '{vhost}'"
    )]
    NoVhost {
        /// Host and port.
        place: String,
        /// Its name.
        vhost: String,
    },
    /// The user may not do this.
    #[error(
        "user `{user}` lacks a permission in virtual host `{vhost}` for {what}: {said}; \
         grant it: rabbitmqctl set_permissions -p '{vhost}' '{user}' '^(agent\\.|amq\\.).*' '.*' '.*'"
    )]
    Forbidden {
        /// Who.
        user: String,
        /// Where.
        vhost: String,
        /// Doing what.
        what: String,
        /// The broker's words.
        said: String,
    },
    /// Somebody else declared it otherwise.
    #[error(
        "`{name}` exists in RabbitMQ with other arguments than ours: {said}; \
         if nothing else needs it, remove it (rabbitmqctl delete_queue -p '{vhost}' '{name}'), \
         else use a virtual host of our own"
    )]
    OtherArguments {
        /// Queue or exchange.
        name: String,
        /// Where.
        vhost: String,
        /// The broker's words.
        said: String,
    },
    /// A bound of the broker is reached.
    #[error(
        "RabbitMQ takes no more connections or channels: {said}; close some or raise its limit"
    )]
    Limit {
        /// The broker's words.
        said: String,
    },
    /// A delivery was held too long.
    #[error("RabbitMQ took a report back that wasn't dealt with in time: {said}")]
    ConsumerTimeout {
        /// The broker's words.
        said: String,
    },
    /// The broker takes nothing for want of memory or disk.
    #[error("RabbitMQ takes no messages: {reason}; free memory or disk space on its machine")]
    Blocked {
        /// The broker's words.
        reason: String,
    },
    /// A queue refused a message.
    #[error("RabbitMQ refused a message for `{key}`: its queue is full or can't be written")]
    Refused {
        /// Where it was to go.
        key: String,
    },
    /// A queue isn't there, though it was just declared.
    #[error("RabbitMQ has no queue for `{key}`, though it was just declared")]
    Unroutable {
        /// Where it was to go.
        key: String,
    },
    /// No answer in time.
    #[error("RabbitMQ gave no answer within {limit:?} for {what}")]
    TimedOut {
        /// To what.
        what: String,
        /// The bound.
        limit: Duration,
    },
    /// There is no connection at the moment.
    #[error("no connection to RabbitMQ: {said}")]
    Away {
        /// Why the last one ended or failed.
        said: String,
    },
    /// The connection broke.
    #[error("the connection to RabbitMQ broke: {said}")]
    Broken {
        /// The driver's words.
        said: String,
    },
    /// A message can't be made.
    #[error("a message can't be written: {said}")]
    Unwritable {
        /// Why.
        said: String,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

impl From<Trouble> for BusError {
    fn from(trouble: Trouble) -> Self {
        BusError::Unavailable(trouble.to_string())
    }
}

impl Trouble {
    /// Reads the driver's error; `what` is what was being done, and the name of
    /// the queue or exchange that it was done to, if there is one.
    pub(super) fn read(
        error: &lapin::Error,
        options: &RabbitOptions,
        what: &str,
        name: Option<&str>,
    ) -> Self {
        let protocol = match error.kind() {
            ErrorKind::ProtocolError(protocol) => protocol,
            ErrorKind::IOError(error) => return Self::from_io(error, options),
            ErrorKind::ChannelsLimitReached => {
                let said = error.to_string();
                return Trouble::Limit { said };
            }
            _ => {
                let said = error.to_string();
                return Trouble::Broken { said };
            }
        };
        let said = protocol.get_message().to_string();
        let (user, vhost) = (options.user.clone(), options.vhost.clone());
        match protocol.kind() {
            // The one that names credentials comes before a virtual host is open.
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) if said.contains("Login") => {
                let place = options.place();
                Trouble::Login { place, user }
            }
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Trouble::Forbidden {
                user,
                vhost,
                what: what.to_owned(),
                said,
            },
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH)
                if said.contains("limit (") || said.contains("limit of (") =>
            {
                Trouble::Limit { said }
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if said.contains("not found") => {
                let place = options.place();
                Trouble::NoVhost { place, vhost }
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if said.contains("refused") => {
                Trouble::Forbidden {
                    user,
                    vhost,
                    what: what.to_owned(),
                    said,
                }
            }
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
                if said.contains("timed out") =>
            {
                Trouble::ConsumerTimeout { said }
            }
            AMQPErrorKind::Soft(
                AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED,
            ) if name.is_some() => Trouble::OtherArguments {
                name: name.unwrap_or_default().to_owned(),
                vhost,
                said,
            },
            _ => Trouble::Broken { said },
        }
    }

    fn from_io(error: &io::Error, options: &RabbitOptions) -> Self {
        let place = options.place();
        let said = error.to_string();
        if super::tls::is_of_tls(error) {
            return Trouble::Tls { place, said };
        }
        Trouble::Unreachable { place, said }
    }

    /// Whether it is the driver's word that something isn't there.
    pub(super) fn is_not_found(error: &lapin::Error) -> bool {
        matches!(
            error.kind(),
            ErrorKind::ProtocolError(protocol)
                if matches!(protocol.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn said(kind: AMQPErrorKind, words: &str, name: Option<&str>) -> String {
        let error = ErrorKind::ProtocolError(AMQPError::new(kind, words.into())).into();
        Trouble::read(&error, &RabbitOptions::default(), "publishing", name).to_string()
    }

    #[test]
    fn the_brokers_words_become_words_that_help() {
        let not_allowed = || AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED);
        let precondition = || AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        let table = [
            (
                not_allowed(),
                "NOT_ALLOWED - connection refused: node connection limit (1) is reached",
                None,
                "takes no more connections",
            ),
            (
                not_allowed(),
                "NOT_ALLOWED - number of channels opened on node 'rabbit@x' has reached the \
                 maximum allowed limit of (5)",
                None,
                "takes no more connections or channels",
            ),
            (
                not_allowed(),
                "NOT_ALLOWED - vhost limit not found",
                None,
                "has no virtual host",
            ),
            (
                precondition(),
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. \
                 Timeout value used: 1800000 ms",
                None,
                "took a report back",
            ),
            (
                precondition(),
                "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'agent.dead'",
                Some("agent.dead"),
                "delete_queue -p '/' 'agent.dead'",
            ),
            (
                precondition(),
                "PRECONDITION_FAILED - unknown delivery tag 1",
                None,
                "broke: PRECONDITION_FAILED",
            ),
            (
                AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED),
                "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
                None,
                "broke: CONNECTION_FORCED",
            ),
        ];
        for (kind, words, name, expected) in table {
            let said = said(kind, words, name);
            assert!(said.contains(expected), "`{words}` became `{said}`");
        }
    }
}
