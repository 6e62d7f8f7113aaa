//! `/v1/messages`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::messages::{SendMessage, SentMessage};
use collective_core::{Code, MessageId};
use collective_service::messages;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Idempotency, Named, Sent};
use super::openapi::{reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(
            routes!(send_message),
            &[Code::UnknownAgent, Code::IdempotencyMismatch],
        ))
        .routes(reads(routes!(show_message), &[]))
}

/// Send a message to an agent, a role or the team.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", request_body = SendMessage,
    params(("idempotency-key" = Option<String>, Header, description = "The same key gives the same answer for a day.")),
    responses((status = 201, description = "Durable in every recipient's inbox.", body = SentMessage)),
)]
async fn send_message(
    app: State<App>,
    Who(who): Who,
    idempotency: Idempotency,
    Sent(request): Sent<SendMessage>,
) -> Result<(StatusCode, Json<SentMessage>), Refused> {
    let sent = messages::send(&app.hub, &who, request, idempotency.key()).await?;
    Ok((StatusCode::CREATED, Json(sent)))
}

/// Show a message with how far it got.
#[utoipa::path(
    get, path = "/v1/messages/{message}", tag = "messages",
    params(("message" = String, Path, description = "Its id.")),
    responses((status = 200, description = "The message.", body = SentMessage)),
)]
async fn show_message(
    app: State<App>,
    Who(who): Who,
    Named(message): Named<MessageId>,
) -> Result<Json<SentMessage>, Refused> {
    Ok(Json(messages::show(&app.hub, &who, message).await?))
}
