//! The cache port in process.
