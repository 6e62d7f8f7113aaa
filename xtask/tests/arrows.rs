//! The arrows between the rooms, as `ARCHITECTURE.md` draws them.
//!
//! A crate that isn't in the table, or knows more than its row says, fails
//! here. Drivers of single adapters (rusqlite, axum, ...) are kept by
//! `deny.toml`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// What one room may know of the others, and what it must never know.
struct Room {
    name: &'static str,
    knows: &'static [&'static str],
    never: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        name: "core",
        knows: &[],
        never: &["tokio", "tracing", "rand", "getrandom"],
    },
    Room {
        name: "api",
        knows: &["core"],
        never: &["tokio"],
    },
    Room {
        name: "tls",
        knows: &[],
        never: &["tokio"],
    },
    Room {
        name: "store",
        knows: &["core", "tls"],
        never: &[],
    },
    Room {
        name: "bus",
        knows: &["core", "tls"],
        never: &[],
    },
    Room {
        name: "cache",
        knows: &["core"],
        never: &[],
    },
    Room {
        name: "service",
        knows: &["api", "core"],
        never: &[],
    },
    Room {
        name: "server",
        knows: &["api", "core", "service"],
        never: &["lapin", "redis", "rusqlite", "tokio-postgres"],
    },
    Room {
        name: "client",
        knows: &["api", "core"],
        never: &[],
    },
    Room {
        name: "runner",
        knows: &["api", "client", "core"],
        never: &[],
    },
    Room {
        name: "team",
        knows: &["api", "client", "core", "runner"],
        never: &[],
    },
    Room {
        name: "config",
        knows: &["core"],
        never: &["tokio", "reqwest"],
    },
    Room {
        name: "stack",
        knows: &["client", "core"],
        never: &["tokio"],
    },
    Room {
        name: "cli",
        knows: &[
            "api", "bus", "cache", "client", "config", "core", "runner", "server", "service",
            "stack", "store", "team",
        ],
        never: &[],
    },
    Room {
        name: "testkit",
        knows: &["core"],
        never: &[],
    },
    Room {
        name: "drill",
        knows: &["api", "client", "core", "testkit"],
        never: &["reqwest"],
    },
    Room {
        name: "bench",
        knows: &["api", "client", "core", "testkit"],
        never: &[],
    },
    Room {
        name: "xtask",
        knows: &[],
        never: &["tokio"],
    },
];

/// Names of the workspace's own crates begin with this.
const OURS: &str = "collective-";

fn packages() -> Vec<Value> {
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .unwrap();
    assert!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&answer.stdout).unwrap();
    serde_json::from_value(metadata["packages"].take()).unwrap()
}

/// The names of what a package is built on; what only its tests use is free.
fn dependencies(package: &Value) -> BTreeSet<String> {
    package["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_room_knows_only_what_it_may() {
    let mut wrong = Vec::new();
    for package in packages() {
        let full = package["name"].as_str().unwrap();
        let name = full.strip_prefix(OURS).unwrap_or(full);
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            wrong.push(format!("{full} has no row in this table"));
            continue;
        };
        for dependency in dependencies(&package) {
            let allowed = match dependency.strip_prefix(OURS) {
                Some(other) => room.knows.contains(&other),
                None => !room.never.contains(&dependency.as_str()),
            };
            if !allowed {
                wrong.push(format!("{full} must not know {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
