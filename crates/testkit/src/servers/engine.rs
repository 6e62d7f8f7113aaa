//! The three parts of a distributed engine together, and what tells a server of
//! ours where they are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

use super::{Postgres, RabbitMq, Redis};

/// How long a server may take to answer whether it is ready.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// PostgreSQL, RabbitMQ and Redis with their defaults' durability.
pub struct Engine {
    /// The store.
    pub postgres: Postgres,
    /// The bus.
    pub rabbitmq: RabbitMq,
    /// The cache.
    pub redis: Redis,
}

impl Engine {
    /// Starts all three.
    pub fn start() -> Result<Self> {
        Ok(Self {
            postgres: Postgres::start()?,
            rabbitmq: RabbitMq::start()?,
            redis: Redis::start()?,
        })
    }

    /// The environment of a server that stands on them, with this database and
    /// this user of PostgreSQL.
    pub fn settings(
        &self,
        database: &str,
        user: &str,
        password: &str,
    ) -> Vec<(&'static str, String)> {
        let host = || "127.0.0.1".to_owned();
        vec![
            ("COLLECTIVE_ENGINE", "distributed".to_owned()),
            ("POSTGRES_HOST", host()),
            ("POSTGRES_PORT", self.postgres.port().to_string()),
            ("POSTGRES_DB", database.to_owned()),
            ("POSTGRES_USER", user.to_owned()),
            ("POSTGRES_PASSWORD", password.to_owned()),
            ("RABBITMQ_HOST", host()),
            ("RABBITMQ_PORT", self.rabbitmq.port().to_string()),
            ("RABBITMQ_USER", "guest".to_owned()),
            ("RABBITMQ_PASSWORD", "guest".to_owned()),
            ("REDIS_HOST", host()),
            ("REDIS_PORT", self.redis.port().to_string()),
            ("REDIS_PASSWORD", self.redis.password().to_owned()),
        ]
    }

    /// The same for a database of PostgreSQL's superuser.
    pub fn settings_of_superuser(&self, database: &str) -> Vec<(&'static str, String)> {
        self.settings(database, "postgres", self.postgres.password())
    }
}

/// Whether a server of ours on this loopback port answers `/readyz` with 200.
/// Asked by hand: a client would retry.
pub fn is_ready(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
