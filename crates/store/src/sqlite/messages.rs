//! Messages, kept once, and the deliveries that point to them from each inbox.

use collective_core::message::{Delivery, Message, Receipt};
use collective_core::{AgentName, MessageId, TeamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Columns, Unsigned, bytes, json};

macro_rules! message_columns {
    () => {
        "messages.id, sender, recipient, body, in_reply_to, sent_at"
    };
}

const DELIVERIES: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", agent, position, receipt, receipt_at FROM deliveries
     JOIN messages ON messages.id = deliveries.message"
);

/// Keeps a message and puts it at the end of each inbox.
pub(super) fn insert(
    connection: &Connection,
    team: &TeamName,
    message: &Message,
    to: &[AgentName],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO messages (id, team, sender, recipient, body, in_reply_to, sent_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            bytes(&message.id.0),
            team.as_str(),
            message.from,
            json(&message.to)?,
            message.body,
            message.in_reply_to.as_ref().map(|id| bytes(&id.0)),
            message.sent_at.micros(),
        ])?;
    let mut deliver = connection.prepare_cached(
        "INSERT INTO deliveries (team, agent, position, message, receipt, receipt_at)
         VALUES (?1, ?2,
             (SELECT COALESCE(MAX(position), 0) + 1 FROM deliveries WHERE team = ?1 AND agent = ?2),
             ?3, ?4, ?5)",
    )?;
    for agent in to {
        deliver.execute(params![
            team.as_str(),
            agent.as_str(),
            bytes(&message.id.0),
            Receipt::Durable.as_str(),
            message.sent_at.micros(),
        ])?;
    }
    Ok(())
}

/// Notes how far messages got with one recipient.
pub(super) fn set_receipts(
    connection: &Connection,
    team: &TeamName,
    agent: &AgentName,
    receipts: &[(MessageId, Receipt)],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE deliveries SET receipt = ?4, receipt_at = ?5
         WHERE message = ?1 AND agent = ?2 AND team = ?3",
    )?;
    for (message, receipt) in receipts {
        statement.execute(params![
            bytes(&message.0),
            agent.as_str(),
            team.as_str(),
            receipt.as_str(),
            now.micros(),
        ])?;
    }
    Ok(())
}

pub(super) fn message(
    connection: &Connection,
    team: &TeamName,
    id: MessageId,
) -> rusqlite::Result<Option<Message>> {
    const MESSAGE: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM messages WHERE id = ?1 AND team = ?2"
    );
    connection
        .prepare_cached(MESSAGE)?
        .query_row(params![bytes(&id.0), team.as_str()], read_message)
        .optional()
}

pub(super) fn inbox(
    connection: &Connection,
    team: &TeamName,
    agent: &AgentName,
    after: u64,
    unacknowledged: bool,
    limit: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let open = match unacknowledged {
        true => "AND receipt <> 'acknowledged'",
        false => "",
    };
    connection
        .prepare_cached(&format!(
            "{DELIVERIES} WHERE deliveries.team = ?1 AND agent = ?2 AND position > ?3 {open}
             ORDER BY position LIMIT ?4"
        ))?
        .query_map(
            params![
                team.as_str(),
                agent.as_str(),
                Unsigned(after.min(i64::MAX.unsigned_abs())),
                Unsigned::limit(limit),
            ],
            read_delivery,
        )?
        .collect()
}

pub(super) fn deliveries(
    connection: &Connection,
    team: &TeamName,
    id: MessageId,
) -> rusqlite::Result<Vec<Delivery>> {
    connection
        .prepare_cached(&format!(
            "{DELIVERIES} WHERE message = ?1 AND deliveries.team = ?2 ORDER BY agent"
        ))?
        .query_map(params![bytes(&id.0), team.as_str()], read_delivery)?
        .collect()
}

fn read_message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: MessageId(row.uuid(0)?),
        from: row.get(1)?,
        to: row.json(2)?,
        body: row.get(3)?,
        in_reply_to: row.optional_uuid(4)?.map(MessageId),
        sent_at: row.time(5)?,
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        message: read_message(row)?,
        recipient: row.name(6)?,
        position: row.get::<_, Unsigned>(7)?.0,
        receipt: row.word(8, Receipt::from_text)?,
        receipt_at: row.time(9)?,
    })
}
