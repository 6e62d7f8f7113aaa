//! A duty that one replica does for all: an advisory lock on a connection of
//! its own says who has it, an epoch fences those who had it before.
//!
//! The lock goes with its connection, so a replica that dies gives the duty up.
//! One that only believes that it still has it (its connection broke while it
//! was away) finds a higher epoch when it wants to note something.

use std::time::Duration;

use async_trait::async_trait;
use collective_core::event::Event;
use collective_core::ports::StoreError;
use collective_core::ports::outbox::{Duty, Post};
use collective_core::{TeamName, Timestamp};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::column::{Columns, at_most, signed};
use super::events::event_at;
use super::news::RelayedHere;
use super::pool::{answered, rows};
use super::schema::MIGRATING;
use super::statements::statements;

/// Whether the duty's newest epoch is ours, held as it is until the statement ends.
macro_rules! ours {
    () => {
        "WITH ours AS (SELECT 1 FROM duties WHERE duty = $1 AND epoch = $2 FOR SHARE)"
    };
}

statements! { "duty":
    TRY = "SELECT pg_try_advisory_lock($1)";
    TAKE = "
        WITH before AS (SELECT seen_at FROM duties WHERE duty = $1)
        INSERT INTO duties (duty, epoch, holder, seen_at)
        VALUES ($1, 1, current_setting('application_name') || ' at '
            || COALESCE(host(inet_client_addr()), 'a socket')
            || ', backend ' || pg_backend_pid(), $2)
        ON CONFLICT (duty) DO UPDATE SET epoch = duties.epoch + 1, holder = excluded.holder,
            seen_at = excluded.seen_at
        RETURNING epoch, (SELECT seen_at FROM before)";
    CONFIRM = "
        WITH ours AS (
            UPDATE duties SET seen_at = $3 WHERE duty = $1 AND epoch = $2 RETURNING 1)
        SELECT EXISTS (SELECT 1 FROM ours)";
    BEHIND = "
        SELECT number, name, COALESCE(told.seq, 0), last_seq
        FROM teams LEFT JOIN told ON told.team = teams.number
        WHERE last_seq > COALESCE(told.seq, 0) ORDER BY number";
    UNTOLD = "
        SELECT events.seq, at, actor, fact, asked.place
        FROM unnest($1::int[], $2::bigint[], $3::bigint[])
            WITH ORDINALITY AS asked (team, told, last, place)
        CROSS JOIN LATERAL (
            SELECT * FROM events
            WHERE team = asked.team AND seq > asked.told AND seq <= asked.last OFFSET 0) AS events
        ORDER BY asked.place, events.seq";
    TOLD = concat!(ours!(), ",
        moved AS (
            INSERT INTO told (team, seq)
            SELECT teams.number, LEAST(MAX(new.seq), MAX(teams.last_seq))
            FROM ours CROSS JOIN unnest($3::text[], $4::bigint[]) AS new (name, seq)
            JOIN teams ON teams.name = new.name
            GROUP BY teams.number
            ON CONFLICT (team) DO UPDATE SET seq = excluded.seq WHERE told.seq < excluded.seq)
        SELECT EXISTS (SELECT 1 FROM ours)");
}

/// Takes a duty with this connection, or gives the connection back.
pub(super) async fn take(
    client: ClientWrapper,
    duty: Duty,
    now: Timestamp,
    limit: Duration,
) -> Result<Result<PgPost, ClientWrapper>, StoreError> {
    let taken = only(answered(limit, rows(&client, TRY, &[&lock_of(duty)])).await?)?;
    if !taken.value::<bool>(0)? {
        return Ok(Err(client));
    }
    // If this fails, the connection is closed and the lock goes with it.
    let values: [&(dyn ToSql + Sync); 2] = [&duty.as_str(), &now.micros()];
    let row = only(answered(limit, rows(&client, TAKE, &values)).await?)?;
    Ok(Ok(PgPost {
        epoch: row.number(0)?,
        vacant_since: row.optional_time(1)?,
        client,
        duty,
        limit,
        last_served: 0,
        relays: None,
    }))
}

/// The advisory lock of a duty.
fn lock_of(duty: Duty) -> i64 {
    MIGRATING
        + match duty {
            Duty::Relay => 1,
            Duty::Reaper => 2,
        }
}

/// A held duty, and the connection that holds it.
pub(super) struct PgPost {
    client: ClientWrapper,
    duty: Duty,
    epoch: u64,
    vacant_since: Option<Timestamp>,
    /// How long any answer may take.
    limit: Duration,
    /// The team that was told last; the next one has the first turn.
    last_served: i32,
    /// Held for the relay, so that news needn't go round by the server.
    pub(super) relays: Option<RelayedHere>,
}

/// A team with untold events.
struct Behind {
    number: i32,
    name: TeamName,
    told: u64,
    last: u64,
}

#[async_trait]
impl Post for PgPost {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn vacant_since(&self) -> Option<Timestamp> {
        self.vacant_since
    }

    async fn confirm(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let epoch = signed(self.epoch)?;
        let values: [&(dyn ToSql + Sync); 3] = [&self.duty.as_str(), &epoch, &now.micros()];
        match self.ask(CONFIRM, &values).await {
            Ok(rows) => only(rows)?.value(0),
            // The lock went with the connection.
            Err(_) if self.client.is_closed() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn untold(&mut self, limit: usize) -> Result<Vec<Event>, StoreError> {
        let rows = self.ask(BEHIND, &[]).await?;
        let behind = rows.iter().map(|row| {
            Ok(Behind {
                number: row.value(0)?,
                name: row.name(1)?,
                told: row.number(2)?,
                last: row.number(3)?,
            })
        });
        let mut behind: Vec<Behind> = behind.collect::<Result<_, StoreError>>()?;
        // Whoever had the last turn comes last.
        let first = behind.partition_point(|team| team.number <= self.last_served);
        behind.rotate_left(first);
        let backlogs: Vec<u64> = behind.iter().map(|team| team.last - team.told).collect();
        let shares = shares(&backlogs, limit as u64);
        let served = shares.iter().take_while(|share| **share > 0).count();
        behind.truncate(served);
        let Some(last) = behind.last() else {
            return Ok(Vec::new());
        };
        let last = last.number;
        let (mut numbers, mut told, mut until) = (Vec::new(), Vec::new(), Vec::new());
        for (team, share) in behind.iter().zip(&shares) {
            numbers.push(team.number);
            told.push(signed(team.told)?);
            until.push(signed(team.told + share)?);
        }
        let rows = self.ask(UNTOLD, &[&numbers, &told, &until]).await?;
        self.last_served = last;
        let event = |row: &Row| {
            let place: usize = row.number(4)?;
            let team = behind
                .get(place - 1)
                .ok_or_else(|| StoreError::Internal(format!("nobody asked for place {place}")))?;
            event_at(&team.name, row)
        };
        rows.iter().map(event).collect()
    }

    async fn told(&mut self, up_to: &[(TeamName, u64)]) -> Result<(), StoreError> {
        let names: Vec<&str> = up_to.iter().map(|(team, _)| team.as_str()).collect();
        let numbers: Vec<i64> = up_to.iter().map(|(_, number)| at_most(*number)).collect();
        self.fenced(TOLD, &names, &numbers).await
    }
}

impl PgPost {
    async fn ask(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        answered(self.limit, rows(&self.client, sql, values)).await
    }

    /// A statement that does nothing unless the newest epoch is ours.
    async fn fenced(
        &self,
        sql: &'static str,
        what: &(dyn ToSql + Sync),
        number: &(dyn ToSql + Sync),
    ) -> Result<(), StoreError> {
        let epoch = signed(self.epoch)?;
        let values = [
            &self.duty.as_str() as &(dyn ToSql + Sync),
            &epoch,
            what,
            number,
        ];
        match only(self.ask(sql, &values).await?)?.value(0)? {
            true => Ok(()),
            false => Err(StoreError::Conflict(format!(
                "the duty of the {} is another replica's by now",
                self.duty.as_str()
            ))),
        }
    }
}

/// How many of each team's events make up at most `limit`, the same for each as
/// far as it has so many, the first ones having the first turn.
fn shares(backlogs: &[u64], limit: u64) -> Vec<u64> {
    let mut shares = vec![0; backlogs.len()];
    let mut left = limit;
    // Each round serves at least one team in full or gives the rest away.
    while left > 0 {
        let hungry = shares
            .iter()
            .zip(backlogs)
            .filter(|(share, backlog)| share < backlog)
            .count() as u64;
        if hungry == 0 {
            break;
        }
        let helping = (left / hungry).max(1);
        for (share, backlog) in shares.iter_mut().zip(backlogs) {
            let given = helping.min(*backlog - *share).min(left);
            *share += given;
            left -= given;
        }
    }
    shares
}

fn only(rows: Vec<Row>) -> Result<Row, StoreError> {
    let mut rows = rows.into_iter();
    rows.next()
        .ok_or_else(|| StoreError::Internal("a statement gave no row".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn each_team_has_its_share_and_none_is_wasted() {
        for (backlogs, limit, expected) in [
            (vec![], 10, vec![]),
            (vec![5], 10, vec![5]),
            (vec![50], 10, vec![10]),
            (vec![50, 50], 10, vec![5, 5]),
            (vec![1, 50], 10, vec![1, 9]),
            (vec![1_000_000, 2, 3], 10, vec![5, 2, 3]),
            (vec![9, 9, 9], 2, vec![1, 1, 0]),
            (vec![9, 9, 9], 10, vec![4, 3, 3]),
            (vec![9, 9], 0, vec![0, 0]),
        ] {
            assert_eq!(shares(&backlogs, limit), expected, "{backlogs:?}, {limit}");
        }
    }
}
