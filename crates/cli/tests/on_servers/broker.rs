//! Faults of RabbitMQ. Nothing is refused by any of them: news between
//! replicas is late, and agents that speak AMQP wait.

use collective_client::Client;
use collective_core::agent::{AgentSpec, Transport};
use collective_core::task::TaskSpec;
use collective_core::{QueueName, Span};

use crate::cluster::{BACKLOG, Cluster, until};
use crate::load::{Load, claim_of, done, name, sturdy};

/// A threshold that a broker is above as soon as it runs, and one that it isn't.
const NO_MEMORY: [&str; 3] = ["set_vm_memory_high_watermark", "absolute", "1MB"];
const ENOUGH_MEMORY: [&str; 2] = ["set_vm_memory_high_watermark", "0.6"];
/// More free disk than there is, and what the broker asks for by default.
const NO_DISK: [&str; 2] = ["set_disk_free_limit", "100000GB"];
const ENOUGH_DISK: [&str; 2] = ["set_disk_free_limit", "50MB"];
/// One channel of a connection is too few: publishing needs two.
const FEW_CHANNELS: &str = "channel_max = 1";

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_rabbitmq() {
    let mut cluster = Cluster::start().await;
    rabbitmq_is_down(&mut cluster).await;
    rabbitmq_is_wiped(&mut cluster).await;
    rabbitmq_has_a_memory_alarm(&mut cluster).await;
    rabbitmq_has_a_disk_alarm(&mut cluster).await;
    rabbitmq_allows_too_few_channels(&mut cluster).await;
    rabbitmq_hangs(&mut cluster).await;
}

async fn rabbitmq_is_down(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "rabbitmq_is_down").await;
    cluster.parts.rabbitmq.kill();
    assert!(cluster.names("bus", "RabbitMQ").await, "it is still ready");
    until("what the broker wasn't told of is counted", async || {
        cluster.metric(0, BACKLOG).await > Some(0.0)
    })
    .await;
    load.completes(20).await;
    a_waiting_agent_gets_its_task(cluster).await;
    assert!(load.refusals().is_empty());

    cluster.parts.rabbitmq.restart().unwrap();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
    let reconnects = cluster
        .metric(0, "orchestrator_broker_reconnects_total")
        .await;
    assert!(reconnects >= Some(1.0), "{reconnects:?}");
}

/// One replica can't tell the other, which looks by itself.
pub(crate) async fn a_waiting_agent_gets_its_task(cluster: &Cluster) {
    let (here, there) = (cluster.client(0), cluster.client(1));
    let queue = serve(&there, "patient", Transport::Http).await;
    let request = claim_of("patient", Span::from_secs(30));
    let waits = tokio::spawn({
        let there = there.clone();
        async move { there.claim(&request).await }
    });
    let task = here.create_task(&in_queue(&queue)).await.unwrap();
    let claims = waits.await.unwrap().unwrap().claims;
    assert_eq!(claims[0].task.id, task.id);
    there.complete(done(&claims[0])).await.unwrap();
}

/// An agent with a queue of its own, of the same name.
pub(crate) async fn serve(admin: &Client, agent: &str, transport: Transport) -> QueueName {
    let queue = QueueName::new(agent).unwrap();
    admin.declare_queue(&queue).await.unwrap();
    let spec = AgentSpec {
        queues: vec![queue.clone()],
        transport,
        ..AgentSpec::default()
    };
    admin.register_agent(&name(agent), &spec).await.unwrap();
    queue
}

pub(crate) fn in_queue(queue: &QueueName) -> TaskSpec {
    TaskSpec {
        queue: Some(queue.clone()),
        ..sturdy("of a queue")
    }
}

async fn rabbitmq_is_wiped(cluster: &mut Cluster) {
    const AGENT: &str = "amqp";
    let mut load = Load::start(cluster, "rabbitmq_is_wiped").await;
    let admin = cluster.client(0);
    let queue = serve(&admin, AGENT, Transport::Amqp).await;
    let task = admin.create_task(&in_queue(&queue)).await.unwrap();
    let offered = "agent.tasks.default.queue.amqp.normal 1";
    until("the task is offered", async || {
        offers(cluster).contains(offered)
    })
    .await;

    cluster.parts.rabbitmq.wipe().unwrap();
    cluster.parts.rabbitmq.restart().unwrap();
    until("it is offered again", async || {
        offers(cluster).contains(offered)
    })
    .await;
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    admin.cancel_task(task.id, "it is over").await.unwrap();
    admin.remove_agent(&name(AGENT)).await.unwrap();
    load.finish().await;
    cluster.converges().await;
}

/// Each queue of the broker and how many messages lie in it.
fn offers(cluster: &Cluster) -> String {
    let listed =
        cluster
            .parts
            .rabbitmq
            .control(&["list_queues", "--no-table-headers", "name", "messages"]);
    listed.unwrap_or_default().replace('\t', " ")
}

async fn rabbitmq_has_a_memory_alarm(cluster: &mut Cluster) {
    let load = Load::start(cluster, "rabbitmq_has_a_memory_alarm").await;
    an_alarm(cluster, load, &NO_MEMORY, &ENOUGH_MEMORY).await;
}

async fn rabbitmq_has_a_disk_alarm(cluster: &mut Cluster) {
    let load = Load::start(cluster, "rabbitmq_has_a_disk_alarm").await;
    an_alarm(cluster, load, &NO_DISK, &ENOUGH_DISK).await;
}

async fn an_alarm(cluster: &Cluster, mut load: Load, raise: &[&str], lower: &[&str]) {
    cluster.parts.rabbitmq.control(raise).unwrap();
    // The broker says so to whoever publishes: the replica that relays.
    let ready = cluster.one_names("bus", "takes no messages").await;
    assert!(ready, "it is still ready");
    load.completes(20).await;
    cluster.parts.rabbitmq.control(lower).unwrap();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

async fn rabbitmq_allows_too_few_channels(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "rabbitmq_allows_too_few_channels").await;
    restart_with(cluster, &[FEW_CHANNELS]);
    assert!(cluster.names("bus", "channels").await, "it is still ready");
    load.completes(20).await;
    restart_with(cluster, &[]);
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}

fn restart_with(cluster: &mut Cluster, settings: &[&str]) {
    let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    let rabbitmq = &mut cluster.parts.rabbitmq;
    rabbitmq.set_settings(&settings).unwrap();
    rabbitmq.restart().unwrap();
}

async fn rabbitmq_hangs(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "rabbitmq_hangs").await;
    cluster.parts.rabbitmq.suspend().unwrap();
    assert!(cluster.names("bus", "RabbitMQ").await, "it is still ready");
    load.completes(20).await;
    cluster.parts.rabbitmq.resume().unwrap();
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    load.finish().await;
    cluster.converges().await;
}
