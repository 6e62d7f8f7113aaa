//! Why a command is refused: one table of codes for the API, the CLI and the docs.
//!
//! A message is a lower-case fragment that says what failed and on what; the
//! hint says what to do next.

use std::fmt;

/// A stable code, its HTTP status and the exit code of the CLI.
macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal, $status:literal, $exit:literal;)*) => {
        /// What kind of refusal it is. The text of a code never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $doc] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The HTTP status that carries it (RFC 9110).
            pub const fn http_status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The exit code of the CLI.
            pub const fn exit_code(self) -> u8 {
                match self { $(Code::$name => $exit,)* }
            }

            /// The code with this text.
            pub fn from_text(text: &str) -> Option<Code> {
                match text { $($text => Some(Code::$name),)* _ => None }
            }

            /// One sentence of what it means, for the docs.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $doc.trim_ascii_start(),)* }
            }
        }
    };
}

// Exit codes: 2 usage or bad input, 3 not found, 4 refused by a rule or a
// conflict, 5 not allowed, 6 no server or not able now, 70 our own bug.
codes! {
    #[doc = " The request body is not JSON, or not of the expected form."]
    InvalidBody = "invalid_body", 400, 2;
    #[doc = " A field is unknown, of the wrong type or has a value that isn't allowed."]
    InvalidField = "invalid_field", 422, 2;
    #[doc = " A name has a form that isn't allowed."]
    InvalidName = "invalid_name", 422, 2;
    #[doc = " A length of time can't be read."]
    InvalidDuration = "invalid_duration", 422, 2;
    #[doc = " A point in time can't be read or lies too far ahead."]
    InvalidTime = "invalid_time", 422, 2;
    #[doc = " A cron expression or time zone can't be read."]
    InvalidCron = "invalid_cron", 422, 2;
    #[doc = " A JSON schema of a check is not a valid schema."]
    InvalidSchema = "invalid_schema", 422, 2;
    #[doc = " A text, count or body is larger than its bound."]
    TooLarge = "too_large", 413, 2;
    #[doc = " A batch has more items than its bound."]
    BatchTooLarge = "batch_too_large", 413, 2;
    #[doc = " A cursor is not one that this server gave."]
    InvalidCursor = "invalid_cursor", 400, 2;
    #[doc = " The dependencies of a batch of tasks form a cycle."]
    DependencyCycle = "dependency_cycle", 422, 2;
    #[doc = " A task depends on a task that doesn't exist in this team."]
    UnknownDependency = "unknown_dependency", 422, 2;
    #[doc = " No queue of this name is declared in the team."]
    UnknownQueue = "unknown_queue", 422, 2;
    #[doc = " No agent of this name is registered in the team."]
    UnknownAgent = "unknown_agent", 422, 2;
    #[doc = " The thing asked for doesn't exist, or isn't visible to this key."]
    NotFound = "not_found", 404, 3;
    #[doc = " The path or method doesn't exist in this API."]
    NoSuchRoute = "no_such_route", 404, 2;
    #[doc = " The path exists, the method doesn't."]
    MethodNotAllowed = "method_not_allowed", 405, 2;
    #[doc = " The body is not application/json."]
    UnsupportedMediaType = "unsupported_media_type", 415, 2;
    #[doc = " The Host header names no host that this server answers for."]
    WrongHost = "wrong_host", 421, 6;
    #[doc = " The lease token is not the newest of the task, or its lease has ended."]
    LeaseLost = "lease_lost", 409, 4;
    #[doc = " The state of the thing doesn't allow this command."]
    WrongState = "wrong_state", 409, 4;
    #[doc = " A completion lacks the evidence of a check that the task carries."]
    EvidenceMissing = "evidence_missing", 422, 4;
    #[doc = " A name that must be unique is taken."]
    AlreadyExists = "already_exists", 409, 4;
    #[doc = " The paths overlap a reservation that another agent holds."]
    Reserved = "reserved", 409, 4;
    #[doc = " The Idempotency-Key was used before with another request."]
    IdempotencyMismatch = "idempotency_mismatch", 422, 4;
    #[doc = " A count of things (agents, queues, keys, schedules, reservations) is at its bound."]
    LimitReached = "limit_reached", 409, 4;
    #[doc = " The request has no valid key."]
    Unauthenticated = "unauthenticated", 401, 5;
    #[doc = " The key's role doesn't allow this."]
    Forbidden = "forbidden", 403, 5;
    #[doc = " Too many requests with this key; Retry-After says when to try again."]
    RateLimited = "rate_limited", 429, 6;
    #[doc = " The server is stopping and takes no new work."]
    Draining = "draining", 503, 6;
    #[doc = " The store has no room left; nothing was changed."]
    StorageFull = "storage_full", 507, 6;
    #[doc = " A part that this command needs doesn't answer; nothing was changed."]
    Unavailable = "unavailable", 503, 6;
    #[doc = " The command took longer than its bound; it may or may not have been carried out."]
    Timeout = "timeout", 504, 6;
    #[doc = " A bug of ours; the log has more under the request's id."]
    Internal = "internal", 500, 70;
}

/// A refused command: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    code: Code,
    message: String,
    hint: Option<String>,
    field: Option<String>,
}

impl Rejection {
    /// A refusal of the given kind; `message` is a lower-case fragment.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            field: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the field that it is about, as a path such as `tasks[2].retry.max_attempts`.
    /// An existing path is nested below the new one.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        let outer = field.into();
        self.field = Some(match self.field {
            Some(inner) if inner.starts_with('[') => outer + &inner,
            Some(inner) => outer + "." + &inner,
            None => outer,
        });
        self
    }

    /// Takes `outer` off the start of the field's path, for a sender who doesn't know that level.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        if let Some(inner) = self
            .field
            .as_deref()
            .and_then(|field| field.strip_prefix(outer))
        {
            self.field = Some(inner.trim_start_matches('.').to_owned());
        }
        self
    }

    /// `what` is larger than `max`.
    pub fn too_large(what: &str, size: usize, max: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("{what} has a size of {size}, the bound is {max}"),
        )
    }

    /// Nothing of this name or id exists.
    pub fn not_found(what: &str, id: impl fmt::Display) -> Self {
        Self::new(
            Code::NotFound,
            format!("no {what} `{}`", crate::text::shown(&id.to_string())),
        )
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What failed, on what.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The field that it is about.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_says_what_it_means() {
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
            assert!(
                code.meaning().ends_with('.'),
                "{code:?}: {:?}",
                code.meaning()
            );
            assert!((400..600).contains(&code.http_status()), "{code:?}");
        }
    }

    #[test]
    fn a_field_path_grows_outwards() {
        let rejection = Rejection::new(Code::InvalidField, "x")
            .at("max")
            .at("[2]")
            .at("tasks");
        assert_eq!(rejection.field(), Some("tasks[2].max"));
        assert_eq!(rejection.clone().within("tasks[2]").field(), Some("max"));
        assert_eq!(rejection.within("other").field(), Some("tasks[2].max"));
    }
}
