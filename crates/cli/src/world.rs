//! Time and chance of the real world, for the server that is embedded.

use collective_core::Timestamp;
use collective_core::ports::{Clock, Entropy};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        crate::when::now()
    }
}

/// The thread's generator: a cryptographically secure one, seeded and reseeded by the system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn secret(&self) -> u128 {
        rand::random()
    }

    fn chance(&self) -> f64 {
        rand::random()
    }
}
