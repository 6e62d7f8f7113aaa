//! Agent processes: guard, worktrees, presets, checks, the claim loop.

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
