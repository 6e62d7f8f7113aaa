//! Schemas of the words that travel as text though they are structured here.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! text_schema {
    ($($name:path, $description:literal, $example:literal;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .description(Some($description))
                        .examples([serde_json::json!($example)])
                        .into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

text_schema! {
    crate::task::LeaseToken, "What an agent shows with every report on a lease.", "1-00112233445566778899aabbccddeeff";
    crate::task::Lane, "Where a task waits for an agent: queue/NAME, role/ROLE or agent/NAME.", "queue/default";
    crate::task::TaskRef, "A task's id, or the key of a task of the same batch.", "build";
    crate::Timestamp, "A time as RFC 3339, in UTC.", "2026-11-24T18:00:00.000000Z";
    crate::Span, "A length of time with units.", "1h30m";
    crate::TeamName, "1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit.", "default";
    crate::AgentName, "1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit.", "ada";
    crate::QueueName, "1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit.", "default";
}
