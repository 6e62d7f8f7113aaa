//! What the reader must know of presets, which live elsewhere.
//!
//! A preset is data that says how a known agent CLI is started. This crate never
//! knows one by name: the caller hands in the book.

use std::collections::BTreeMap;

use collective_core::Rejection;
use serde_json::Value;

/// Most presets of one file: more than there are agent CLIs.
pub(crate) const MAX_PRESETS: usize = 100;

/// The presets that are known, and the rules for their definitions and options.
pub trait PresetBook {
    /// The names that are built in.
    fn names(&self) -> Vec<String>;

    /// Checks a preset that a team file defines for itself. The rejection's field is
    /// relative to the definition.
    fn check_definition(&self, name: &str, definition: &Value) -> Result<(), Rejection>;

    /// Checks the options of an agent for a preset; `own` is the definition if the file
    /// has one of this name. The rejection's field is relative to the options.
    fn check_options(
        &self,
        name: &str,
        own: Option<&Value>,
        options: &BTreeMap<String, Value>,
    ) -> Result<(), Rejection>;
}

/// A book without a page: every preset is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPresets;

impl PresetBook for NoPresets {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn check_definition(&self, _: &str, _: &Value) -> Result<(), Rejection> {
        Ok(())
    }

    fn check_options(
        &self,
        _: &str,
        _: Option<&Value>,
        _: &BTreeMap<String, Value>,
    ) -> Result<(), Rejection> {
        Ok(())
    }
}
