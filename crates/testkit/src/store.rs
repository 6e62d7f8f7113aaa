//! What every store must do: one case per promise of the port.
//!
//! A case asks through the port alone and assumes an empty store. It creates
//! the teams that it writes to, as the rules do, and gives each row an
//! identifier of its own. Adapters run the cases by
//! [`store_conformance!`](crate::store_conformance); what a process must
//! survive (a kill, a full disk, a second server) is for each adapter's own tests.

mod attempts;
mod lanes;
mod listings;
mod log;
mod messages;
mod named;
mod people;
mod sample;
mod tasks;
mod teams;
mod waits;
mod works;

pub use attempts::*;
pub use lanes::*;
pub use listings::*;
pub use log::*;
pub use messages::*;
pub use named::*;
pub use people::*;
pub use tasks::*;
pub use teams::*;
pub use waits::*;
pub use works::*;

use collective_core::TeamName;
use collective_core::event::Event;
use collective_core::ports::store::write;
use collective_core::ports::{Failed, Query, Store, Tx};
use futures_util::future::BoxFuture;

/// Runs every case of the suite, each as a `#[tokio::test]`.
///
/// `make` is a path to an `async fn()` that gives an empty store behind a
/// pointer, such as `Arc<SqliteStore>`. What the store needs to live (a
/// folder, a server) can be kept in the same value, as long as it derefs to the store.
/// `one_at_a_time` before it leaves out what a store can't show that serves one
/// caller after another.
#[macro_export]
macro_rules! store_conformance {
    // The cases as a table of names and functions, for whoever tests the suite itself.
    (table) => {
        $crate::store_conformance! { @each [@table] }
    };
    // The same with what only a store can show that serves callers beside each other.
    (whole table) => {
        $crate::store_conformance! { @each [@table nobody_sees_a_work_before_it_commits] }
    };
    ($make:path) => {
        $crate::store_conformance! { one_at_a_time $make }
        $crate::store_conformance! { @tests $make:
            nobody_sees_a_work_before_it_commits
        }
    };
    (one_at_a_time $make:path) => {
        $crate::store_conformance! { @each [@tests $make] }
    };
    (@each [$($what:tt)*]) => {
        $crate::store_conformance! { $($what)*:
            // works
            what_a_work_wrote_is_there_when_it_is_answered
            a_refused_work_leaves_nothing
            a_work_with_a_failing_statement_leaves_nothing
            concurrent_works_do_not_lose_each_others_changes
            a_caller_that_goes_away_leaves_all_or_nothing
            a_reader_sees_what_was_committed_after_it_was_made
            many_readers_at_once_are_all_served
            a_store_that_works_says_so
            a_closed_store_refuses
            // named
            works_that_name_their_team_have_numbers_without_gaps
            a_refused_work_harms_none_that_waits_with_it
            works_of_a_team_see_what_those_before_them_wrote
            a_named_work_can_create_its_team
            // log
            event_numbers_have_no_gaps_whatever_fails_beside_them
            numbers_of_a_refused_work_are_given_again
            every_kind_of_fact_comes_back_as_it_was
            events_are_paged_by_their_number
            the_events_of_a_task_are_its_own
            // tasks
            a_task_comes_back_as_it_was
            every_state_comes_back_as_it_was
            text_comes_back_whatever_is_in_it
            the_largest_values_come_back_whole
            an_update_writes_everything_but_the_spec
            updating_what_is_not_there_fails
            locking_gives_the_tasks_in_the_order_asked
            // listings
            a_listing_is_paged_from_the_newest
            a_listing_shows_what_its_filter_lets_through
            a_listing_follows_the_tasks
            // lanes
            heads_come_by_priority_then_wait_then_number
            heads_are_limited_for_each_lane_and_priority
            heads_follow_the_tasks
            the_tasks_ahead_are_counted_up_to_the_limit
            leases_are_counted_by_agent
            lanes_and_states_are_counted
            // waits
            due_tasks_come_earliest_first
            a_task_is_due_as_its_state_says
            schedules_are_due_unless_paused
            reservations_expire
            the_next_due_time_is_the_earliest_of_all
            edges_are_met_one_by_one
            // attempts
            attempts_come_back_oldest_first
            output_is_kept_once_and_in_order
            output_is_any_bytes
            artifacts_are_replaced_by_name
            // people
            a_team_is_created_once
            agents_are_written_read_and_removed
            queues_are_written_and_read
            keys_are_found_by_id_and_by_team
            answers_are_remembered_for_a_time
            // messages
            a_message_lies_in_each_inbox
            an_inbox_is_read_from_a_position
            receipts_are_noted_for_one_recipient
            questions_are_found_by_state_and_task
            reservations_are_listed_oldest_first
            schedules_are_listed_by_name
            // teams
            teams_have_their_own_numbers_and_names
            a_team_does_not_see_what_another_one_has
            a_team_does_not_change_what_another_one_has
        }
    };
    (@tests $make:path: $($case:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = $make().await;
                $crate::store::$case(&*store).await;
            }
        )*
    };
    (@table $($first:ident)*: $($case:ident)*) => {
        $crate::store_conformance! { @rows $($first)* $($case)* }
    };
    (@rows $($case:ident)*) => {
        [$((
            stringify!($case),
            (|store| Box::pin($crate::store::$case(store))) as $crate::store::Case,
        )),*]
    };
}

/// A case of the suite, as an entry of its table.
pub type Case = for<'s> fn(&'s dyn Store) -> BoxFuture<'s, ()>;

/// Carries out a work that must succeed.
async fn done<T, F>(store: &dyn Store, work: F) -> (T, Vec<Event>)
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Failed>> + Send + 'static,
{
    write(store, None, work).await.expect("the work commits")
}

/// Creates a team.
async fn found(store: &dyn Store, team: &TeamName) {
    let team = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            tx.insert_team(&team, sample::at(0)).await?;
            Ok(())
        })
    })
    .await;
}

/// An empty store's one team.
async fn default_team(store: &dyn Store) -> TeamName {
    let team = TeamName::default_team();
    found(store, &team).await;
    team
}

/// A view of what is committed.
async fn reader(store: &dyn Store) -> Box<dyn Query> {
    store.reader().await.expect("a reader is given")
}
