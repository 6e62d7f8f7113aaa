//! The examples are team files, for the reader and for the schema.
