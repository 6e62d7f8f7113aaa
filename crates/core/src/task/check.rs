//! Checks and evidence: done is derived, not claimed.
//!
//! An agent that says it is done starts the checks; only when every check has
//! passing evidence is the task succeeded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Span;
use crate::limits::{MAX_CHECKS, MAX_FEEDBACK_LEN, MAX_PATH_LEN, MAX_SCHEMA_LEN, MAX_TIMEOUT};
use crate::rejection::{Code, Rejection};

/// One condition that the work must meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// A command that must end with an exit code. It runs in a clean worktree at the claimed commit.
    Command {
        /// The program and its arguments; nothing passes through a shell.
        command: Vec<String>,
        /// The exit code that passes.
        #[serde(default)]
        exit_code: i32,
        /// How long it may run.
        #[serde(default = "default_check_timeout")]
        timeout: Span,
    },
    /// A file that must exist, relative to the working folder.
    File {
        /// Its path.
        path: String,
    },
    /// A JSON schema (draft 2020-12) that the result's JSON must meet. The server checks it.
    Schema {
        /// The schema.
        schema: Value,
    },
}

fn default_check_timeout() -> Span {
    Span::from_secs(300)
}

impl Check {
    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Check::Command { command, .. } => {
                format!("command `{}`", crate::text::shown(&command.join(" ")))
            }
            Check::File { path } => format!("file `{}`", crate::text::shown(path)),
            Check::Schema { .. } => "JSON schema of the result".to_owned(),
        }
    }

    /// Checks the bounds of the check itself. Whether a schema is one is the caller's to say.
    pub fn validate(&self) -> Result<(), Rejection> {
        match self {
            Check::Command {
                command, timeout, ..
            } => {
                if command.first().is_none_or(String::is_empty) {
                    return Err(
                        Rejection::new(Code::InvalidField, "the command is empty").at("command")
                    );
                }
                let size = command.iter().map(String::len).sum();
                if size > MAX_FEEDBACK_LEN {
                    return Err(
                        Rejection::too_large("the command", size, MAX_FEEDBACK_LEN).at("command")
                    );
                }
                if *timeout == Span::ZERO || *timeout > MAX_TIMEOUT {
                    return Err(Rejection::new(
                        Code::InvalidField,
                        format!("must be above 0 and at most {MAX_TIMEOUT}, not {timeout}"),
                    )
                    .at("timeout"));
                }
                Ok(())
            }
            Check::File { path } if path.is_empty() || path.len() > MAX_PATH_LEN => {
                Err(Rejection::new(
                    Code::InvalidField,
                    format!("must have 1 to {MAX_PATH_LEN} bytes"),
                )
                .at("path"))
            }
            Check::File { path } => crate::reservation::normal_path(path)
                .map(drop)
                .map_err(|r| r.at("path")),
            Check::Schema { schema } => {
                let size = schema.to_string().len();
                if size > MAX_SCHEMA_LEN {
                    return Err(
                        Rejection::too_large("the schema", size, MAX_SCHEMA_LEN).at("schema")
                    );
                }
                Ok(())
            }
        }
    }
}

/// Checks the bounds of a list of checks.
pub fn validate(checks: &[Check]) -> Result<(), Rejection> {
    if checks.len() > MAX_CHECKS {
        return Err(Rejection::too_large("checks", checks.len(), MAX_CHECKS));
    }
    checks
        .iter()
        .enumerate()
        .try_for_each(|(i, check)| check.validate().map_err(|r| r.at(format!("[{i}]"))))
}

/// What was seen when a check ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The check's place in the task's list, from 0.
    pub check: u32,
    /// Whether it passed.
    pub passed: bool,
    /// The exit code, where a command ran to its end.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// SHA-256 of the whole output, in hex.
    #[serde(default)]
    pub log_sha256: Option<String>,
    /// The commit that was checked.
    #[serde(default)]
    pub commit: Option<String>,
    /// How long it took, in seconds.
    #[serde(default)]
    pub seconds: f64,
    /// The end of the output, or what was wrong: what the next attempt is told.
    #[serde(default)]
    pub output: String,
}

/// What the evidence says of the claim to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Every check passed.
    Done,
    /// One or more failed; the text is for the next attempt.
    Failed {
        /// Which failed, in a few words.
        reason: String,
        /// Their output.
        feedback: String,
    },
}

/// Judges a claim to be done. Each check needs exactly one piece of evidence;
/// evidence for a check that the task doesn't carry is refused.
pub fn judge(checks: &[Check], evidence: &[Evidence]) -> Result<Verdict, Rejection> {
    let mut seen = vec![None; checks.len()];
    for piece in evidence {
        let slot = seen.get_mut(piece.check as usize).ok_or_else(|| {
            Rejection::new(
                Code::InvalidField,
                format!("there is no check {} to have evidence of", piece.check),
            )
            .at("evidence")
        })?;
        if slot.replace(piece).is_some() {
            return Err(Rejection::new(
                Code::InvalidField,
                format!("check {} has evidence twice", piece.check),
            )
            .at("evidence"));
        }
    }
    let mut reasons = Vec::new();
    let mut feedback = String::new();
    for (check, piece) in checks.iter().zip(&seen) {
        let Some(piece) = piece else {
            return Err(Rejection::new(
                Code::EvidenceMissing,
                format!("no evidence for {}", check.describe()),
            )
            .hint("run the task's checks and send what was seen, passed or not")
            .at("evidence"));
        };
        if !piece.passed {
            let share = MAX_FEEDBACK_LEN / checks.len().max(1);
            reasons.push(check.describe());
            feedback.push_str(&format!("check failed: {}", check.describe()));
            if let Some(code) = piece.exit_code {
                feedback.push_str(&format!(" (exit code {code})"));
            }
            feedback.push('\n');
            feedback.push_str(crate::text::tail(&piece.output, share));
            feedback.push('\n');
        }
    }
    if reasons.is_empty() {
        return Ok(Verdict::Done);
    }
    let feedback = crate::text::head(&feedback, MAX_FEEDBACK_LEN).to_owned();
    Ok(Verdict::Failed {
        reason: format!("check failed: {}", reasons.join(", ")),
        feedback,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(check: u32, passed: bool) -> Evidence {
        Evidence {
            check,
            passed,
            exit_code: Some(i32::from(!passed)),
            log_sha256: None,
            commit: None,
            seconds: 0.0,
            output: "line".to_owned(),
        }
    }

    #[test]
    fn done_needs_passing_evidence_for_every_check() {
        let checks = [
            Check::File {
                path: "a".to_owned(),
            },
            Check::File {
                path: "b".to_owned(),
            },
        ];
        assert_eq!(
            judge(&checks, &[evidence(0, true), evidence(1, true)]),
            Ok(Verdict::Done)
        );
        assert_eq!(
            judge(&checks, &[evidence(0, true)]).unwrap_err().code(),
            Code::EvidenceMissing
        );
        for bad in [
            vec![evidence(0, true), evidence(0, true), evidence(1, true)],
            vec![evidence(2, true)],
        ] {
            assert_eq!(judge(&checks, &bad).unwrap_err().code(), Code::InvalidField);
        }
        match judge(&checks, &[evidence(0, true), evidence(1, false)]).unwrap() {
            Verdict::Failed { reason, feedback } => {
                assert_eq!(reason, "check failed: file `b`");
                assert!(
                    feedback.contains("exit code 1") && feedback.contains("line"),
                    "{feedback}"
                );
            }
            Verdict::Done => panic!("a failed check counted as done"),
        }
    }
}
