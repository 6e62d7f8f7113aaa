//! One attempt from claim to report.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use collective_api::leases::{ArtifactUpload, Claim, Completion, FailedAttempt, LeaseRef, Settled};
use collective_client::{Client, ClientError};
use collective_core::Code;
use collective_core::question::Question;
use collective_core::task::{AttemptOutcome, Evidence, Failure, FailureClass};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::beat::{Held, StopReason};
use super::briefing::brief;
use super::report::{Report, send};
use super::{News, WorkerOptions, logs, tell};
use crate::attempt::{self, AttemptReport, AttemptSpec, Identity, Made, Place};
use crate::checks::{self, ChecksError, Scene};
use crate::output::Listeners;
use crate::runs::Run;
use crate::supervise::{Control, Exit};
use crate::worktree::Repository;

/// Pieces of output that wait for the uploader; the rest waits in the reader, bounded in total.
const WAITING_CHUNKS: usize = 64;

pub(super) struct Job {
    pub(super) options: Arc<WorkerOptions>,
    pub(super) client: Client,
    pub(super) run: Arc<Run>,
    pub(super) news: mpsc::Sender<News>,
    pub(super) held: Held,
    pub(super) stop_now: CancellationToken,
    pub(super) claim: Claim,
    /// The attempt's place in its task's trace.
    pub(super) traceparent: Option<String>,
}

/// Why the command was stopped, if it was.
enum Stopped {
    CalledOff(String),
    Lost,
    GivenUp,
}

impl Job {
    pub(super) async fn work(self) {
        let report = match self.place().await {
            Ok(place) => self.attempt(place).await,
            Err(failure) => Some(self.failed(AttemptOutcome::Failed, failure)),
        };
        let (state, reason) = match report {
            None => (
                None,
                Some("its lease was lost; nothing was recorded".to_owned()),
            ),
            Some(report) => {
                let reason = report.reason();
                match send(&self.client, report, &self.stop_now).await {
                    Ok(Some(settled)) => self.settled(&settled, reason),
                    Ok(None) => (
                        None,
                        Some("the server was away when it had to stop".to_owned()),
                    ),
                    Err(error) if error.is(Code::LeaseLost) => (
                        None,
                        Some("its lease was lost; nothing was recorded".to_owned()),
                    ),
                    Err(error) => (None, Some(self.unreported(&error).await)),
                }
            }
        };
        if let Some(state) = state {
            tracing::Span::current().record("collective.state", state.as_str());
        }
        tell(
            &self.news,
            News::Ended {
                task: self.claim.task.id,
                number: self.claim.task.number,
                attempt: self.claim.task.epoch,
                state,
                reason,
            },
        );
    }

    fn settled(
        &self,
        settled: &Settled,
        reason: Option<String>,
    ) -> (Option<collective_core::task::TaskState>, Option<String>) {
        // A failed check turns a claim to be done into a failed attempt.
        let failed = settled.outcome != AttemptOutcome::Succeeded;
        (
            Some(settled.state),
            reason.or_else(|| failed.then(|| "a check failed".to_owned())),
        )
    }

    /// The server takes no such report: the attempt fails with what it said, so that it is seen.
    async fn unreported(&self, error: &ClientError) -> String {
        let reason = format!("the report was refused: {error}");
        let reason = collective_core::text::head(&reason, collective_core::limits::MAX_REASON_LEN)
            .to_owned();
        let failure = Failure::new(FailureClass::Permanent, reason.clone());
        let report = self.failed(AttemptOutcome::Failed, failure);
        if let Err(error) = send(&self.client, report, &self.stop_now).await {
            tracing::warn!(%error, task = self.claim.task.number, "a failure could not be reported");
        }
        reason
    }

    /// Runs the command and judges it; nothing to report if the lease is lost.
    async fn attempt(&self, place: Place) -> Option<Report> {
        let (chunks, taken) = mpsc::channel(WAITING_CHUNKS);
        let uploader = tokio::spawn(logs::upload(
            self.client.clone(),
            self.claim.task.id,
            self.claim.token,
            taken,
            self.stop_now.clone(),
        ));
        let cancel = CancellationToken::new();
        let control = Control {
            cancel: cancel.clone(),
            listeners: Listeners {
                log: Some(chunks),
                progress: Some(self.held.progress.clone()),
            },
        };
        let spec = self.spec(place);
        let running = attempt::run(&self.run, &spec, control);
        tokio::pin!(running);
        let mut why = None;
        let report = loop {
            tokio::select! {
                report = &mut running => break report,
                reason = self.told_to_stop(), if why.is_none() => {
                    why = Some(reason);
                    cancel.cancel();
                }
            }
        };
        if let Err(error) = uploader.await {
            tracing::error!(%error, "the uploader of output ended badly");
        }
        for warning in &report.warnings {
            tell(
                &self.news,
                News::Warning(format!("task #{}: {warning}", self.claim.task.number)),
            );
        }
        match why {
            Some(why) => self.stopped(why),
            None => self.judge(&spec.place, report).await,
        }
    }

    /// Ends with the first reason to stop.
    async fn told_to_stop(&self) -> Stopped {
        let mut stop = self.held.stop.clone();
        tokio::select! {
            reason = stop.wait_for(Option::is_some) => match reason.as_deref() {
                Ok(Some(StopReason::CalledOff(reason))) => Stopped::CalledOff(reason.clone()),
                // Without a heartbeat the lease can't be kept either.
                Ok(_) | Err(_) => Stopped::Lost,
            },
            () = self.stop_now.cancelled() => Stopped::GivenUp,
        }
    }

    async fn judge(&self, place: &Place, mut report: AttemptReport) -> Option<Report> {
        if let Some(failure) = report.failure.take() {
            let outcome = match report.exit {
                Exit::TimedOut => AttemptOutcome::TimedOut,
                _ => AttemptOutcome::Failed,
            };
            return Some(self.failed(outcome, failure));
        }
        let scene = match (place, &report.commit) {
            (Place::Folder(folder), _) => Scene::Folder(folder.clone()),
            (Place::Worktree { repository, .. }, Some(commit)) => Scene::Commit {
                repository: repository.clone(),
                commit: commit.clone(),
            },
            // Its work could not be saved as a commit, so there is nothing to look at.
            (Place::Worktree { .. }, None) => {
                let reason = report.warnings.join("; ");
                let failure = Failure::new(
                    FailureClass::Transient,
                    format!("its work has no commit: {reason}"),
                );
                return Some(self.failed(AttemptOutcome::Failed, failure));
            }
        };
        match self.check(&scene).await {
            Ok(Ok(evidence)) => Some(self.done(report, evidence)),
            Ok(Err(error)) => {
                let failure =
                    Failure::new(error.class(), format!("it could not be checked: {error}"));
                Some(self.failed(AttemptOutcome::Failed, failure))
            }
            Err(why) => self.stopped(why),
        }
    }

    async fn place(&self) -> Result<Place, Failure> {
        let (work, task) = (&self.options.work, &self.claim.task);
        if !work.worktree {
            return Ok(Place::Folder(work.workdir.clone()));
        }
        let repository = Repository::discover(&work.workdir).await.map_err(|error| {
            let mut failure = Failure::new(error.class(), format!("no worktree: {error}"));
            failure.feedback = error.hint().unwrap_or_default();
            failure
        })?;
        let name = match &task.spec.key {
            Some(key) => format!("{key}-{}", task.number),
            None => task.number.to_string(),
        };
        Ok(Place::Worktree {
            repository,
            name,
            base: None,
        })
    }

    /// Looks for evidence, until told to stop.
    async fn check(&self, scene: &Scene) -> Result<Result<Vec<Evidence>, ChecksError>, Stopped> {
        let cancel = CancellationToken::new();
        let label = format!("{}-{}", self.claim.task.number, self.claim.task.epoch);
        let checking = checks::run(
            &self.run,
            &label,
            &self.claim.task.spec.checks,
            scene,
            &cancel,
        );
        tokio::pin!(checking);
        tokio::select! {
            seen = &mut checking => Ok(seen),
            why = self.told_to_stop() => {
                cancel.cancel();
                // It ends its command and removes its tree.
                drop(checking.await);
                Err(why)
            }
        }
    }

    fn stopped(&self, why: Stopped) -> Option<Report> {
        match why {
            Stopped::Lost => None,
            Stopped::GivenUp => {
                let lease = LeaseRef {
                    task: self.claim.task.id,
                    token: self.claim.token,
                };
                Some(Report::GivenBack(lease, "its agent was stopped".to_owned()))
            }
            Stopped::CalledOff(reason) => {
                let failure = Failure::new(FailureClass::Transient, reason);
                Some(self.failed(AttemptOutcome::Cancelled, failure))
            }
        }
    }

    fn done(&self, report: AttemptReport, evidence: Vec<Evidence>) -> Report {
        Report::Done(Box::new(Completion {
            task: self.claim.task.id,
            token: self.claim.token,
            text: report.text,
            json: report.json,
            artifacts: report.artifacts.into_iter().map(upload).collect(),
            usage: report.usage,
            commit: report.commit,
            evidence,
        }))
    }

    fn failed(&self, outcome: AttemptOutcome, failure: Failure) -> Report {
        Report::Failed(FailedAttempt {
            task: self.claim.task.id,
            token: self.claim.token,
            outcome,
            failure,
        })
    }

    fn spec(&self, place: Place) -> AttemptSpec {
        let (options, task) = (&self.options, &self.claim.task);
        let mut env = options.work.env.clone();
        env.push((
            "COLLECTIVE_REPOSITORY".to_owned(),
            options.work.workdir.to_string_lossy().into_owned(),
        ));
        AttemptSpec {
            command: options.work.command.clone(),
            delivery: options.work.delivery,
            prompt: if options.work.briefing {
                brief(&self.claim)
            } else {
                task.spec.prompt.clone()
            },
            identity: Identity {
                url: options.url.clone(),
                token: options.token.reveal().to_owned(),
                team: options.team.clone(),
                agent: options.agent.clone(),
                task: task.id,
                number: task.number,
                epoch: task.epoch,
                lease: self.claim.token,
                traceparent: self.traceparent.clone(),
            },
            input: task.spec.input.clone(),
            dependencies: self.claim.dependencies.iter().map(dependency).collect(),
            feedback: task.failure.as_ref().map(feedback),
            answers: answers(&self.claim.answers),
            env,
            drop_env: options.work.drop_env.clone(),
            place,
            timeout: task.spec.timeout.as_duration(),
            grace: options.work.grace,
            reading: Arc::clone(&options.work.reading),
            rules: Arc::clone(&options.work.rules),
        }
    }
}

fn dependency(result: &collective_api::leases::DependencyResult) -> Value {
    json!({
        "task": result.task,
        "number": result.number,
        "key": result.key,
        "title": result.title,
        "state": result.state,
        "text": result.text,
        "json": result.json,
        "cut": result.cut,
    })
}

fn feedback(failure: &Failure) -> String {
    if failure.feedback.is_empty() {
        return failure.reason.clone();
    }
    format!("{}\n\n{}", failure.reason, failure.feedback)
}

fn answers(answered: &[Question]) -> Option<Value> {
    if answered.is_empty() {
        return None;
    }
    Some(
        answered
            .iter()
            .map(|q| json!({"question": q.text, "answer": q.answer, "by": q.answered_by}))
            .collect(),
    )
}

fn upload(made: Made) -> ArtifactUpload {
    ArtifactUpload {
        name: made.name,
        kind: made.kind,
        reference: made.reference,
        content: made.content.map(|bytes| STANDARD.encode(bytes)),
    }
}
