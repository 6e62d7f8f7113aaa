//! Time, chance and a bad network, all in the hand of a test.
//!
//! Everything is decided by a seed or by the test itself, so that a run that
//! fails can be run again. Nothing here sleeps or asks the machine for anything.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use collective_core::event::Event;
use collective_core::ports::{Bus, BusError, Clock, Entropy, Subscription, Topic};
use collective_core::{Span, Timestamp};

/// A clock that moves only when it is told to. Clones share it.
#[derive(Clone, Debug)]
pub struct FakeClock {
    micros: Arc<AtomicI64>,
}

impl FakeClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(start.micros())),
        }
    }

    /// Moves it forward.
    pub fn advance(&self, span: Span) {
        self.set(self.now() + span);
    }

    /// Moves it anywhere, back too.
    pub fn set(&self, to: Timestamp) {
        self.micros.store(to.micros(), Ordering::SeqCst);
    }
}

impl Default for FakeClock {
    /// Stands at 2026-01-01T00:00:00Z: any fixed time that looks like one.
    fn default() -> Self {
        Self::at(Timestamp::from_micros(1_767_225_600_000_000))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

/// Chance that a seed decides (SplitMix64; Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", 2014). Clones share the sequence.
#[derive(Clone, Debug)]
pub struct SeededEntropy {
    state: Arc<AtomicU64>,
}

impl SeededEntropy {
    /// The sequence of this seed, from its start.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(AtomicU64::new(seed)),
        }
    }

    /// A sequence of its own that this one decides: drawing from one doesn't move the other.
    pub fn split(&self) -> Self {
        Self::new(self.number())
    }

    /// The next 64 bits.
    pub fn number(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(GAMMA, Ordering::SeqCst)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `bound`, without it. The bias is below 2⁻³² for the bounds of a test.
    pub fn below(&self, bound: usize) -> usize {
        assert!(bound > 0, "nothing lies below 0");
        (self.number() % bound as u64) as usize
    }

    /// True in `percent` of 100 draws.
    pub fn percent(&self, percent: u32) -> bool {
        self.number() % 100 < u64::from(percent)
    }

    /// One of these, if there is one.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.below(from.len())])
    }
}

impl Entropy for SeededEntropy {
    fn secret(&self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }

    fn chance(&self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How often a bus misbehaves, in percent of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Never delivered.
    pub lost: u32,
    /// Delivered twice.
    pub repeated: u32,
    /// Held back and delivered after later ones.
    pub delayed: u32,
}

impl Default for Loss {
    /// Bad enough that a thing that relies on the bus fails within a few dozen events.
    fn default() -> Self {
        Self {
            lost: 20,
            repeated: 10,
            delayed: 20,
        }
    }
}

/// A bus that loses, repeats, delays and reorders what is published on it, by a
/// seed. What is delivered goes to the bus that it wraps.
pub struct LossyBus<B> {
    inner: B,
    loss: Loss,
    chance: SeededEntropy,
    held_back: Mutex<Vec<Event>>,
}

/// Most events held back at once; beyond it the bus delivers one for each that it holds back.
const MAX_HELD_BACK: usize = 64;

impl<B: Bus> LossyBus<B> {
    /// A bad line to `inner`.
    pub fn new(inner: B, loss: Loss, seed: u64) -> Self {
        Self {
            inner,
            loss,
            chance: SeededEntropy::new(seed),
            held_back: Mutex::default(),
        }
    }

    /// Delivers everything that is still held back, in any order.
    pub async fn release(&self) -> Result<(), BusError> {
        let mut late = std::mem::take(&mut *self.lock());
        self.shuffle(&mut late);
        self.inner.publish(&late).await
    }

    /// How many events it holds back.
    pub fn held_back(&self) -> usize {
        self.lock().len()
    }

    /// What comes out now when `events` go in.
    fn pass(&self, events: &[Event]) -> Vec<Event> {
        let mut held_back = self.lock();
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            if self.chance.percent(self.loss.lost) {
                continue;
            }
            if self.chance.percent(self.loss.delayed) {
                held_back.push(event.clone());
            } else {
                out.push(event.clone());
            }
            if self.chance.percent(self.loss.repeated) {
                held_back.push(event.clone());
            }
            let late = held_back.len() > MAX_HELD_BACK || self.chance.percent(self.loss.delayed);
            if late && !held_back.is_empty() {
                let at = self.chance.below(held_back.len());
                out.push(held_back.swap_remove(at));
            }
        }
        if self.loss.delayed > 0 {
            self.shuffle(&mut out);
        }
        out
    }

    /// Fisher and Yates, as in Knuth's Algorithm P.
    fn shuffle(&self, events: &mut [Event]) {
        for last in (1..events.len()).rev() {
            events.swap(last, self.chance.below(last + 1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.held_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<B: Bus> Bus for LossyBus<B> {
    fn wake(&self, events: &[Event]) {
        self.inner.wake(&self.pass(events));
    }

    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let out = self.pass(events);
        self.inner.publish(&out).await
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        self.inner.subscribe(topics).await
    }

    async fn health(&self) -> Result<(), BusError> {
        self.inner.health().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::TeamName;
    use collective_core::event::Fact;
    use futures_util::FutureExt;

    /// Writes down what reaches it.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<u64>>>);

    #[async_trait]
    impl Bus for Recorder {
        fn wake(&self, events: &[Event]) {
            let mut seen = self.0.lock().unwrap();
            seen.extend(events.iter().map(|event| event.seq));
        }

        async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
            self.wake(events);
            Ok(())
        }

        async fn subscribe(&self, _: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
            Err(BusError::Unavailable("it only writes down".to_owned()))
        }

        async fn health(&self) -> Result<(), BusError> {
            Ok(())
        }
    }

    fn event(seq: u64) -> Event {
        Event {
            team: TeamName::default_team(),
            seq,
            at: Timestamp::from_micros(0),
            actor: "server".to_owned(),
            fact: Fact::AccessDenied {
                what: String::new(),
            },
        }
    }

    fn delivered(loss: Loss, seed: u64) -> Vec<u64> {
        let recorder = Recorder::default();
        let bus = LossyBus::new(recorder.clone(), loss, seed);
        for seq in 1..=1_000 {
            bus.publish(&[event(seq)]).now_or_never().unwrap().unwrap();
        }
        bus.release().now_or_never().unwrap().unwrap();
        assert_eq!(bus.held_back(), 0);
        std::mem::take(&mut *recorder.0.lock().unwrap())
    }

    #[test]
    fn a_clock_moves_for_everyone_who_shares_it_and_only_when_told() {
        let clock = FakeClock::default();
        let shared = clock.clone();
        let start = clock.now();
        assert_eq!(start.to_string(), "2026-01-01T00:00:00.000000Z");
        shared.advance(Span::from_secs(5));
        assert_eq!(clock.now(), start + Span::from_secs(5));
        shared.set(start - Span::from_secs(5));
        assert_eq!(clock.now(), start - Span::from_secs(5));
    }

    #[test]
    fn a_seed_gives_the_same_chance_again_and_another_seed_another() {
        let draw = |seed| {
            let entropy = SeededEntropy::new(seed);
            let mut drawn: Vec<u128> = (0..10).map(|_| entropy.secret()).collect();
            drawn.push(u128::from(entropy.split().number()));
            drawn
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        // The reference implementation's first output for seed 0.
        assert_eq!(SeededEntropy::new(0).number(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn chance_lies_in_its_range_and_everywhere_in_it() {
        let entropy = SeededEntropy::new(7);
        let mut tenths = [0u32; 10];
        for _ in 0..10_000 {
            let chance = entropy.chance();
            assert!((0.0..1.0).contains(&chance));
            tenths[(chance * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (800..1_200).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn a_bad_line_loses_repeats_and_reorders_by_its_seed() {
        let seen = delivered(Loss::default(), 3);
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!((700..900).contains(&distinct.len()), "{}", distinct.len());
        assert!(
            seen.len() > distinct.len() + 40,
            "{} of {}",
            seen.len(),
            distinct.len()
        );
        let out_of_order = seen.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!(out_of_order > 50, "{out_of_order}");
        assert_eq!(seen, delivered(Loss::default(), 3));
        assert_ne!(seen, delivered(Loss::default(), 4));
    }

    #[test]
    fn a_good_line_passes_everything_as_it_came() {
        let good = Loss {
            lost: 0,
            repeated: 0,
            delayed: 0,
        };
        assert_eq!(delivered(good, 1), (1..=1_000).collect::<Vec<_>>());
    }
}
