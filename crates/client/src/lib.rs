//! Typed client of /v1 with retries and event stream.
