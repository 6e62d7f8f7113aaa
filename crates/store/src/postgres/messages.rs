//! Messages, kept once, and the deliveries that point to them from each inbox.

use collective_core::message::{Delivery, Message, Receipt};
use collective_core::ports::StoreError;
use collective_core::{AgentName, MessageId, TeamName, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::column::{Columns, Text, at_most, json};
use super::query::Access;
use super::statements::{statements, team};
use super::writing::{Expect, Writing, owned};

macro_rules! message_columns {
    () => {
        "messages.id, sender, recipient, body, in_reply_to, sent_at"
    };
}

macro_rules! deliveries {
    () => {
        concat!(
            "SELECT ",
            message_columns!(),
            ", agent, position, receipt, receipt_at FROM deliveries
             CROSS JOIN LATERAL (
                 SELECT * FROM messages WHERE id = deliveries.message OFFSET 0) AS messages
             WHERE deliveries.team = ",
            team!()
        )
    };
}

statements! { "messages":
    INSERT = "
        INSERT INTO messages (id, team, sender, recipient, body, in_reply_to, sent_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    /// At the end of each inbox; the team's lock keeps others from the same place.
    DELIVER = "
        INSERT INTO deliveries (team, agent, position, message, receipt, receipt_at)
        SELECT $1, new.agent,
            COALESCE((SELECT MAX(position) FROM deliveries
                      WHERE team = $1 AND agent = new.agent), 0) + 1,
            $3, $4, $5
        FROM unnest($2::text[]) AS new (agent)";
    /// `+ 0` keeps the planner from walking the inbox.
    SET_RECEIPTS = "
        UPDATE deliveries SET receipt = new.receipt, receipt_at = $5
        FROM unnest($3::uuid[], $4::text[]) AS new (message, receipt)
        WHERE deliveries.message = ANY ($3) AND deliveries.message = new.message
          AND agent = $2 AND team + 0 = $1";
    MESSAGE = concat!(
        "SELECT ", message_columns!(), " FROM messages WHERE id = $2 AND team = ", team!()
    );
    INBOX = concat!(
        deliveries!(), " AND agent = $2 AND position > $3 ORDER BY position LIMIT $4"
    );
    OPEN_INBOX = concat!(
        deliveries!(), " AND agent = $2 AND position > $3 AND receipt <> 'acknowledged'
         ORDER BY position LIMIT $4"
    );
    DELIVERIES = concat!(deliveries!(), " AND message = $2 ORDER BY agent");
}

/// Keeps a message and puts it at the end of each inbox.
pub(super) async fn insert(
    tx: &mut Writing,
    team: &TeamName,
    message: &Message,
    to: &[AgentName],
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    let values = owned![
        message.id.0,
        of,
        Text::owned(&message.from),
        json(&message.to)?,
        Text::owned(&message.body),
        message.in_reply_to.map(|id| id.0),
        message.sent_at.micros(),
    ];
    tx.send(INSERT, values, Expect::Success).await?;
    if to.is_empty() {
        return Ok(());
    }
    let agents: Vec<String> = to.iter().map(ToString::to_string).collect();
    let values = owned![
        of,
        agents,
        message.id.0,
        Receipt::Durable.as_str(),
        message.sent_at.micros(),
    ];
    tx.send(DELIVER, values, Expect::Success).await
}

/// Notes how far messages got with one recipient.
pub(super) async fn set_receipts(
    tx: &mut Writing,
    team: &TeamName,
    agent: &AgentName,
    receipts: &[(MessageId, Receipt)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let of = tx.team(team).await?.number;
    if receipts.is_empty() {
        return Ok(());
    }
    let (messages, receipts): (Vec<_>, Vec<_>) = receipts
        .iter()
        .map(|(message, receipt)| (message.0, receipt.as_str()))
        .unzip();
    let values = owned![of, agent.to_string(), messages, receipts, now.micros()];
    tx.send(SET_RECEIPTS, values, Expect::Success).await
}

pub(super) async fn message(
    ask: &mut impl Access,
    team: &TeamName,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let rows = ask.rows(MESSAGE, &[&team.as_str(), &id.0]).await?;
    rows.first().map(read_message).transpose()
}

pub(super) async fn inbox(
    ask: &mut impl Access,
    team: &TeamName,
    agent: &AgentName,
    after: u64,
    unacknowledged: bool,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let statement = match unacknowledged {
        true => OPEN_INBOX,
        false => INBOX,
    };
    let (after, limit): (i64, i64) = (at_most(after), at_most(limit));
    let values: [&(dyn ToSql + Sync); 4] = [&team.as_str(), &agent.as_str(), &after, &limit];
    let rows = ask.rows(statement, &values).await?;
    rows.iter().map(read_delivery).collect()
}

pub(super) async fn deliveries(
    ask: &mut impl Access,
    team: &TeamName,
    id: MessageId,
) -> Result<Vec<Delivery>, StoreError> {
    let rows = ask.rows(DELIVERIES, &[&team.as_str(), &id.0]).await?;
    rows.iter().map(read_delivery).collect()
}

fn read_message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: MessageId(row.uuid(0)?),
        from: row.text(1)?,
        to: row.json(2)?,
        body: row.text(3)?,
        in_reply_to: row.optional_uuid(4)?.map(MessageId),
        sent_at: row.time(5)?,
    })
}

fn read_delivery(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        message: read_message(row)?,
        recipient: row.name(6)?,
        position: row.number(7)?,
        receipt: row.word(8, Receipt::from_text)?,
        receipt_at: row.time(9)?,
    })
}
