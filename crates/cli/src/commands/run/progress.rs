//! What a person sees while a run goes on.
//!
//! On a terminal: a line that moves for each running task, and a bar for all
//! of them. Elsewhere: a line for each thing that happens. Quiet: nothing.

use std::collections::HashMap;
use std::time::Duration;

use collective_api::tasks::Progress as Note;
use collective_core::TaskId;
use collective_core::task::TaskState;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::{Board, Change, Row};
use crate::commands::task::state_tone;
use crate::output::{Output, Tone};
use crate::when;

/// Most running tasks with a line of their own: what fits a small terminal.
const MAX_LINES: usize = 12;
/// How often a moving line moves.
const TICK: Duration = Duration::from_millis(120);

/// The display.
pub(super) struct Progress<'o> {
    out: &'o Output,
    bars: Option<Bars>,
}

struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    running: HashMap<TaskId, ProgressBar>,
}

impl<'o> Progress<'o> {
    /// A display for these tasks.
    pub(super) fn new(out: &'o Output, board: &Board) -> Self {
        let bars = out.draws_progress().then(|| Bars::new(board));
        let progress = Self { out, bars };
        progress.refresh(board);
        progress
    }

    /// Whether notes of running tasks are shown.
    pub(super) fn shows_notes(&self) -> bool {
        self.bars.is_some()
    }

    /// Shows a change of a task.
    pub(super) fn change(&mut self, row: &Row, change: &Change) {
        if let Some(bars) = &mut self.bars {
            match change {
                Change::Started => bars.start(row),
                Change::Failed(_) | Change::Ended(_) => bars.end(row.id),
                _ => {}
            }
        }
        // A line that moves says already that it started.
        if *change == Change::Started && self.bars.is_some() {
            return;
        }
        if let Some(line) = self.line(row, change) {
            self.say(&line);
        }
    }

    /// Shows how far a running task says it is.
    pub(super) fn note(&self, task: TaskId, note: &Note) {
        let Some(bar) = self.bars.as_ref().and_then(|bars| bars.running.get(&task)) else {
            return;
        };
        let percent = note.percent.map(|percent| format!("{percent:.0}% "));
        let text = crate::text::short(&note.note, 50);
        bar.set_message(percent.unwrap_or_default() + &text);
    }

    /// Shows how many have ended.
    pub(super) fn refresh(&self, board: &Board) {
        let Some(bars) = &self.bars else {
            return;
        };
        let tally = board.tally();
        bars.overall.set_position(tally.ended as u64);
        let mut text = format!("{} running", tally.running);
        if tally.failed > 0 {
            text.push_str(&format!(", {} not succeeded", tally.failed));
        }
        bars.overall.set_message(text);
    }

    /// Says something, above the bars if there are any.
    pub(super) fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| self.out.remark(line)),
            None => self.out.remark(line),
        }
    }

    /// Warns of something.
    pub(super) fn warn(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| self.out.warn(line)),
            None => self.out.warn(line),
        }
    }

    /// Takes the display away.
    pub(super) fn end(self) {
        if let Some(bars) = self.bars {
            bars.overall.finish_and_clear();
        }
    }

    fn line(&self, row: &Row, change: &Change) -> Option<String> {
        let name = format!("#{} {}", row.number, crate::text::short(&row.name, 50));
        let agent = row.agent.as_ref().map_or("nobody", |agent| agent.as_str());
        let reason = || crate::text::short(row.reason.as_deref().unwrap_or_default(), 160);
        let paint = |tone, text: &str| self.out.paint_remark(tone, text);
        Some(match change {
            Change::Started => format!("{name}: {agent} starts attempt {}", row.attempt),
            Change::Failed(ran) => format!(
                "{name}: {} after {}: {}",
                paint(Tone::Warn, &format!("attempt {} failed", row.attempt)),
                when::run_time(*ran),
                reason()
            ),
            Change::Waits(at) if row.state == TaskState::QuotaWait => format!(
                "{name}: waits for the provider's limit until {}",
                when::local(*at)
            ),
            Change::Asked => format!(
                "{name}: {}",
                paint(
                    Tone::Warn,
                    &format!("asks something: collective task answer {} TEXT", row.number)
                )
            ),
            Change::Ended(ran) => {
                let state = paint(state_tone(row.state), row.state.as_str());
                match (ran, row.state) {
                    (Some(ran), TaskState::Succeeded) => {
                        format!("{name}: {state} after {} ({agent})", when::run_time(*ran))
                    }
                    _ => format!("{name}: {state}: {}", reason()),
                }
            }
            Change::Waits(_) | Change::Answered | Change::Moved => return None,
        })
    }
}

impl Bars {
    fn new(board: &Board) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let overall = all.add(ProgressBar::new(board.rows().len() as u64));
        overall.set_style(style("[{bar:30}] {pos}/{len} ended, {msg} ({elapsed})"));
        overall.enable_steady_tick(TICK);
        Self {
            all,
            overall,
            running: HashMap::new(),
        }
    }

    fn start(&mut self, row: &Row) {
        if self.running.len() >= MAX_LINES {
            return;
        }
        let bar = self
            .all
            .insert_before(&self.overall, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix} {elapsed} {msg}"));
        let agent = row.agent.as_ref().map_or("", |agent| agent.as_str());
        let again = match row.attempt {
            0 | 1 => String::new(),
            attempt => format!(", attempt {attempt}"),
        };
        let name = crate::text::short(&row.name, 40);
        bar.set_prefix(format!("#{} {name} ({agent}{again})", row.number));
        bar.enable_steady_tick(TICK);
        if let Some(old) = self.running.insert(row.id, bar) {
            old.finish_and_clear();
        }
    }

    fn end(&mut self, task: TaskId) {
        if let Some(bar) = self.running.remove(&task) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

/// A template of ours. One with a mistake shows as the usual bar, which a test would see.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn the_templates_have_no_mistake() {
        for template in [
            "[{bar:30}] {pos}/{len} ended, {msg} ({elapsed})",
            "{spinner} {prefix} {elapsed} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
