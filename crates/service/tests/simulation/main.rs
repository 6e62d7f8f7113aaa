//! The deterministic simulation: a team lives through a seed, over the real services.
//!
//! Leaders, agents with personalities, a clock, a bus, a cache and a store that
//! misbehave all follow from one number, so a life that breaks a rule can be
//! lived again. After every step the cheap rules are checked (`watch`), at the
//! end everything settles and the whole history is (`settle`).
//!
//! `COLLECTIVE_SIM_SEEDS=n` lives n lives, `COLLECTIVE_SIM_FROM=n` starts at
//! seed n, `COLLECTIVE_SIM_SEED=0x2a` lives one and tells each step of it.

mod desk;
mod faults;
mod leader;
mod life;
mod mail;
mod report;
mod settle;
mod tally;
mod watch;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use life::{Life, Lived};
use tally::Tally;

/// Lives in a default run: about a minute of processor time.
const LIVES: u64 = 10_000;
/// From this many lives on, everything that must happen has happened.
const ENOUGH_FOR_ALL: u64 = 1_000;
/// How many of the last steps a failure shows.
const LAST_STEPS: usize = 40;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}

/// One life; a panic counts as a broken rule.
fn live(seed: u64, told: bool) -> Lived {
    let mut life = Life::new(seed, told);
    let outcome = catch_unwind(AssertUnwindSafe(|| life.live()));
    let broken = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panicked: {}", text.unwrap_or_default()))
        }
    };
    life.lived(broken)
}

fn tell(seed: u64, lived: &Lived, steps: usize) -> String {
    let start = lived.trace.len().saturating_sub(steps);
    format!(
        "seed {seed:#x} broke a rule: {}\n\nits last steps:\n{}\n\nlive it again:\n  COLLECTIVE_SIM_SEED={seed:#x} cargo test -p collective-service --test simulation -- --nocapture\n",
        lived.broken.as_deref().unwrap_or("none"),
        lived.trace[start..].join("\n"),
    )
}

#[test]
fn whatever_a_team_and_its_network_do_the_invariants_hold() {
    if let Some(seed) = number("COLLECTIVE_SIM_SEED") {
        let lived = live(seed, true);
        println!("{}\n{}", lived.trace.join("\n"), lived.tally);
        assert!(lived.broken.is_none(), "{}", tell(seed, &lived, LAST_STEPS));
        return;
    }
    let first = number("COLLECTIVE_SIM_FROM").unwrap_or(0);
    let end = first + number("COLLECTIVE_SIM_SEEDS").unwrap_or(LIVES);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Tally::default());
    let broken = Mutex::new(None::<u64>);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= end || broken.lock().unwrap().is_some() {
                break;
            }
            let lived = live(seed, false);
            tally.join(&lived.tally);
            if lived.broken.is_some() {
                broken.lock().unwrap().get_or_insert(seed);
            }
        }
        total.lock().unwrap().join(&tally);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Some(seed) = *broken.lock().unwrap() {
        panic!("{}", tell(seed, &live(seed, true), LAST_STEPS));
    }
    let total = total.lock().unwrap();
    println!("{} lives\n{total}", end - first);
    if end - first >= ENOUGH_FOR_ALL {
        assert_eq!(
            total.missing(),
            Vec::<&str>::new(),
            "the simulation no longer meets these"
        );
    }
}

#[test]
fn a_seed_lives_the_same_life_again() {
    for seed in [1, 2, 3] {
        let (once, again) = (live(seed, true), live(seed, true));
        assert_eq!(once.trace, again.trace);
        assert_eq!(once.tally, again.tally);
        assert_eq!(once.broken, None);
    }
}
