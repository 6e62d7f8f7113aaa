//! Agents at work in this process: one worker for each, their news in one stream.
//!
//! Each worker gets its own agent's key and no other.

use std::path::Path;
use std::sync::Arc;

use collective_core::AgentName;
use collective_runner::orphans;
use collective_runner::runs::{DeadRun, Run};
use collective_runner::worker::{News, Stop, Worker, WorkerError, WorkerOptions};
use collective_runner::worktree::{self, Finished};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::errors::CliError;

/// News that wait to be shown; more are dropped rather than keep work waiting.
const MAX_NEWS: usize = 1_024;

/// Agents at work.
pub(crate) struct Crew {
    run: Arc<Run>,
    stop: Stop,
    workers: JoinSet<(AgentName, Result<(), WorkerError>)>,
    news: mpsc::Receiver<(AgentName, News)>,
    tell: mpsc::Sender<(AgentName, News)>,
}

/// What a crew says.
#[derive(Debug)]
pub(crate) enum Said {
    /// An agent's news.
    News(AgentName, News),
    /// An agent ended, of itself or because it was told to.
    Ended(AgentName, Result<(), WorkerError>),
    /// An agent broke off: a bug of ours.
    Broken(String),
    /// The last agent has ended.
    AllEnded,
}

impl Crew {
    /// A crew without agents, whose private files and worktrees lie below `root`.
    pub(crate) fn new(root: &Path) -> Result<Self, CliError> {
        let run = Run::begin(root).map_err(|error| {
            CliError::file(format!("can't work below {}", root.display()), error)
        })?;
        let (tell, news) = mpsc::channel(MAX_NEWS);
        Ok(Self {
            run: Arc::new(run),
            stop: Stop::default(),
            workers: JoinSet::new(),
            news,
            tell,
        })
    }

    /// Lets an agent begin.
    pub(crate) fn add(&mut self, options: WorkerOptions) -> Result<(), CliError> {
        let agent = options.agent.clone();
        let (own, mut theirs) = mpsc::channel(MAX_NEWS);
        let worker = Worker::new(options, Arc::clone(&self.run), own)?;
        let stop = self.stop.clone();
        let tell = self.tell.clone();
        self.workers.spawn(async move {
            // Ends with the worker, which holds the only sender.
            let forward = async {
                while let Some(news) = theirs.recv().await {
                    drop(tell.try_send((agent.clone(), news)));
                }
            };
            let (result, ()) = tokio::join!(worker.work(stop), forward);
            (agent, result)
        });
        Ok(())
    }

    /// What is said next. News go before ends, so that an agent's last words are heard.
    pub(crate) async fn next(&mut self) -> Said {
        tokio::select! {
            biased;
            Some((agent, news)) = self.news.recv() => Said::News(agent, news),
            ended = self.workers.join_next() => match ended {
                Some(Ok((agent, result))) => Said::Ended(agent, result),
                Some(Err(error)) => Said::Broken(error.to_string()),
                None => Said::AllEnded,
            },
        }
    }

    /// No new tasks; what runs may finish.
    pub(crate) fn drain(&self) {
        self.stop.drain.cancel();
    }

    /// What runs is stopped and given back.
    pub(crate) fn stop_now(&self) {
        self.stop.drain.cancel();
        self.stop.now.cancel();
    }

    /// Ends the crew, whose agents have all ended: its private files go.
    pub(crate) fn end(self) {
        drop(self.workers);
        match Arc::try_unwrap(self.run).map(Run::end) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "private files of the run stay behind"),
            Err(_) => tracing::warn!("something of the run still goes on; its private files stay"),
        }
    }
}

/// Cleans up after runs that were killed: their processes, and their worktrees,
/// whose work is committed first. Says what a person should know.
pub(crate) async fn clean_up(root: &Path) -> Vec<String> {
    let mut said = Vec::new();
    for dead in DeadRun::find(root) {
        let id = dead.id;
        let killed = tokio::task::spawn_blocking(move || orphans::kill_run(id)).await;
        if let Ok(1..) = killed {
            said.push(
                "processes of a run that was killed were still there; they are ended".to_owned(),
            );
        }
        for finished in worktree::recover(dead).await {
            said.extend(saved(finished));
        }
    }
    said
}

fn saved(finished: Finished) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(branch) = finished.branch {
        said.push(format!(
            "work of a run that was killed is on the branch {branch}"
        ));
    }
    if let Some(kept) = finished.kept {
        said.push(format!(
            "a worktree of a run that was killed stays at {}: {}",
            kept.path.display(),
            kept.reason
        ));
    }
    said.extend(finished.warnings);
    said
}
