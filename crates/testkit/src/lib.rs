//! Conformance suites and fault helpers, for tests only.
