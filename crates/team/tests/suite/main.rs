//! The team file as its author sees it: what is read, what is refused, what is documented.

#![expect(clippy::unwrap_used, reason = "a test that meets nothing fails")]

mod audit;
mod contents;
mod disk;
mod docs;
mod examples;
mod mistakes;
mod reading;
mod reference;
mod torture;
