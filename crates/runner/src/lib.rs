//! Agent processes: guard, worktrees, presets, checks, the claim loop.
