//! What is killed, and when: decided by the seed alone.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use collective_testkit::world::SeededEntropy;

use crate::between;
use crate::cluster::{Cluster, REPLICAS};
use crate::load::Load;

/// Time between two kills.
const QUIET: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// How long a killed part stays away.
const AWAY: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(3));

/// A part and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Server,
    Agent,
    Postgres,
    RabbitMq,
    WipedRabbitMq,
    Redis,
}

impl Blow {
    /// How often each comes, in relation to the others: a broker's restart takes
    /// seconds, an agent's death nothing.
    const ALL: [(Self, usize); 6] = [
        (Self::Server, 4),
        (Self::Agent, 4),
        (Self::Postgres, 2),
        (Self::RabbitMq, 1),
        (Self::WipedRabbitMq, 1),
        (Self::Redis, 2),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Server => "servers killed",
            Self::Agent => "agents killed",
            Self::Postgres => "PostgreSQL killed",
            Self::RabbitMq => "RabbitMQ killed",
            Self::WipedRabbitMq => "RabbitMQ wiped",
            Self::Redis => "Redis killed, empty when back",
        }
    }
}

pub(crate) struct Chaos {
    chance: SeededEntropy,
    blows: BTreeMap<Blow, u64>,
}

impl Chaos {
    pub(crate) fn new(chance: SeededEntropy) -> Self {
        Self {
            chance,
            blows: BTreeMap::new(),
        }
    }

    /// Waits, kills something and brings it back.
    pub(crate) fn strike(
        &mut self,
        cluster: &mut Cluster,
        load: &Load,
        until: Instant,
    ) -> Result<()> {
        let quiet = between(&self.chance, QUIET.0, QUIET.1);
        let away = between(&self.chance, AWAY.0, AWAY.1);
        let blow = self.choose();
        let victim = self.chance.below(REPLICAS);
        let left = until.saturating_duration_since(Instant::now());
        if quiet >= left {
            thread::sleep(left);
            return Ok(());
        }
        thread::sleep(quiet);
        eprintln!("{} (away {:.1} s)", blow.name(), away.as_secs_f64());
        match blow {
            Blow::Server => {
                cluster.kill_replica(victim);
                thread::sleep(away);
                cluster.start_replica(victim)?;
            }
            Blow::Agent => load.kill_an_agent(&self.chance),
            Blow::Postgres => {
                cluster.engine.postgres.kill();
                thread::sleep(away);
                cluster.engine.postgres.restart()?;
            }
            Blow::RabbitMq => {
                cluster.engine.rabbitmq.kill();
                thread::sleep(away);
                cluster.engine.rabbitmq.restart()?;
            }
            Blow::WipedRabbitMq => {
                cluster.engine.rabbitmq.wipe()?;
                thread::sleep(away);
                cluster.engine.rabbitmq.restart()?;
            }
            Blow::Redis => {
                cluster.engine.redis.kill();
                thread::sleep(away);
                cluster.engine.redis.restart()?;
            }
        }
        *self.blows.entry(blow).or_default() += 1;
        Ok(())
    }

    fn choose(&self) -> Blow {
        let total = Blow::ALL.iter().map(|(_, weight)| weight).sum();
        let mut at = self.chance.below(total);
        for (blow, weight) in Blow::ALL {
            if at < weight {
                return blow;
            }
            at -= weight;
        }
        Blow::Server
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blows: Vec<String> = self
            .blows
            .iter()
            .map(|(blow, count)| format!("{count} {}", blow.name()))
            .collect();
        f.write_str(&blows.join(", "))
    }
}
