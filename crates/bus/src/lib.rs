//! The bus port in process.
