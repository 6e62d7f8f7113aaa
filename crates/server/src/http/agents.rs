//! `/v1/agents`, and each agent's inbox.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use collective_api::Page;
use collective_api::agents::{AgentView, Drain};
use collective_api::messages::{Inbox, MarkMessages, ReadInbox};
use collective_core::agent::AgentSpec;
use collective_core::{AgentName, Code};
use collective_service::{agents, messages};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Asked, Named, Sent};
use super::openapi::{changes, reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(takes(routes!(register_agent), &[Code::LimitReached]))
        .routes(reads(routes!(list_agents), &[]))
        .routes(reads(routes!(show_agent), &[]))
        .routes(changes(routes!(remove_agent), &[Code::WrongState]))
        .routes(takes(routes!(drain_agent), &[]))
        .routes(reads(routes!(read_inbox), &[Code::InvalidDuration]))
        .routes(takes(routes!(report_receipts), &[Code::BatchTooLarge]))
}

/// Register an agent, or register it anew.
///
/// An agent that restarts under its own name has its identity back at once.
#[utoipa::path(
    put, path = "/v1/agents/{agent}", tag = "agents", request_body = AgentSpec,
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 200, description = "Registered.", body = AgentView)),
)]
async fn register_agent(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
    Sent(spec): Sent<AgentSpec>,
) -> Result<Json<AgentView>, Refused> {
    Ok(Json(agents::register(&app.hub, &who, &agent, spec).await?))
}

/// List the agents.
#[utoipa::path(
    get, path = "/v1/agents", tag = "agents",
    responses((status = 200, description = "All of them, by name.", body = Page<AgentView>)),
)]
async fn list_agents(app: State<App>, Who(who): Who) -> Result<Json<Page<AgentView>>, Refused> {
    let items = agents::list(&app.hub, &who).await?;
    Ok(Json(Page { items, next: None }))
}

/// Show an agent.
#[utoipa::path(
    get, path = "/v1/agents/{agent}", tag = "agents",
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The agent.", body = AgentView)),
)]
async fn show_agent(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
) -> Result<Json<AgentView>, Refused> {
    Ok(Json(agents::show(&app.hub, &who, &agent).await?))
}

/// Remove an agent that holds no task.
#[utoipa::path(
    delete, path = "/v1/agents/{agent}", tag = "agents",
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 204, description = "Removed; its history stays.")),
)]
async fn remove_agent(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
) -> Result<StatusCode, Refused> {
    agents::remove(&app.hub, &who, &agent).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an agent no new tasks, or give it tasks again.
#[utoipa::path(
    post, path = "/v1/agents/{agent}/drain", tag = "agents", request_body = Drain,
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The agent.", body = AgentView)),
)]
async fn drain_agent(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
    Sent(drain): Sent<Drain>,
) -> Result<Json<AgentView>, Refused> {
    Ok(Json(agents::drain(&app.hub, &who, &agent, drain).await?))
}

/// Read an agent's inbox.
///
/// Only the agent's own reading counts as handing over.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/inbox", tag = "agents",
    params(("agent" = String, Path, description = "Its name."), ReadInbox),
    responses((status = 200, description = "Messages, oldest first.", body = Inbox)),
)]
async fn read_inbox(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
    Asked(request): Asked<ReadInbox>,
) -> Result<Json<Inbox>, Refused> {
    Ok(Json(
        messages::inbox(&app.hub, &who, &agent, &request).await?,
    ))
}

/// Report how far messages got.
#[utoipa::path(
    post, path = "/v1/agents/{agent}/receipts", tag = "agents", request_body = MarkMessages,
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 204, description = "Noted.")),
)]
async fn report_receipts(
    app: State<App>,
    Who(who): Who,
    Named(agent): Named<AgentName>,
    Sent(request): Sent<MarkMessages>,
) -> Result<StatusCode, Refused> {
    messages::report(&app.hub, &who, &agent, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}
