//! Questions: a running task asks, someone answers, its agent hears of it.

use collective_api::leases::AskRequest;
use collective_api::tasks::{Answer, ListQuestions};
use collective_core::limits::{DEFAULT_QUESTION_WAIT, MAX_DELAY, MAX_PAGE};
use collective_core::ports::Topic;
use collective_core::question::{self, Question, QuestionState};
use collective_core::role::{Permission, Principal};
use collective_core::{Code, QuestionId, Rejection, Span};

use crate::access::require;
use crate::ledger::Ledger;
use crate::{Hub, tasks, wait};

/// Most answers that a question may offer.
const MAX_OPTIONS: usize = 16;

/// `POST /v1/tasks/{task}/ask`: the task becomes `needs_input`, its lease is held open.
pub async fn ask(
    hub: &Hub,
    who: &Principal,
    task: &str,
    request: AskRequest,
) -> Result<Question, Rejection> {
    require(hub, who, Permission::ClaimTasks).await?;
    question::validate_text("question", &request.text)?;
    if request.options.len() > MAX_OPTIONS {
        return Err(
            Rejection::too_large("options", request.options.len(), MAX_OPTIONS).at("options"),
        );
    }
    for (i, option) in request.options.iter().enumerate() {
        question::validate_text("option", option).map_err(|r| r.at(format!("options[{i}]")))?;
    }
    let hold = request.hold.unwrap_or(DEFAULT_QUESTION_WAIT);
    if hold == Span::ZERO || hold > MAX_DELAY {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be above 0 and at most {MAX_DELAY}"),
        )
        .at("hold"));
    }
    let id = tasks::id_of(hub, who, task).await?;
    let now = hub.now();
    let question_id = QuestionId(hub.entropy().id(now));
    let who = who.clone();
    hub.write(&who.team.clone(), move |tx| {
        Box::pin(async move {
            let mut task = tasks::lock(tx, &who.team, id).await?;
            let agent = task.check_lease(request.token)?.agent.clone();
            who.require_agent(&agent)?;
            let transition = task.ask(request.token, question_id, now + hold, now)?;
            let asked = Question {
                id: question_id,
                task: id,
                agent,
                text: request.text,
                options: request.options,
                asked_at: now,
                expires_at: now + hold,
                state: QuestionState::Open,
                answer: None,
                answered_by: None,
                closed_at: None,
            };
            tx.put_question(&who.team, &asked).await?;
            let mut ledger = Ledger::new(who.team.clone(), who.to_string(), now);
            ledger.moved(task, transition);
            ledger.commit(tx).await?;
            Ok(asked)
        })
    })
    .await
}

/// `POST /v1/questions/{question}/answer`.
pub async fn answer(
    hub: &Hub,
    who: &Principal,
    id: QuestionId,
    request: Answer,
) -> Result<Question, Rejection> {
    require(hub, who, Permission::AnswerQuestions).await?;
    let (who, now) = (who.clone(), hub.now());
    hub.write(&who.team.clone(), move |tx| {
        Box::pin(async move {
            let by = who.to_string();
            let found = tx
                .question(&who.team, id)
                .await?
                .ok_or_else(|| Rejection::not_found("question", id))?;
            // The task is locked first, as everywhere, then the question is read again.
            let mut task = tasks::lock(tx, &who.team, found.task).await?;
            let mut open = tx.question(&who.team, id).await?.unwrap_or(found);
            if question::answer(&mut open, &request.text, &by, now)? {
                let transition = task.answered(id, &by, now)?;
                tx.put_question(&who.team, &open).await?;
                let mut ledger = Ledger::new(who.team.clone(), by, now);
                ledger.moved(task, transition);
                ledger.commit(tx).await?;
            }
            Ok(open)
        })
    })
    .await
}

/// `GET /v1/questions/{question}`: waits while it is open.
pub async fn show(
    hub: &Hub,
    who: &Principal,
    id: QuestionId,
    wait: Span,
) -> Result<Question, Rejection> {
    require(hub, who, Permission::Read).await?;
    let found = hub
        .read()
        .await?
        .question(&who.team, id)
        .await?
        .ok_or_else(|| Rejection::not_found("question", id))?;
    if found.state != QuestionState::Open {
        return Ok(found);
    }
    let closed = wait::until(hub, &[Topic::Task(found.task)], wait, || async move {
        let question = hub.read().await?.question(&who.team, id).await?;
        Ok(question.filter(|question| question.state != QuestionState::Open))
    })
    .await?;
    Ok(closed.unwrap_or(found))
}

/// `GET /v1/questions`, oldest first.
pub async fn list(
    hub: &Hub,
    who: &Principal,
    request: &ListQuestions,
) -> Result<Vec<Question>, Rejection> {
    require(hub, who, Permission::Read).await?;
    let state = match &request.state {
        None => None,
        Some(word) => Some(QuestionState::from_text(word).ok_or_else(|| {
            Rejection::new(
                Code::InvalidField,
                format!("`{}` is not a state", collective_core::text::shown(word)),
            )
            .hint("the states are open, answered, expired, withdrawn")
            .at("state")
        })?),
    };
    let task = match &request.task {
        None => None,
        Some(text) => Some(tasks::id_of(hub, who, text).await?),
    };
    Ok(hub
        .read()
        .await?
        .questions(&who.team, state, task, MAX_PAGE)
        .await?)
}
