//! What a team's content comes to: counts and checksums, equal if two stores hold the same.

use std::fmt::Write;

use collective_core::event::Fact;
use collective_core::limits::MAX_PAGE;
use collective_core::ports::store::Query;
use collective_core::ports::{Store, StoreError};
use collective_core::task::{Epoch, Task};
use collective_core::{TeamName, task};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Pieces of output that are read at once.
const LOG_PAGE: usize = 16;

/// Count and SHA-256 of each kind of thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// Events.
    pub events: Sum,
    /// Tasks with their dependencies.
    pub tasks: Sum,
    /// Ended attempts.
    pub attempts: Sum,
    /// Output and artifacts, in bytes.
    pub bytes: Sum,
    /// Messages with their deliveries.
    pub messages: Sum,
    /// Questions.
    pub questions: Sum,
    /// Agents, queues, keys, schedules, reservations.
    pub surroundings: Sum,
    /// Remembered answers.
    pub answers: Sum,
}

/// How many, and their SHA-256 in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// SHA-256 of all, in order.
    pub sha256: String,
}

#[derive(Default)]
struct Summing {
    count: u64,
    hash: Sha256,
}

impl Summing {
    fn add(&mut self, thing: &impl Serialize) -> Result<(), StoreError> {
        self.count += 1;
        self.mix(thing)
    }

    /// Takes part in the checksum without counting.
    fn mix(&mut self, thing: &impl Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_vec(thing)
            .map_err(|error| StoreError::Internal(format!("can't be written as JSON: {error}")))?;
        self.hash.update((text.len() as u64).to_be_bytes());
        self.hash.update(text);
        Ok(())
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.count += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn sum(self) -> Sum {
        let hash = self.hash.finalize();
        let sha256 = hash.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Sum {
            count: self.count,
            sha256,
        }
    }
}

impl Digest {
    /// Reads a team's whole content.
    pub async fn of(store: &dyn Store, team: &TeamName) -> Result<Self, StoreError> {
        let mut query = store.reader().await?;
        let mut events = Summing::default();
        let (mut tasks, mut attempts, mut bytes) =
            (Summing::default(), Summing::default(), Summing::default());
        let (mut messages, mut questions) = (Summing::default(), Summing::default());
        let mut after = 0;
        loop {
            let page = query.events(team, after, MAX_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for event in &page {
                events.add(event)?;
                match &event.fact {
                    Fact::TaskCreated { task, .. } => {
                        let Some(task) = query.task(team, *task).await? else {
                            continue;
                        };
                        tasks.add(&task)?;
                        for edge in query.dependencies(team, task.id).await? {
                            tasks.mix(&(edge.on, edge.met))?;
                        }
                        for attempt in query.attempts(team, task.id).await? {
                            attempts.add(&attempt)?;
                        }
                        add_bytes(&mut *query, team, &task, &mut bytes).await?;
                    }
                    Fact::MessageSent { message, .. } => {
                        if let Some(message) = query.message(team, *message).await? {
                            messages.add(&message)?;
                            for delivery in query.deliveries(team, message.id).await? {
                                messages.mix(&delivery)?;
                            }
                        }
                    }
                    Fact::TaskAsked { question, .. } => {
                        if let Some(question) = query.question(team, *question).await? {
                            questions.add(&question)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(Self {
            events: events.sum(),
            tasks: tasks.sum(),
            attempts: attempts.sum(),
            bytes: bytes.sum(),
            messages: messages.sum(),
            questions: questions.sum(),
            surroundings: surroundings(&mut *query, team).await?,
            answers: answers(&mut *query, team).await?,
        })
    }

    /// Which kinds of thing two digests disagree on, for people.
    pub fn difference(&self, other: &Self) -> String {
        let kinds = [
            ("events", &self.events, &other.events),
            ("tasks", &self.tasks, &other.tasks),
            ("attempts", &self.attempts, &other.attempts),
            ("output and artifacts", &self.bytes, &other.bytes),
            ("messages", &self.messages, &other.messages),
            ("questions", &self.questions, &other.questions),
            (
                "agents, queues, keys, schedules and reservations",
                &self.surroundings,
                &other.surroundings,
            ),
            ("remembered answers", &self.answers, &other.answers),
        ];
        let differing: Vec<String> = kinds
            .into_iter()
            .filter(|(_, one, another)| one != another)
            .map(|(kind, one, another)| format!("{kind} ({} and {})", one.count, another.count))
            .collect();
        if differing.is_empty() {
            "in nothing".to_owned()
        } else {
            format!("in {}", differing.join(", "))
        }
    }
}

async fn add_bytes(
    query: &mut dyn Query,
    team: &TeamName,
    task: &Task,
    bytes: &mut Summing,
) -> Result<(), StoreError> {
    for epoch in (1..=task.epoch.0).map(Epoch) {
        let mut after = 0;
        loop {
            let chunks = query.log(team, task.id, epoch, after, LOG_PAGE).await?;
            let Some(last) = chunks.last() else { break };
            after = last.position;
            for chunk in &chunks {
                bytes.mix(&(chunk.position, chunk.at))?;
                bytes.add_bytes(&chunk.bytes);
            }
        }
    }
    let artifacts: &[task::Artifact] = task
        .result
        .as_ref()
        .map_or(&[], |result| result.artifacts.as_slice());
    for artifact in artifacts {
        if let Some(kept) = query.artifact(team, task.id, &artifact.name).await? {
            bytes.mix(&artifact.name)?;
            bytes.add_bytes(&kept);
        }
    }
    Ok(())
}

async fn surroundings(query: &mut dyn Query, team: &TeamName) -> Result<Sum, StoreError> {
    let mut sum = Summing::default();
    for agent in query.agents(team).await? {
        sum.add(&agent)?;
    }
    for queue in query.queues(team).await? {
        sum.add(&queue)?;
    }
    for key in query.keys(team).await? {
        sum.add(&key)?;
        // Never shown elsewhere, and not part of the key's JSON.
        sum.mix(&key.secret_hash)?;
    }
    for schedule in query.schedules(team).await? {
        sum.add(&schedule)?;
    }
    for reservation in query.reservations(team).await? {
        sum.add(&reservation)?;
    }
    Ok(sum.sum())
}

async fn answers(query: &mut dyn Query, team: &TeamName) -> Result<Sum, StoreError> {
    let mut sum = Summing::default();
    let mut after = String::new();
    loop {
        let page = query.answers(team, &after, MAX_PAGE).await?;
        let Some((last, ..)) = page.last() else {
            return Ok(sum.sum());
        };
        after.clone_from(last);
        for (key, answer, at) in page {
            sum.add(&(key, answer.request_hash, answer.answer, at))?;
        }
    }
}
