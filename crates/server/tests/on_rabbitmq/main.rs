//! Agents that speak AMQP, on a real broker and a real store: the protocol message by message,
//! and the agents of `examples/amqp-agents` at work.

mod agent;
mod contract;
mod garbage;
mod programs;
mod protocol;
mod together;
mod world;

use world::World;

/// Runs a case, and says which one it was if it fails.
macro_rules! cases {
    ($world:expr; $($case:path),* $(,)?) => {
        $(
            eprintln!("case {}", stringify!($case));
            $case($world).await;
        )*
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_on_the_broker() {
    let mut world = World::start().await;
    cases! { &world;
        protocol::a_task_goes_its_whole_way,
        protocol::a_report_that_is_repeated_gets_the_same_answer,
        protocol::the_first_to_start_gets_the_task,
        protocol::what_belongs_to_somebody_else_is_refused,
        protocol::what_is_called_off_is_told_with_the_next_heartbeat,
        protocol::a_report_without_a_place_for_its_answer_is_carried_out,
        protocol::a_paused_queue_and_full_slots_hand_out_nothing,
        protocol::an_agent_that_is_offered_nothing_new_takes_what_waits,
        garbage::garbage_ends_in_the_dead_letters_and_stops_nothing,
        garbage::a_report_without_a_valid_key_is_not_listened_to,
        garbage::an_unknown_kind_and_a_huge_body_are_dead_letters_too,
        together::agents_in_three_languages_do_real_tasks_side_by_side,
        together::the_task_of_an_agent_that_is_killed_goes_to_another,
    }
    cases! { &mut world;
        protocol::a_store_that_is_killed_costs_no_report,
        protocol::reports_wait_for_a_server_that_is_down,
        together::agents_outlive_a_broker_that_restarts,
        protocol::an_offer_that_is_held_too_long_comes_again,
    }
}
