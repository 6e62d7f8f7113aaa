//! An agent on the broker that does just what a test says, and holds all that
//! is sent and answered against the AsyncAPI document.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::contract::Contract;
use crate::world::{DEADLINE, World, until};

const REPLIES: &str = "amq.rabbitmq.reply-to";

/// A person at a broker's connection.
pub(crate) struct Agent {
    pub(crate) name: String,
    key: Option<String>,
    /// The connection lives as long as its channel is used.
    _connection: Connection,
    pub(crate) channel: Channel,
    replies: Mutex<Consumer>,
    contract: Contract,
}

/// An offer that was taken and not acknowledged.
pub(crate) struct Taken {
    pub(crate) offer: Value,
    pub(crate) message: BasicGetMessage,
}

impl Agent {
    pub(crate) async fn connect(world: &World, name: &str, key: Option<String>) -> Self {
        let connection =
            Connection::connect(&world.rabbit.url(), ConnectionProperties::default()).await;
        let connection = connection.expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirms");
        let no_ack = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let replies = channel
            .basic_consume(REPLIES.into(), "".into(), no_ack, FieldTable::default())
            .await
            .expect("direct replies");
        Self {
            name: name.to_owned(),
            key,
            _connection: connection,
            channel,
            replies: Mutex::new(replies),
            contract: Contract::read(),
        }
    }

    /// Publishes anything anywhere; returns when the broker has it.
    pub(crate) async fn publish(
        &self,
        (exchange, routing_key): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        answered: bool,
    ) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_correlation_id(routing_key.into())
            .with_headers(table);
        if answered {
            properties = properties.with_reply_to(REPLIES.into());
        }
        let published = self.channel.basic_publish(
            exchange.into(),
            routing_key.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        );
        published.await.expect("sent").await.expect("confirmed");
    }

    fn headers<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let key = self.key.as_deref().map(|key| ("collective-key", key));
        key.into_iter().chain(more.iter().copied()).collect()
    }

    /// The next answer.
    pub(crate) async fn answer(&self, to: &str) -> Value {
        let mut replies = self.replies.lock().await;
        let next = tokio::time::timeout(DEADLINE, replies.next()).await;
        let delivery: Delivery = next
            .unwrap_or_else(|_| panic!("no answer to {to}"))
            .expect("the channel lives")
            .expect("an answer");
        let correlated = delivery.properties.correlation_id().as_ref();
        assert_eq!(correlated.map(|id| id.as_str()), Some(to));
        serde_json::from_slice(&delivery.data).expect("answers are JSON")
    }

    /// Nothing was answered within this time.
    pub(crate) async fn hears_nothing(&self, within: Duration) -> bool {
        let mut replies = self.replies.lock().await;
        tokio::time::timeout(within, replies.next()).await.is_err()
    }

    /// Sends a report without asking for an answer.
    pub(crate) async fn tell(&self, kind: &str, body: &Value) {
        self.contract.sent(kind, body);
        let bytes = body.to_string();
        self.publish(
            ("agent.results", kind),
            &self.headers(&[]),
            bytes.as_bytes(),
            false,
        )
        .await;
    }

    /// Sends a report and gives what it is answered.
    pub(crate) async fn report(&self, kind: &str, body: &Value) -> Value {
        self.report_with(kind, body, &[]).await
    }

    pub(crate) async fn report_with(
        &self,
        kind: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Value {
        self.contract.sent(kind, body);
        let answer = self.raw(kind, body.to_string().as_bytes(), headers).await;
        self.contract.answered(kind, &answer);
        answer
    }

    /// Sends bytes as a report of this kind and gives what it is answered.
    pub(crate) async fn raw(&self, kind: &str, body: &[u8], headers: &[(&str, &str)]) -> Value {
        self.publish(("agent.results", kind), &self.headers(headers), body, true)
            .await;
        self.answer(kind).await
    }

    /// Registers for these queues; gives the names of its task queues.
    pub(crate) async fn register(&self, queues: &[&str], slots: u32) -> Vec<String> {
        let body = json!({"agent": self.name, "queues": queues, "slots": slots});
        let answer = ok(self.report("registered", &body).await);
        let names = answer["task_queues"].as_array().expect("names").iter();
        names
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect()
    }

    /// The next offer in one of these queues, the first first.
    pub(crate) async fn offer(&self, queues: &[String]) -> Taken {
        until("a task is offered", || async {
            for queue in queues {
                let got = self
                    .channel
                    .basic_get(queue.as_str().into(), BasicGetOptions::default());
                // A queue without a leader answers after a minute, with a refusal.
                let got = tokio::time::timeout(DEADLINE, got).await;
                let got = got.unwrap_or_else(|_| panic!("{queue} gives no answer"));
                if let Some(message) = got.expect("the queue is there") {
                    let offer = serde_json::from_slice(&message.delivery.data).expect("JSON");
                    self.contract.offered(&offer);
                    return Some(Taken { offer, message });
                }
            }
            None
        })
        .await
    }

    /// Takes the next offer, claims its task and acknowledges; gives the claim.
    pub(crate) async fn claim(&self, queues: &[String]) -> Value {
        let taken = self.offer(queues).await;
        let body = json!({"agent": self.name, "task": taken.offer["task"]});
        let claim = ok(self.report("started", &body).await);
        taken.drop_it().await;
        claim
    }
}

impl Taken {
    pub(crate) async fn drop_it(self) {
        let acked = self.message.ack(BasicAckOptions::default()).await;
        assert!(acked.expect("it is acknowledged"));
    }
}

/// The value of a success.
#[track_caller]
pub(crate) fn ok(mut answer: Value) -> Value {
    assert!(answer.get("error").is_none(), "{answer}");
    answer["ok"].take()
}

/// The code of a refusal.
#[track_caller]
pub(crate) fn refused(answer: &Value) -> &str {
    assert!(answer.get("ok").is_none(), "{answer}");
    answer["error"]["code"].as_str().expect("a code")
}
