//! `collective doctor`: looks for what is wrong, and says how to mend it.
//!
//! It only looks. Each finding stands for itself, so that one that can't be
//! made doesn't hide the others.

mod machine;
mod server;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::{CliError, NOT_SUCCEEDED};
use crate::output::{Output, Tone};

const EXAMPLES: &str = "\
Examples:
  collective doctor
  collective doctor --json | jq -r '.findings[] | select(.verdict != \"fine\") | .mend'

Exit code 1 says that something needs mending.";

/// Nothing to say; the global options name the folder or the server.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Fine,
    /// Worth a look.
    Notice,
    /// Needs mending.
    Wrong,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What was looked at.
    what: &'static str,
    /// How bad it is.
    verdict: Verdict,
    /// What was seen.
    seen: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

fn fine(what: &'static str, seen: impl Into<String>) -> Finding {
    Finding {
        what,
        verdict: Verdict::Fine,
        seen: seen.into(),
        mend: None,
    }
}

fn notice(what: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        what,
        verdict: Verdict::Notice,
        seen: seen.into(),
        mend: Some(mend.into()),
    }
}

fn wrong(what: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        verdict: Verdict::Wrong,
        ..notice(what, seen, mend)
    }
}

/// Looks.
pub(crate) async fn run(_: &DoctorArgs, context: &Context) -> Result<(), CliError> {
    let mut findings = machine::look(&context.server)?;
    findings.extend(server::look(&context.server).await);
    let worst = findings.iter().map(|finding| finding.verdict).max();
    context
        .out
        .show(&serde_json::json!({ "findings": findings }), |out| {
            findings.iter().try_for_each(|finding| show(out, finding))
        })?;
    match worst {
        Some(Verdict::Wrong) => Err(CliError::Outcome {
            what: "something needs mending".to_owned(),
            hint: None,
            exit: NOT_SUCCEEDED,
        }),
        _ => Ok(()),
    }
}

fn show(out: &Output, finding: &Finding) -> Result<(), CliError> {
    let (word, tone) = match finding.verdict {
        Verdict::Fine => ("ok    ", Tone::Good),
        Verdict::Notice => ("notice", Tone::Warn),
        Verdict::Wrong => ("wrong ", Tone::Bad),
    };
    out.line(format!(
        "{}  {:<13} {}",
        out.paint(tone, word),
        finding.what,
        crate::text::line(&finding.seen)
    ))?;
    match &finding.mend {
        Some(mend) => out.line(format!(
            "        {:<13} {}",
            "",
            out.paint(Tone::Busy, mend)
        )),
        None => Ok(()),
    }
}
