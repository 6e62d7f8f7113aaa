//! Errors as problem details (RFC 9457) with a stable `code`.

use collective_core::{Code, Rejection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained: `/docs/errors#CODE` of the server.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's meaning, in one sentence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What failed, on what.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The field that it is about, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The request's id, to be found in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        let code = rejection.code();
        Self {
            kind: format!("/docs/errors#{}", code.as_str()),
            title: code.meaning().to_owned(),
            status: code.http_status(),
            code: code.as_str().to_owned(),
            detail: rejection.message().to_owned(),
            hint: rejection.hint_text().map(str::to_owned),
            field: rejection.field().map(str::to_owned),
            request_id: None,
        }
    }
}

impl From<Problem> for Rejection {
    /// A code that this version doesn't know becomes `internal`, with the code kept in the message.
    fn from(problem: Problem) -> Self {
        let rejection = match Code::from_text(&problem.code) {
            Some(code) => Rejection::new(code, problem.detail),
            None => Rejection::new(
                Code::Internal,
                format!("{} ({})", problem.detail, problem.code),
            ),
        };
        let rejection = match problem.hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        };
        match problem.field {
            Some(field) => rejection.at(field),
            None => rejection,
        }
    }
}
