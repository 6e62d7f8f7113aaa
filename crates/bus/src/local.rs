//! The bus in process: a table from topic to those who wait.
//!
//! A wake-up is a flag and a waker per subscription, so that any number of
//! wake-ups that nobody took yet are one, and a dropped wait leaves its wake-up
//! behind. A publish wakes everyone on a topic: to wake only some would lose
//! the wake-up when one of the chosen has just given up waiting.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;

use async_trait::async_trait;
use collective_core::event::Event;
use collective_core::ports::{Bus, BusError, Subscription, Topic};
use futures_util::task::AtomicWaker;

/// Most subscriptions at once: each belongs to a waiting connection, and a
/// process has at most about this many file descriptors.
pub const MAX_SUBSCRIPTIONS: usize = 65_536;

/// Most topics of one subscription: one that waits for a whole batch of tasks
/// ([`collective_core::limits::MAX_BATCH`]), with room for its lanes.
pub const MAX_TOPICS: usize = 1_100;

/// The bus in process. Clones share it.
#[derive(Clone, Debug)]
pub struct LocalBus {
    registry: Arc<Registry>,
}

/// How much a bus holds right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Live subscriptions.
    pub subscriptions: usize,
    /// Topics that one of them listens to.
    pub topics: usize,
}

#[derive(Debug)]
struct Registry {
    limit: usize,
    /// The number of subscriptions again, so that a publish that nobody hears takes no lock.
    live: AtomicUsize,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    subscriptions: usize,
    next_id: u64,
    /// Ordered by id inside a topic, so that one of thousands leaves in logarithmic time.
    listeners: HashMap<Topic, BTreeMap<u64, Arc<Waiter>>>,
}

#[derive(Debug, Default)]
struct Waiter {
    woken: AtomicBool,
    waker: AtomicWaker,
}

struct LocalSubscription {
    registry: Arc<Registry>,
    id: u64,
    topics: Vec<Topic>,
    waiter: Arc<Waiter>,
}

impl LocalBus {
    /// An empty bus.
    pub fn new() -> Self {
        Self::with_limit(MAX_SUBSCRIPTIONS)
    }

    /// An empty bus that takes at most `limit` subscriptions at once.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            registry: Arc::new(Registry {
                limit,
                live: AtomicUsize::new(0),
                table: RwLock::default(),
            }),
        }
    }

    /// Gives every live subscription its wake-up, for whoever can't tell what was missed.
    pub fn wake_everyone(&self) {
        for waiter in self.registry.mark_everyone() {
            waiter.waker.wake();
        }
    }

    /// Gives every live subscription to one of these topics its wake-up.
    pub fn wake_topics(&self, topics: &[Topic]) {
        if self.registry.live.load(Ordering::Acquire) > 0 {
            // Wakers run foreign code, which may drop a subscription: never under the lock.
            for waiter in self.registry.mark_woken(topics) {
                waiter.waker.wake();
            }
        }
    }

    /// How much it holds right now.
    pub fn load(&self) -> Load {
        let table = self.registry.read();
        Load {
            subscriptions: table.subscriptions,
            topics: table.listeners.len(),
        }
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn wake(&self, events: &[Event]) {
        if self.registry.live.load(Ordering::Acquire) > 0 {
            self.wake_topics(&Topic::of_all(events));
        }
    }

    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        self.wake(events);
        Ok(())
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        let subscription = Registry::enter(&self.registry, topics)?;
        Ok(Box::new(subscription))
    }

    async fn health(&self) -> Result<(), BusError> {
        Ok(())
    }
}

#[async_trait]
impl Subscription for LocalSubscription {
    async fn wake(&mut self) -> Result<(), BusError> {
        poll_fn(|context| {
            if self.waiter.take() {
                return Poll::Ready(Ok(()));
            }
            self.waiter.waker.register(context.waker());
            // A wake-up between the look and the registration found no waker.
            if self.waiter.take() {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.registry.leave(self.id, &self.topics);
    }
}

impl Waiter {
    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Gives it a wake-up; says whether it had none.
    fn mark(&self) -> bool {
        !self.woken.swap(true, Ordering::AcqRel)
    }
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(registry: &Arc<Self>, topics: &[Topic]) -> Result<LocalSubscription, BusError> {
        if topics.len() > MAX_TOPICS {
            return Err(BusError::TooMany {
                what: "topics of one subscription",
                limit: MAX_TOPICS,
            });
        }
        let mut table = registry.write();
        if table.subscriptions >= registry.limit {
            return Err(BusError::TooMany {
                what: "subscriptions",
                limit: registry.limit,
            });
        }
        table.subscriptions += 1;
        table.next_id += 1;
        registry.live.store(table.subscriptions, Ordering::Release);
        let subscription = LocalSubscription {
            registry: Arc::clone(registry),
            id: table.next_id,
            topics: topics.to_vec(),
            waiter: Arc::default(),
        };
        for topic in topics {
            let waiter = Arc::clone(&subscription.waiter);
            table
                .listeners
                .entry(topic.clone())
                .or_default()
                .insert(subscription.id, waiter);
        }
        Ok(subscription)
    }

    fn leave(&self, id: u64, topics: &[Topic]) {
        let mut table = self.write();
        for topic in topics {
            if let Some(listeners) = table.listeners.get_mut(topic) {
                listeners.remove(&id);
                if listeners.is_empty() {
                    table.listeners.remove(topic);
                }
            }
        }
        table.subscriptions -= 1;
        self.live.store(table.subscriptions, Ordering::Release);
    }

    /// Gives everyone who waits for one of these a wake-up, and returns those who
    /// had none.
    fn mark_woken(&self, topics: &[Topic]) -> Vec<Arc<Waiter>> {
        let table = self.read();
        let waiting = topics.iter().filter_map(|topic| table.listeners.get(topic));
        let waiters = waiting.flat_map(BTreeMap::values);
        waiters.filter(|waiter| waiter.mark()).cloned().collect()
    }

    /// Gives everyone a wake-up, and returns those who had none.
    fn mark_everyone(&self) -> Vec<Arc<Waiter>> {
        let table = self.read();
        let waiters = table.listeners.values().flat_map(BTreeMap::values);
        waiters.filter(|waiter| waiter.mark()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::TeamName;
    use collective_core::Timestamp;
    use collective_core::event::Fact;
    use futures_util::FutureExt;

    fn feed() -> Topic {
        Topic::Feed(TeamName::default_team())
    }

    fn news() -> Event {
        Event {
            team: TeamName::default_team(),
            seq: 1,
            at: Timestamp::from_micros(0),
            actor: "server".to_owned(),
            fact: Fact::AccessDenied {
                what: "x".to_owned(),
            },
        }
    }

    fn subscribe(bus: &LocalBus, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        bus.subscribe(topics).now_or_never().unwrap()
    }

    fn publish(bus: &LocalBus, events: &[Event]) {
        bus.publish(events).now_or_never().unwrap().unwrap();
    }

    #[test]
    fn wake_ups_that_nobody_took_are_one() {
        let bus = LocalBus::new();
        let mut waiting = subscribe(&bus, &[feed(), feed()]).unwrap();
        publish(&bus, &[news(), news()]);
        publish(&bus, &[news()]);
        assert_eq!(waiting.wake().now_or_never(), Some(Ok(())));
        assert_eq!(waiting.wake().now_or_never(), None);
    }

    #[test]
    fn everyone_is_woken_once_whatever_they_wait_for() {
        let bus = LocalBus::new();
        let task = Topic::Task(collective_core::TaskId(uuid(1)));
        let mut all = [&[feed(), task.clone()][..], &[task], &[feed()]]
            .map(|topics| subscribe(&bus, topics).unwrap());
        bus.wake_everyone();
        for waiting in &mut all {
            assert_eq!(waiting.wake().now_or_never(), Some(Ok(())));
            assert_eq!(waiting.wake().now_or_never(), None);
        }
    }

    #[test]
    fn dropped_subscriptions_leave_nothing_behind() {
        let bus = LocalBus::new();
        let own = |i: u64| Topic::Task(collective_core::TaskId(uuid(i)));
        for i in 0..1_000 {
            let kept: Vec<_> = (0..5)
                .map(|k| subscribe(&bus, &[feed(), own(i * 5 + k)]).unwrap())
                .collect();
            publish(&bus, &[news()]);
            assert_eq!(
                bus.load(),
                Load {
                    subscriptions: 5,
                    topics: 6
                }
            );
            drop(kept);
        }
        assert_eq!(
            bus.load(),
            Load {
                subscriptions: 0,
                topics: 0
            }
        );
        assert_eq!(bus.registry.live.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_dropped_subscription_frees_its_waiter() {
        let bus = LocalBus::new();
        let subscription = Registry::enter(&bus.registry, &[feed()]).unwrap();
        let waiter = Arc::downgrade(&subscription.waiter);
        drop(subscription);
        assert!(waiter.upgrade().is_none());
        assert_eq!(Arc::strong_count(&bus.registry), 1);
    }

    #[test]
    fn one_more_than_the_bound_is_refused_until_one_leaves() {
        let bus = LocalBus::with_limit(2);
        let first = subscribe(&bus, &[feed()]).unwrap();
        let _second = subscribe(&bus, &[feed()]).unwrap();
        let refused = subscribe(&bus, &[feed()]).err();
        assert_eq!(
            refused,
            Some(BusError::TooMany {
                what: "subscriptions",
                limit: 2
            })
        );
        drop(first);
        assert!(subscribe(&bus, &[feed()]).is_ok());
    }

    #[test]
    fn a_subscription_to_too_many_topics_is_refused() {
        let bus = LocalBus::new();
        let refused = subscribe(&bus, &vec![feed(); MAX_TOPICS + 1]).err();
        assert!(matches!(refused, Some(BusError::TooMany { .. })));
        assert_eq!(bus.load().subscriptions, 0);
    }

    #[test]
    fn a_waker_may_drop_a_subscription_of_the_same_bus() {
        struct Dropper(std::sync::Mutex<Option<Box<dyn Subscription>>>);
        impl std::task::Wake for Dropper {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }
        let bus = LocalBus::new();
        let mut waiting = subscribe(&bus, &[feed()]).unwrap();
        let other = subscribe(&bus, &[feed()]).unwrap();
        let waker = Arc::new(Dropper(std::sync::Mutex::new(Some(other)))).into();
        let mut wait = waiting.wake();
        let pending = wait
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker));
        assert!(pending.is_pending());
        publish(&bus, &[news()]);
        assert_eq!(bus.load().subscriptions, 1);
    }

    fn uuid(number: u64) -> uuid::Uuid {
        uuid::Uuid::from_u128(u128::from(number))
    }
}
