//! Agent processes: guard, output, worktrees, presets, checks, the claim loop.
//!
//! The layers, from the ground up; each knows only those before it:
//!
//! - [`guard`], [`orphans`]: whoever dies, nothing of a command outlives it.
//! - [`process`], [`output`], [`supervise`]: a command under guard, its output,
//!   its timeout and its cancellation.
//! - [`git`], [`worktree`], [`runs`]: where a command works, and how its work is kept.
//! - [`preset`], [`attempt`], [`checks`]: one attempt at a task, and what it is worth.
//! - [`worker`]: the claim loop; only here is a server known.
//! - [`scripted`]: an agent to try all of it with.
//!
//! This crate never decides what follows an attempt, and never writes to a store.
//!
//! The binary that uses it re-executes itself, so its `main` begins with:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use collective_runner::{guard, scripted};
//!
//! fn main() -> ExitCode {
//!     let mut arguments = std::env::args_os().skip(1);
//!     match arguments.next().as_deref().and_then(|first| first.to_str()) {
//!         Some(guard::SUBCOMMAND) => guard::main(arguments),
//!         Some(scripted::SUBCOMMAND) => scripted::main(arguments),
//!         _ => ExitCode::SUCCESS, // what the binary is for
//!     }
//! }
//! ```
//!
//! One attempt, by a preset, in a worktree, with its checks:
//!
//! ```no_run
//! # use std::{collections::BTreeMap, error::Error, path::Path, time::Duration};
//! # use collective_core::task::Check;
//! use collective_runner::attempt::{self, AttemptSpec, Control, Identity, Place};
//! use collective_runner::checks::{self, Scene};
//! use collective_runner::preset::Presets;
//! use collective_runner::runs::Run;
//! use collective_runner::worktree::Repository;
//!
//! # async fn work(identity: Identity, checks: &[Check]) -> Result<(), Box<dyn Error>> {
//! let run = Run::begin(Path::new("/var/lib/collective/runs"))?;
//! let repository = Repository::discover(Path::new(".")).await?;
//! let presets = Presets::built_in();
//! let claude = presets.get("claude").ok_or("no such preset")?;
//! let made = claude.command(&BTreeMap::from([("model".into(), "opus".into())]))?;
//! let spec = AttemptSpec {
//!     command: made.command,
//!     delivery: made.delivery,
//!     prompt: "Fix the flaky test.".to_owned(),
//!     input: serde_json::Value::Null,
//!     dependencies: serde_json::json!([]),
//!     feedback: None,
//!     answers: None,
//!     env: made.env,
//!     drop_env: made.drop_env,
//!     place: Place::Worktree {
//!         repository: repository.clone(),
//!         name: identity.number.to_string(),
//!         base: None,
//!     },
//!     timeout: Duration::from_secs(3_600),
//!     grace: Duration::from_secs(10),
//!     reading: made.reading,
//!     rules: made.rules,
//!     identity,
//! };
//! let control = Control::default();
//! let report = attempt::run(&run, &spec, control.clone()).await;
//! if let (None, Some(commit)) = (&report.failure, report.commit) {
//!     let scene = Scene::Commit { repository, commit };
//!     let label = spec.identity.label();
//!     let evidence = checks::run(&run, &label, checks, &scene, &control.cancel).await?;
//!     println!("{}: {} checks seen", report.text, evidence.len());
//! }
//! run.end()?;
//! # Ok(())
//! # }
//! ```

pub mod attempt;
pub mod checks;
pub mod git;
pub mod guard;
pub mod orphans;
pub mod output;
pub mod preset;
pub mod process;
pub mod runs;
pub mod scripted;
pub mod supervise;
pub mod worker;
pub mod worktree;
