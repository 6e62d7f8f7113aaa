//! The bus and the broker on a real RabbitMQ.
//!
//! A server takes seconds to start, so each test has one and runs its cases on
//! it one after the other, naming each before it runs.

mod agents;
mod faults;
mod ground;
mod news;
mod refusals;
mod tls;

use collective_core::ports::Bus;
use collective_testkit::servers::RabbitMq;
use futures_util::future::LocalBoxFuture;

use ground::replica;

/// A case of this file, as an entry of a table.
type Case = for<'s> fn(&'s RabbitMq) -> LocalBoxFuture<'s, ()>;

/// A table of the named functions.
macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        [$((
            stringify!($case),
            (|server| Box::pin($module::$case(server))) as Case,
        )),*]
    };
}

fn start() -> RabbitMq {
    RabbitMq::start().expect("RabbitMQ starts")
}

async fn run_all(server: &RabbitMq, cases: &[(&str, Case)]) {
    for (name, case) in cases {
        println!("{name}");
        case(server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_on_rabbitmq_keeps_every_promise_of_the_port() {
    let server = start();
    for (name, case) in collective_testkit::bus_conformance!(table) {
        println!("{name}");
        let bus = replica(&server).await;
        case(&bus as &dyn Bus).await;
        bus.close().await;
    }
    run_all(
        &server,
        &cases![
            news::replicas_hear_each_other,
            news::events_reach_anyone_with_the_documented_headers,
            news::what_is_no_news_is_counted_and_dropped,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_are_not_ours_get_offers_and_are_heard() {
    let server = start();
    run_all(
        &server,
        &cases![
            agents::offers_reach_anyone_with_the_documented_headers,
            agents::missing_queues_are_made_by_the_offer,
            agents::lanes_with_dots_do_not_share_a_queue,
            agents::a_report_is_read_and_answered_where_it_asks,
            agents::a_buried_report_is_a_dead_letter_without_secrets,
            agents::a_report_that_is_too_large_is_buried,
            agents::a_report_that_is_put_back_comes_again,
            agents::a_report_of_a_dead_replica_comes_to_another,
            agents::replicas_share_the_reports,
            agents::poison_ends_in_the_dead_letters_and_stops_no_queue,
            refusals::a_wrong_password_names_the_user,
            refusals::a_wrong_virtual_host_names_it,
            refusals::nobody_there_names_the_place,
            refusals::a_missing_permission_says_which_and_how_to_grant_it,
            refusals::a_queue_declared_otherwise_is_named,
            refusals::a_limit_of_connections_is_told_as_one,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_broker_does_it_is_used_again() {
    let mut server = start();
    faults::a_killed_broker_is_used_again_when_it_is_back(&mut server).await;
    faults::a_broker_that_comes_back_empty_is_furnished_again(&mut server).await;
    faults::a_broker_without_memory_is_told_at_once(&mut server).await;
    faults::a_queue_without_a_leader_is_made_anew(&mut server).await;
    faults::a_broker_that_hangs_is_given_up_and_used_again(&mut server).await;
    faults::a_broker_that_is_down_at_the_start_is_used_when_it_comes(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_used_over_tls_if_it_is_vouched_for() {
    let secured = tls::Secured::new();
    let mut server = RabbitMq::start_with(&secured.settings()).expect("RabbitMQ starts");
    tls::only_a_broker_that_is_vouched_for_is_used(&server, &secured).await;
    secured.certify("0");
    server.restart().expect("the broker starts");
    tls::an_expired_certificate_is_told_as_that(&server, &secured).await;
}
