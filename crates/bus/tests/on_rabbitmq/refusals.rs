//! What a broker refuses, each in words that a person can act on.

use collective_bus::rabbitmq::{Password, topology};
use collective_bus::{RabbitBus, RabbitOptions};
use collective_core::ports::{Broker, Bus, BusError};
use collective_core::task::Priority;
use collective_testkit::servers::RabbitMq;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::ground::{event, eventually, lane, offer, options, plain, replica, team};

/// A password that must never be seen.
const SECRET: &str = "s3cret-and-wrong";

/// Starts a bus that can't connect, and gives what it says.
async fn refusal(options: RabbitOptions) -> String {
    let bus = RabbitBus::connect(options);
    let said = eventually("an error is noted", async || bus.state().last_error).await;
    assert!(!bus.state().connected);
    let health = bus.health().await.expect_err("it isn't healthy");
    assert!(health.to_string().contains(&said), "{health} says {said}");
    let published = bus.publish(&[event(1)]).await;
    assert!(
        matches!(published, Err(BusError::Unavailable(_))),
        "{published:?}"
    );
    bus.close().await;
    assert!(!said.contains(SECRET), "{said}");
    said
}

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
}

pub(crate) async fn a_wrong_password_names_the_user(server: &RabbitMq) {
    let said = refusal(RabbitOptions {
        password: Password::new(SECRET),
        ..options(server)
    })
    .await;
    says(
        &said,
        &["refuses the login", "`guest`", "check user and password"],
    );
}

pub(crate) async fn a_wrong_virtual_host_names_it(server: &RabbitMq) {
    let said = refusal(RabbitOptions {
        vhost: "nowhere".to_owned(),
        ..options(server)
    })
    .await;
    says(
        &said,
        &["no virtual host `nowhere`", "rabbitmqctl add_vhost"],
    );
}

pub(crate) async fn nobody_there_names_the_place(server: &RabbitMq) {
    let port = collective_testkit::process::free_port().expect("a port");
    let said = refusal(RabbitOptions {
        port,
        ..options(server)
    })
    .await;
    says(&said, &["cannot reach", &format!("127.0.0.1:{port}")]);
}

/// Without the permission for the virtual host, to declare, or to write.
pub(crate) async fn a_missing_permission_says_which_and_how_to_grant_it(server: &RabbitMq) {
    let control = |arguments: &[&str]| {
        server.control(arguments).expect("rabbitmqctl works");
    };
    control(&["add_user", "poor", SECRET]);
    let poor = RabbitOptions {
        user: "poor".to_owned(),
        password: Password::new(SECRET),
        ..options(server)
    };
    says(&refusal(poor.clone()).await, &["`poor`", "set_permissions"]);

    control(&["set_permissions", "poor", "^$", ".*", ".*"]);
    let said = refusal(poor.clone()).await;
    says(&said, &["`poor`", "agent.tasks", "set_permissions", "'/'"]);

    // All may be declared, nothing published.
    control(&[
        "set_permissions",
        "poor",
        ".*",
        "^(amq|agent\\.(dead|results)).*",
        ".*",
    ]);
    let bus = RabbitBus::connect(poor);
    let said = eventually("a publish is refused", async || {
        let published = bus.publish(&[event(1)]).await;
        let error = published.err()?.to_string();
        error.contains("lacks a permission").then_some(error)
    })
    .await;
    says(
        &said,
        &["`poor`", "publishing", "agent.news", "set_permissions"],
    );
    assert!(!said.contains(SECRET), "{said}");
    bus.close().await;
}

/// A queue that somebody else declared otherwise is named, and whatever doesn't need it works.
pub(crate) async fn a_queue_declared_otherwise_is_named(server: &RabbitMq) {
    let bus = replica(server).await;
    let client = plain(&server.url()).await;
    let here = team("default");
    let other = lane("queue/other");
    let queue = topology::task_queue(&topology::task_key(&here, &other, Priority::Normal));
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(5));
    client
        .channel
        .queue_declare(
            queue.as_str().into(),
            QueueDeclareOptions::durable(),
            arguments,
        )
        .await
        .expect("a stranger declares it");
    let refused = bus.declare(&here, &other).await.expect_err("it is refused");
    says(
        &refused.to_string(),
        &[
            &format!("`{queue}` exists"),
            "other arguments",
            "delete_queue",
        ],
    );
    // A stranger's queue isn't bound, so an offer to it comes back; the other lane gets its own.
    let mixed = [
        offer(1, "queue/other", Priority::Normal),
        offer(2, "queue/sound", Priority::Normal),
    ];
    let refused = bus.offer(&mixed).await.expect_err("one lane is refused");
    says(&refused.to_string(), &[&format!("`{queue}` exists")]);
    client.take("agent.tasks.default.queue.sound.normal").await;
    bus.health().await.expect("the bus is healthy");
    assert_eq!(bus.state().reconnects, 0);
    bus.close().await;
}

/// A bound of the broker is told as one.
pub(crate) async fn a_limit_of_connections_is_told_as_one(server: &RabbitMq) {
    let control = |arguments: &[&str]| {
        server.control(arguments).expect("rabbitmqctl works");
    };
    control(&["add_vhost", "small"]);
    control(&["set_permissions", "-p", "small", "guest", ".*", ".*", ".*"]);
    control(&[
        "set_vhost_limits",
        "-p",
        "small",
        "{\"max-connections\": 1}",
    ]);
    let said = refusal(RabbitOptions {
        vhost: "small".to_owned(),
        ..options(server)
    })
    .await;
    says(&said, &["no more connections", "limit"]);
}
