//! `/v1/questions`.

use axum::Json;
use axum::extract::State;
use collective_api::Page;
use collective_api::tasks::{Answer, ListQuestions, WaitFor};
use collective_core::question::Question;
use collective_core::{Code, QuestionId, Span};
use collective_service::questions;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::Who;
use super::extract::{Asked, Named, Sent};
use super::openapi::{reads, takes};
use super::problem::Refused;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(reads(routes!(list_questions), &[]))
        .routes(reads(routes!(show_question), &[Code::InvalidDuration]))
        .routes(takes(routes!(answer_question), &[Code::WrongState]))
}

/// List questions, oldest first.
#[utoipa::path(
    get, path = "/v1/questions", tag = "questions", params(ListQuestions),
    responses((status = 200, description = "At most 500.", body = Page<Question>)),
)]
async fn list_questions(
    app: State<App>,
    Who(who): Who,
    Asked(request): Asked<ListQuestions>,
) -> Result<Json<Page<Question>>, Refused> {
    let items = questions::list(&app.hub, &who, &request).await?;
    Ok(Json(Page { items, next: None }))
}

/// Show a question; waits while it is open.
#[utoipa::path(
    get, path = "/v1/questions/{question}", tag = "questions",
    params(("question" = String, Path, description = "Its id."), WaitFor),
    responses((status = 200, description = "The question as it stands.", body = Question)),
)]
async fn show_question(
    app: State<App>,
    Who(who): Who,
    Named(question): Named<QuestionId>,
    Asked(request): Asked<WaitFor>,
) -> Result<Json<Question>, Refused> {
    let wait = request.wait.unwrap_or(Span::ZERO);
    Ok(Json(questions::show(&app.hub, &who, question, wait).await?))
}

/// Answer a question. Its task goes on.
#[utoipa::path(
    post, path = "/v1/questions/{question}/answer", tag = "questions", request_body = Answer,
    params(("question" = String, Path, description = "Its id.")),
    responses((status = 200, description = "Answered.", body = Question)),
)]
async fn answer_question(
    app: State<App>,
    Who(who): Who,
    Named(question): Named<QuestionId>,
    Sent(request): Sent<Answer>,
) -> Result<Json<Question>, Refused> {
    Ok(Json(
        questions::answer(&app.hub, &who, question, request).await?,
    ))
}
