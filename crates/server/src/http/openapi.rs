//! The OpenAPI document: generated from the routes, with what every route shares.

use std::collections::BTreeMap;

use collective_api::{Problem, TEAM_HEADER};
use collective_core::Code;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

use super::app::App;
use super::problem::PROBLEM_JSON;

/// The extension that lists the codes of a refusal.
pub(super) const CODES: &str = "x-codes";
/// The name of the security scheme.
const BEARER: &str = "bearer";

/// What any request may be refused with.
const ANY: &[Code] = &[Code::WrongHost, Code::Timeout, Code::Internal];
/// What a request that needs a key may be refused with.
const KEYED: &[Code] = &[
    Code::Unauthenticated,
    Code::Forbidden,
    Code::RateLimited,
    Code::InvalidName,
    Code::InvalidField,
    Code::NotFound,
    Code::Unavailable,
];
/// What a request that changes something may be refused with.
const CHANGING: &[Code] = &[Code::StorageFull];
/// What a request with a body may be refused with.
const WITH_BODY: &[Code] = &[
    Code::InvalidBody,
    Code::UnsupportedMediaType,
    Code::TooLarge,
];

/// The nouns, in the order of the page, with what each is.
const TAGS: &[(&str, &str)] = &[
    (
        "tasks",
        "Units of work: create, find, wait for, explain, call off, revive.",
    ),
    (
        "leases",
        "What an agent does with tasks that it holds: claim, keep alive, complete, fail, give back.",
    ),
    ("agents", "Who takes part, and their inboxes."),
    ("queues", "Lanes of work."),
    ("messages", "Durable mail between agents."),
    ("questions", "What running tasks ask."),
    ("reservations", "Advisory claims on paths."),
    ("schedules", "Tasks that are created again and again."),
    ("events", "The log of the team, as pages and as a stream."),
    ("status", "The team at a glance."),
    ("keys", "API keys. For administrators."),
    ("teams", "Namespaces."),
    (
        "server",
        "Health, metrics and documentation. No key is needed.",
    ),
];

/// A route that reads and needs a key.
pub(super) fn reads(route: UtoipaMethodRouter<App>, codes: &[Code]) -> UtoipaMethodRouter<App> {
    keyed(route, &[ANY, KEYED, codes])
}

/// A route that changes something, needs a key and has no body.
pub(super) fn changes(route: UtoipaMethodRouter<App>, codes: &[Code]) -> UtoipaMethodRouter<App> {
    keyed(route, &[ANY, KEYED, CHANGING, codes])
}

/// A route that takes a body and needs a key.
pub(super) fn takes(route: UtoipaMethodRouter<App>, codes: &[Code]) -> UtoipaMethodRouter<App> {
    keyed(route, &[ANY, KEYED, CHANGING, WITH_BODY, codes])
}

/// A route that needs no key.
pub(super) fn open(mut route: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    for operation in operations(&mut route) {
        operation.security = Some(Vec::new());
        refuse(operation, &[ANY]);
    }
    route
}

fn keyed(mut route: UtoipaMethodRouter<App>, codes: &[&[Code]]) -> UtoipaMethodRouter<App> {
    for operation in operations(&mut route) {
        operation.parameters.get_or_insert_default().push(
            ParameterBuilder::new()
                .name(TEAM_HEADER)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The team, for an administrator's key; `default` if nothing is said. Any other key has its own.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build()
                .into(),
        );
        refuse(operation, codes);
    }
    route
}

fn operations(route: &mut UtoipaMethodRouter<App>) -> impl Iterator<Item = &mut Operation> {
    route.1.paths.values_mut().flat_map(operations_of)
}

/// The operations of a path, whatever their methods.
fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// Adds a problem for each status that the codes have.
fn refuse(operation: &mut Operation, codes: &[&[Code]]) {
    // In the order of the table, each once.
    let named: Vec<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|code| codes.iter().any(|group| group.contains(code)))
        .collect();
    let mut statuses: Vec<u16> = named.iter().map(|code| code.http_status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let codes: Vec<Code> = named
            .iter()
            .copied()
            .filter(|code| code.http_status() == status)
            .collect();
        let lines: Vec<String> = codes
            .iter()
            .map(|code| format!("`{}`: {}", code.as_str(), code.meaning()))
            .collect();
        let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .build();
        let response = ResponseBuilder::new()
            .description(lines.join("\n"))
            .content(PROBLEM_JSON, content)
            .extensions(Some(ExtensionsBuilder::new().add(CODES, words).build()))
            .build();
        operation
            .responses
            .responses
            .insert(status.to_string(), response.into());
    }
}

/// The OpenAPI 3.1 document of the server.
pub fn document() -> OpenApi {
    let mut document = super::routes().into_openapi();
    document.info = InfoBuilder::new()
        .title("Collective")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One team of many coding agents: durable tasks, leases, checks.\n\n\
             Every answer that isn't a success is a problem (RFC 9457) with a stable `code`; /docs/errors has the table.\n\n\
             Lengths of time are written with units (`90s`, `1h30m`), points in time as RFC 3339.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    document.tags = Some(
        TAGS.iter()
            .map(|(name, what)| {
                TagBuilder::new()
                    .name(*name)
                    .description(Some(*what))
                    .build()
            })
            .collect(),
    );
    document.security = Some(vec![SecurityRequirement::new(
        BEARER,
        std::iter::empty::<String>(),
    )]);
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    let mut used = Vec::new();
    Problem::schemas(&mut used);
    components.schemas.extend(used);
    open_what_is_flattened(&mut components.schemas);
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "The administrator's token (the file `token` of the data folder) or an API key.",
                ))
                .build(),
        ),
    );
    document
}

/// A request that allows no unknown fields is closed, also where an answer takes its fields over
/// beside others (`allOf`). There they are written out, open.
fn open_what_is_flattened(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let all = schemas.clone();
    let opened = |item: &RefOr<Schema>| {
        let RefOr::Ref(reference) = item else {
            return None;
        };
        let name = reference.ref_location.rsplit('/').next()?;
        let RefOr::T(Schema::Object(object)) = all.get(name)? else {
            return None;
        };
        object.additional_properties.as_ref()?;
        let mut object = object.clone();
        object.additional_properties = None;
        Some(RefOr::T(Schema::Object(object)))
    };
    for schema in schemas.values_mut() {
        let RefOr::T(Schema::AllOf(parts)) = schema else {
            continue;
        };
        for item in &mut parts.items {
            if let Some(object) = opened(item) {
                *item = object;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn json() -> serde_json::Value {
        serde_json::to_value(document()).expect("the document is JSON")
    }

    #[test]
    fn it_is_version_3_1_and_speaks_of_us() {
        let document = json();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["title"], "Collective");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = json();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let target = reference.split('"').next().unwrap_or_default();
            let pointer = target
                .strip_prefix('#')
                .expect("a reference into the document");
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn every_route_has_a_summary_a_known_tag_a_name_of_its_own_and_known_codes() {
        let document = json();
        let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
        let mut names = BTreeSet::new();
        let mut seen_tags = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("an item") {
                let place = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{place}");
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{place}: {name}");
                let tag = operation["tags"][0].as_str().expect("a tag");
                assert!(tags.contains(tag), "{place}: {tag}");
                seen_tags.insert(tag.to_owned());
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    for code in response[CODES].as_array().into_iter().flatten() {
                        let code = Code::from_text(code.as_str().unwrap_or_default());
                        let code = code.unwrap_or_else(|| panic!("{place}: {response}"));
                        assert_eq!(code.http_status().to_string(), *status, "{place}");
                    }
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().expect("a name");
                    let in_path = path.contains(&format!("{{{name}}}"));
                    assert_eq!(parameter["in"] == "path", in_path, "{place}: {name}");
                    assert_eq!(parameter["required"] == true, in_path, "{place}: {name}");
                }
                let keyed = path.starts_with("/v1/");
                assert_eq!(
                    operation["security"].is_null(),
                    keyed,
                    "{place}: a key is asked for on /v1 and nowhere else"
                );
            }
        }
        assert_eq!(seen_tags.len(), TAGS.len(), "{seen_tags:?}");
    }
}
