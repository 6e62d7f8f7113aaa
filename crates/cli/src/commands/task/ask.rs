//! `collective task questions`, `answer` and `ask`.

use std::time::Instant;

use clap::Args;
use collective_api::leases::AskRequest;
use collective_api::tasks::ListQuestions;
use collective_client::{Client, TaskName};
use collective_core::question::{Question, QuestionState};
use collective_core::task::LeaseToken;
use collective_core::{Code, QuestionId, Rejection, Span, TaskId};

use crate::commands::span;
use crate::context::Context;
use crate::errors::{CliError, NOT_ENDED};
use crate::output::{Grid, Tone, toned};
use crate::{names, when};

const QUESTIONS: &str = "\
Examples:
  collective task questions
  collective task questions --all --task 12";
const ANSWER: &str = "\
Examples:
  collective task answer 12 'use PostgreSQL'
  collective task answer 12 --choose 2                 the second of the offered answers
  collective task answer 018f4e0e-7c1a-7000-8000-000000000001 yes";
const ASK: &str = "\
Examples, inside of a command that an agent runs:
  answer=$(collective task ask 'Which database?' --option sqlite --option postgres)
  collective task ask 'May I delete the old tests?' --for 2h

The task, its lease and the key come from the environment that the runner gives
(COLLECTIVE_TASK, COLLECTIVE_LEASE, COLLECTIVE_TOKEN). The lease is held open
while the question is; exit code 7 says that nobody answered in time.";

/// Which questions.
#[derive(Args, Debug)]
#[command(after_help = QUESTIONS)]
pub(crate) struct QuestionsArgs {
    /// Of this task: number, id or key
    #[arg(long)]
    task: Option<String>,
    /// Show the closed ones too
    #[arg(long)]
    all: bool,
}

/// What to answer.
#[derive(Args, Debug)]
#[command(after_help = ANSWER)]
pub(crate) struct AnswerArgs {
    /// The task's number, id or key, or the question's id
    task: String,
    /// The answer
    #[arg(required_unless_present = "choose")]
    text: Option<String>,
    /// The answer of this number among those that are offered
    #[arg(long, value_name = "NUMBER", conflicts_with = "text")]
    choose: Option<usize>,
}

/// What to ask.
#[derive(Args, Debug)]
#[command(after_help = ASK)]
pub(crate) struct AskArgs {
    /// The question
    text: String,
    /// An answer to choose from; may be repeated
    #[arg(long = "option", value_name = "TEXT")]
    options: Vec<String>,
    /// How long to wait for the answer [default: 24h]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    hold: Option<Span>,
    /// Don't wait for the answer
    #[arg(long)]
    no_wait: bool,
    /// The task that asks
    #[arg(long, env = "COLLECTIVE_TASK", hide_env_values = true)]
    task: TaskId,
}

/// The lease of the attempt that this command runs in. Never an argument: it is a secret.
fn lease() -> Result<LeaseToken, CliError> {
    let text = std::env::var("COLLECTIVE_LEASE").unwrap_or_default();
    text.parse().map_err(|_: Rejection| {
        CliError::usage(
            "COLLECTIVE_LEASE holds no lease token",
            "ask from inside of a command that an agent runs",
        )
    })
}

/// Lists questions.
pub(super) async fn questions(args: &QuestionsArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let task = match &args.task {
        Some(text) => Some(names::task(&client, text).await?.to_string()),
        None => None,
    };
    let state = (!args.all).then(|| QuestionState::Open.as_str().to_owned());
    let page = client
        .list_questions(&ListQuestions { state, task })
        .await?;
    context.out.show(&page, |out| {
        let now = when::now();
        let mut grid = Grid::new(
            ["QUESTION", "AGENT", "STATE", "AGE", "TEXT", "OFFERS"],
            "no questions",
        );
        for question in &page.items {
            let tone = match question.state {
                QuestionState::Open => Tone::Warn,
                QuestionState::Answered => Tone::Good,
                QuestionState::Expired | QuestionState::Withdrawn => Tone::Faint,
            };
            let offers: Vec<String> = question
                .options
                .iter()
                .enumerate()
                .map(|(i, option)| format!("{}: {}", i + 1, crate::text::short(option, 30)))
                .collect();
            grid.row([
                question.id.to_string().into(),
                question.agent.to_string().into(),
                toned(tone, question.state.as_str()),
                when::ago(question.asked_at, now).into(),
                crate::text::short(&question.text, 70).into(),
                offers.join(", ").into(),
            ]);
        }
        out.grid(&grid)
    })
}

/// Answers a question.
pub(super) async fn answer(args: AnswerArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let question = open_question(&client, &args.task).await?;
    let text = match (args.text, args.choose) {
        (Some(text), _) => text,
        (None, Some(choice)) => choice
            .checked_sub(1)
            .and_then(|place| question.options.get(place))
            .cloned()
            .ok_or_else(|| {
                let count = question.options.len();
                CliError::usage(
                    format!("there is no offered answer {choice}; the question offers {count}"),
                    "give the answer itself, or see `collective task questions`",
                )
            })?,
        (None, None) => String::new(),
    };
    let answered = client.answer_question(question.id, &text).await?;
    context.out.show(&answered, |out| {
        out.line(format!(
            "agent {} has its answer and goes on",
            answered.agent
        ))
    })
}

/// The question with this id, or the open one of this task.
async fn open_question(client: &Client, text: &str) -> Result<Question, CliError> {
    if let Ok(id) = text.parse::<QuestionId>() {
        match client.question(id, Span::ZERO).await {
            Err(error) if error.is(Code::NotFound) => {}
            found => return Ok(found?),
        }
    }
    let task: TaskName = names::task(client, text).await?;
    let query = ListQuestions {
        state: Some(QuestionState::Open.as_str().to_owned()),
        task: Some(task.to_string()),
    };
    let open = client
        .list_questions(&query)
        .await?
        .items
        .into_iter()
        .next();
    open.ok_or_else(|| {
        let rejection = Rejection::new(
            Code::WrongState,
            format!(
                "task {} asks nothing now",
                collective_core::text::shown(text)
            ),
        );
        rejection
            .hint("`collective task questions` lists the open questions")
            .into()
    })
}

/// Asks, and prints the answer.
pub(super) async fn ask(args: AskArgs, context: &Context) -> Result<(), CliError> {
    let token = lease()?;
    let client = context.client()?;
    let request = AskRequest {
        token,
        text: args.text,
        options: args.options,
        hold: args.hold,
    };
    let mut question = client.ask(args.task, &request).await?;
    if !args.no_wait {
        let now = when::now();
        let until = Instant::now().checked_add(question.expires_at.since(now).as_duration());
        question = client.wait_for_answer(question.id, until).await?;
    }
    context.out.show(&question, |out| match &question.answer {
        // An agent reads it, not a terminal; it is data all the same.
        Some(answer) => out.line(crate::text::clean(answer)),
        None if args.no_wait => out.line(question.id.to_string()),
        None => Ok(()),
    })?;
    if question.answer.is_none() && !args.no_wait {
        return Err(CliError::Outcome {
            what: format!(
                "nobody answered: the question is {}",
                question.state.as_str()
            ),
            hint: None,
            exit: NOT_ENDED,
        });
    }
    Ok(())
}
