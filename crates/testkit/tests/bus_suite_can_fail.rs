//! Each case of the bus suite fails on a bus that breaks its promise.
//!
//! The clock is paused, so that a deadline that must pass passes at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use collective_bus::LocalBus;
use collective_core::TeamName;
use collective_core::event::{Event, Fact};
use collective_core::ports::{Bus, BusError, Subscription, Topic};
use collective_testkit::bus;
use futures_util::FutureExt;

/// One promise that is broken.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    LosesMail,
    WakesEveryone,
    MixesTeams,
    ForgetsBeforeTheWait,
    WakesOncePerEventAndMore,
    LosesInADroppedWait,
    HearsItsFirstTopicOnly,
    PublishesTheFirstOfABatch,
    WakesFiveHundredAtMost,
    FailsOnceSomeoneLeft,
    SubscribesWithTheFirstWait,
    LosesEachSecondPublish,
    NeedsAListener,
    IsNotHealthy,
}

struct Broken {
    inner: LocalBus,
    fault: Fault,
    published: AtomicUsize,
    subscribed: AtomicUsize,
    someone_left: Arc<AtomicBool>,
}

struct BrokenSubscription {
    inner: Option<Box<dyn Subscription>>,
    bus: LocalBus,
    topics: Vec<Topic>,
    fault: Fault,
    extra: u32,
    someone_left: Arc<AtomicBool>,
}

fn one_team(event: &Event) -> Event {
    Event {
        team: TeamName::default_team(),
        ..event.clone()
    }
}

#[async_trait]
impl Bus for Broken {
    fn wake(&self, events: &[Event]) {
        self.inner.wake(events);
    }

    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let count = self.published.fetch_add(1, Ordering::SeqCst) + 1;
        let down = || Err(BusError::Unavailable("broken".to_owned()));
        match self.fault {
            Fault::LosesMail => {
                let is_mail = |event: &&Event| !matches!(event.fact, Fact::MessageSent { .. });
                let rest: Vec<Event> = events.iter().filter(is_mail).cloned().collect();
                self.inner.publish(&rest).await
            }
            Fault::MixesTeams => {
                let mixed: Vec<Event> = events.iter().map(one_team).collect();
                self.inner.publish(&mixed).await
            }
            Fault::PublishesTheFirstOfABatch => {
                self.inner.publish(&events[..events.len().min(1)]).await
            }
            Fault::LosesEachSecondPublish if count.is_multiple_of(2) => Ok(()),
            Fault::NeedsAListener if self.inner.load().subscriptions == 0 => down(),
            Fault::FailsOnceSomeoneLeft if self.someone_left.load(Ordering::SeqCst) => down(),
            _ => self.inner.publish(events).await,
        }
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        let count = self.subscribed.fetch_add(1, Ordering::SeqCst);
        let mut topics = topics.to_vec();
        match self.fault {
            Fault::WakesEveryone => topics.push(Topic::Feed(TeamName::default_team())),
            Fault::MixesTeams => {
                for topic in &mut topics {
                    if let Topic::Lane(team, _) | Topic::Feed(team) | Topic::Agent(team, _) = topic
                    {
                        *team = TeamName::default_team();
                    }
                }
            }
            Fault::HearsItsFirstTopicOnly => topics.truncate(1),
            Fault::WakesFiveHundredAtMost if count >= 500 => topics.clear(),
            _ => {}
        }
        let inner = match self.fault {
            Fault::SubscribesWithTheFirstWait => None,
            _ => Some(self.inner.subscribe(&topics).await?),
        };
        Ok(Box::new(BrokenSubscription {
            inner,
            bus: self.inner.clone(),
            topics,
            fault: self.fault,
            extra: 0,
            someone_left: Arc::clone(&self.someone_left),
        }))
    }

    async fn health(&self) -> Result<(), BusError> {
        match self.fault {
            Fault::IsNotHealthy => Err(BusError::Unavailable("broken".to_owned())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Subscription for BrokenSubscription {
    async fn wake(&mut self) -> Result<(), BusError> {
        if self.inner.is_none() {
            self.inner = Some(self.bus.subscribe(&self.topics).await?);
        }
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        match self.fault {
            Fault::ForgetsBeforeTheWait => {
                inner.wake().now_or_never();
                inner.wake().await
            }
            Fault::WakesOncePerEventAndMore if self.extra > 0 => {
                self.extra -= 1;
                Ok(())
            }
            Fault::WakesOncePerEventAndMore => {
                inner.wake().await?;
                self.extra = 60;
                Ok(())
            }
            Fault::LosesInADroppedWait => {
                inner.wake().await?;
                tokio::task::yield_now().await;
                Ok(())
            }
            _ => inner.wake().await,
        }
    }
}

impl Drop for BrokenSubscription {
    fn drop(&mut self) {
        self.someone_left.store(true, Ordering::SeqCst);
    }
}

macro_rules! fails {
    ($($case:ident on $fault:ident;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $case() {
                let broken = Broken {
                    inner: LocalBus::new(),
                    fault: Fault::$fault,
                    published: AtomicUsize::new(0),
                    subscribed: AtomicUsize::new(0),
                    someone_left: Arc::default(),
                };
                let run = tokio::spawn(async move { bus::$case(&broken).await });
                assert!(run.await.is_err_and(|end| end.is_panic()), "the case passed on a broken bus");
            }
        )*
    };
}

fails! {
    every_topic_of_an_event_is_woken on LosesMail;
    other_topics_are_not_woken on WakesEveryone;
    teams_do_not_hear_each_other on MixesTeams;
    a_wake_up_before_the_wait_is_kept on ForgetsBeforeTheWait;
    wake_ups_before_the_wait_come_to_an_end on WakesOncePerEventAndMore;
    a_dropped_wait_loses_nothing on LosesInADroppedWait;
    a_subscription_hears_all_its_topics on HearsItsFirstTopicOnly;
    a_batch_wakes_whoever_any_of_its_events_concerns on PublishesTheFirstOfABatch;
    a_thousand_waiters_on_one_lane_are_all_woken on WakesFiveHundredAtMost;
    a_dropped_subscription_disturbs_nobody on FailsOnceSomeoneLeft;
    a_subscription_hears_from_the_moment_it_is_there on SubscribesWithTheFirstWait;
    whoever_looks_after_each_wake_up_misses_nothing on LosesEachSecondPublish;
    publishing_to_nobody_succeeds on NeedsAListener;
    a_bus_that_works_says_so on IsNotHealthy;
}
