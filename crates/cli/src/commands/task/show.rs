//! `collective task show`, `explain` and `artifact`.

use std::path::PathBuf;

use clap::Args;
use collective_api::tasks::TaskDetail;
use collective_core::event::Event;
use collective_core::explain::{Explanation, Wait};
use collective_core::question::QuestionState;
use collective_core::task::{Artifact, ArtifactKind, Evidence, Task};

use super::render::{attempts, outcome_tone, result_text, state_tone};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Facts, Grid, Output, Tone, number, toned};
use crate::{names, when};

const SHOW: &str = "\
Examples:
  collective task show 12
  collective task show '#12' --events
  collective task show build              by its key, if only one task has it
  collective task show 12 --json | jq .result.text";
const EXPLAIN: &str = "\
Examples:
  collective task explain 12
  collective task explain 12 --json | jq '.waits[0].waits_for'";
const ARTIFACT: &str = "\
Examples:
  collective task artifact 12 changes.patch | git apply
  collective task artifact 12 report.html --output report.html";

/// How many lines of a long text are shown; `--full` shows all.
const EXCERPT_LINES: usize = 20;

/// Which task to show.
#[derive(Args, Debug)]
#[command(after_help = SHOW)]
pub(crate) struct ShowArgs {
    /// Its number, id or key
    task: String,
    /// Show its events too
    #[arg(long)]
    events: bool,
    /// Show long texts whole
    #[arg(long)]
    full: bool,
}

/// Which task to explain.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN)]
pub(crate) struct ExplainArgs {
    /// Its number, id or key
    task: String,
}

/// Which artifact.
#[derive(Args, Debug)]
#[command(after_help = ARTIFACT)]
pub(crate) struct ArtifactArgs {
    /// The task's number, id or key
    task: String,
    /// The artifact's name
    name: String,
    /// Write it into this file instead of to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Shows one task.
pub(crate) async fn show(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let name = names::task(&client, &args.task).await?;
    let detail = client.task(name).await?;
    let events = if args.events {
        client.task_events(name).await?.items
    } else {
        Vec::new()
    };
    if context.out.json && args.events {
        return context
            .out
            .json(&serde_json::json!({ "task": detail, "events": events }));
    }
    context.out.show(&detail, |out| {
        let lines = if args.full { usize::MAX } else { EXCERPT_LINES };
        head(out, &detail)?;
        parts(out, &detail, lines)?;
        history(out, &events)
    })
}

fn head(out: &Output, detail: &TaskDetail) -> Result<(), CliError> {
    let now = when::now();
    let task = &detail.task;
    let ago = |at| format!("{} ({} ago)", when::local(at), when::ago(at, now));
    out.line(out.paint(
        Tone::Strong,
        &format!("#{} {}", task.number, crate::text::line(&task.spec.title)),
    ))?;
    let mut facts = Facts::default();
    facts.add("state", toned(state_tone(task.state), task.state.as_str()));
    facts.add("id", task.id.to_string());
    facts.add_some("key", task.spec.key.as_deref().map(crate::text::line));
    facts.add(
        "lane",
        format!("{}, {}", task.lane(), task.spec.priority.as_str()),
    );
    facts.add(
        "tries",
        format!(
            "{} (claimed {})",
            attempts(task),
            crate::text::count(task.epoch.0, "time")
        ),
    );
    if let Some(lease) = &task.lease {
        let until = when::ahead(lease.expires_at, now);
        facts.add("agent", format!("{} (lease ends {until})", lease.agent));
    }
    if let Some(progress) = &detail.progress {
        let percent = progress.percent.map(|percent| format!("{percent:.0}% "));
        let note = crate::text::short(&progress.note, 80);
        facts.add("progress", percent.unwrap_or_default() + &note);
    }
    if let Some(reason) = &task.cancel_reason {
        let reason = format!("asked for: {}", crate::text::line(reason));
        facts.add("cancel", toned(Tone::Warn, reason));
    }
    if let Some(failure) = &task.failure {
        let text = format!(
            "{} ({})",
            crate::text::line(&failure.reason),
            failure.class.as_str()
        );
        facts.add("failure", toned(Tone::Bad, text));
    }
    facts.add(
        "created",
        format!(
            "{} by {}",
            ago(task.created_at),
            crate::text::line(&task.created_by)
        ),
    );
    facts.add_some("started", task.started_at.map(ago));
    facts.add_some("ended", task.finished_at.map(ago));
    facts.add_some(
        "wakes",
        task.wake_at
            .map(|at| format!("{} ({})", when::local(at), when::ahead(at, now))),
    );
    facts.add_some(
        "deadline",
        task.spec
            .deadline
            .map(|at| format!("{} ({})", when::local(at), when::ahead(at, now))),
    );
    facts.add("timeout", task.spec.timeout.to_string());
    if !task.spec.labels.is_empty() {
        let labels = task
            .spec
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        facts.add(
            "labels",
            crate::text::line(&labels.collect::<Vec<_>>().join(" ")),
        );
    }
    out.facts(&facts)
}

fn parts(out: &Output, detail: &TaskDetail, lines: usize) -> Result<(), CliError> {
    let task = &detail.task;
    if !task.spec.prompt.is_empty() {
        out.heading("Prompt")?;
        out.line(excerpt(&task.spec.prompt, lines))?;
    }
    if !task.spec.input.is_null() {
        out.heading("Input")?;
        let text = serde_json::to_string_pretty(&task.spec.input)?;
        out.line(excerpt(&text, lines))?;
    }
    dependencies(out, detail)?;
    questions(out, detail)?;
    tries(out, detail)?;
    let feedback = task
        .failure
        .as_ref()
        .map(|failure| failure.feedback.as_str());
    if let Some(feedback) = feedback.filter(|text| !text.is_empty()) {
        out.heading("What the next attempt is told")?;
        out.line(excerpt(feedback, lines))?;
    }
    result(out, task, lines)
}

fn dependencies(out: &Output, detail: &TaskDetail) -> Result<(), CliError> {
    if detail.dependencies.is_empty() {
        return Ok(());
    }
    out.heading("Depends on")?;
    let mut grid = Grid::new(["TASK", "STATE", "MET", "TITLE"], "");
    for on in &detail.dependencies {
        grid.row([
            number(format!("#{}", on.number)),
            toned(state_tone(on.state), on.state.as_str()),
            if on.met { "yes" } else { "no" }.into(),
            crate::text::short(&on.title, 70).into(),
        ]);
    }
    out.grid(&grid)
}

fn questions(out: &Output, detail: &TaskDetail) -> Result<(), CliError> {
    if detail.questions.is_empty() {
        return Ok(());
    }
    out.heading("Questions")?;
    for question in &detail.questions {
        out.line(format!(
            "{}: {}",
            question.agent,
            crate::text::line(&question.text)
        ))?;
        let answer = match (&question.answer, question.state) {
            (Some(answer), _) => crate::text::line(answer),
            (None, QuestionState::Open) => format!(
                "open: answer it with `collective task answer {} TEXT`",
                detail.task.number
            ),
            (None, state) => state.as_str().to_owned(),
        };
        out.line(format!("  {}", out.paint(Tone::Busy, &answer)))?;
    }
    Ok(())
}

fn tries(out: &Output, detail: &TaskDetail) -> Result<(), CliError> {
    if detail.attempts.is_empty() {
        return Ok(());
    }
    out.heading("Attempts")?;
    let mut grid = Grid::new(["ATTEMPT", "AGENT", "OUTCOME", "TOOK", "REASON"], "");
    for attempt in &detail.attempts {
        let reason = attempt.failure.as_ref().map(|failure| {
            format!(
                "{} ({})",
                crate::text::short(&failure.reason, 80),
                failure.class.as_str()
            )
        });
        grid.row([
            number(attempt.epoch),
            attempt.agent.to_string().into(),
            toned(outcome_tone(attempt.outcome), attempt.outcome.as_str()),
            number(when::run_time(attempt.ended_at.since(attempt.started_at))),
            reason.unwrap_or_default().into(),
        ]);
    }
    out.grid(&grid)
}

fn result(out: &Output, task: &Task, lines: usize) -> Result<(), CliError> {
    let Some(result) = &task.result else {
        return Ok(());
    };
    if !result.evidence.is_empty() {
        out.heading("Evidence")?;
        let mut grid = Grid::new(["CHECK", "PASSED", "EXIT", "TOOK"], "");
        for piece in &result.evidence {
            grid.row(evidence(task, piece));
        }
        out.grid(&grid)?;
    }
    if !result.artifacts.is_empty() {
        out.heading("Artifacts")?;
        for artifact in &result.artifacts {
            out.line(artifact_line(task.number, artifact))?;
        }
    }
    let text = result_text(result);
    if !text.is_empty() {
        out.heading("Result")?;
        out.line(excerpt(&text, lines))?;
    }
    Ok(())
}

fn evidence(task: &Task, piece: &Evidence) -> [crate::output::Piece; 4] {
    let check = usize::try_from(piece.check)
        .ok()
        .and_then(|place| task.spec.checks.get(place));
    let (word, tone) = if piece.passed {
        ("yes", Tone::Good)
    } else {
        ("no", Tone::Bad)
    };
    [
        check
            .map_or_else(String::new, |check| check.describe())
            .into(),
        toned(tone, word),
        number(
            piece
                .exit_code
                .map_or_else(String::new, |code| code.to_string()),
        ),
        number(format!("{:.2}s", piece.seconds)),
    ]
}

/// An artifact with how to get it.
pub(crate) fn artifact_line(task: u64, artifact: &Artifact) -> String {
    let name = crate::text::line(&artifact.name);
    let reference = artifact.reference.as_deref().map(crate::text::line);
    match (artifact.kind, reference) {
        (ArtifactKind::Branch, Some(branch)) => format!("{name}: branch {branch}"),
        (ArtifactKind::Branch, None) => format!("{name}: a branch"),
        (ArtifactKind::Patch | ArtifactKind::File, _) if artifact.sha256.is_some() => format!(
            "{name}: {} bytes (collective task artifact {task} {name})",
            artifact.size
        ),
        (ArtifactKind::Patch | ArtifactKind::File, Some(path)) => format!("{name}: {path}"),
        (ArtifactKind::Patch | ArtifactKind::File, None) => name,
    }
}

fn history(out: &Output, events: &[Event]) -> Result<(), CliError> {
    if events.is_empty() {
        return Ok(());
    }
    out.heading("Events")?;
    events
        .iter()
        .try_for_each(|event| out.line(crate::commands::events::line(out, event)))
}

/// The first lines of a text, with how many are left out.
fn excerpt(text: &str, lines: usize) -> String {
    let text = crate::text::clean(text);
    let text = text.trim_end();
    let all = text.lines().count();
    if all <= lines {
        return text.to_owned();
    }
    let start: Vec<&str> = text.lines().take(lines).collect();
    format!(
        "{}\n… {} more lines (--full)",
        start.join("\n"),
        all - lines
    )
}

/// Says what a task waits for.
pub(super) async fn explain(args: &ExplainArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let name = names::task(&client, &args.task).await?;
    let explanation = client.explain_task(name).await?;
    context
        .out
        .show(&explanation, |out| explained(out, &explanation))
}

fn explained(out: &Output, explanation: &Explanation) -> Result<(), CliError> {
    let mut facts = Facts::default();
    let state = explanation.state;
    facts.add("state", toned(state_tone(state), state.as_str()));
    facts.add("why", crate::text::line(&explanation.summary));
    if !explanation.frees.is_empty() {
        facts.add("freed by", crate::text::line(&explanation.frees));
    }
    out.facts(&facts)?;
    for wait in &explanation.waits {
        if let Wait::Dependencies { open } = wait {
            for on in open {
                out.line(format!(
                    "  #{} {} {}",
                    on.number,
                    out.paint(state_tone(on.state), on.state.as_str()),
                    crate::text::short(&on.title, 70)
                ))?;
            }
        }
    }
    Ok(())
}

/// Fetches something that a task made.
pub(super) async fn artifact(args: &ArtifactArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let name = names::task(&client, &args.task).await?;
    let bytes = client.artifact(name, &args.name).await?;
    let Some(path) = &args.output else {
        // Its bytes are what was asked for: nothing is taken out of them.
        return context.out.raw(&bytes);
    };
    std::fs::write(path, &bytes)
        .map_err(|error| CliError::file(format!("can't write {}", path.display()), error))?;
    let size = bytes.len();
    if context.out.json {
        return context
            .out
            .json(&serde_json::json!({ "file": path, "size": size }));
    }
    context
        .out
        .line(format!("{size} bytes are in {}", path.display()))
}
