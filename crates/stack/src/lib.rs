//! The Docker infrastructure of `infrastructure/docker`: made ready, started,
//! looked at and looked after, by Docker's own command line.
//!
//! It is a thin layer: what it changes, it changes by a command that a person
//! could have typed, and it says that command first. It must never know how the
//! result is shown, nor anything of teams and tasks. What it decides (plans,
//! findings, the reading of files and versions) is pure; every process is
//! started by [`Runner`].

mod accounts;
pub mod backup;
mod call;
pub mod check;
mod compose;
mod config;
mod container;
pub mod doctor;
mod doors;
mod envfile;
mod error;
mod finding;
mod init;
mod lifecycle;
mod listener;
mod machine;
mod place;
pub mod rotate;
mod runner;
mod secret;
mod stack;
mod variables;
pub mod verify;
mod version;

pub use call::Call;
pub use compose::{Compose, Engine};
pub use container::{Container, Health};
pub use envfile::EnvFile;
pub use error::StackError;
pub use finding::{Finding, FindingCode, Level};
pub use init::{Init, Written, init, questions};
pub use lifecycle::{DownPlan, LogsPlan, UpPlan, wait_until_healthy};
pub use machine::size;
pub use place::{Environment, Overlays, Place};
pub use runner::{Ran, Runner, Tell};
pub use secret::{Secret, is_secret};
pub use stack::{Choice, Stack};
