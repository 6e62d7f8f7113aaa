//! Request and answer types of /v1, shared by server and client.
