//! HTTP over the services.
