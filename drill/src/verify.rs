//! The proof: the whole log and all tasks are read back and checked.

use anyhow::{Result, bail};
use collective_api::operations::ReadEvents;
use collective_api::tasks::ListTasks;
use collective_core::event::Event;
use collective_core::limits::MAX_PAGE;
use collective_core::task::Task;
use collective_testkit::history::{Acknowledged, History};

use crate::load::{Load, Told};

/// Most violations that are printed.
const SHOWN: usize = 20;

/// Everything that the team left behind.
pub(crate) struct Remains {
    events: Vec<Event>,
    tasks: Vec<Task>,
    told: Told,
}

/// Reads it from a replica.
pub(crate) async fn read(load: &Load, told: Told) -> Result<Remains> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let query = ReadEvents {
            after: Some(events.last().map_or(0, |event| event.seq)),
            limit: Some(MAX_PAGE),
            task: None,
        };
        let page = load
            .persist(0, |client| {
                let query = query.clone();
                async move { client.list_events(&query).await }
            })
            .await?;
        if page.items.is_empty() {
            break;
        }
        events.extend(page.items);
    }
    let mut tasks: Vec<Task> = Vec::new();
    let mut query = ListTasks {
        limit: Some(MAX_PAGE),
        ..ListTasks::default()
    };
    loop {
        let page = load
            .persist(1, |client| {
                let query = query.clone();
                async move { client.list_tasks(&query).await }
            })
            .await?;
        tasks.extend(page.items);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    if events.is_empty() {
        bail!("the log is empty");
    }
    Ok(Remains {
        events,
        tasks,
        told,
    })
}

impl Remains {
    /// Prints what was found; says whether all is well.
    pub(crate) fn judge(&self, seed: u64) -> bool {
        let Acknowledged {
            created,
            claimed,
            succeeded,
            failed,
        } = &self.told.acknowledged;
        println!(
            "read back: {} events, {} tasks",
            self.events.len(),
            self.tasks.len()
        );
        println!(
            "acknowledged: {} created, {} claimed, {} succeeded, {} failed",
            created.len(),
            claimed.len(),
            succeeded.len(),
            failed.len()
        );
        let mut well = self.feed_is_gapless();
        let checked = History::of(&self.events)
            .with_tasks(&self.tasks)
            .with_acknowledged(&self.told.acknowledged)
            .check();
        match checked {
            Ok(summary) => println!("the log: {summary}"),
            Err(violations) => {
                well = false;
                println!("{} violations of the invariants", violations.len());
                for violation in violations.iter().take(SHOWN) {
                    println!("  {violation}");
                }
            }
        }
        println!(
            "{} (seed {seed})",
            if well {
                "nothing was lost"
            } else {
                "SOMETHING WAS LOST"
            }
        );
        well
    }

    /// The reader saw the log as it is, from its beginning and in order.
    fn feed_is_gapless(&self) -> bool {
        let seen = &self.told.feed;
        println!(
            "the feed: {} of {} events before it was left",
            seen.len(),
            self.events.len()
        );
        let same = seen.len() <= self.events.len() && seen[..] == self.events[..seen.len()];
        if !same {
            println!("the feed differs from the log");
        }
        same
    }
}
