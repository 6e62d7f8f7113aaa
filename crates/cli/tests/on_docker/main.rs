//! `collective stack` on a real Docker engine, with the compose files as they
//! are: started, proven, backed up, restored, given new passwords.
//!
//! Where there is no engine, or an image is missing, nothing is tested and that
//! is said; with `COLLECTIVE_NEEDS_DOCKER=1` it is a failure.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod life;
mod restore;
mod site;
