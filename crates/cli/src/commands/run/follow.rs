//! From the first claim to the last outcome: follows the log, shows what
//! happens, and hears who interrupts.

use std::time::Duration;

use collective_client::Client;
use collective_core::task::TaskState;
use collective_runner::worker::News;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::board::{Board, Change};
use super::progress::Progress;
use crate::crew::{Crew, Said};
use crate::errors::{CliError, INTERRUPTED};
use crate::signals::Signals;

/// How often running tasks are asked how far they are, while that is shown.
const NOTES_EVERY: Duration = Duration::from_secs(1);
/// Most tasks that are asked each time.
const MAX_NOTES: usize = 12;
/// Most calls at once when everything is called off.
const CANCELS_AT_ONCE: usize = 16;
/// How long agents may take to stop what runs and give it back, once they are
/// told to stop now: a command's own grace period, and what reporting takes.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every task has ended.
    Done,
    /// A person called it off; with the exit code.
    CalledOff(u8),
    /// It was told to stop; what was left is given back. With the exit code.
    GivenBack(u8),
    /// A person didn't want to wait; what runs is left to its guards. With the exit code.
    AtOnce(u8),
}

/// A run that is followed.
pub(super) struct Following<'f> {
    pub(super) client: &'f Client,
    pub(super) crew: &'f mut Crew,
    pub(super) board: Board,
    pub(super) progress: Progress<'f>,
    pub(super) signals: Signals,
    pub(super) fail_fast: bool,
    pub(super) stay: bool,
}

impl Following<'_> {
    /// Follows until every task has ended and every agent has stopped.
    pub(super) async fn finish(&mut self) -> Result<Ending, CliError> {
        let ending = self.tasks().await;
        match ending {
            Ok(Ending::Done | Ending::CalledOff(_)) => self.crew.drain(),
            Ok(Ending::GivenBack(_)) | Err(_) => self.crew.stop_now(),
            Ok(Ending::AtOnce(_)) => return ending,
        }
        match self.agents().await {
            Some(exit) => Ok(Ending::AtOnce(exit)),
            None => ending,
        }
    }

    /// Follows the log until every task has ended.
    async fn tasks(&mut self) -> Result<Ending, CliError> {
        // Up to here the log tells what was; only after it can "all have ended" be trusted.
        let caught_up = self.client.status().await?.last_event;
        let mut feed = self.client.events(Some(self.board.before_all()));
        let mut notes = interval(NOTES_EVERY);
        notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut called_off = None;
        loop {
            tokio::select! {
                event = feed.next() => {
                    let event = match event {
                        Some(Ok(event)) => event,
                        // One that this version can't read is none of ours.
                        Some(Err(error)) if error.code().is_none() && !error.is_passing() => {
                            tracing::warn!(%error, "an event is left out");
                            continue;
                        }
                        Some(Err(error)) => return Err(error.into()),
                        None => return Err(CliError::Bug("the event feed ended".to_owned())),
                    };
                    let dead = self.show(&event);
                    if dead && self.fail_fast && called_off.is_none() {
                        self.progress.say("a task is dead: the others are called off");
                        self.call_off("another task of the run is dead").await;
                    }
                    if event.seq >= caught_up && self.board.all_ended() && !self.stay {
                        return Ok(called_off.map_or(Ending::Done, Ending::CalledOff));
                    }
                }
                said = self.crew.next() => self.hear(said)?,
                exit = self.signals.next() => {
                    if exit != INTERRUPTED {
                        return Ok(Ending::GivenBack(exit));
                    }
                    if called_off.is_some() {
                        return Ok(Ending::AtOnce(exit));
                    }
                    called_off = Some(exit);
                    self.stay = false;
                    if self.board.all_ended() {
                        return Ok(Ending::Done);
                    }
                    self.progress.say("calling the tasks off; once more, and the run ends at once");
                    self.call_off("the run was interrupted").await;
                }
                _ = notes.tick(), if self.progress.shows_notes() => self.notes().await,
            }
        }
    }

    /// Shows what an event changed; says whether a task is dead of it.
    fn show(&mut self, event: &collective_core::event::Event) -> bool {
        let Some((row, change)) = self.board.apply(event) else {
            return false;
        };
        self.progress.change(row, &change);
        let dead = matches!(change, Change::Ended(_)) && row.state == TaskState::Dead;
        self.progress.refresh(&self.board);
        dead
    }

    fn hear(&mut self, said: Said) -> Result<(), CliError> {
        match said {
            Said::News(agent, News::Warning(text)) => {
                self.progress
                    .warn(&format!("{agent}: {}", crate::text::line(&text)));
                Ok(())
            }
            Said::News(agent, News::ServerAway(why)) => {
                let why = crate::text::line(&why);
                self.progress
                    .warn(&format!("{agent}: the server is away: {why}"));
                Ok(())
            }
            Said::News(agent, News::ServerBack) => {
                self.progress.say(&format!("{agent}: the server is back"));
                Ok(())
            }
            // The log says these, for agents elsewhere too.
            Said::News(_, News::Started { .. } | News::Ended { .. }) => Ok(()),
            Said::Ended(_, Err(error)) => Err(CliError::Worker(error)),
            Said::Ended(agent, Ok(())) => Err(CliError::Bug(format!(
                "agent {agent} stopped before the tasks had ended"
            ))),
            Said::Broken(why) => Err(CliError::Bug(format!("an agent broke off: {why}"))),
            Said::AllEnded => Err(CliError::Bug(
                "the agents stopped before the tasks had ended".to_owned(),
            )),
        }
    }

    async fn call_off(&self, reason: &str) {
        let client = self.client;
        let open = self
            .board
            .rows()
            .iter()
            .filter(|row| !row.state.is_terminal());
        let open: Vec<_> = open.map(|row| (row.number, row.id)).collect();
        let calls = stream::iter(open)
            .map(|(number, task)| async move { (number, client.cancel_task(task, reason).await) })
            .buffer_unordered(CANCELS_AT_ONCE);
        let answers: Vec<_> = calls.collect().await;
        for (number, answer) in answers {
            if let Err(error) = answer {
                // One that ended at this moment can't be called off, and needn't be.
                tracing::debug!(%error, number, "a task was not called off");
            }
        }
    }

    async fn notes(&self) {
        let running = self.board.rows().iter().filter(|row| row.state.is_leased());
        for row in running.take(MAX_NOTES) {
            if let Ok(detail) = self.client.task(row.id).await
                && let Some(note) = &detail.progress
            {
                self.progress.note(row.id, note);
            }
        }
    }

    /// Waits until every agent has stopped. One more signal, whose exit code
    /// this gives, or too long a wait, and they are left to their guards.
    async fn agents(&mut self) -> Option<u8> {
        let limit = tokio::time::sleep_until(Instant::now() + STOP_LIMIT);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                said = self.crew.next() => match said {
                    Said::AllEnded => return None,
                    Said::Broken(why) => self.progress.warn(&format!("an agent broke off: {why}")),
                    Said::Ended(agent, Err(error)) => self.progress.warn(&format!("{agent}: {error}")),
                    Said::News(agent, News::Warning(text)) => {
                        self.progress.warn(&format!("{agent}: {}", crate::text::line(&text)));
                    }
                    Said::Ended(..) | Said::News(..) => {}
                },
                exit = self.signals.next() => return Some(exit),
                () = &mut limit => {
                    self.progress.warn("agents take too long to stop; their commands are ended");
                    return None;
                }
            }
        }
    }
}
