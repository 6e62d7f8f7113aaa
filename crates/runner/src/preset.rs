//! Presets: what is known of an agent's command line, as data.

pub mod failure;
pub mod reading;
mod reset;
