//! A look at the broker before anything stands on it. It changes nothing: what
//! isn't there yet is asked for in ways that the broker refuses in any case,
//! after it has looked whether the user may; what is there is declared again as
//! it is. The one queue that it makes is its connection's own and ends with it.

use std::io;
use std::time::Duration;

use collective_core::ports::{About, Finding, FindingCode};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeUnbindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ErrorKind, Event, ExchangeKind};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::Trouble;
use super::link::GOODBYE;
use super::options::RabbitOptions;
use super::tls;
use super::topology::{self, BRAINSTORM, DEAD, RESULTS, STATUS, TASKS};
use super::transport::{Duplex, connect};

/// How long all questions together may take: each is one round trip.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long a broker without an alarm may take to confirm one message to a
/// queue that isn't kept; one with an alarm says so at once.
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
/// Channels that one connection of a server needs at most, with room to spare.
const CHANNELS: u16 = 16;
/// The queue of a lane that nobody has: no name of a team holds a colon.
const NO_LANE: &str = "agent.tasks.collective:look";
/// A routing key that nothing is bound by.
const NO_KEY: &str = "collective:look";
/// Most of the broker's greeting that is read.
const MAX_GREETING: u64 = 16 * 1024;

/// The exchanges and their kinds.
const EXCHANGES: [(&str, ExchangeKind); 5] = [
    (TASKS, ExchangeKind::Topic),
    (RESULTS, ExchangeKind::Direct),
    (BRAINSTORM, ExchangeKind::Fanout),
    (STATUS, ExchangeKind::Topic),
    (DEAD, ExchangeKind::Topic),
];

/// Everything that a server would stumble over, and what is as it should be.
pub async fn look(options: &RabbitOptions) -> Vec<Finding> {
    let connection = match connect(options, "look").await {
        Ok(connection) => connection,
        Err(trouble) => return vec![finding(&trouble)],
    };
    let mut found = vec![identity(options).await];
    let look = Look {
        connection: &connection,
        options,
    };
    match timeout(ANSWER_LIMIT, look.permissions()).await {
        Ok(more) => found.extend(more),
        Err(_) => found.push(finding(&Trouble::TimedOut {
            what: "declaring".to_owned(),
            limit: ANSWER_LIMIT,
        })),
    }
    found.extend(few_channels(connection.configuration().channel_max()));
    let _ = timeout(GOODBYE, connection.close(200, "goodbye".into())).await;
    // Who may not make a queue of its own can't see whether it takes messages.
    if found.iter().all(|it| it.code != FindingCode::NoPermission) {
        found.push(room(options).await);
    }
    found
}

struct Look<'a> {
    connection: &'a Connection,
    options: &'a RabbitOptions,
}

impl Look<'_> {
    /// Whether the user may do all that a server does.
    async fn permissions(&self) -> Vec<Finding> {
        let mut lacks: Vec<String> = Vec::new();
        let mut found = Vec::new();
        for question in Question::all() {
            match self.ask(&question).await {
                Ok(()) => {}
                Err(Trouble::Forbidden { said, .. }) => {
                    let access = access(&said);
                    if !lacks.contains(&access) {
                        lacks.push(access);
                    }
                }
                Err(trouble) => {
                    found.push(finding(&trouble));
                    // Most likely there is no connection any more.
                    return found;
                }
            }
        }
        let (user, vhost) = (&self.options.user, &self.options.vhost);
        if lacks.is_empty() {
            let seen =
                format!("user `{user}` may declare, publish and consume in virtual host `{vhost}`");
            found.push(Finding::fine(FindingCode::Permitted, About::User, seen));
            found.extend(self.what_is_there().await);
        } else {
            let seen = format!(
                "user `{user}` lacks permissions in virtual host `{vhost}`: {}",
                lacks.join("; ")
            );
            let wrong = Finding::wrong(FindingCode::NoPermission, About::User, seen);
            found.push(wrong.hint(format!(
                "rabbitmqctl set_permissions -p '{vhost}' '{user}' '^(agent\\.|amq\\.).*' '.*' '.*'"
            )));
        }
        found
    }

    /// One question on a channel of its own, since a refusal ends it. What the
    /// broker refuses for another reason than permissions was permitted.
    async fn ask(&self, question: &Question) -> Result<(), Trouble> {
        let told = |error: &lapin::Error| Trouble::read(error, self.options, "looking", None);
        let channel = self.connection.create_channel().await;
        let channel = channel.map_err(|error| told(&error))?;
        let asked = question.put(&channel).await;
        leave(&channel).await;
        match asked {
            Ok(()) => Ok(()),
            Err(error) if is_refused_anyway(&error) => Ok(()),
            Err(error) => Err(told(&error)),
        }
    }

    /// Whether what has our names is as we would declare it.
    async fn what_is_there(&self) -> Option<Finding> {
        let told = |error: &lapin::Error| Trouble::read(error, self.options, "looking", None);
        let mut there = Vec::new();
        let mut missing = Vec::new();
        let names = EXCHANGES.map(|(name, kind)| (name, Some(kind)));
        for (name, kind) in names.into_iter().chain([(DEAD, None), (RESULTS, None)]) {
            let channel = match self.connection.create_channel().await {
                Ok(channel) => channel,
                Err(error) => return Some(finding(&told(&error))),
            };
            match passive(&channel, name, kind).await {
                Err(error) if Trouble::is_not_found(&error) => missing.push(name),
                _ => there.push(name),
            }
            leave(&channel).await;
        }
        match (there.first(), missing.first()) {
            (None, _) => Some(Finding::notice(
                FindingCode::Schema,
                About::Space,
                "there are no exchanges and queues yet",
                "the first `collective up` declares them",
            )),
            (Some(there), Some(missing)) => Some(Finding::notice(
                FindingCode::Schema,
                About::Space,
                format!("`{there}` is there and `{missing}` isn't"),
                "`collective up` declares what is missing, and says so if what is there has other arguments",
            )),
            (Some(_), None) => {
                let channel = match self.connection.create_channel().await {
                    Ok(channel) => channel,
                    Err(error) => return Some(finding(&told(&error))),
                };
                let declared = topology::declare(&channel, self.options).await;
                leave(&channel).await;
                Some(match declared {
                    Ok(()) => Finding::fine(
                        FindingCode::Schema,
                        About::Space,
                        "the exchanges and queues are there, as ours are",
                    ),
                    Err(trouble) => finding(&trouble),
                })
            }
        }
    }
}

/// Something that a server does, in a way that changes nothing.
enum Question {
    /// Declares an exchange, with an alternate that is no name.
    Exchange(&'static str, ExchangeKind),
    /// Declares a queue with this dead-letter exchange, and no time to live.
    Queue(&'static str, Option<&'static str>),
    /// Takes a binding away that isn't there: needs what binding needs.
    Binding(&'static str, &'static str),
    /// The same between exchanges: needs what publishing to the first needs.
    Publishing(&'static str),
    /// Consumes from a queue, with a priority that is none.
    Consuming(&'static str),
    /// Makes a queue as that of the news, and consumes from it.
    News,
}

impl Question {
    fn all() -> Vec<Self> {
        let mut all: Vec<Self> = EXCHANGES
            .into_iter()
            .map(|(name, kind)| Self::Exchange(name, kind))
            .collect();
        all.extend([
            Self::Queue(DEAD, None),
            Self::Binding(DEAD, DEAD),
            Self::Queue(RESULTS, Some(DEAD)),
            Self::Binding(RESULTS, RESULTS),
            Self::Consuming(RESULTS),
            Self::Queue(NO_LANE, Some(DEAD)),
            Self::Binding(NO_LANE, TASKS),
            Self::Publishing(TASKS),
            Self::Publishing(STATUS),
            Self::News,
        ]);
        all
    }

    async fn put(&self, channel: &Channel) -> lapin::Result<()> {
        let mut arguments = FieldTable::default();
        match self {
            Self::Exchange(name, kind) => {
                arguments.insert("alternate-exchange".into(), AMQPValue::Boolean(true));
                let durable = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                channel
                    .exchange_declare((*name).into(), kind.clone(), durable, arguments)
                    .await
            }
            Self::Queue(name, dead) => {
                arguments.insert("x-expires".into(), AMQPValue::LongInt(0));
                if let Some(dead) = dead {
                    let dead = AMQPValue::LongString((*dead).into());
                    arguments.insert("x-dead-letter-exchange".into(), dead);
                }
                let durable = QueueDeclareOptions::durable();
                let declared = channel.queue_declare((*name).into(), durable, arguments);
                declared.await.map(drop)
            }
            Self::Binding(queue, exchange) => {
                let (queue, exchange) = ((*queue).into(), (*exchange).into());
                channel
                    .queue_unbind(queue, exchange, NO_KEY.into(), arguments)
                    .await
            }
            Self::Publishing(exchange) => {
                let options = ExchangeUnbindOptions::default();
                let (to, from) = ((*exchange).into(), (*exchange).into());
                channel
                    .exchange_unbind(to, from, NO_KEY.into(), options, arguments)
                    .await
            }
            Self::Consuming(queue) => {
                let none = AMQPValue::LongString("none".into());
                arguments.insert("x-priority".into(), none);
                consume(channel, queue, arguments).await
            }
            Self::News => {
                let queue = own_queue(channel).await?;
                channel
                    .queue_unbind(
                        queue.as_str().into(),
                        STATUS.into(),
                        NO_KEY.into(),
                        arguments,
                    )
                    .await?;
                consume(channel, &queue, FieldTable::default()).await
            }
        }
    }
}

async fn consume(channel: &Channel, queue: &str, arguments: FieldTable) -> lapin::Result<()> {
    let options = BasicConsumeOptions::default();
    let consumed = channel.basic_consume(queue.into(), "".into(), options, arguments);
    consumed.await.map(drop)
}

/// A queue of this connection's own.
async fn own_queue(channel: &Channel) -> lapin::Result<String> {
    let own = QueueDeclareOptions::exclusive().auto_delete();
    let queue = channel
        .queue_declare("".into(), own, FieldTable::default())
        .await?;
    Ok(queue.name().to_string())
}

/// Asks for an exchange of this kind, or a queue, without making it.
async fn passive(channel: &Channel, name: &str, kind: Option<ExchangeKind>) -> lapin::Result<()> {
    let nothing = FieldTable::default();
    match kind {
        Some(kind) => {
            let passive = ExchangeDeclareOptions {
                passive: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(name.into(), kind, passive, nothing)
                .await
        }
        None => {
            let passive = QueueDeclareOptions::durable().passive();
            let asked = channel.queue_declare(name.into(), passive, nothing);
            asked.await.map(drop)
        }
    }
}

async fn leave(channel: &Channel) {
    if channel.status().connected() {
        let _ = timeout(GOODBYE, channel.close(200, "done".into())).await;
    }
}

/// Whether the broker looked at permissions, found them good and refused then.
fn is_refused_anyway(error: &lapin::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ProtocolError(protocol)
            if matches!(
                protocol.kind(),
                AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::NOTFOUND)
            )
    )
}

/// What is refused, without what is the same for all of it.
fn access(said: &str) -> String {
    let said = said.strip_prefix("ACCESS_REFUSED - ").unwrap_or(said);
    let end = said.find(" in vhost").unwrap_or(said.len());
    said[..end].to_owned()
}

fn few_channels(most: u16) -> Option<Finding> {
    // None at all means that there is no bound.
    if most == 0 || most >= CHANNELS {
        return None;
    }
    Some(
        Finding::wrong(
            FindingCode::LimitReached,
            About::Host,
            format!(
                "RabbitMQ allows {most} channels on a connection, and a server needs {CHANNELS}"
            ),
        )
        .hint("raise channel_max in rabbitmq.conf"),
    )
}

/// Whether the broker takes messages: it says that it doesn't to whoever
/// publishes, so one message goes to a queue of our own, on a connection that
/// may be stopped.
async fn room(options: &RabbitOptions) -> Finding {
    let told = |error: &lapin::Error| Trouble::read(error, options, "publishing", None);
    let connection = match connect(options, "look, publishing").await {
        Ok(connection) => connection,
        Err(trouble) => return finding(&trouble),
    };
    let mut events = Box::pin(connection.events_listener());
    let publish = async {
        let channel = connection.create_channel().await?;
        let queue = own_queue(&channel).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sent =
            channel.basic_publish("".into(), queue.as_str().into(), options, b"", properties);
        sent.await?.await.map(drop)
    };
    let blocked = async {
        loop {
            match events.next().await {
                Some(Event::ConnectionBlocked(reason)) => break Some(reason),
                Some(_) => {}
                None => break None,
            }
        }
    };
    let answer = timeout(CONFIRM_LIMIT, async {
        tokio::select! {
            biased;
            Some(reason) = blocked => Err(Trouble::Blocked { reason }),
            published = publish => published.map_err(|error| told(&error)),
        }
    });
    let answer = answer.await.unwrap_or_else(|_| {
        let what = "publishing".to_owned();
        Err(Trouble::TimedOut {
            what,
            limit: CONFIRM_LIMIT,
        })
    });
    let _ = timeout(GOODBYE, connection.close(200, "goodbye".into())).await;
    match answer {
        Ok(()) => Finding::fine(FindingCode::Room, About::Host, "it takes messages"),
        Err(trouble) => finding(&trouble),
    }
}

async fn identity(options: &RabbitOptions) -> Finding {
    // Those who can connect get a greeting; if not, it is a version less.
    let version = timeout(GOODBYE, version(options)).await;
    let version = version.ok().and_then(Result::ok).flatten();
    let version = version.map(|it| format!(" {it}")).unwrap_or_default();
    let secret = match options.tls {
        Some(_) => "encrypted",
        None => "not encrypted",
    };
    let seen = format!(
        "RabbitMQ{version} at {}, virtual host `{}`, user `{}`, {secret}",
        options.place(),
        options.vhost,
        options.user
    );
    Finding::fine(FindingCode::Connected, About::Host, seen)
}

/// The version in the broker's greeting, which the driver keeps for itself.
async fn version(options: &RabbitOptions) -> io::Result<Option<String>> {
    const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";
    let stream = TcpStream::connect((options.host.as_str(), options.port)).await?;
    let mut stream: Box<dyn Duplex> = match &options.tls {
        None => Box::new(stream),
        Some(wanted) => {
            let name = ServerName::try_from(options.host.clone()).map_err(io::Error::other)?;
            let connector = tls::connector(wanted).map_err(io::Error::other)?;
            Box::new(connector.connect(name, stream).await?)
        }
    };
    stream.write_all(HELLO).await?;
    // A frame: kind, channel, the length of what follows.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let mut greeting = Vec::new();
    let mut rest = stream.take(u64::from(length).min(MAX_GREETING));
    rest.read_to_end(&mut greeting).await?;
    Ok(property(&greeting, "version"))
}

/// A long string of this name in a table of properties.
fn property(table: &[u8], name: &str) -> Option<String> {
    let mut entry = vec![u8::try_from(name.len()).ok()?];
    entry.extend(name.as_bytes());
    entry.push(b'S');
    let at = table.windows(entry.len()).position(|it| it == entry)? + entry.len();
    let (length, rest) = table.get(at..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    Some(String::from_utf8_lossy(rest.get(..length)?).into_owned())
}

/// What a trouble is called, and which option is responsible.
fn finding(trouble: &Trouble) -> Finding {
    let (code, about) = match trouble {
        Trouble::Unreachable { said, .. } if said.contains("refused") => {
            (FindingCode::Unreachable, About::Port)
        }
        Trouble::Unreachable { .. } => (FindingCode::Unreachable, About::Host),
        Trouble::Tls { said, .. } if said.contains("certificate") => {
            (FindingCode::TlsRefused, About::CaFile)
        }
        Trouble::Tls { .. } => (FindingCode::TlsRefused, About::Tls),
        Trouble::Certificates { .. } => (FindingCode::TlsRefused, About::CaFile),
        Trouble::Login { .. } => (FindingCode::LoginRefused, About::Password),
        Trouble::NoVhost { .. } => (FindingCode::NoVhost, About::Space),
        Trouble::Forbidden { .. } => (FindingCode::NoPermission, About::User),
        Trouble::OtherArguments { .. } => (FindingCode::OtherArguments, About::Space),
        Trouble::Limit { .. } => (FindingCode::LimitReached, About::Host),
        Trouble::Blocked { .. } => (FindingCode::Full, About::Host),
        Trouble::TimedOut { .. } => (FindingCode::NoAnswer, About::Host),
        _ => (FindingCode::Refused, About::Host),
    };
    let finding = Finding::wrong(code, about, trouble.to_string());
    match code {
        FindingCode::Unreachable | FindingCode::NoAnswer => {
            finding.hint("see that RabbitMQ runs there, and which port speaks AMQP")
        }
        FindingCode::Refused => finding.hint("see RabbitMQ's log, and which port speaks AMQP"),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_found_in_its_table() {
        let table = b"\x00\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(property(table, "version").as_deref(), Some("3.10.8"));
        assert_eq!(property(&table[..table.len() - 1], "version"), None);
        assert_eq!(property(table, "platform"), None);
    }

    #[test]
    fn a_refusal_says_what_is_refused() {
        let said =
            "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'";
        assert_eq!(access(said), "configure access to queue 'q'");
        assert_eq!(access("no"), "no");
    }
}
