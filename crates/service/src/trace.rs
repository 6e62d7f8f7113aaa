//! What spans of the services say.

/// A count as a trace has it: OTLP knows no unsigned numbers, and would show them as text.
pub(crate) fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
