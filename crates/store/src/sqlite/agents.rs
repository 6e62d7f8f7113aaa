//! Teams, agents, queues and API keys: few rows, rarely written.

use collective_core::agent::{Agent, AgentSpec, Transport};
use collective_core::key::ApiKey;
use collective_core::queue::Queue;
use collective_core::role::Role;
use collective_core::{AgentName, KeyId, QueueName, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, bytes, json};

pub(super) fn insert_team(
    connection: &Connection,
    team: &TeamName,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let added = connection
        .prepare_cached(
            "INSERT INTO teams (name, created_at) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![team.as_str(), now.micros()])?;
    Ok(added > 0)
}

pub(super) fn team_exists(connection: &Connection, team: &TeamName) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM teams WHERE name = ?1")?
        .exists(params![team.as_str()])
}

pub(super) fn teams(connection: &Connection) -> rusqlite::Result<Vec<TeamName>> {
    connection
        .prepare_cached("SELECT name FROM teams ORDER BY name")?
        .query_map(params![], |row| row.name(0))?
        .collect()
}

const AGENT: &str =
    "SELECT name, role, queues, slots, description, draining, created_at, registered_at,
         transport FROM agents WHERE team = ?1";

pub(super) fn put_agent(
    connection: &Connection,
    team: &TeamName,
    agent: &Agent,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO agents (team, name, role, queues, slots, description, draining,
                 created_at, registered_at, transport)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (team, name) DO UPDATE SET role = excluded.role,
                 queues = excluded.queues, slots = excluded.slots,
                 description = excluded.description, draining = excluded.draining,
                 created_at = excluded.created_at, registered_at = excluded.registered_at,
                 transport = excluded.transport",
        )?
        .execute(params![
            team.as_str(),
            agent.name.as_str(),
            agent.spec.role.as_str(),
            json(&agent.spec.queues)?,
            agent.spec.slots,
            agent.spec.description,
            agent.draining,
            agent.created_at.micros(),
            agent.registered_at.micros(),
            agent.spec.transport.as_str(),
        ])?;
    Ok(())
}

pub(super) fn remove_agent(
    connection: &Connection,
    team: &TeamName,
    name: &AgentName,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM agents WHERE team = ?1 AND name = ?2")?
        .execute(params![team.as_str(), name.as_str()])?;
    Ok(())
}

pub(super) fn agent(
    connection: &Connection,
    team: &TeamName,
    name: &AgentName,
) -> rusqlite::Result<Option<Agent>> {
    connection
        .prepare_cached(&format!("{AGENT} AND name = ?2"))?
        .query_row(params![team.as_str(), name.as_str()], read_agent)
        .optional()
}

pub(super) fn agents(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<Agent>> {
    connection
        .prepare_cached(&format!("{AGENT} ORDER BY name"))?
        .query_map(params![team.as_str()], read_agent)?
        .collect()
}

fn read_agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        name: row.name(0)?,
        spec: AgentSpec {
            role: row.word(1, Role::from_text)?,
            queues: row.json(2)?,
            slots: row.get(3)?,
            description: row.get(4)?,
            transport: row.word(8, Transport::from_text)?,
        },
        draining: row.get(5)?,
        created_at: row.time(6)?,
        registered_at: row.time(7)?,
    })
}

const QUEUE: &str = "SELECT name, paused, created_at FROM queues WHERE team = ?1";

pub(super) fn put_queue(
    connection: &Connection,
    team: &TeamName,
    queue: &Queue,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO queues (team, name, paused, created_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (team, name) DO UPDATE SET paused = excluded.paused,
                 created_at = excluded.created_at",
        )?
        .execute(params![
            team.as_str(),
            queue.name.as_str(),
            queue.paused,
            queue.created_at.micros(),
        ])?;
    Ok(())
}

pub(super) fn queue(
    connection: &Connection,
    team: &TeamName,
    name: &QueueName,
) -> rusqlite::Result<Option<Queue>> {
    connection
        .prepare_cached(&format!("{QUEUE} AND name = ?2"))?
        .query_row(params![team.as_str(), name.as_str()], read_queue)
        .optional()
}

pub(super) fn queues(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<Queue>> {
    connection
        .prepare_cached(&format!("{QUEUE} ORDER BY name"))?
        .query_map(params![team.as_str()], read_queue)?
        .collect()
}

fn read_queue(row: &Row<'_>) -> rusqlite::Result<Queue> {
    Ok(Queue {
        name: row.name(0)?,
        paused: row.get(1)?,
        created_at: row.time(2)?,
    })
}

const KEY: &str =
    "SELECT id, team, label, agent, role, secret_hash, created_at, revoked_at FROM api_keys";

pub(super) fn put_key(connection: &Connection, key: &ApiKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO api_keys (id, team, label, agent, role, secret_hash, created_at,
                 revoked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET team = excluded.team, label = excluded.label,
                 agent = excluded.agent, role = excluded.role,
                 secret_hash = excluded.secret_hash, created_at = excluded.created_at,
                 revoked_at = excluded.revoked_at",
        )?
        .execute(params![
            bytes(&key.id.0),
            key.team.as_str(),
            key.label,
            key.agent.as_ref().map(AgentName::as_str),
            key.role.map(Role::as_str),
            key.secret_hash,
            key.created_at.micros(),
            key.revoked_at.map(Timestamp::micros),
        ])?;
    Ok(())
}

pub(super) fn key(connection: &Connection, id: KeyId) -> rusqlite::Result<Option<ApiKey>> {
    connection
        .prepare_cached(&format!("{KEY} WHERE id = ?1"))?
        .query_row(params![bytes(&id.0)], read_key)
        .optional()
}

pub(super) fn keys(connection: &Connection, team: &TeamName) -> rusqlite::Result<Vec<ApiKey>> {
    connection
        .prepare_cached(&format!("{KEY} WHERE team = ?1 ORDER BY created_at, id"))?
        .query_map(params![team.as_str()], read_key)?
        .collect()
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let role = match row.get_ref(4)?.as_str_or_null()? {
        Some(_) => Some(row.word(4, Role::from_text)?),
        None => None,
    };
    Ok(ApiKey {
        id: KeyId(row.uuid(0)?),
        team: row.name(1)?,
        label: row.get(2)?,
        agent: row.optional_name(3)?,
        role,
        secret_hash: row.get(5)?,
        created_at: row.time(6)?,
        revoked_at: row.optional_time(7)?,
    })
}
