//! The parts of a distributed engine, started for a run.

use std::process::Command;

use anyhow::Result;
use collective_testkit::servers::{Postgres, RabbitMq, Redis};

/// PostgreSQL, RabbitMQ and Redis with their defaults' durability.
pub(super) struct Engine {
    postgres: Postgres,
    rabbitmq: RabbitMq,
    redis: Redis,
}

impl Engine {
    pub(super) fn start() -> Result<Self> {
        Ok(Self {
            postgres: Postgres::start()?,
            rabbitmq: RabbitMq::start()?,
            redis: Redis::start()?,
        })
    }

    /// An empty database of this name.
    pub(super) fn create_database(&self, name: &str) -> Result<()> {
        self.postgres.create_database(name).map(drop)
    }

    /// Tells a server where the parts are, and which database is its own.
    pub(super) fn surround(&self, command: &mut Command, database: &str) {
        command
            .env("COLLECTIVE_ENGINE", "distributed")
            .env("POSTGRES_HOST", "127.0.0.1")
            .env("POSTGRES_PORT", self.postgres.port().to_string())
            .env("POSTGRES_DB", database)
            .env("POSTGRES_USER", "postgres")
            .env("POSTGRES_PASSWORD", self.postgres.password())
            .env("RABBITMQ_HOST", "127.0.0.1")
            .env("RABBITMQ_PORT", self.rabbitmq.port().to_string())
            .env("RABBITMQ_USER", "guest")
            .env("RABBITMQ_PASSWORD", "guest")
            .env("REDIS_HOST", "127.0.0.1")
            .env("REDIS_PORT", self.redis.port().to_string())
            .env("REDIS_PASSWORD", self.redis.password());
    }
}
