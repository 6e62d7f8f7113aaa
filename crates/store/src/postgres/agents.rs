//! Agents, queues and API keys: few rows, rarely written.

use collective_core::agent::{Agent, AgentSpec, Transport};
use collective_core::key::ApiKey;
use collective_core::ports::StoreError;
use collective_core::queue::Queue;
use collective_core::role::Role;
use collective_core::{AgentName, KeyId, QueueName, TeamName, Timestamp};
use tokio_postgres::Row;

use super::column::{Columns, Text, json};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

macro_rules! agent {
    () => {
        concat!(
            "SELECT name, role, queues, slots, description, draining, created_at, registered_at,
                 transport FROM agents WHERE team = ",
            team!()
        )
    };
}

macro_rules! queue {
    () => {
        concat!(
            "SELECT name, paused, created_at FROM queues WHERE team = ",
            team!()
        )
    };
}

macro_rules! key {
    () => {
        "SELECT id, team, label, agent, role, secret_hash, created_at, revoked_at FROM api_keys"
    };
}

statements! { "agents":
    PUT_AGENT = "
        INSERT INTO agents (team, name, role, queues, slots, description, draining, created_at,
            registered_at, transport)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (team, name) DO UPDATE SET role = excluded.role, queues = excluded.queues,
            slots = excluded.slots, description = excluded.description,
            draining = excluded.draining, created_at = excluded.created_at,
            registered_at = excluded.registered_at, transport = excluded.transport";
    REMOVE_AGENT = "DELETE FROM agents WHERE team = $1 AND name = $2";
    AGENT = concat!(agent!(), " AND name = $2");
    AGENTS = concat!(agent!(), " ORDER BY name");
    PUT_QUEUE = "
        INSERT INTO queues (team, name, paused, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (team, name) DO UPDATE SET paused = excluded.paused,
            created_at = excluded.created_at";
    QUEUE = concat!(queue!(), " AND name = $2");
    QUEUES = concat!(queue!(), " ORDER BY name");
    PUT_KEY = "
        INSERT INTO api_keys (id, team, label, agent, role, secret_hash, created_at, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (id) DO UPDATE SET team = excluded.team, label = excluded.label,
            agent = excluded.agent, role = excluded.role, secret_hash = excluded.secret_hash,
            created_at = excluded.created_at, revoked_at = excluded.revoked_at";
    KEY = concat!(key!(), " WHERE id = $1");
    KEYS = concat!(key!(), " WHERE team = $1 ORDER BY created_at, id");
}

pub(super) async fn put_agent(
    tx: &mut Writing,
    team: &TeamName,
    agent: &Agent,
) -> Result<(), StoreError> {
    let values = owned![
        tx.team(team).await?.number,
        agent.name.to_string(),
        agent.spec.role.as_str(),
        json(&agent.spec.queues)?,
        i64::from(agent.spec.slots),
        Text::owned(&agent.spec.description),
        agent.draining,
        agent.created_at.micros(),
        agent.registered_at.micros(),
        agent.spec.transport.as_str(),
    ];
    tx.send(PUT_AGENT, values, Expect::Success).await
}

pub(super) async fn remove_agent(
    tx: &mut Writing,
    team: &TeamName,
    name: &AgentName,
) -> Result<(), StoreError> {
    let values = owned![tx.team(team).await?.number, name.to_string()];
    tx.send(REMOVE_AGENT, values, Expect::Success).await
}

pub(super) async fn agent(
    ask: &mut impl Access,
    team: &TeamName,
    name: &AgentName,
) -> Result<Option<Agent>, StoreError> {
    let rows = ask.rows(AGENT, &[&team.as_str(), &name.as_str()]).await?;
    rows.first().map(read_agent).transpose()
}

pub(super) async fn agents(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<Agent>, StoreError> {
    let rows = ask.rows(AGENTS, &[&team.as_str()]).await?;
    rows.iter().map(read_agent).collect()
}

fn read_agent(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        name: row.name(0)?,
        spec: AgentSpec {
            role: row.word(1, Role::from_text)?,
            queues: row.json(2)?,
            slots: row.number(3)?,
            description: row.text(4)?,
            transport: row.word(8, Transport::from_text)?,
        },
        draining: row.value(5)?,
        created_at: row.time(6)?,
        registered_at: row.time(7)?,
    })
}

pub(super) async fn put_queue(
    tx: &mut Writing,
    team: &TeamName,
    queue: &Queue,
) -> Result<(), StoreError> {
    let values = owned![
        tx.team(team).await?.number,
        queue.name.to_string(),
        queue.paused,
        queue.created_at.micros(),
    ];
    tx.send(PUT_QUEUE, values, Expect::Success).await
}

pub(super) async fn queue(
    ask: &mut impl Access,
    team: &TeamName,
    name: &QueueName,
) -> Result<Option<Queue>, StoreError> {
    let rows = ask.rows(QUEUE, &[&team.as_str(), &name.as_str()]).await?;
    rows.first().map(read_queue).transpose()
}

pub(super) async fn queues(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<Queue>, StoreError> {
    let rows = ask.rows(QUEUES, &[&team.as_str()]).await?;
    rows.iter().map(read_queue).collect()
}

fn read_queue(row: &Row) -> Result<Queue, StoreError> {
    Ok(Queue {
        name: row.name(0)?,
        paused: row.value(1)?,
        created_at: row.time(2)?,
    })
}

pub(super) async fn put_key(tx: &mut Writing, key: &ApiKey) -> Result<(), StoreError> {
    let values = owned![
        key.id.0,
        key.team.to_string(),
        Text::owned(&key.label),
        key.agent.as_ref().map(ToString::to_string),
        key.role.map(Role::as_str),
        key.secret_hash.to_vec(),
        key.created_at.micros(),
        key.revoked_at.map(Timestamp::micros),
    ];
    tx.send(PUT_KEY, values, Expect::Success).await
}

pub(super) async fn key(ask: &mut impl Access, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    let rows = ask.rows(KEY, &[&id.0]).await?;
    rows.first().map(read_key).transpose()
}

pub(super) async fn keys(
    ask: &mut impl Access,
    team: &TeamName,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = ask.rows(KEYS, &[&team.as_str()]).await?;
    rows.iter().map(read_key).collect()
}

fn read_key(row: &Row) -> Result<ApiKey, StoreError> {
    let role = match row.value::<Option<&str>>(4)? {
        Some(_) => Some(row.word(4, Role::from_text)?),
        None => None,
    };
    Ok(ApiKey {
        id: KeyId(row.uuid(0)?),
        team: row.name(1)?,
        label: row.text(2)?,
        agent: row.optional_name(3)?,
        role,
        secret_hash: row.hash(5)?,
        created_at: row.time(6)?,
        revoked_at: row.optional_time(7)?,
    })
}
