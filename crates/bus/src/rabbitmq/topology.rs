//! The exchanges and queues: their names, their arguments, and how they come
//! to be. Declaring repeats without change, so it is done at every connection.
//!
//! Names of teams, queues and agents may hold dots, which part the words of a
//! routing key. Inside a name a dot is written as `:`, which no name holds, so
//! that every name is one word and no two lanes share a queue.

use std::time::Duration;

use collective_core::TeamName;
use collective_core::task::{Lane, Priority};
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ExchangeKind};

use super::error::Trouble;
use super::options::RabbitOptions;

/// Tasks go out here, by the routing key of their queue.
pub const TASKS: &str = "agent.tasks";
/// Reports come in here; the exchange and its one queue share the name.
pub const RESULTS: &str = "agent.results";
/// For brainstorms: everyone hears everything.
pub const BRAINSTORM: &str = "agent.brainstorm";
/// Every event, by `<team>.<type>`.
pub const STATUS: &str = "agent.status";
/// What servers tell each other: whom to wake.
pub const NEWS: &str = "agent.news";
/// Dead letters; the exchange and its one queue share the name.
pub const DEAD: &str = "agent.dead";

/// The kinds of report that reach `agent.results`.
pub const REPORTS: [&str; 6] = [
    "registered",
    "started",
    "heartbeat",
    "completed",
    "failed",
    "released",
];

/// How often a message comes before it is poison: a consumer that dies with it
/// each time must not get it for ever. RabbitMQ 4 has the same number by default.
pub const DELIVERY_LIMIT: u32 = 20;
/// How long a task queue that nobody uses stays. A lane that is removed leaves
/// its queues behind; one that is used again gets new ones.
const IDLE_LIMIT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Most dead letters that are kept, the newest: enough to look into, and a
/// sender of garbage can't fill the disk.
const MAX_DEAD: u32 = 100_000;
/// Most news that waits for one replica. Beyond it the oldest are dropped: the
/// store has them, and whoever waits looks again after a time.
const MAX_NEWS: u32 = 65_536;

/// A name as one word of a routing key.
fn word(name: &str) -> String {
    name.replace('.', ":")
}

/// The routing key of a task: `<team>.<lane>.<priority>`, such as
/// `default.queue.rust.normal`.
pub fn task_key(team: &TeamName, lane: &Lane, priority: Priority) -> String {
    let team = word(team.as_str());
    let (kind, name) = match lane {
        Lane::Queue(name) => ("queue", word(name.as_str())),
        Lane::Role(role) => ("role", role.to_string()),
        Lane::Agent(name) => ("agent", word(name.as_str())),
    };
    format!("{team}.{kind}.{name}.{}", priority.as_str())
}

/// The queue that a routing key of a task leads to.
pub fn task_queue(key: &str) -> String {
    format!("{TASKS}.{key}")
}

/// The routing key of an event: `<team>.<type>`, such as `default.task.succeeded`.
pub fn event_key(team: &TeamName, kind: &str) -> String {
    format!("{}.{kind}", word(team.as_str()))
}

/// Says what the driver's error means for one name.
struct Ground<'a> {
    channel: &'a Channel,
    options: &'a RabbitOptions,
}

impl Ground<'_> {
    fn told(&self, name: &str, result: lapin::Result<()>) -> Result<(), Trouble> {
        let what = format!("declaring `{name}`");
        result.map_err(|error| Trouble::read(&error, self.options, &what, Some(name)))
    }

    async fn exchange(&self, name: &'static str, kind: ExchangeKind) -> Result<(), Trouble> {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared =
            self.channel
                .exchange_declare(name.into(), kind, durable, FieldTable::default());
        self.told(name, declared.await)
    }

    async fn quorum(&self, name: &str, more: &[(&str, AMQPValue)]) -> Result<(), Trouble> {
        let mut arguments = table(more);
        arguments.insert("x-queue-type".into(), text("quorum"));
        let declared = self
            .channel
            .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
            .await;
        self.told(name, declared.map(drop))
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), Trouble> {
        let bound = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        self.told(queue, bound.await)
    }
}

/// Declares everything that doesn't depend on a lane.
pub(super) async fn declare(channel: &Channel, options: &RabbitOptions) -> Result<(), Trouble> {
    let ground = Ground { channel, options };
    ground.exchange(TASKS, ExchangeKind::Topic).await?;
    ground.exchange(RESULTS, ExchangeKind::Direct).await?;
    ground.exchange(BRAINSTORM, ExchangeKind::Fanout).await?;
    ground.exchange(STATUS, ExchangeKind::Topic).await?;
    ground.exchange(NEWS, ExchangeKind::Fanout).await?;
    ground.exchange(DEAD, ExchangeKind::Topic).await?;

    let newest = [
        ("x-max-length", AMQPValue::LongUInt(MAX_DEAD)),
        ("x-overflow", text("drop-head")),
    ];
    ground.quorum(DEAD, &newest).await?;
    ground.bind(DEAD, DEAD, "#").await?;

    // A report that is given up reaches the dead letters for certain, which
    // RabbitMQ does only for queues that refuse rather than drop.
    let certain = [
        ("x-delivery-limit", AMQPValue::LongUInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(DEAD)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    ground.quorum(RESULTS, &certain).await?;
    for kind in REPORTS {
        ground.bind(RESULTS, RESULTS, kind).await?;
    }
    Ok(())
}

/// Declares the queues of a lane, one for each priority.
pub(super) async fn declare_lane(
    channel: &Channel,
    options: &RabbitOptions,
    team: &TeamName,
    lane: &Lane,
) -> Result<(), Trouble> {
    let ground = Ground { channel, options };
    let idle = u32::try_from(IDLE_LIMIT.as_millis()).unwrap_or(u32::MAX);
    let arguments = [
        ("x-delivery-limit", AMQPValue::LongUInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(DEAD)),
        ("x-expires", AMQPValue::LongUInt(idle)),
    ];
    for priority in Priority::ALL {
        let key = task_key(team, lane, priority);
        let queue = task_queue(&key);
        ground.quorum(&queue, &arguments).await?;
        ground.bind(&queue, TASKS, &key).await?;
    }
    Ok(())
}

/// Makes this connection's own queue of news and listens to it.
pub(super) async fn listen_to_news(
    channel: &Channel,
    options: &RabbitOptions,
) -> Result<Consumer, Trouble> {
    const NAME: &str = "the queue of news";
    let told = |error: &lapin::Error| Trouble::read(error, options, "listening to news", None);
    let arguments = table(&[
        ("x-max-length", AMQPValue::LongUInt(MAX_NEWS)),
        ("x-overflow", text("drop-head")),
    ]);
    let own = QueueDeclareOptions::exclusive().auto_delete();
    let queue = channel
        .queue_declare("".into(), own, arguments)
        .await
        .map_err(|error| told(&error))?;
    let ground = Ground { channel, options };
    let name = queue.name().clone();
    if name.as_str().is_empty() {
        let said = format!("{NAME} got no name");
        return Err(Trouble::Broken { said });
    }
    ground.bind(name.as_str(), NEWS, "").await?;
    channel
        .basic_consume(
            name,
            "".into(),
            BasicConsumeOptions {
                exclusive: true,
                ..BasicConsumeOptions::default()
            },
            FieldTable::default(),
        )
        .await
        .map_err(|error| told(&error))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_a_key_of_its_own() {
        let table = [
            ("default", "queue/rust", "default.queue.rust.normal"),
            ("default", "role/worker", "default.role.worker.normal"),
            ("red", "agent/ada", "red.agent.ada.normal"),
            ("a", "queue/b.queue.c", "a.queue.b:queue:c.normal"),
            ("a.queue.b", "queue/c", "a:queue:b.queue.c.normal"),
        ];
        for (team, lane, key) in table {
            let team = TeamName::new(team).unwrap();
            let lane: Lane = lane.parse().unwrap();
            assert_eq!(task_key(&team, &lane, Priority::Normal), key);
            assert_eq!(task_queue(key), format!("agent.tasks.{key}"));
        }
    }

    #[test]
    fn the_longest_names_fit_the_brokers_bound() {
        let longest = "x".repeat(collective_core::limits::MAX_NAME_LEN);
        let team = TeamName::new(&longest).unwrap();
        let lane = Lane::Queue(collective_core::QueueName::new(&longest).unwrap());
        let queue = task_queue(&task_key(&team, &lane, Priority::Critical));
        assert!(queue.len() < 255, "{}", queue.len());
    }
}
